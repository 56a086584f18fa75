"""Text from the WordNet 3.0 database (Debian package `wordnet-base`), for words that the corpus never uses."""

import re
from pathlib import Path

DEFAULT_DIR = Path("/usr/share/wordnet")

# Lexicographer files that say little about business events: animals, bodies, food, places, plants, substances, ...
SKIPPED_NOUN_FILES = {"05", "08", "13", "15", "17", "19", "20", "23", "25", "27"}
EXAMPLE = re.compile(r'"([^"]+)"')


def read_wordnet(folder=DEFAULT_DIR):
    """Return short texts: `lemma, lemma: gloss` for every kept synset, and its usage examples."""
    texts = []
    for part in ("verb", "adj", "adv", "noun"):
        path = Path(folder) / f"data.{part}"
        if not path.exists():
            raise SystemExit(f"{path} is missing: install WordNet (apt-get install wordnet-base) or pass --wordnet DIR")
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            if not line.startswith("  "):
                texts.extend(synset_texts(part, line))
    return list(dict.fromkeys(texts))


def synset_texts(part, line):
    """The texts of one line of a data file; none for proper names and skipped noun files."""
    head, _, gloss = line.partition(" | ")
    fields = head.split(" ")
    count = int(fields[3], 16)
    if part == "noun" and (fields[1] in SKIPPED_NOUN_FILES or " @i " in head):
        return []
    lemmas = [re.sub(r"\(.*\)", "", word).replace("_", " ") for word in fields[4 : 4 + 2 * count : 2]]
    definition = gloss.split(';  "')[0].split('; "')[0].strip()
    texts = [f"{', '.join(lemmas[:3])}: {definition}"[:200]]
    texts += [example for example in EXAMPLE.findall(gloss)[:2] if " " in example]
    return texts


if __name__ == "__main__":
    for text in read_wordnet():
        print(text)
