"""Reduce RGB frames to 256 colors for GIF, with one palette for each frame."""

from collections.abc import Iterator
from fractions import Fraction

from av.filter import Graph
from av.video.format import VideoFormat
from av.video.frame import VideoFrame


class GifPalette:
    """Convert RGB frames to ``pal8``, without lookahead: each frame gets its own palette of 256 colors.

    FFmpeg's encoder writes only the changes of a frame that has the palette of the first one. It finds them by their
    indexes, even if the frame before has another palette, and then leaves pixels of that frame. Such a frame gets an
    alpha of 254, which GIF does not store: the encoder takes its palette for another, and writes all pixels.
    """

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
        self._first_palette: bytes | None = None
        self._palette_before: bytes | None = None

    def __call__(self, frame: VideoFrame | None) -> Iterator[VideoFrame]:
        """Yield the frames that are ready after ``frame``; they keep its pts. None flushes the filter."""
        self._graph.vpush(frame)
        while True:
            try:
                made = self._graph.vpull()
            except (BlockingIOError, EOFError):
                return
            self._tell_apart(made)
            yield made

    def _tell_apart(self, frame: VideoFrame) -> None:
        """Change the alpha of ``frame`` if it has the palette of the first frame, and the one before has another."""
        palette = bytes(frame.planes[1])
        if self._first_palette is None:
            self._first_palette = palette
        elif palette == self._first_palette and palette != self._palette_before:
            changed = bytearray(palette)
            changed[3::4] = b"\xfe" * (len(palette) // 4)
            frame.planes[1].update(bytes(changed))
        self._palette_before = palette
