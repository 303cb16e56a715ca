"""Reduce RGB frames to 256 colors for GIF, with one palette for each frame."""

from collections.abc import Iterator
from fractions import Fraction

from av.filter import Graph
from av.video.format import VideoFormat
from av.video.frame import VideoFrame


class GifPalette:
    """Convert RGB frames to ``pal8``, without lookahead: each frame gets its own palette of 256 colors."""

    def __init__(self, width: int, height: int, time_base: Fraction) -> None:
        self._graph = Graph()
        source = self._graph.add_buffer(
            width=width, height=height, format=VideoFormat("rgb24"), time_base=time_base, name="in"
        )
        split = self._graph.add("split")
        generate = self._graph.add("palettegen", "stats_mode=single:reserve_transparent=0")
        # Ordered dithering is stable from frame to frame; error diffusion crawls.
        use = self._graph.add("paletteuse", "new=1:dither=bayer:bayer_scale=3")
        sink = self._graph.add("buffersink")
        self._graph.link_nodes(source, split, use, sink)
        split.link_to(generate, 1, 0)
        generate.link_to(use, 0, 1)
        self._graph.configure()

    def __call__(self, frame: VideoFrame | None) -> Iterator[VideoFrame]:
        """Yield the frames that are ready after ``frame``; they keep its pts. None flushes the filter."""
        self._graph.vpush(frame)
        while True:
            try:
                yield self._graph.vpull()
            except (BlockingIOError, EOFError):
                return
