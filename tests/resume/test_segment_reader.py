from array import array
from itertools import pairwise

from pipeline.resume.segment_reader import decoding_times


def test_decoding_times_increase_and_never_exceed_presentation_times() -> None:
    pts, decoding_order = array("q", [0, 1, 700, 701, 702, 2000, 2001]), [0, 3, 1, 2, 6, 4, 5]
    dts = decoding_times(pts, delay=2)
    assert all(a < b for a, b in pairwise(dts))
    assert all(time <= pts[rank] for time, rank in zip(dts, decoding_order, strict=True))
    assert decoding_times(array("q", [5]), delay=0).tolist() == [5]
    assert decoding_times(array("q", [5, 9]), delay=4).tolist() == [1, 5]
