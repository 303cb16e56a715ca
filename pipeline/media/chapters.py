"""Chapters: named parts of a whole file."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from fractions import Fraction

from av.container import InputContainer, OutputContainer


@dataclass(frozen=True, slots=True)
class Chapter:
    """One chapter.

    Attributes:
        begin_seconds: exact.
        end_seconds: exact.
        time_base: seconds per unit in which the source counts them.
        metadata: the title, mostly.
    """

    begin_seconds: Fraction
    end_seconds: Fraction
    time_base: Fraction
    metadata: dict[str, str] = field(default_factory=dict)

    def moved(self, by: Fraction, *, begin: Fraction | None, end: Fraction | None) -> "Chapter | None":
        """What of it lies between ``begin`` and ``end``, moved ``by`` seconds towards zero; None where nothing does."""
        first, last = self.begin_seconds, self.end_seconds
        if (begin is not None and last <= begin) or (end is not None and first >= end):
            return None
        last = last if end is None else min(last, end)
        return replace(self, begin_seconds=max(first - by, Fraction(0)), end_seconds=max(last - by, Fraction(0)))


def read_chapters(container: InputContainer) -> list[Chapter]:
    """Those of an opened file."""
    found = []
    for chapter in container.chapters():
        clock = chapter["time_base"] or Fraction(1, 1000)
        found.append(Chapter(chapter["start"] * clock, chapter["end"] * clock, clock, chapter["metadata"]))
    return found


def write_chapters(container: OutputContainer, chapters: Iterable[Chapter]) -> None:
    """Into a file whose header is not yet written."""
    container.set_chapters(
        [
            {
                "id": number,
                "start": round(chapter.begin_seconds / chapter.time_base),
                "end": round(chapter.end_seconds / chapter.time_base),
                "time_base": chapter.time_base,
                "metadata": chapter.metadata,
            }
            for number, chapter in enumerate(chapters, 1)
        ]
    )
