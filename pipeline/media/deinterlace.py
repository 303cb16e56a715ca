"""Interlaced frames become whole ones: libavfilter's bwdif, one frame out for each frame in, at its own time."""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import TypeVar

import av
from av.filter import Graph
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

T = TypeVar("T")


def has_fields(video: VideoStream) -> bool:
    """Whether the stream says that its frames consist of fields; some of them may be whole all the same."""
    return video.codec_context.field_order > 1  # FFmpeg's AV_FIELD_PROGRESSIVE


def deinterlaced(items: Iterable[VideoFrame | T]) -> Iterator[VideoFrame | T]:
    """Yield ``items``; those frames that are flagged interlaced are deinterlaced, all else passes in its place.

    Which field comes first is told by each frame. bwdif looks at the frame before and the one after, but at the first
    of all by itself; so a part that is read from a frame earlier comes out the same. A clip without an interlaced frame
    has no delay.
    """
    waiting: deque[VideoFrame | T] = deque()
    field: _Deinterlacer | None = None
    for item in items:
        if not isinstance(item, VideoFrame):
            if waiting:
                waiting.append(item)
            else:
                yield item
            continue
        if field is not None and not field.takes(item):
            yield from _settled(waiting, field.flush())
            field = None
        if field is None and item.interlaced_frame:
            field = _Deinterlacer(item)
        if field is None:
            yield item
            continue
        waiting.append(item)
        yield from _settled(waiting, field(item))
    if field is not None:
        yield from _settled(waiting, field.flush())
    yield from waiting  # nothing is; no frame shall be lost if it were


def _settled(waiting: deque[VideoFrame | T], frames: list[VideoFrame]) -> Iterator[VideoFrame | T]:
    """Whatever of ``waiting`` can go on: its frames replaced, in order, by ``frames``, with their times."""
    for frame in frames:
        original = waiting.popleft()
        assert isinstance(original, VideoFrame)
        frame.pts, frame.time_base, frame.duration = original.pts, original.time_base, original.duration
        yield frame
        while waiting and not isinstance(waiting[0], VideoFrame):
            yield waiting.popleft()


class _Deinterlacer:
    """bwdif for frames of one size and format; progressive ones pass unchanged.

    Args:
        first: the first frame that will come.
    """

    def __init__(self, first: VideoFrame) -> None:
        self._kind = _kind(first)
        self._graph = Graph()
        source = self._graph.add_buffer(
            width=first.width, height=first.height, format=first.format, time_base=first.time_base, name="in"
        )
        bwdif = self._graph.add("bwdif", "mode=send_frame:parity=auto:deint=interlaced")
        sink = self._graph.add("buffersink")
        source.link_to(bwdif)
        bwdif.link_to(sink)
        self._graph.configure()

    def takes(self, frame: VideoFrame) -> bool:
        """Whether ``frame`` has the size and format that this was made for."""
        return _kind(frame) == self._kind

    def __call__(self, frame: VideoFrame) -> list[VideoFrame]:
        """The frames that are ready after ``frame``."""
        self._graph.vpush(frame)
        return self._ready()

    def flush(self) -> list[VideoFrame]:
        """The frames that were held back."""
        self._graph.vpush(None)
        return self._ready()

    def _ready(self) -> list[VideoFrame]:
        frames = []
        while True:
            try:
                frames.append(self._graph.vpull())
            except (av.BlockingIOError, EOFError):
                return frames


def _kind(frame: VideoFrame) -> tuple[int, int, str]:
    return frame.width, frame.height, frame.format.name
