"""Chapters of a file: named sections of its timeline."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from fractions import Fraction

from av.container import InputContainer, OutputContainer


@dataclass(frozen=True, slots=True)
class Chapter:
    """One chapter.

    Attributes:
        start_seconds: exact start time.
        end_seconds: exact end time.
        time_base: seconds per unit in the source file.
        metadata: of the chapter, usually its title.
    """

    start_seconds: Fraction
    end_seconds: Fraction
    time_base: Fraction
    metadata: dict[str, str] = field(default_factory=dict)

    def trimmed(self, shift: Fraction, *, start: Fraction | None, end: Fraction | None) -> "Chapter | None":
        """Return what lies between ``start`` and ``end``, moved ``shift`` seconds towards 0; None if nothing does."""
        if (start is not None and self.end_seconds <= start) or (end is not None and self.start_seconds >= end):
            return None
        last = self.end_seconds if end is None else min(self.end_seconds, end)
        first, last = max(self.start_seconds - shift, Fraction(0)), max(last - shift, Fraction(0))
        return replace(self, start_seconds=first, end_seconds=last)


def read_chapters(container: InputContainer) -> list[Chapter]:
    """Return the chapters of an open file."""
    chapters = []
    for chapter in container.chapters():
        clock = chapter["time_base"] or Fraction(1, 1000)
        chapters.append(Chapter(chapter["start"] * clock, chapter["end"] * clock, clock, chapter["metadata"]))
    return chapters


def write_chapters(container: OutputContainer, chapters: Iterable[Chapter]) -> None:
    """Set the chapters of a file whose header is not written yet."""
    container.set_chapters(
        [
            {
                "id": number,
                "start": round(chapter.start_seconds / chapter.time_base),
                "end": round(chapter.end_seconds / chapter.time_base),
                "time_base": chapter.time_base,
                "metadata": chapter.metadata,
            }
            for number, chapter in enumerate(chapters, 1)
        ]
    )
