"""The hand-written corpus: labelled templates with alternatives `[a|b]` and slots `{user}` (format: corpus/README.md)."""

import random
import re
from dataclasses import dataclass, field
from pathlib import Path

from slots import SLOTS

FOLDER = Path(__file__).parent / "corpus"
STYLES = ("sentence", "trap", "record", "cloud", "syslog", "raw")
TOKEN = re.compile(r"\\[\[\]{}|\\]|\{[^{}]*\}|[\[\]|]|[^\[\]{}|\\]+|.")


class CorpusError(ValueError):
    """A line of the corpus that breaks the format."""


@dataclass
class Template:
    """One labelled line of the corpus; `tree` is a list of strings, `Slot`s and `Choice`s."""

    label: int
    style: str
    text: str
    where: str
    tree: list = field(repr=False)

    @property
    def variety(self):
        """How many different lines the alternatives make."""
        return variety(self.tree)

    def canonical(self):
        """A filling that never changes, whatever else the corpus holds."""
        return self.fill(random.Random(self.text))

    def fill(self, rng):
        """One random filling of the template."""
        return re.sub(r"  +", " ", fill(self.tree, rng)).strip()


@dataclass
class Slot:
    name: str


@dataclass
class Choice:
    options: list


def fill(tree, rng):
    out = []
    for node in tree:
        if isinstance(node, str):
            out.append(node)
        elif isinstance(node, Slot):
            out.append(SLOTS[node.name](rng))
        else:
            out.append(fill(rng.choice(node.options), rng))
    return "".join(out)


def variety(tree):
    total = 1
    for node in tree:
        if isinstance(node, Choice):
            total *= sum(variety(option) for option in node.options)
    return total


def parse(text):
    """Parse a template; raises CorpusError when brackets do not match or a slot is unknown."""
    root = []
    stack = []  # (parent list, Choice)
    here = root
    for token in TOKEN.findall(text):
        if token == "[":
            choice = Choice([[]])
            here.append(choice)
            stack.append((here, choice))
            here = choice.options[0]
        elif token == "|":
            if not stack:
                raise CorpusError("`|` outside of brackets (write `\\|`)")
            here = []
            stack[-1][1].options.append(here)
        elif token == "]":
            if not stack:
                raise CorpusError("`]` without `[` (write `\\]`)")
            here, choice = stack.pop()
            if len(choice.options) < 2:
                raise CorpusError("`[...]` with one alternative (write `\\[ \\]` for brackets)")
        elif token.startswith("{") and token.endswith("}") and len(token) > 1:
            if token[1:-1] not in SLOTS:
                raise CorpusError(f"unknown slot {token}")
            here.append(Slot(token[1:-1]))
        elif token in ("{", "}"):
            raise CorpusError(f"lone `{token}` (write `\\{token}`)")
        elif token == "\\":
            here.append(token)
        elif token.startswith("\\"):
            here.append(token[1:])
        else:
            here.append(token)
    if stack:
        raise CorpusError("`[` without `]` (write `\\[`)")
    return root


def read_corpus(folder=FOLDER, extra=True, strict=True):
    """Read every template below `folder`, in a fixed order; `extra` says whether extra*.txt files count."""
    templates, slips, seen = [], [], {}
    for path in sorted(Path(folder).glob("*/*.txt")):
        if path.name.startswith("extra") and not extra:
            continue
        style = path.parent.name
        if style == "syslog" and path.name.startswith("raw"):
            style = "raw"
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            line = line.strip()
            if not line or line.startswith("#"):
                continue
            where = f"{path.parent.name}/{path.name}:{number}"
            try:
                if style not in STYLES:
                    raise CorpusError(f"unknown folder {style}")
                label, _, text = line.partition(" ")
                text = text.strip()
                if label not in ("0", "1") or not text:
                    raise CorpusError("a template is `0 text` or `1 text`")
                tree = parse(text)
                if style == "syslog" and not re.match(r"\S+(\[\{?\w+\}?\])?: ", text):
                    raise CorpusError("a syslog template is `program: message`")
            except CorpusError as error:
                slips.append(f"{where}: {error}: {line}")
                continue
            if text in seen:
                if seen[text].label != int(label):
                    slips.append(f"{where}: labelled otherwise in {seen[text].where}: {line}")
                continue
            seen[text] = Template(int(label), style, text, where, tree)
            templates.append(seen[text])
    if slips and strict:
        raise CorpusError(f"{len(slips)} slips in the corpus:\n" + "\n".join(slips))
    return templates if strict else (templates, slips)


if __name__ == "__main__":
    from collections import Counter

    templates, slips = read_corpus(strict=False)
    print("\n".join(slips))
    for (style, label), count in sorted(Counter((t.style, t.label) for t in templates).items()):
        print(f"{style:9} {label} {count:6,}")
    print(f"{len(templates):,} templates, {len(slips)} slips")
