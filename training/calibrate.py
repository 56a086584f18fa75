"""A temperature and a bias, found on lines that training never saw, folded into the classifier's weights.

The lines are those of holdout.tsv, written apart from the corpus. Templates kept out of the corpus would not do: most have a
twin in it that differs in two words and has the other label.
"""

from pathlib import Path

import numpy as np
import torch

from batches import bucket, pad, seeded

HOLDOUT = Path(__file__).parent / "holdout.tsv"


@torch.no_grad()
def margins(model, ids):
    """logit(NEGATIVE) - logit(POSITIVE) of each row of ids."""
    model.eval()
    out = np.zeros(len(ids))
    for batch in bucket([len(row) for row in ids], 8192, seeded(0), spread=0):
        logits = model.logits(model(pad([ids[i] for i in batch])))
        out[batch] = (logits[:, 0] - logits[:, 1]).numpy()
    return out


def fit(margin, label, steps=400):
    """Scale and shift that minimise the log loss of sigmoid(scale * margin + shift)."""
    x, y = torch.from_numpy(margin), torch.tensor(label, dtype=torch.float64)
    scale, shift = torch.ones((), dtype=torch.float64, requires_grad=True), torch.zeros((), dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS([scale, shift], max_iter=steps)

    def closure():
        solver.zero_grad()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(scale * x + shift, y)
        loss.backward()
        return loss

    solver.step(closure)
    return scale.item(), shift.item()


def fold(model, encode, path=HOLDOUT):
    """Calibrate `model` in place on the hold-out lines; prints what they score before and after."""
    rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()[1:]]
    labels = [int(row[0]) for row in rows]
    margin = margins(model, encode([row[-1] for row in rows]))
    scale, shift = fit(margin, labels)
    with torch.no_grad():
        weight, bias = model.classifier.weight, model.classifier.bias
        weight.mul_(scale)
        bias.mul_(scale)
        bias[0] += shift / 2
        bias[1] -= shift / 2
    report("hold-out, before", margin, labels)
    report(f"hold-out, calibrated (x{scale:.3f}, {shift:+.3f})", scale * margin + shift, labels)


def report(title, margin, labels):
    score, label = 1 / (1 + np.exp(-margin)), np.array(labels)
    calm, loud = score[label == 0], score[label == 1]
    print(
        f"{title}: accuracy at 0.7 {np.mean((score >= 0.7) == label):.4f}, false alarms {np.mean(calm >= 0.7):.4f}, "
        f"routine below 0.3 {np.mean(calm < 0.3):.3f}, anomalies above 0.8 {np.mean(loud > 0.8):.3f}"
    )
