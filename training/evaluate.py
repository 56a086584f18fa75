"""Figures of a model directory: audit lines, SST-2, the five examples of the service this replaces.

    python training/evaluate.py --model model/ --audit audit_eval_dev.tsv --sst2 DIR [--engine [--precision int8]] [--mistakes]

With --engine the same texts go through this project's Node package as well, and in f32 the two must agree.
"""

import argparse
import json
import os
import subprocess
from pathlib import Path

import numpy as np
import torch

from sst2 import read_sst2

ROOT = Path(__file__).resolve().parent.parent
THRESHOLD = 0.7
EXAMPLES = [
    ("Failed login attempt", 1),
    ("User logged in successfully", 0),
    ("Order rejected", 1),
    ("Order approved", 0),
    ("Permission denied", 1),
    ("Failed login attempt for username: admin", 1),
    ("Order rejected by manager", 1),
]


def score_with_transformers(folder, texts, batch=32):
    """P(NEGATIVE) of each text, by Python transformers in f32; texts are cut to 512 tokens."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    negative = model.config.label2id["NEGATIVE"]
    lengths = [len(ids) for ids in tokenizer(texts)["input_ids"]]
    order = sorted(range(len(texts)), key=lambda i: lengths[i])
    scores = np.zeros(len(texts))
    with torch.inference_mode():
        for start in range(0, len(order), batch):
            rows = order[start : start + batch]
            inputs = tokenizer([texts[i] for i in rows], truncation=True, max_length=512, padding=True, return_tensors="pt")
            inputs.pop("token_type_ids", None)
            scores[rows] = model(**inputs).logits.softmax(-1)[:, negative].numpy()
    return scores


def score_with_engine(model, texts, precision="f32"):
    """Scores of this project's own engine, rounded to 4 decimals as it reports them."""
    lines = "".join(json.dumps(text) + "\n" for text in texts)
    done = subprocess.run(["node", str(Path(__file__).parent / "engine_scores.js"), str(model)], input=lines, capture_output=True, text=True, env=os.environ | {"ANOMALY_PRECISION": precision})
    if done.returncode:
        raise SystemExit(f"the engine failed:\n{done.stderr}")
    return np.array([float(line) for line in done.stdout.split()])


def read_audit(path):
    """`(label, style, text)` of every row; a source column before the text may be there or not."""
    rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()[1:]]
    return [(int(row[0]), row[1], row[-1]) for row in rows]


def auc(scores, labels):
    """Area under the ROC curve, by ranks."""
    scores, labels = np.asarray(scores), np.asarray(labels)
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    positive = labels.sum()
    return (rank[labels == 1].sum() - positive * (positive + 1) / 2) / (positive * (len(labels) - positive))


def audit_figures(rows, scores):
    """Print AUC, accuracy and false alarms over all and by style, then the reliability table."""
    labels, styles = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    flagged = scores >= THRESHOLD
    print("\n| lines | n | ROC AUC | accuracy at 0.7 | false alarms | missed | routine below 0.3 | anomalies above 0.8 |\n|---|---|---|---|---|---|---|---|")
    for style in ["all", *dict.fromkeys(sorted(styles))]:
        at = np.ones(len(rows), bool) if style == "all" else styles == style
        calm, loud = at & (labels == 0), at & (labels == 1)
        print(
            f"| {style} | {at.sum()} | {auc(scores[at], labels[at]):.3f} | {np.mean(flagged[at] == labels[at]):.3f} | {np.mean(flagged[calm]):.3f} "
            f"| {np.mean(~flagged[loud]):.3f} | {np.mean(scores[calm] < 0.3):.3f} | {np.mean(scores[loud] > 0.8):.3f} |"
        )
    print("\n| score | lines | mean score | anomalous |\n|---|---|---|---|")
    for low in np.arange(0, 1, 0.1):
        at = (scores >= low) & ((scores < low + 0.1) | (low > 0.85))
        if at.any():
            print(f"| {low:.1f} to {low + 0.1:.1f} | {at.sum()} | {scores[at].mean():.3f} | {labels[at].mean():.3f} |")


def compare(exact, reported):
    """Check 4-decimal scores against exact ones: equal, unless within 1e-5 of a rounding boundary."""
    off = np.abs(np.round(exact, 4) - reported) > 5e-5
    near = np.abs((exact * 1e4 + 0.5) % 1 - 0) * 1e-4
    near = np.minimum(near, 1e-4 - near)
    wrong = off & ~((near < 1e-5) & (np.abs(exact - reported) < 6.1e-5))
    print(f"\nengine and transformers: {len(exact)} texts, {off.sum()} rounded otherwise, {wrong.sum()} of them wrongly; largest distance {np.abs(exact - reported).max():.6f}")
    return not wrong.any()


def cost_of_int8(exact, reported):
    """Print how far int8 scores are from exact ones, and how many decisions differ."""
    changed = np.sum((np.round(exact, 4) >= THRESHOLD) != (reported >= THRESHOLD))
    distance = np.abs(exact - reported)
    print(f"\nint8: {len(exact)} texts, {distance.mean():.5f} from f32 on average, {distance.max():.4f} at most, {changed} decisions changed")


def film_accuracy(film, scores):
    """SST-2's: whether the likelier label is right."""
    return np.mean((scores >= 0.5) == np.array([label for _, label in film]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=ROOT / "model")
    parser.add_argument("--audit", type=Path, required=True, help="audit_eval_dev.tsv")
    parser.add_argument("--sst2", type=Path, required=True, help="folder with dev.tsv")
    parser.add_argument("--engine", action="store_true", help="score with the Node package too, and compare")
    parser.add_argument("--precision", choices=("f32", "int8"), default="f32", help="with --engine: how it computes")
    parser.add_argument("--bundled", action="store_true", help="with --engine: the model compiled into the package")
    parser.add_argument("--mistakes", action="store_true", help="list the audit lines on the wrong side of 0.7")
    o = parser.parse_args()
    torch.set_num_threads(2)

    rows, film = read_audit(o.audit), read_sst2(o.sst2, "dev")
    texts = [row[2] for row in rows] + [text for text, _ in film] + [text for text, _ in EXAMPLES]
    scores = score_with_transformers(o.model, texts)
    audit, rest = scores[: len(rows)], scores[len(rows) :]
    print(f"# {o.model}, Python transformers, f32")
    audit_figures(rows, audit)
    print(f"\nSST-2 dev accuracy: {film_accuracy(film, rest[: len(film)]):.4f}")
    print("\n| example | score | flagged | right |\n|---|---|---|---|")
    for (text, label), score in zip(EXAMPLES, rest[len(film) :]):
        print(f"| {text} | {score:.4f} | {bool(score >= THRESHOLD)} | {bool(score >= THRESHOLD) == bool(label)} |")
    if o.mistakes:
        for (label, style, text), score in sorted(zip(rows, audit), key=lambda item: (item[0][1], item[1])):
            if (score >= THRESHOLD) != label:
                print(f"{label} {score:.3f} {style:9} {text[:220]}")
    if o.engine:
        reported = score_with_engine("bundled" if o.bundled else o.model.resolve(), texts, o.precision)
        print(f"\n# the same through this project's engine, {o.precision}")
        audit_figures(rows, reported[: len(rows)])
        print(f"\nSST-2 dev accuracy: {film_accuracy(film, reported[len(rows) :][: len(film)]):.4f}")
        if o.precision == "int8":
            cost_of_int8(scores, reported)
        elif not compare(scores, reported):
            raise SystemExit(1)


if __name__ == "__main__":
    main()
