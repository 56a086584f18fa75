"""Makes the golden files: what Python transformers says of every text.

    python -m venv .venv && .venv/bin/pip install -r __test__/golden/requirements.txt
    .venv/bin/python __test__/golden/make_golden.py

Writes, below __test__/fixtures: a tiny random DistilBERT (tiny/), and for it and for the bundled
model the scores of the texts in texts.py (tiny.json, bundled.json). Deterministic.
"""

import json
import pathlib
import re
import string

import numpy
import texts
import torch
from safetensors.torch import save_file
from tokenizers import BertWordPieceTokenizer
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    pipeline,
)

ROOT = pathlib.Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "__test__" / "fixtures"
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WINDOW, OVERLAP = 510, 128


def make_vocabulary() -> list[str]:
    """Words of the texts, every second one only in pieces, and their characters, save some, so that
    [UNK] comes up too."""
    normalizer = BertWordPieceTokenizer(lowercase=True)._tokenizer.normalizer
    normalized = normalizer.normalize_str(" ".join(texts.TEXTS + texts.LONG))
    found = sorted(set(re.findall(r"[a-z]{2,20}", normalized)))
    whole = found[::2]
    pieces = sorted({"##" + word[-3:] for word in found if len(word) > 4})
    characters = sorted(set(normalized) - set(string.whitespace) | set(string.ascii_lowercase))
    characters = [c for c in characters if c.isascii() or ord(c) % 5 != 0]
    return SPECIAL + characters + ["##" + c for c in characters if c.isalnum()] + whole + pieces


def make_tiny(directory: pathlib.Path) -> None:
    """A random DistilBERT whose scores spread widely, so that a slip in any formula shows."""
    directory.mkdir(parents=True, exist_ok=True)
    vocabulary = make_vocabulary()
    assert len(vocabulary) == len(set(vocabulary))
    (directory / "vocab.txt").write_text("".join(f"{token}\n" for token in vocabulary))
    (directory / "tokenizer_config.json").write_text(
        json.dumps({"do_lower_case": True, "model_max_length": 512, "tokenizer_class": "DistilBertTokenizer"}, indent=2) + "\n"
    )
    BertWordPieceTokenizer(str(directory / "vocab.txt"), lowercase=True).save(str(directory / "tokenizer.json"))

    config = DistilBertConfig(
        vocab_size=len(vocabulary), dim=32, n_layers=2, n_heads=4, hidden_dim=64, max_position_embeddings=512,
        id2label={0: "NEGATIVE", 1: "POSITIVE"}, label2id={"NEGATIVE": 0, "POSITIVE": 1},
    )
    config.architectures = ["DistilBertForSequenceClassification"]
    (directory / "config.json").write_text(config.to_json_string(use_diff=False))
    model = DistilBertForSequenceClassification(config)
    random = numpy.random.default_rng(20261123)
    weights = {}
    for name, parameter in sorted(model.state_dict().items()):
        shape = tuple(parameter.shape)
        if "norm" in name.lower():
            value = random.normal(1.0 if name.endswith("weight") else 0.0, 0.3, shape)
        elif name.endswith("bias"):
            value = random.normal(0.0, 0.3, shape)
        elif "embeddings" in name:
            value = random.normal(0.0, 1.0 if "word" in name else 0.3, shape)
        else:
            value = random.normal(0.0, 1.5 / shape[1] ** 0.5, shape)
        weights[name] = torch.tensor(value, dtype=torch.float32)
    weights = spread(model, weights, AutoTokenizer.from_pretrained(directory))
    save_file(weights, str(directory / "model.safetensors"), metadata={"format": "pt"})


