from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import pytest

from pipeline.decode.decoder import decode
from pipeline.decode.source import open_source
from pipeline.media.pixels.deinterlace import deinterlace
from tests.support import media

HEIGHT, WIDTH = 64, 96


def scene(time):
    """A bright bar that moves 3 pixels a field over a soft ramp, ``(HEIGHT, WIDTH, 3)``."""
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    picture[..., 1] = np.linspace(40, 120, HEIGHT, dtype=np.uint8)[:, None]
    left = (10 + 3 * time) % (WIDTH - 12)
    picture[8:56, left : left + 12] = (250, 220, 40)
    return picture


def woven(number, *, is_top_first):
    """Frame ``number``: each field is the scene at its own time."""
    picture = scene(2 * number)
    second = scene(2 * number + 1)
    picture[1 if is_top_first else 0 :: 2] = second[1 if is_top_first else 0 :: 2]
    return picture


def flagged(frames, kind):
    """The frames with the flag of the first field: ``tff``, ``bff``, or ``prog`` for none."""
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=WIDTH, height=HEIGHT, format=av.VideoFormat("yuv444p"), time_base=Fraction(1, 15360), name="in"
    )
    field = graph.add("setfield", kind)
    sink = graph.add("buffersink")
    source.link_to(field)
    field.link_to(sink)
    graph.configure()
    for frame in frames:
        graph.vpush(frame)
        yield graph.vpull()


def make_interlaced(path, count=12, *, is_top_first=True):
    """Frames coded as fields by x264, at uneven times."""
    pts = [0, 512, 1024, 1600, 2048, 2600, 3072, 3584, 4100, 4608, 5120, 5900, *range(6400, 20000, 600)][:count]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"crf": "4", "flags": "+ildct", "bf": "2"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv444p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 15360)
        frames = []
        for number, time in enumerate(pts):
            frame = av.VideoFrame.from_ndarray(woven(number, is_top_first=is_top_first), "rgb24")
            frame = frame.reformat(format="yuv444p")
            frame.pts, frame.time_base = time, Fraction(1, 15360)
            frames.append(frame)
        for frame in flagged(frames, "tff" if is_top_first else "bff"):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def apart(a, b):
    return np.abs(a.astype(int) - b).mean()


@pytest.mark.parametrize("is_top_first", [True, False])
def test_interlaced_frames_become_whole_at_the_time_of_their_first_field(tmp_path, is_top_first):
    path = make_interlaced(tmp_path / "fields.mp4", is_top_first=is_top_first)
    with open_source(path) as source:
        assert source.info.interlaced
        frames = list(decode(source))
    assert len(frames) == 12
    for number, frame in enumerate(frames[1:-1], start=1):
        assert apart(frame.pixels, scene(2 * number)) < 0.4 * apart(
            woven(number, is_top_first=is_top_first), scene(2 * number)
        )
        assert apart(frame.pixels, scene(2 * number)) < apart(frame.pixels, scene(2 * number + 1))


@pytest.mark.parametrize("count", [1, 2, 3, 12])
def test_as_many_frames_come_out_at_their_own_times(tmp_path, count):
    path = make_interlaced(tmp_path / "fields.mp4", count)
    before = media.contents(path)
    with open_source(path) as source:
        frames = list(decode(source))
    assert [frame.seconds for frame in frames] == before.times
    assert [(frame.duration or 0) * frame.time_base for frame in frames] == before.durations


def test_progressive_frames_are_left_as_they_are(tmp_path):
    path = media.make_clip(tmp_path / "whole.mp4")
    with av.open(str(path)) as container:
        plain = list(container.decode(video=0))
    through = list(deinterlace(plain))
    assert all(a is b for a, b in zip(plain, through, strict=True))
    with open_source(path) as source:
        assert not source.info.interlaced


def decoded(path):
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def test_a_part_read_from_a_frame_earlier_comes_out_the_same(tmp_path):
    frames = decoded(make_interlaced(tmp_path / "fields.mp4"))
    whole = [frame.to_ndarray() for frame in deinterlace(frames)]
    part = [frame.to_ndarray() for frame in deinterlace(decoded(tmp_path / "fields.mp4")[5:])]
    assert all(np.array_equal(a, b) for a, b in zip(whole[6:], part[1:], strict=True))


def test_whole_frames_between_pass_and_count_as_neighbors(tmp_path):
    """Frame 1, the first that is interlaced, has no frame before it in the filter."""
    path = make_interlaced(tmp_path / "fields.mp4", 5)
    fields, usual = decoded(path), [frame.to_ndarray() for frame in deinterlace(decoded(path))]
    whole = dict(zip((0, 3), flagged([fields[0], fields[3]], "prog"), strict=True))
    out = [frame.to_ndarray() for frame in deinterlace(whole.get(n, frame) for n, frame in enumerate(fields))]
    plain = [frame.to_ndarray() for frame in decoded(path)]
    for number, picture in enumerate(out):
        assert number == 1 or np.array_equal(picture, (plain if number in whole else usual)[number])


def test_progressive_frames_before_and_changes_of_size_are_taken(tmp_path):
    plain = decoded(media.make_clip(tmp_path / "whole.mp4", media.Clip(pts=(0, 512, 1024))))
    fields = decoded(make_interlaced(tmp_path / "fields.mp4", 5))
    later = decoded(make_interlaced(tmp_path / "more.mp4", 4))
    items = [*plain, *fields, *plain, *later]
    sizes = [(item.width, item.height) for item in items]
    times = [item.pts for item in items]
    out = list(deinterlace(items))
    assert [(frame.width, frame.height) for frame in out] == sizes
    assert [frame.pts for frame in out] == times


def test_other_items_keep_their_places(tmp_path):
    fields = decoded(make_interlaced(tmp_path / "fields.mp4", 4))
    items = ["a", fields[0], "b", fields[1], fields[2], "c", "d", fields[3], "e"]
    kinds = [item if isinstance(item, str) else item.pts for item in deinterlace(items)]
    assert kinds == ["a", 0, "b", 512, 1024, "c", "d", 1600, "e"]
    assert all(x != y for x, y in pairwise(kinds))
