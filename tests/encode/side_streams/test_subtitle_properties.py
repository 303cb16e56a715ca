"""Properties of subtitles that overlap: what is shown at each moment stays the same."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from pipeline.encode.side_streams.subtitles import Cue, OverlapSplitter

cues = st.lists(st.tuples(st.integers(0, 20), st.integers(1, 12)), min_size=1, max_size=6).map(
    lambda times: [
        Cue(Fraction(start), Fraction(start + length), b"%d" % number)
        for number, (start, length) in enumerate(sorted(times))
    ]
)


def shown(written: list[Cue], moment: Fraction) -> list[bytes]:
    """Return the lines at a moment; in the file, each cue ends at the latest where the next one starts."""
    latest = [cue for cue in written if cue.start <= moment]
    return latest[-1].text.split(rb"\N") if latest and moment < latest[-1].end else []


@given(cues)
def test_each_moment_shows_the_cues_that_overlap_there(given_cues: list[Cue]) -> None:
    splitter = OverlapSplitter()
    written = [part for cue in given_cues for part in splitter.add(cue)] + splitter.rest()
    assert [cue.start for cue in written] == sorted(cue.start for cue in written)
    assert all(cue.end >= cue.start for cue in written)
    for half in range(70):
        moment = Fraction(half, 2) + Fraction(1, 4)
        expected = [cue.text for cue in given_cues if cue.start <= moment < cue.end]
        assert sorted(shown(written, moment)) == sorted(expected), moment
