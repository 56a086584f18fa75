"""The model's own lower-cased WordPiece vocabulary, and the tokenizer files in Hugging Face layout."""

import json
import re
import string
from collections import Counter
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
SIZE = 8000
CAMEL = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


def words_of(text):
    """The words a vocabulary should know: no digits, no hex, camelCase both joined and apart."""
    out = []
    for word in re.findall(r"[^\W\d_]+", text):
        parts = CAMEL.findall(word)
        out.append(word.lower())
        if len(parts) > 1:
            out.extend(part.lower() for part in parts if len(part) > 2)
    return out


def train_vocabulary(weighted_texts, size=SIZE):
    """A vocabulary from `(texts, weight)` pairs; a word counts once a text and is weighted by its pool."""
    counts = Counter()
    for texts, weight in weighted_texts:
        for text in texts:
            for word in words_of(text):
                counts[word] += weight
    ascii_marks = [c for c in string.printable if not c.isspace() and not c.isupper()]
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    alphabet = ascii_marks + list("–—’‘“”…€£¥→✓×•·°")
    reserved = len([c for c in ascii_marks if c.isalnum()])  # their ## forms are added below
    trainer = trainers.WordPieceTrainer(vocab_size=size - reserved, special_tokens=SPECIAL, initial_alphabet=alphabet, limit_alphabet=len(alphabet) + 60, min_frequency=2, show_progress=False)
    spread = (word for word, count in sorted(counts.items()) for _ in range(max(1, round(count))))
    tokenizer.train_from_iterator(spread, trainer)
    pieces = [piece for piece, _ in sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])]
    # Every letter and digit can continue a word: nothing in plain text becomes [UNK].
    pieces += [f"##{c}" for c in ascii_marks if c.isalnum() and f"##{c}" not in set(pieces)]
    return pieces[:size]


def build_tokenizer(pieces):
    """A tokenizers.Tokenizer that does what BertTokenizer does with this vocabulary."""
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(vocab=vocabulary, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(clean_text=True, handle_chinese_chars=True, strip_accents=None, lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0", pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])],
    )  # fmt: skip
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    tokenizer.add_special_tokens(SPECIAL)
    return tokenizer


def save_tokenizer(pieces, folder):
    """Write tokenizer.json, vocab.txt and tokenizer_config.json."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    build_tokenizer(pieces).save(str(folder / "tokenizer.json"))
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")
    config = {
        "clean_up_tokenization_spaces": False, "cls_token": "[CLS]", "do_basic_tokenize": True, "do_lower_case": True, "mask_token": "[MASK]",
        "model_max_length": 512, "never_split": None, "pad_token": "[PAD]", "sep_token": "[SEP]", "strip_accents": None,
        "tokenize_chinese_chars": True, "tokenizer_class": "DistilBertTokenizer", "unk_token": "[UNK]",
    }  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
