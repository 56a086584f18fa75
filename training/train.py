"""From data to model/: vocabulary, imitation of a public encoder, labels, averaging, calibration.

    python training/train.py --sst2 DIR --lines audit_lines.jsonl --out model/

The same seed, inputs and thread count give the same weights. Finished stages are kept in --work and used again.
"""

import argparse
import hashlib
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from tqdm import tqdm

import calibrate
from batches import LIMIT, Encoder, blur, bucket, pad, seeded, shifted
from corpus import read_corpus
from generate import Generator
from pace import Pace
from sst2 import read_sst2
from student import CONFIG, Student
from teacher import DIM, Teacher
from wordnet import DEFAULT_DIR, read_wordnet
from wordpiece import build_tokenizer, save_tokenizer, train_vocabulary

NO_LABEL = -100


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sst2", type=Path, required=True, help="folder with train.tsv and dev.tsv")
    parser.add_argument("--lines", type=Path, required=True, help="audit_lines.jsonl: unlabelled public log lines")
    parser.add_argument("--out", type=Path, default=Path("model"))
    parser.add_argument("--work", type=Path, default=Path.home() / ".cache/audit-anomaly-training")
    parser.add_argument("--wordnet", type=Path, default=DEFAULT_DIR)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2, help="0: 1 or 2, whichever is faster at the moment")
    parser.add_argument("--imitation-epochs", type=float, default=4.0)
    parser.add_argument("--epochs", type=int, default=12, help="passes over the corpus, each with fresh fillings")
    parser.add_argument("--average-from", type=int, default=4, help="the weights are the mean of those at the end of this epoch and every later one")
    parser.add_argument("--settle-epochs", type=int, default=4, help="passes of each of the two settling stages")
    parser.add_argument("--sst2-passes", type=float, default=1.5)
    parser.add_argument("--wordnet-texts", type=int, default=40_000)
    parser.add_argument("--sst2-texts", type=int, default=20_000)
    parser.add_argument("--pool-texts", type=int, default=6_000, help="WordNet and film texts to imitate in every epoch of labels")
    parser.add_argument("--vocab", type=Path, help="keep this vocab.txt instead of training one")
    parser.add_argument("--start", type=Path, help="start the labels from this imitation stage (a file of --work) whatever it was made from")
    parser.add_argument("--budget", type=int, default=3072, help="padded tokens a batch")
    return parser.parse_args()


