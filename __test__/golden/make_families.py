"""Makes the golden files of the families: tiny random models, and what Python transformers says of every text.

    python -m venv .venv && .venv/bin/pip install -r __test__/golden/requirements.txt
    .venv/bin/python __test__/golden/make_families.py

Writes, below __test__/fixtures/families, a directory for each model, with logits.json beside the files of the
model: the logits of the texts in texts.py, and of TEXTS below in other languages. Deterministic, but for the training of
Unigram vocabularies: those that are there are kept.
"""

import json
import pathlib
import shutil

import numpy
import texts
import torch
import transformers
from safetensors.torch import save_file
from tokenizers import ByteLevelBPETokenizer, SentencePieceUnigramTokenizer
from tokenizers.processors import BertProcessing, RobertaProcessing

FIXTURES = pathlib.Path(__file__).resolve().parents[2] / "__test__" / "fixtures"
TINY = FIXTURES / "tiny"

TEXTS = """
Échec de la connexion pour l'utilisateur « admin »
Sauvegarde terminée sans erreur
Anmeldung fehlgeschlagen für Benutzer müller
Größe der Datenbank: 4 GB
Inicio de sesión correcto
Ошибка входа: неверный пароль
Резервное копирование завершено
用户登录失败
备份完成
ログインに失敗しました
バックアップが完了しました
로그인 실패
تم تسجيل الدخول بنجاح
فشل تسجيل الدخول
लॉगिन विफल
เข้าสู่ระบบล้มเหลว
Σφάλμα σύνδεσης
Đăng nhập thất bại
אימות נכשל
naïve café — coöperate…
😀 login ok 👍🏽
ﬁle ﬂags ½ ™
a<pad>b <s> c </s> <mask> d [PAD] [CLS] e
""".strip().splitlines()

LABELS = {
    "bert": ["positive", "Negative"],
    "roberta": ["normal", "abnormal", "malicious"],
    "xlm-roberta": ["negative", "neutral", "positive"],
    "camembert": ["LABEL_0", "LABEL_1"],
    "electra": ["fine", "toxic", "error"],
    "modernbert": ["fine", "toxic", "error"],
    "deberta-v2": ["Anomaly", "normal"],
}

# Those whose tokenizer is the tiny DistilBERT's, with its special tokens.
WORD_PIECE = ("bert", "electra", "modernbert")
UNIGRAM = ("xlm-roberta", "camembert", "deberta-v2")


