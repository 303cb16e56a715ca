from fractions import Fraction

from pipeline.media.chapters import Chapter

MILLISECOND = Fraction(1, 1000)


def test_a_chapter_outside_the_part_is_dropped() -> None:
    chapter = Chapter(Fraction(1), Fraction(2), MILLISECOND, {"title": "x"})
    assert chapter.trimmed(Fraction(2), start=Fraction(2), end=None) is None
    assert chapter.trimmed(Fraction(0), start=None, end=Fraction(1)) is None
    kept = chapter.trimmed(Fraction(3, 2), start=Fraction(3, 2), end=Fraction(7, 4))
    assert kept is not None
    assert (kept.start_seconds, kept.end_seconds) == (0, Fraction(1, 4))
