"""Token ids of texts, and batches of like length."""

import random

import torch

LIMIT = 512
CLS, SEP, MASK, UNK = 2, 3, 4, 1


class Encoder:
    """Texts to ids, at most 512 with [CLS] and [SEP]."""

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer

    def __call__(self, texts):
        out = []
        for encoding in self.tokenizer.encode_batch(list(texts)):
            ids = encoding.ids
            out.append(ids if len(ids) <= LIMIT else ids[: LIMIT - 1] + [SEP])
        return out


def bucket(lengths, budget, rng, spread=0.15):
    """Index lists of like length, each of about `budget` padded tokens, in random order."""
    order = sorted(range(len(lengths)), key=lambda i: lengths[i] * (1 + spread * rng.random()))
    batches, batch, longest = [], [], 0
    for i in order:
        longest = max(longest, lengths[i])
        if batch and longest * (len(batch) + 1) > budget:
            batches.append(batch)
            batch, longest = [], lengths[i]
        batch.append(i)
    if batch:
        batches.append(batch)
    rng.shuffle(batches)
    return batches


def pad(rows):
    """Ids as one tensor, padded with 0."""
    width = max(len(row) for row in rows)
    return torch.tensor([row + [0] * (width - len(row)) for row in rows])


def blur(row, rng, rate):
    """Hide some pieces, so that no single one decides."""
    return [rng.choice((MASK, UNK)) if 0 < i < len(row) - 1 and rng.random() < rate else piece for i, piece in enumerate(row)]


def shifted(ids, rng):
    """Positions as if the text stood somewhere inside a long one (the first token stays at 0)."""
    offset = rng.randrange(LIMIT - ids.shape[1] + 1)
    positions = torch.arange(ids.shape[1]) + offset
    positions[0] = 0
    return positions[None]


def seeded(*parts):
    return random.Random("/".join(map(str, parts)))
