"""Labelled audit lines from the corpus: `python training/generate.py --count 1000 --seed 1` prints `label<TAB>text`."""

import argparse
import random
import re
from dataclasses import dataclass

import slots
from corpus import read_corpus
from render import RENDERERS, frame
from slots import SLOTS

NOTHING = """ok|OK|done|-|.|...|?|!|:)|—|n/a|N/A|none|null|yes|no|true|test|hello|hi|log|info|event|message|{}|[]|""|\u2705|\U0001f600|\U0001f44d\U0001f44d|\u2728|a|x|abc|
foo|bar|user|id|.....|=====|-----|***|0|1|42|0.0|--|;|,|(empty)|unknown|tbd|todo|EOF|end|start|begin|INFO|DEBUG|audit|audit log|line|entry|record|
page|item|thanks|thank you|good morning|lorem ipsum|привет|你好|こんにちは|été|müller""".replace("\n", "").split("|")


@dataclass
class Line:
    """A generated line; `source` is the template's index, or -1; `bare` the filled template before it was dressed."""

    text: str
    label: int
    source: int = -1
    bare: str = ""


class Generator:
    """Makes lines from a list of templates, the same ones for the same seed."""

    def __init__(self, templates):
        self.templates = templates
        # A template with many alternatives is drawn more often: up to 8 times an epoch.
        self.repeats = [min(8, max(1, t.variety.bit_length() - 3)) for t in templates]
        self.by_label = [[t for t in templates if t.label == label] for label in (0, 1)]

    def line(self, index, rng):
        """One line from one template."""
        template = self.templates[index]
        bare = template.fill(rng)
        text = RENDERERS[template.style](bare, template.label, rng)
        if rng.random() < 0.02:
            text = misspell(text, rng)
        return Line(text, template.label, index, bare)

    def nothing(self, rng):
        """A text that says nothing: routine."""
        roll = rng.random()
        if roll < 0.35:
            text = rng.choice(NOTHING)
        elif roll < 0.6:
            text = SLOTS[rng.choice(list(SLOTS))](rng)
        elif roll < 0.7:
            text = "".join(rng.choice("0123456789") for _ in range(rng.randint(1, 20)))
        elif roll < 0.8:
            text = "".join(rng.choice(".,;:!?-_=*#@/\\|()[]{}<>~ ") for _ in range(rng.randint(1, 20)))
        elif roll < 0.9:
            text = " ".join(rng.choice(slots.WORDS) for _ in range(rng.randint(1, 4)))
        else:
            text = " ".join(SLOTS[rng.choice(list(SLOTS))](rng) for _ in range(rng.randint(2, 5)))
        return Line(text, 0)

    def long(self, rng, words):
        """Many lines as one text of about `words` words: anomalous if one of them is, wherever it stands."""
        label = int(rng.random() < 0.5)
        style = rng.random()
        join = rng.choice(["\n", "\n", " | ", "; ", ". ", " ", ", "])
        kind = rng.choice(["sentence", "any", "any", "syslog"])
        calm = [t for t in rng.sample(self.by_label[0], min(len(self.by_label[0]), 150)) if kind == "any" or t.style == kind] or self.by_label[0]
        parts, length = [], 0
        while length < words and len(parts) < 200:
            if style < 0.12:
                text = frame(rng) if parts else "Thread dump on request of operator"
            else:
                template = rng.choice(calm)
                text = template.fill(rng)
                if style < 0.5 or template.style not in ("sentence", "trap"):
                    text = RENDERERS[template.style](text, 0, rng)
            parts.append(text)
            length += 1.3 * len(re.findall(r"\w+|[^\w\s]", re.sub(r"\d", "1 ", text)))
        if label:
            template = rng.choice(self.by_label[1])
            text = template.fill(rng)
            if rng.random() < 0.5:
                text = RENDERERS[template.style](text, 1, rng)
            at = rng.randrange(len(parts) + 1)
            parts.insert(at, text)
            if rng.random() < 0.1:
                parts[at + 1 : at + 1] = [frame(rng) for _ in range(rng.randint(2, 12))]
        return Line(join.join(parts), label)

    def epoch(self, seed, nothing=0.012, long=0.025, long_words=490):
        """One line or more from every template in random order, with some empty-ish and some long texts among them."""
        rng = random.Random(seed)
        lines = [self.line(i, rng) for i in range(len(self.templates)) for _ in range(self.repeats[i])]
        lines += [self.nothing(rng) for _ in range(int(nothing * len(lines)))]
        lines += [self.long(rng, rng.randint(60, long_words)) for _ in range(int(long * len(self.templates)))]
        rng.shuffle(lines)
        return lines


def misspell(text, rng):
    """One letter dropped, doubled or swapped."""
    if len(text) < 8:
        return text
    i = rng.randrange(len(text) - 2)
    return rng.choice([text[:i] + text[i + 1 :], text[:i] + text[i] + text[i:], text[:i] + text[i + 1] + text[i] + text[i + 2 :]])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    lines, seed = [], options.seed
    generator = Generator(read_corpus())
    while len(lines) < options.count:
        lines += generator.epoch(seed)
        seed += 1
    for line in lines[: options.count]:
        print(line.label, line.text.replace("\t", " ").replace("\n", "\\n"), sep="\t")


if __name__ == "__main__":
    main()
