"""Checks on made-up texts: one failure inside a long routine text, at every depth; texts that say nothing.

    python training/probe.py --model model/
"""

import argparse
import random
from pathlib import Path

import numpy as np

from corpus import read_corpus
from calibrate import HOLDOUT
from evaluate import ROOT, THRESHOLD, read_audit, score_with_transformers
from generate import NOTHING, Generator
from wordpiece import build_tokenizer


def long_text(calm, loud, depth, tokens_of, rng, limit=500):
    """A text of about `limit` tokens: routine lines, with the anomalous line `loud` (or none) at `depth` of the way."""
    join = rng.choice(["\n", " | ", "; "])
    parts, length = [], tokens_of(loud) if loud else 0
    while True:
        text = rng.choice(calm)
        length += tokens_of(text) + 1
        if length > limit:
            break
        parts.append(text)
    if loud:
        parts.insert(round(depth * len(parts)), loud)
    return join.join(parts)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=ROOT / "model")
    parser.add_argument("--texts", type=int, default=40, help="long texts a depth")
    o = parser.parse_args()
    tokenizer = build_tokenizer((o.model / "vocab.txt").read_text(encoding="utf-8").splitlines())
    rng = random.Random(1)
    rows = read_audit(HOLDOUT)
    calm, loud = ([text for label, style, text in rows if label == wanted and style == "sentence"] for wanted in (0, 1))

    def tokens_of(text):
        return len(tokenizer.encode(text).ids) - 2

    depths = [None, 0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0]
    print("| one unseen anomalous sentence in 500 tokens of unseen routine lines, at | flagged | mean score |\n|---|---|---|")
    for depth in depths:
        texts = [long_text(calm, None if depth is None else rng.choice(loud), depth, tokens_of, rng) for _ in range(o.texts)]
        scores = score_with_transformers(o.model, texts, batch=8)
        print(f"| {'nowhere (all routine)' if depth is None else f'{depth:.0%} of the way'} | {np.mean(scores >= THRESHOLD):.2f} | {scores.mean():.3f} |")

    texts = ["", *NOTHING]
    generator = Generator(read_corpus())
    texts += [generator.nothing(rng).text for _ in range(200)]
    scores = score_with_transformers(o.model, texts)
    print(f"\nempty and near-empty texts: {np.mean(scores < 0.5):.3f} of {len(texts)} below 0.5; empty text {scores[0]:.4f}")
    for i in np.argsort(-scores)[:8]:
        print(f"  {scores[i]:.3f} {texts[i]!r}")


if __name__ == "__main__":
    main()