def spread(model, weights: dict, tokenizer) -> dict:
    """Scales and shifts the last layer so that the logits differ by 0 +- 1.7 over the texts."""
    model.load_state_dict(weights)
    model.eval()
    with torch.no_grad():
        logits = torch.cat([model(**tokenizer(text, return_tensors="pt")).logits for text in texts.TEXTS])
    margin = logits[:, 0] - logits[:, 1]
    scale = (1.7 / margin.std()).item()
    weights["classifier.weight"] *= scale
    weights["classifier.bias"] *= scale
    weights["classifier.bias"][0] -= margin.mean() * scale
    return weights


def score_texts(directory: pathlib.Path) -> dict:
    """Scores every text as the Python service does, and every window of the long ones."""
    model = AutoModelForSequenceClassification.from_pretrained(directory, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(directory)
    classifier = pipeline("text-classification", model=model, tokenizer=tokenizer, device="cpu")

    def service(text: str) -> float:
        result = classifier(text)[0]
        return result["score"] if result["label"] == "NEGATIVE" else 1 - result["score"]

    def window_score(content: list[int]) -> float:
        ids = torch.tensor([[tokenizer.cls_token_id, *content, tokenizer.sep_token_id]])
        with torch.no_grad():
            return model(input_ids=ids).logits.softmax(-1)[0, 0].item()

    cases, windowed = [], []
    for text in texts.TEXTS + texts.LONG + [fit(tokenizer)]:
        content = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        if len(content) <= WINDOW:
            cases.append({"text": text, "tokens": len(content) + 2, "score": service(text)})
        else:
            starts = range(0, len(content) - OVERLAP, WINDOW - OVERLAP)
            windowed.append({"text": text, "windows": [window_score(content[s : s + WINDOW]) for s in starts]})
    assert cases[-1]["tokens"] == 512 and len(cases) >= 150 and len(windowed) >= 5
    return {"texts": cases, "windowed": windowed}


def fit(tokenizer) -> str:
    """A text of exactly 512 tokens with the two special ones."""
    count = 510
    while len(tokenizer(texts.words(count), verbose=False)["input_ids"]) > 512:
        count -= 1
    text = texts.words(count)
    while len(tokenizer(text, verbose=False)["input_ids"]) < 512:
        text += " ."
    return text


def check_tiny(directory: pathlib.Path, golden: dict) -> None:
    """The scores spread, and the most likely slip, the tanh GELU, moves them visibly."""
    scores = numpy.array([case["score"] for case in golden["texts"]])
    print(f"tiny: scores from {scores.min():.3f} to {scores.max():.3f}, quartiles {numpy.quantile(scores, [0.25, 0.5, 0.75]).round(3)}")
    assert scores.min() < 0.06 and scores.max() > 0.94
    model = AutoModelForSequenceClassification.from_pretrained(directory, dtype=torch.float32).eval()
    for layer in model.distilbert.transformer.layer:
        layer.ffn.activation = torch.nn.GELU(approximate="tanh")
    tokenizer = AutoTokenizer.from_pretrained(directory)
    with torch.no_grad():
        slips = [
            abs(model(**tokenizer(case["text"], return_tensors="pt")).logits.softmax(-1)[0, 0].item() - case["score"])
            for case in golden["texts"]
        ]
    print(f"tiny: the tanh GELU moves scores by {numpy.median(slips):.1e} in the median")
    assert numpy.median(slips) > 5e-5


def main() -> None:
    torch.set_num_threads(1)
    make_tiny(FIXTURES / "tiny")
    for name, directory in (("tiny", FIXTURES / "tiny"), ("bundled", ROOT / "model")):
        golden = score_texts(directory)
        if name == "tiny":
            check_tiny(directory, golden)
        lines = ",\n".join(
            f' "{part}": [\n  ' + ",\n  ".join(json.dumps(case) for case in cases) + "\n ]" for part, cases in golden.items()
        )
        (FIXTURES / f"{name}.json").write_text("{\n" + lines + "\n}\n")
        print(f"{name}: {len(golden['texts'])} texts, {len(golden['windowed'])} long ones")


if __name__ == "__main__":
    main()
