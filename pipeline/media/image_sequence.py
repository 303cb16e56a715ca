"""Image sequences: pictures whose names are numbered, written as ``frames/%05d.png``.

FFmpeg never sees the pattern: the folder is listed here, and each picture is opened by its name.
"""

import os
import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from pipeline.config.style_spec import PICTURE_SUFFIXES
from pipeline.errors import InputError

# A percent sign that is meant, or a number, with the digits it has at least.
_NUMBER = re.compile(r"%%|%(?:0(\d{1,2}))?d")
_MOST_DIGITS = 15


@dataclass(frozen=True, slots=True)
class ImageSequence:
    """The names of the pictures of a sequence.

    Attributes:
        pattern: as the user named it.
        folder: where the pictures lie.
        before: the name before the number.
        after: the name after it, with the ending.
        digits: that the number has at least.
    """

    pattern: str
    folder: Path
    before: str
    after: str
    digits: int

    @property
    def suffix(self) -> str:
        """The ending of the names, with its dot."""
        return Path(self.name(0)).suffix

    @property
    def title(self) -> str:
        """What the pictures have in common: the name before their number, without a separator, or their folder's."""
        return self.before.rstrip("._- ") or self.folder.resolve().name or "pictures"

    def path(self, number: int) -> Path:
        """Return the path of the picture with this number."""
        return self.folder / self.name(number)

    def name(self, number: int) -> str:
        """Return the name of the picture with this number."""
        return f"{self.before}{number:0{self.digits}}{self.after}"

    def numbers(self) -> list[int]:
        """Return the numbers of the pictures that exist, ascending.

        Raises:
            InputError: the folder cannot be read.
        """
        name = re.compile(rf"{re.escape(self.before)}(\d{{1,{_MOST_DIGITS}}}){re.escape(self.after)}", re.ASCII)
        try:
            matches = [match for entry in os.listdir(self.folder) if (match := name.fullmatch(entry))]
        except FileNotFoundError as error:
            raise InputError(self.pattern, f"there is no folder {self.folder}; check the path") from error
        except OSError as error:
            raise InputError(self.pattern, f"its folder cannot be read ({error.strerror})") from error
        return sorted(int(match[1]) for match in matches if match[0] == self.name(int(match[1])))


def find_sequence(path: str | os.PathLike[str]) -> ImageSequence | None:
    """Return the image sequence that ``path`` names; None if it names one file.

    Raises:
        InputError: the name has several numbers.
    """
    folder, name = os.path.split(os.fspath(path))
    if os.path.splitext(name)[1].lower() not in PICTURE_SUFFIXES or os.path.lexists(path):
        return None
    numbers = [match for match in _NUMBER.finditer(name) if match[0] != "%%"]
    if not numbers:
        return None
    if len(numbers) > 1:
        raise InputError(os.fspath(path), "has more than one number; an image sequence has one, as in %05d.png")
    (number,) = numbers
    before, after = (part.replace("%%", "%") for part in (name[: number.start()], name[number.end() :]))
    return ImageSequence(os.fspath(path), Path(folder or "."), before, after, int(number[1] or 1))


def is_sequence(path: str | os.PathLike[str]) -> bool:
    """Return whether ``path`` names an image sequence."""
    return find_sequence(path) is not None


def wanted_numbers(sequence: ImageSequence, start: int | None) -> range:
    """Return the numbers of the pictures to read, from ``start`` on, or from the lowest.

    Raises:
        InputError: there are none, or some are missing between them.
    """
    found = [number for number in sequence.numbers() if start is None or number >= start]
    if not found:
        example = sequence.name(1 if start is None else start)
        raise InputError(sequence.pattern, f"no picture has such a name, as {example} would; check the path")
    if start is not None and found[0] != start:
        raise InputError(
            sequence.pattern,
            f"has no {sequence.name(start)}; the next is {sequence.name(found[0])}: --start-number {found[0]}",
        )
    wanted = range(found[0], found[-1] + 1)
    if len(wanted) != len(found):
        gap = next(number + 1 for number, after in pairwise(found) if after != number + 1)
        count = len(wanted) - len(found)
        following = next(number for number in found if number > gap)
        what = f"{sequence.name(gap)} is missing" + (f", and {count - 1} more" if count > 1 else "")
        raise InputError(
            sequence.pattern,
            f"{what}, of {sequence.name(wanted[0])} to {sequence.name(wanted[-1])}; add the pictures, or start after "
            f"the gap: --start-number {following}",
        )
    return wanted
