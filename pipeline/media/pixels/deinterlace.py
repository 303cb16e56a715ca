"""Deinterlacing with libavfilter's bwdif: one progressive frame for each interlaced frame, at the same time."""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import TypeVar

import av
from av.filter import Graph
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

T = TypeVar("T")


def is_interlaced(video: VideoStream) -> bool:
    """Return whether the stream declares interlaced frames; some of its frames may be progressive."""
    return video.codec_context.field_order > 1  # FFmpeg's AV_FIELD_PROGRESSIVE


def deinterlace(items: Iterable[VideoFrame | T]) -> Iterator[VideoFrame | T]:
    """Yield ``items`` in order, with the frames that are flagged as interlaced deinterlaced.

    Each frame names its first field. bwdif uses the frames before and after, but has none before its first frame: a
    reader that starts one frame early gets the same result. Clips without interlaced frames are not delayed.
    """
    waiting: deque[VideoFrame | T] = deque()
    bwdif: _Deinterlacer | None = None
    for item in items:
        if not isinstance(item, VideoFrame):
            if waiting:
                waiting.append(item)
            else:
                yield item
            continue
        if bwdif is not None and bwdif.format != _format(item):
            yield from _release(waiting, bwdif(None))
            bwdif = None
        if bwdif is None and item.interlaced_frame:
            bwdif = _Deinterlacer(item)
        if bwdif is None:
            yield item
            continue
        waiting.append(item)
        yield from _release(waiting, bwdif(item))
    if bwdif is not None:
        yield from _release(waiting, bwdif(None))
    yield from waiting  # empty, unless the filter gave fewer frames than it took


def _release(waiting: deque[VideoFrame | T], frames: list[VideoFrame]) -> Iterator[VideoFrame | T]:
    """Replace the first frames of ``waiting`` by ``frames``, with their times, and yield them and what follows them."""
    for frame in frames:
        original = waiting.popleft()
        assert isinstance(original, VideoFrame)  # noqa: S101 - for mypy: `waiting` starts with a frame
        frame.pts, frame.time_base, frame.duration = original.pts, original.time_base, original.duration
        yield frame
        while waiting and not isinstance(waiting[0], VideoFrame):
            yield waiting.popleft()


class _Deinterlacer:
    """A bwdif filter for frames of one size and format; progressive frames pass unchanged.

    Args:
        first: the first frame that it will be called with.
    """

    def __init__(self, first: VideoFrame) -> None:
        self.format = _format(first)
        self._graph = Graph()
        source = self._graph.add_buffer(
            width=first.width, height=first.height, format=first.format, time_base=first.time_base, name="in"
        )
        bwdif = self._graph.add("bwdif", "mode=send_frame:parity=auto:deint=interlaced")
        self._graph.link_nodes(source, bwdif, self._graph.add("buffersink")).configure()

    def __call__(self, frame: VideoFrame | None) -> list[VideoFrame]:
        """Return the frames that are ready after ``frame``; None flushes the filter."""
        self._graph.vpush(frame)
        frames = []
        while True:
            try:
                frames.append(self._graph.vpull())
            except (av.BlockingIOError, EOFError):
                return frames


def _format(frame: VideoFrame) -> tuple[int, int, str]:
    return frame.width, frame.height, frame.format.name
