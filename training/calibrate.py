"""A temperature, found on lines that training never saw, folded into the classifier's weights.

The lines are those of holdout.tsv, written apart from the corpus. Templates kept out of the corpus would not do: most have a
twin in it that differs in two words and has the other label.
"""

from pathlib import Path

import numpy as np
import torch

from batches import bucket, pad, seeded

HOLDOUT = Path(__file__).parent / "holdout.tsv"
THRESHOLD = 0.7
FALSE_ALARMS = 0.08


@torch.no_grad()
def margins(model, ids):
    """logit(NEGATIVE) - logit(POSITIVE) of each row of ids."""
    model.eval()
    out = np.zeros(len(ids))
    for batch in bucket([len(row) for row in ids], 8192, seeded(0), spread=0):
        logits = model.logits(model(pad([ids[i] for i in batch])))
        out[batch] = (logits[:, 0] - logits[:, 1]).numpy()
    return out


def fit(margin, label):
    """The scale that minimises the log loss of sigmoid(scale * margin) (temperature scaling, Guo et al., arXiv:1706.04599),
    lowered until at most FALSE_ALARMS of the routine lines reach THRESHOLD."""
    label = np.asarray(label)
    scales = np.linspace(0.2, 3, 281)
    losses = [np.logaddexp(0, -(2 * label - 1) * scale * margin).mean() for scale in scales]
    needed = np.log(THRESHOLD / (1 - THRESHOLD))
    quiet = [scale for scale in scales if (scale * margin[label == 0] >= needed).mean() <= FALSE_ALARMS]
    return float(min(scales[np.argmin(losses)], max(quiet)))


def fold(model, encode, path=HOLDOUT):
    """Calibrate `model` in place on the hold-out lines; prints what they score before and after."""
    rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()[1:]]
    labels = [int(row[0]) for row in rows]
    margin = margins(model, encode([row[-1] for row in rows]))
    scale = fit(margin, labels)
    with torch.no_grad():
        model.classifier.weight.mul_(scale)
        model.classifier.bias.mul_(scale)
    report("hold-out, before", margin, labels)
    report(f"hold-out, calibrated (x{scale:.3f})", scale * margin, labels)


def report(title, margin, labels):
    score, label = 1 / (1 + np.exp(-margin)), np.array(labels)
    calm, loud = score[label == 0], score[label == 1]
    print(
        f"{title}: accuracy at 0.7 {np.mean((score >= 0.7) == label):.4f}, false alarms {np.mean(calm >= 0.7):.4f}, "
        f"routine below 0.3 {np.mean(calm < 0.3):.3f}, anomalies above 0.8 {np.mean(loud > 0.8):.3f}"
    )
