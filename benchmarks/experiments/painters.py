"""List the pictures of painters that the style predictor is never trained on.

    python benchmarks/experiments/painters.py SOURCES.tsv benchmarks/experiments/held_out.tsv

SOURCES.tsv has a line for each picture: its file in the first column, and in the last one its license, title, painter
and so on, separated by semicolons. A picture is held out if its painter is one of them, or "follower of" one.
`flowbrush train-predictor --held-out` reads the result: file, painter.
"""

import csv
import random
import sys
import unicodedata
from pathlib import Path

MEASURED = "Georges Seurat", "Camille Pissarro", "Paul Cezanne", "Paul Gauguin", "Jules Dupré", "Adolphe Monticelli"
"""Painters of the pictures that predictors are compared on."""

MORE, SEED = 20, 7
"""Painters drawn at random from the large pictures, and from the small ones."""

COMMON = ("unknown", "italian", "flemish", "dutch", "german", "netherlandish", "master of", "workshop", "follower")


def main() -> int:
    source, target = Path(sys.argv[1]), Path(sys.argv[2])
    works = read_works(source)
    chosen = list(MEASURED)
    dice = random.Random(SEED)  # noqa: S311 - repeatable, not secret
    for folder in ("large", "small"):
        names = sorted({painter for file, painter in works if file.parent.name == folder and is_person(painter)})
        chosen += dice.sample([name for name in names if not is_by(name, chosen)], MORE)
    found = [(file.name, painter) for file, painter in works if is_by(painter, chosen)]
    lines = "".join(f"{name}\t{painter}\n" for name, painter in sorted(found))
    target.write_text(lines, encoding="utf-8")
    print(f"{len(found)} of {len(works)} pictures, of {len({painter for _, painter in found})} painters: {target}")
    return 0


def read_works(source: Path) -> list[tuple[Path, str]]:
    """Return file and painter of each picture."""
    works = []
    with source.open(encoding="utf-8", newline="") as file:
        for row in csv.reader(file, delimiter="\t"):
            if row[0].startswith("art/"):
                fields = [field.strip() for field in row[6].split(";")]
                path = Path(row[0])
                works.append((path, fields[2] if path.parent.name == "large" else fields[-1]))
    return works


def is_person(painter: str) -> bool:
    """Return whether the painter is known by name."""
    text = plain(painter)
    return " " in text and not any(word in text for word in COMMON) and "(" not in text


def is_by(painter: str, painters: list[str]) -> bool:
    """Return whether a picture's painter is one of the painters, their follower, or from their workshop."""
    return any(plain(each) in plain(painter) for each in painters)


def plain(text: str) -> str:
    """Return the text in lower case without accents and semicolons."""
    letters = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return letters.lower().replace(";", " ")


if __name__ == "__main__":
    sys.exit(main())