def public_lines(path):
    """The unlabelled lines; those of panther-analysis are left out, since the evaluation set draws on the same rules."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [row["text"] for row in rows if row["source"] != "panther-analysis"]


def fingerprint(*parts):
    return hashlib.sha1("\0".join(map(str, parts)).encode()).hexdigest()[:12]


def schedule(step, steps, warm=0.05, floor=0.02):
    """Warm up, then a cosine down."""
    at = (step + 1) / steps
    return at / warm if at < warm else floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * (at - warm) / (1 - warm)))


def optimizer_of(model, rate):
    decayed = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98), fused=True)


def step_of(optimizer, model, loss, rate):
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()


def imitate(model, encode, texts, targets, o, rate=1e-3):
    """Stage A: the student's first token learns the teacher's sentence embedding."""
    model.train()
    ids = encode(texts)
    lengths = [len(row) for row in ids]
    whole = math.ceil(o.imitation_epochs)
    plans = [bucket(lengths, o.budget, seeded(o.seed, "imitate", epoch)) for epoch in range(whole)]
    batches = [batch for plan in plans for batch in plan][: int(len(plans[0]) * o.imitation_epochs)]
    optimizer, rng = optimizer_of(model, rate), seeded(o.seed, "imitate noise")
    progress = tqdm(batches, desc="imitation", mininterval=10)
    mean, pace = None, Pace(o.threads)
    for step, batch in enumerate(progress):
        rows = pad([blur(ids[i], rng, 0.05) if rng.random() < 0.2 else ids[i] for i in batch])
        wanted = torch.from_numpy(targets[batch]).float()
        loss = 1 - F.cosine_similarity(model.imitation(model(rows)), wanted).mean()
        step_of(optimizer, model, loss, rate * schedule(step, len(batches)))
        pace.tick(rows.numel())
        mean = loss.item() if mean is None else 0.98 * mean + 0.02 * loss.item()
        if step % 20 == 0:
            progress.set_postfix(loss=f"{mean:.4f}")
    return mean


def learn(model, encode, generator, sst2, pool, targets, o, rate=4e-4):
    """Stage B: labels, on fresh fillings of the templates each epoch, with SST-2 and some more imitation mixed in.

    `targets` holds the embedding of every template, then that of every text of `pool`. Returns averaged weights.
    """
    model.train()
    optimizer, rng = optimizer_of(model, rate), seeded(o.seed, "noise")
    share = int(len(sst2) * o.sst2_passes / o.epochs)
    shuffled = [row for turn in range(math.ceil(o.sst2_passes)) for row in seeded(o.seed, "sst2", turn).sample(sst2, len(sst2))]
    embedded = targets.any(axis=1)
    average, steps, step, mean, pace, snapshots = None, None, 0, None, Pace(o.threads), []
    progress = tqdm(total=o.epochs, desc="labels", mininterval=10, bar_format="{l_bar}{bar}| {n:.2f}/{total} [{elapsed}<{remaining}{postfix}]")
    for epoch in range(o.epochs):
        lines = generator.epoch(f"{o.seed}/{epoch}")
        ids = encode([line.text for line in lines])
        # A row: ids, class (0 is NEGATIVE, anomalous), place in `targets`. A long text that was cut may have lost its label.
        rows = [(row, 1 - line.label, line.source) for row, line in zip(ids, lines) if line.source >= 0 or len(row) < LIMIT]
        film = shuffled[epoch * share : (epoch + 1) * share]
        rows += [(row, 1 - label, -1) for row, (_, label) in zip(encode([text for text, _ in film]), film)]
        chosen = seeded(o.seed, "pool", epoch).sample(range(len(pool)), min(o.pool_texts, len(pool)))
        rows += [(row, NO_LABEL, len(generator.templates) + i) for row, i in zip(encode([pool[i] for i in chosen]), chosen)]
        batches = bucket([len(row) for row, _, _ in rows], o.budget, seeded(o.seed, "labels", epoch))
        steps = steps or len(batches) * o.epochs
        for batch in batches:
            picked = [rows[i] for i in batch]
            noisy = [blur(row, rng, 0.1) if rng.random() < 0.25 and len(row) > 5 else row for row, _, _ in picked]
            tokens = pad(noisy)
            first = model(tokens, shifted(tokens, rng) if rng.random() < 0.12 else None)
            labels = torch.tensor([label for _, label, _ in picked])
            loss = F.cross_entropy(model.logits(first), labels, label_smoothing=0.02, reduction="sum", ignore_index=NO_LABEL)
            known = [i for i, (_, _, place) in enumerate(picked) if place >= 0 and embedded[place]]
            if known:
                wanted = torch.from_numpy(targets[[picked[i][2] for i in known]]).float()
                loss = loss + 0.5 * (1 - F.cosine_similarity(model.imitation(first[known]), wanted)).sum()
            loss = loss / len(picked)
            step_of(optimizer, model, loss, rate * schedule(min(step, steps - 1), steps))
            pace.tick(tokens.numel())
            mean = loss.item() if mean is None else 0.98 * mean + 0.02 * loss.item()
            if step > 0.5 * steps:
                average = blend(average, model, 0.995)
            step += 1
            if step % 20 == 0:
                progress.set_postfix(loss=f"{mean:.4f}", step=step, threads=pace.threads)
            progress.update(1 / len(batches))
        snapshots.append({k: v.clone() for k, v in (average or model.state_dict()).items()})
        torch.save(snapshots[-1], o.work / f"labels-{epoch + 1}.pt")
    progress.close()
    return mean_of(*snapshots[min(o.average_from, o.epochs) - 1 :])


def settle(model, encode, generator, sst2, o, name, share, films, long_texts, rate=2e-4):
    """Stage C: labels alone at a lower rate, on every cloud event and record and on a `share` of the other lines, with
    `long_texts` texts of many lines an epoch. Returns averaged weights.
    """
    model.train()
    optimizer, rng = optimizer_of(model, rate), seeded(o.seed, name)
    average, step, steps = None, 0, None
    progress = tqdm(total=o.settle_epochs, desc=name, mininterval=10)
    for epoch in range(o.settle_epochs):
        lines = generator.epoch(f"{o.seed}/{name}/{epoch}")
        dense = ("cloud", "record")
        lines = [l for l in lines if l.source < 0 or generator.templates[l.source].style in dense or rng.random() < share]
        lines += [generator.long(rng, rng.choice((80, 150, 250, 350, 480))) for _ in range(long_texts)]
        rows = [(row, 1 - l.label) for row, l in zip(encode([l.text for l in lines]), lines) if l.source >= 0 or len(row) < LIMIT]
        film = seeded(o.seed, name, "sst2", epoch).sample(sst2, films)
        rows += [(row, 1 - label) for row, (_, label) in zip(encode([text for text, _ in film]), film)]
        batches = bucket([len(row) for row, _ in rows], o.budget, seeded(o.seed, name, "order", epoch))
        steps = steps or len(batches) * o.settle_epochs
        for batch in batches:
            tokens = pad([blur(row, rng, 0.1) if rng.random() < 0.25 and len(row) > 5 else row for row, _ in (rows[i] for i in batch)])
            labels = torch.tensor([rows[i][1] for i in batch])
            first = model(tokens, shifted(tokens, rng) if rng.random() < 0.12 else None)
            loss = F.cross_entropy(model.logits(first), labels, label_smoothing=0.02)
            step_of(optimizer, model, loss, rate * schedule(min(step, steps - 1), steps))
            step += 1
            if step > 0.4 * steps:
                average = blend(average, model, 0.99)
            progress.update(1 / len(batches))
    progress.close()
    return average


def mean_of(*weights):
    """The mean of several sets of weights."""
    return {key: sum(each[key] for each in weights) / len(weights) for key in weights[0]}


@torch.no_grad()
def blend(average, model, keep):
    """An exponential average of the weights."""
    if average is None:
        return {k: v.detach().clone() for k, v in model.state_dict().items()}
    for key, value in model.state_dict().items():
        average[key].lerp_(value, 1 - keep)
    return average


def main():
    o = options()
    began = time.time()
    torch.manual_seed(o.seed)
    torch.set_num_threads(o.threads or 1)
    torch.use_deterministic_algorithms(True)
    o.work.mkdir(parents=True, exist_ok=True)

    templates = read_corpus()
    training = templates
    base = read_corpus(extra=False)  # what the vocabulary and the imitation see; extra*.txt may grow without repeating them
    sst2 = read_sst2(o.sst2, "train")
    films = list(dict.fromkeys(text for text, _ in sst2))
    glosses = read_wordnet(o.wordnet)[: o.wordnet_texts]
    public = public_lines(o.lines)
    fills = [t.canonical() for t in base]
    print(f"{len(training):,} templates; {len(films):,} film texts, {len(glosses):,} WordNet texts, {len(public):,} public lines")

    corpus_words = [t.text for t in base]
    if o.vocab:
        pieces = o.vocab.read_text(encoding="utf-8").splitlines()
    else:
        pieces = train_vocabulary([(corpus_words, 12), (fills, 1), (films, 0.35), (glosses, 0.5), (public, 0.5)])
    save_tokenizer(pieces, o.out)
    tokenizer = build_tokenizer(pieces)
    encode = Encoder(tokenizer)
    print(f"vocabulary: {len(pieces):,} pieces [{time.time() - began:.0f} s]")

    teacher = Teacher(o.work / "teacher")
    pool = glosses + films[: o.sst2_texts] + fills + public
    stage = o.start or o.work / f"imitation-{fingerprint(o.seed, o.imitation_epochs, o.budget, *pieces, *pool)}.pt"
    model = Student(dict(CONFIG, vocab_size=len(pieces)))
    if stage.exists():
        model.load_state_dict(torch.load(stage, weights_only=True))
        print(f"imitation taken from {stage}")
    else:
        vectors = teacher.embed(pool)
        print(f"{len(pool):,} teacher embeddings [{time.time() - began:.0f} s]")
        loss = imitate(model, encode, pool, vectors, o)
        torch.save(model.state_dict(), stage)
        print(f"imitation done, cosine loss {loss:.4f} [{time.time() - began:.0f} s]")

    generator = Generator(training)
    narrow = [t.variety < 100 for t in training]  # of the wide ones no single filling is typical
    general = glosses + films[: o.sst2_texts]
    targets = np.zeros((len(training) + len(general), DIM), np.float16)
    targets[: len(training)][narrow] = teacher.embed([t.canonical() for t, kept in zip(training, narrow) if kept])
    targets[len(training) :] = teacher.embed(general)
    average = learn(model, encode, generator, sst2, general, targets, o)
    torch.save(average, o.work / "labels.pt")
    print(f"labels done [{time.time() - began:.0f} s]")

    model.load_state_dict(average)
    settled = settle(model, encode, generator, sst2, o, "settle", share=0.6, films=5_000, long_texts=0)
    model.load_state_dict(mean_of(average, settled))
    settled = settle(model, encode, generator, sst2, o, "lengthen", share=0.5, films=4_000, long_texts=2_400)
    # What settles forgets a little: a part of the weights before keeps it.
    model.load_state_dict(mean_of(settled, settled, average))
    print(f"settled [{time.time() - began:.0f} s]")

    calibrate.fold(model, encode)
    model.save(o.out)
    print(f"{o.out} written [{time.time() - began:.0f} s]")


if __name__ == "__main__":
    main()
