"""SST-2 (movie reviews with a positive or negative mark), read from a folder outside the project."""

import re
from pathlib import Path

POSITIVE = 1


def detokenise(text):
    """Undo the treebank's spacing: `it 's bad , really` -> `it's bad, really`."""
    text = re.sub(r" (n't|'s|'re|'ve|'ll|'d|'m)\b", r"\1", text.strip())
    text = re.sub(r" ([,.;:!?%)\]])", r"\1", text)
    text = re.sub(r"([(\[]) ", r"\1", text)
    text = text.replace("`` ", '"').replace(" ''", '"').replace("-lrb-", "(").replace("-rrb-", ")")
    return re.sub(r"\s+", " ", text)


def read_sst2(folder, part):
    """Return `(text, label)` pairs as the file has them; label 1 is NEGATIVE here, as in the audit corpus."""
    rows = []
    for line in (Path(folder) / f"{part}.tsv").read_text(encoding="utf-8").splitlines()[1:]:
        text, label = line.rsplit("\t", 1)
        rows.append((text.strip(), int(int(label) != POSITIVE)))
    return rows
