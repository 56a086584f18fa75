"""The student: DistilBertForSequenceClassification written small, with the tensor names that transformers uses.

It differs from the library's in speed only: the last layer computes the first token alone, which is all the head reads.
"""

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

CONFIG = {
    "_name_or_path": "audit-anomaly-small",
    "architectures": ["DistilBertForSequenceClassification"],
    "model_type": "distilbert",
    "activation": "gelu",
    "attention_dropout": 0.1,
    "dim": 256,
    "dropout": 0.1,
    "hidden_dim": 768,
    "id2label": {"0": "NEGATIVE", "1": "POSITIVE"},
    "initializer_range": 0.02,
    "label2id": {"NEGATIVE": 0, "POSITIVE": 1},
    "max_position_embeddings": 512,
    "n_heads": 4,
    "n_layers": 3,
    "pad_token_id": 0,
    "problem_type": "single_label_classification",
    "qa_dropout": 0.1,
    "seq_classif_dropout": 0.2,
    "sinusoidal_pos_embds": False,
    "tie_weights_": True,
    "dtype": "float16",
    "vocab_size": 8000,
}
EPS = 1e-12


class Embeddings(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.word_embeddings = nn.Embedding(c["vocab_size"], c["dim"], padding_idx=0)
        self.position_embeddings = nn.Embedding(c["max_position_embeddings"], c["dim"])
        self.LayerNorm = nn.LayerNorm(c["dim"], eps=EPS)
        self.dropout = nn.Dropout(c["dropout"])

    def forward(self, ids, positions):
        return self.dropout(self.LayerNorm(self.word_embeddings(ids) + self.position_embeddings(positions)))


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.heads = c["n_heads"]
        self.q_lin = nn.Linear(c["dim"], c["dim"])
        self.k_lin = nn.Linear(c["dim"], c["dim"])
        self.v_lin = nn.Linear(c["dim"], c["dim"])
        self.out_lin = nn.Linear(c["dim"], c["dim"])

    def forward(self, queries, x, mask):
        def split(t):
            return t.view(t.shape[0], t.shape[1], self.heads, -1).transpose(1, 2)

        q, k, v = split(self.q_lin(queries)), split(self.k_lin(x)), split(self.v_lin(x))
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.out_lin(mixed.transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.lin1 = nn.Linear(c["dim"], c["hidden_dim"])
        self.lin2 = nn.Linear(c["hidden_dim"], c["dim"])
        self.dropout = nn.Dropout(c["dropout"])

    def forward(self, x):
        return self.dropout(self.lin2(F.gelu(self.lin1(x))))


class Layer(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.attention = Attention(c)
        self.sa_layer_norm = nn.LayerNorm(c["dim"], eps=EPS)
        self.ffn = FeedForward(c)
        self.output_layer_norm = nn.LayerNorm(c["dim"], eps=EPS)

    def forward(self, x, mask, first_only):
        queries = x[:, :1] if first_only else x
        h = self.sa_layer_norm(self.attention(queries, x, mask) + queries)
        return self.output_layer_norm(self.ffn(h) + h)


class Transformer(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.layer = nn.ModuleList(Layer(c) for _ in range(c["n_layers"]))


class Encoder(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.embeddings = Embeddings(c)
        self.transformer = Transformer(c)


class Student(nn.Module):
    """Returns the first token's hidden vector, from which `logits` and `imitate` read."""

    def __init__(self, config, teacher_dim=384):
        super().__init__()
        self.config = dict(config)
        self.distilbert = Encoder(config)
        self.pre_classifier = nn.Linear(config["dim"], config["dim"])
        self.classifier = nn.Linear(config["dim"], 2)
        self.imitation = nn.Linear(config["dim"], teacher_dim)  # training only, not saved in the model
        self.apply(self.start)
        positions = self.distilbert.embeddings.position_embeddings.weight
        positions.data.copy_(0.02 * sinusoids(*positions.shape))

    @staticmethod
    def start(module):
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, std=0.04 if isinstance(module, nn.Linear) else 0.02)
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)
        if isinstance(module, nn.Embedding) and module.padding_idx is not None:
            module.weight.data[module.padding_idx].zero_()

    def forward(self, ids, positions=None):
        """`ids` [batch, length], padded with 0; `positions` like ids when windows do not start at 0."""
        if positions is None:
            positions = torch.arange(ids.shape[1])[None]
        x = self.distilbert.embeddings(ids, positions)
        mask = torch.zeros(ids.shape).masked_fill(ids == 0, -1e9)[:, None, None]
        layers = self.distilbert.transformer.layer
        for i, layer in enumerate(layers):
            x = layer(x, mask, first_only=i == len(layers) - 1)
        return x[:, 0]

    def logits(self, first):
        hidden = F.relu(self.pre_classifier(first))
        return self.classifier(F.dropout(hidden, self.config["seq_classif_dropout"], self.training))

    def save(self, folder):
        """Write config.json and model.safetensors (f16) as transformers reads them."""
        from safetensors.torch import save_file

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        config = dict(self.config, vocab_size=self.distilbert.embeddings.word_embeddings.num_embeddings)
        (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        tensors = {k: v.detach().half().contiguous() for k, v in self.state_dict().items() if not k.startswith("imitation")}
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        (folder / "model.safetensors").chmod(0o644)


def sinusoids(length, dim):
    """Vaswani et al.'s position vectors."""
    angle = torch.arange(length)[:, None] / 10_000 ** (torch.arange(0, dim, 2) / dim)
    return torch.stack([angle.sin(), angle.cos()], -1).flatten(1)
