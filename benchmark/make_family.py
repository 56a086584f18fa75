"""Makes a model of a family in the size that is called base, with random weights, for bench:families.

    python make_family.py FAMILY OUT

All have the tokenizer of the bundled model, so that all see the same tokens. Deterministic.
"""

import json
import math
import pathlib
import shutil
import sys

import numpy
import torch
import transformers
from safetensors.torch import save_file

TOKENIZER = pathlib.Path(__file__).resolve().parents[1] / "model"
LABELS = ["NEGATIVE", "POSITIVE"]

ROBERTA = {"max_position_embeddings": 514, "type_vocab_size": 1, "layer_norm_eps": 1e-5, "pad_token_id": 1}
# What differs from the defaults of transformers, as the models that are called base have it.
BASE = {
    "distilbert": {},
    "bert": {},
    "roberta": ROBERTA,
    "xlm-roberta": ROBERTA,
    "camembert": ROBERTA,
    "electra": {"hidden_size": 768, "embedding_size": 768, "num_attention_heads": 12, "intermediate_size": 3072},
    "modernbert": {},
    # That of DeBERTa 3.
    "deberta-v2": {
        "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072,
        "relative_attention": True, "position_buckets": 256, "norm_rel_ebd": "layer_norm", "share_att_key": True,
        "pos_att_type": ["p2c", "c2p"], "position_biased_input": False, "max_relative_positions": -1,
    },
}


def main():
    family, out = sys.argv[1], pathlib.Path(sys.argv[2])
    tokenizer = transformers.AutoTokenizer.from_pretrained(TOKENIZER)
    special = {f"{name}_token_id": None for name in ["bos", "eos", "cls", "sep"]} if family == "modernbert" else {}
    config = transformers.AutoConfig.for_model(
        family, **{"vocab_size": max(tokenizer.get_vocab().values()) + 1, "pad_token_id": 0} | BASE[family] | special,
        id2label=dict(enumerate(LABELS)), label2id={label: index for index, label in enumerate(LABELS)},
    )
    model = transformers.AutoModelForSequenceClassification.from_config(config)
    config.architectures = [type(model).__name__]
    random = numpy.random.default_rng(20261125)
    weights = {}
    for name, parameter in sorted(model.named_parameters()):
        shape = tuple(parameter.shape)
        if "norm" in name.lower():
            value = random.normal(1.0 if name.endswith("weight") else 0.0, 0.05, shape)
        elif name.endswith("bias"):
            value = random.normal(0.0, 0.05, shape)
        elif "embeddings." in name:
            value = random.normal(0.0, 1.0, shape)
        else:
            value = random.normal(0.0, 1.0 / math.sqrt(shape[1]), shape)
        weights[name] = torch.tensor(value, dtype=torch.float32)

    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    (out / "config.json").write_text(config.to_json_string(use_diff=False))
    save_file(weights, out / "model.safetensors", metadata={"format": "pt"})
    shutil.copy(TOKENIZER / "tokenizer.json", out)
    # A class of its own would look for other files, and other special tokens.
    tokens = {f"{name}_token": f"[{name.upper()}]" for name in ["cls", "sep", "unk", "pad", "mask"]}
    tokens |= {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 512}
    (out / "tokenizer_config.json").write_text(json.dumps(tokens, indent=2) + "\n")


main()
