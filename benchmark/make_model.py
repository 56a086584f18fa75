"""Makes the model of the benchmark: a full-size DistilBERT with random weights, and its ONNX exports.

    python make_model.py TEXTS.json OUT    (bench.js does this)

A network as a library initialises it (weights of deviation 0.02) says nearly the same of every
text, and a classifier that told its outputs apart would mostly tell rounding errors apart. So:

- linear layers keep the length of their inputs, and attention is soft and weighs as much as the
  residual beside it, so that the first token learns what the others say;
- a part of the word embeddings lies in a plane, as with trained ones, which vary more in some
  directions than in others;
- the classifier looks along the direction in which the texts differ most, as training would have
  it, and is scaled so that their scores spread from 0.05 to 0.95.

Deterministic, up to the rounding of the machine's own matrix products.
"""

import argparse
import json
import math
import pathlib
import shutil
import warnings

import numpy
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from safetensors.torch import save_file
from transformers import AutoTokenizer, DistilBertConfig, DistilBertForSequenceClassification

TOKENIZER = pathlib.Path(__file__).resolve().parents[1] / "model"
SEED = 20261124
LINES = 256  # of the texts; those that are scored as a list
THRESHOLD = 0.7

# Deviation of a weight, times the root of the layer's inputs.
GAINS = {"q_lin": 0.7, "k_lin": 0.7, "v_lin": 1.4, "out_lin": 1.4, "lin1": 1.0, "lin2": 0.7, "pre_classifier": 1.0}
PLANE = 30.0  # length of an embedding's part in the plane; that of the rest is 27.7, the root of 768


def random_weights(model):
    random = numpy.random.default_rng(SEED)

    def values(name, shape):
        module, kind = name.split(".")[-2:]
        if "norm" in module.lower():
            return random.normal(1.0 if kind == "weight" else 0.0, 0.05, shape)
        if kind == "bias":
            return random.normal(0.0, 0.05, shape)
        if module == "position_embeddings":
            return random.normal(0.0, 0.3, shape)
        if module == "word_embeddings":
            axes, _ = numpy.linalg.qr(random.normal(size=(shape[1], 2)))
            return random.normal(size=shape) + PLANE / math.sqrt(2) * random.normal(size=(shape[0], 2)) @ axes.T
        return random.normal(0.0, GAINS.get(module, 1.0) / math.sqrt(shape[1]), shape)

    names = sorted(model.state_dict().items())
    return {name: torch.tensor(values(name, tuple(tensor.shape)), dtype=torch.float32) for name, tensor in names}


@torch.no_grad()
def fit_classifier(model, tokenizer, texts):
    """Sets the classifier, and returns the scores of the texts."""
    inputs = [tokenizer(text, return_tensors="pt") for text in texts]
    firsts = torch.cat([model.distilbert(**encoded)[0][:, 0] for encoded in inputs])
    pooled = torch.relu(model.pre_classifier(firsts))
    centre = pooled.mean(0)
    direction = torch.linalg.svd(pooled - centre, full_matrices=False)[2][0]
    direction *= direction.sum().sign()
    low, high = torch.quantile((pooled - centre) @ direction, torch.tensor([0.02, 0.98])).tolist()
    slope = 2 * math.log(0.95 / 0.05) / (high - low)
    weight, bias = slope * direction, -slope * (centre @ direction + (low + high) / 2)
    # P(NEGATIVE) is the logistic function of the difference between the two logits.
    model.classifier.weight.copy_(torch.stack([weight, -weight]) / 2)
    model.classifier.bias.copy_(torch.stack([bias, -bias]) / 2)
    return torch.softmax(model.classifier(pooled), -1)[:, 0]


def export(model, tokenizer, directory):
    """The two files that transformers.js loads as fp32 and q8."""
    directory.mkdir(exist_ok=True)
    example = tokenizer(["one", "another one"], padding=True, return_tensors="pt")
    names = ["input_ids", "attention_mask"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # The tracing exporter: what the other one writes cannot be quantised, and is not faster.
        torch.onnx.export(
            model, tuple(example[name] for name in names), directory / "model.onnx", dynamo=False, opset_version=17,
            input_names=names, output_names=["logits"],
            dynamic_axes={name: {0: "batch", 1: "sequence"} for name in names} | {"logits": {0: "batch"}},
        )
    # As transformers.js' own conversion script does for a model without convolutions, with one
    # difference in favour of accuracy: a scale for each channel, where its default is one for each matrix.
    quantize_dynamic(
        directory / "model.onnx", directory / "model_quantized.onnx", weight_type=QuantType.QInt8, per_channel=True,
        extra_options={"EnableSubgraph": True, "MatMulConstBOnly": True},
    )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("texts", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    arguments = parser.parse_args()
    texts = [line["text"] for line in json.loads(arguments.texts.read_text())["lines"][:LINES]]

    labels = ["NEGATIVE", "POSITIVE"]
    config = DistilBertConfig(
        id2label=dict(enumerate(labels)), label2id={label: index for index, label in enumerate(labels)},
        architectures=["DistilBertForSequenceClassification"],
    )
    model = DistilBertForSequenceClassification._from_config(config, attn_implementation="eager").eval()
    model.load_state_dict(random_weights(model))
    tokenizer = AutoTokenizer.from_pretrained(TOKENIZER)
    scores = fit_classifier(model, tokenizer, texts)
    near = ((scores - THRESHOLD).abs() < 0.1).float().mean()
    print(f"scores {scores.min():.3f} to {scores.max():.3f}, {near:.0%} within 0.1 of {THRESHOLD}")
    assert scores.min() < 0.05 and scores.max() > 0.95 and near >= 0.1, "the scores do not spread as they should"

    # Whole or not at all.
    made = arguments.out.with_name(arguments.out.name + ".part")
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir()
    for name in ["tokenizer.json", "vocab.txt", "tokenizer_config.json"]:
        shutil.copy(TOKENIZER / name, made)
    (made / "config.json").write_text(config.to_json_string(use_diff=False))
    save_file(model.state_dict(), made / "model.safetensors", metadata={"format": "pt"})
    export(model, tokenizer, made / "onnx")
    shutil.rmtree(arguments.out, ignore_errors=True)
    made.rename(arguments.out)


main()
