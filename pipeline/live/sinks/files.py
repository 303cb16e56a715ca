"""Names for what a live session leaves on disk."""

from datetime import datetime
from pathlib import Path


def new_name(folder: Path, stem: str, ending: str) -> Path:
    """A name in ``folder`` that no file has: ``stem-20261120-190000``, numbered where that is taken."""
    stem = f"{stem}-{datetime.now():%Y%m%d-%H%M%S}"
    number = 1
    while (path := folder / f"{stem}{f'-{number}' if number > 1 else ''}{ending}").exists():
        number += 1
    return path