def configuration(family: str, vocabulary: int) -> dict:
    labels = {
        "id2label": dict(enumerate(LABELS[family])), "label2id": {label: id for id, label in enumerate(LABELS[family])},
    }
    if family == "modernbert":
        # Windows of eight tokens to either side, in two blocks of three.
        return labels | {
            "vocab_size": vocabulary, "hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4,
            "intermediate_size": 48, "max_position_embeddings": 1024, "local_attention": 16, "pad_token_id": 0,
            "bos_token_id": None, "eos_token_id": None, "cls_token_id": None, "sep_token_id": None,
            "classifier_pooling": "mean", "problem_type": "multi_label_classification",
        }
    if family == "deberta-v2":
        # As DeBERTa 3 has it: distances alone, in buckets.
        return labels | {
            "vocab_size": vocabulary, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
            "intermediate_size": 64, "max_position_embeddings": 512, "relative_attention": True,
            "max_relative_positions": -1, "position_buckets": 16, "norm_rel_ebd": "layer_norm", "share_att_key": True,
            "pos_att_type": ["p2c", "c2p"], "position_biased_input": False, "type_vocab_size": 0,
        }
    sizes = {
        "vocab_size": vocabulary, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
        "intermediate_size": 64, "type_vocab_size": 2 if family in ("bert", "electra") else 1,
        "max_position_embeddings": 512 if family in ("bert", "electra") else 514,
        "layer_norm_eps": 1e-12 if family in ("bert", "electra") else 1e-5,
    }
    if family in ("bert", "electra"):
        sizes["pad_token_id"] = 0
    else:
        sizes |= {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
    if family == "electra":
        sizes |= {"embedding_size": 16, "problem_type": "multi_label_classification"}
    return labels | sizes


def corpus() -> list[str]:
    return texts.TEXTS + TEXTS + [" ".join(TEXTS)]


def make_tokenizer(family: str, directory: pathlib.Path) -> None:
    """WordPiece from the tiny DistilBERT, or a vocabulary that is trained here."""
    if family in WORD_PIECE:
        for name in ("vocab.txt", "tokenizer.json"):
            shutil.copy(TINY / name, directory / name)
        kind = {"do_lower_case": True, "model_max_length": 512, "tokenizer_class": "BertTokenizer"}
    elif family == "roberta":
        # No tokenizer.json: the two older files.
        special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
        tokenizer = ByteLevelBPETokenizer()
        tokenizer.train_from_iterator(corpus(), vocab_size=700, min_frequency=1, special_tokens=special, show_progress=False)
        tokenizer.save_model(str(directory))
        kind = {"model_max_length": 512, "tokenizer_class": "RobertaTokenizer"}
    elif family == "deberta-v2":
        special = dict(pad="[PAD]", cls="[CLS]", sep="[SEP]", unk="[UNK]")
        tokenizer = SentencePieceUnigramTokenizer()
        tokenizer.train_from_iterator(
            corpus(), vocab_size=900, unk_token="[UNK]", special_tokens=list(special.values()), show_progress=False)
        special["mask"] = "[MASK]"
        tokenizer.add_special_tokens(["[MASK]"])
        tokenizer._tokenizer.post_processor = BertProcessing(("[SEP]", 2), ("[CLS]", 1))
        tokenizer.save(str(directory / "tokenizer.json"))
        kind = {f"{name}_token": text for name, text in special.items()}
        kind |= {"model_max_length": 512, "tokenizer_class": "PreTrainedTokenizerFast"}
    else:
        special = ["<s>", "<pad>", "</s>", "<unk>"]
        tokenizer = SentencePieceUnigramTokenizer()
        tokenizer.train_from_iterator(corpus(), vocab_size=900, unk_token="<unk>", special_tokens=special, show_progress=False)
        tokenizer.add_special_tokens(["<mask>"])
        tokenizer._tokenizer.post_processor = RobertaProcessing(("</s>", 2), ("<s>", 0))
        tokenizer.save(str(directory / "tokenizer.json"))
        special = {f"{name}_token": text for name, text in
                   dict(cls="<s>", sep="</s>", bos="<s>", eos="</s>", unk="<unk>", pad="<pad>", mask="<mask>").items()}
        kind = special | {"model_max_length": 512, "tokenizer_class": "PreTrainedTokenizerFast"}
    (directory / "tokenizer_config.json").write_text(json.dumps(kind, indent=2, sort_keys=True) + "\n")


def make_model(family: str, directory: pathlib.Path, tokenizer):
    vocabulary = max(tokenizer.get_vocab().values()) + 1
    config = transformers.AutoConfig.for_model(family, **configuration(family, vocabulary))
    model = transformers.AutoModelForSequenceClassification.from_config(config).eval()
    config.architectures = [type(model).__name__]
    (directory / "config.json").write_text(config.to_json_string(use_diff=False))
    random = numpy.random.default_rng(20261124)
    weights = {}
    for name, parameter in sorted(model.named_parameters()):
        shape = tuple(parameter.shape)
        if "norm" in name.lower():
            value = random.normal(1.0 if name.endswith("weight") else 0.0, 0.3, shape)
        elif name.endswith("bias"):
            value = random.normal(0.0, 0.3, shape)
        elif "embeddings." in name:
            value = random.normal(0.0, 1.0 if "word" in name else 0.3, shape)
        else:
            value = random.normal(0.0, 1.5 / shape[1] ** 0.5, shape)
        weights[name] = torch.tensor(value, dtype=torch.float32)
    save(family, weights, directory)
    missing, unexpected = model.load_state_dict({name: value.float() for name, value in weights.items()}, strict=False)
    assert not unexpected and all("position_ids" in name or "token_type_ids" in name for name in missing), missing
    return model


def save(family: str, weights: dict, directory: pathlib.Path) -> None:
    """As the hub has them: in half precision, in several files, and with TensorFlow's names."""
    if family == "xlm-roberta":
        for name in weights:
            weights[name] = weights[name].to(torch.bfloat16)
    if family == "camembert":
        for name in weights:
            weights[name] = weights[name].to(torch.float16)
    if family == "electra":
        names = sorted(weights)
        files = {f"model-0000{part + 1}-of-00002.safetensors": names[part::2] for part in range(2)}
        for file, members in files.items():
            save_file({name: weights[name] for name in members}, str(directory / file), metadata={"format": "pt"})
        index = {"metadata": {}, "weight_map": {name: file for file, members in files.items() for name in members}}
        (directory / "model.safetensors.index.json").write_text(json.dumps(index, indent=1, sort_keys=True) + "\n")
        return
    stored = weights
    if family == "bert":
        rename = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
        stored = {}
        for name, value in weights.items():
            for new, old in rename.items():
                name = name.replace(new, old)
            stored[name] = value
    save_file(stored, str(directory / "model.safetensors"), metadata={"format": "pt"})


def tokenizer_of(family: str, directory: pathlib.Path):
    if family == "roberta":
        return transformers.RobertaTokenizerFast.from_pretrained(directory)
    return transformers.AutoTokenizer.from_pretrained(directory)


def score(model, tokenizer) -> list[dict]:
    cases = []
    chosen = texts.SHORT + texts.LINES[:30] + TEXTS + ["", " ", texts.words(300)]
    for text in chosen:
        encoding = tokenizer(text, return_tensors="pt", truncation=True, max_length=512)
        # Of a lone text all tokens are of the first type.
        ids = encoding["input_ids"]
        with torch.no_grad():
            logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0].tolist()
        cases.append({"text": text, "ids": ids[0].tolist() if len(ids[0]) < 40 else None, "logits": logits})
    return cases


def main() -> None:
    torch.set_num_threads(1)
    for family in LABELS:
        directory = FIXTURES / "families" / family
        directory.mkdir(parents=True, exist_ok=True)
        for file in directory.iterdir():
            if family not in UNIGRAM or not file.name.startswith("tokenizer"):
                file.unlink()
        if not (directory / "tokenizer.json").exists():
            make_tokenizer(family, directory)
        tokenizer = tokenizer_of(family, directory)
        model = make_model(family, directory, tokenizer)
        cases = score(model, tokenizer)
        spread = numpy.std([case["logits"] for case in cases], axis=0)
        print(f"{family}: {len(cases)} texts, logits spread by {spread.round(2)}")
        assert len(cases) >= 60 and spread.min() > 0.1
        body = ",\n".join(json.dumps(case) for case in cases)
        (directory / "logits.json").write_text(f"[\n{body}\n]\n")


if __name__ == "__main__":
    main()
