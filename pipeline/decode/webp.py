"""Read animated WebP with Pillow: FFmpeg decodes only still WebP images."""

import io
import os
from collections.abc import Iterator
from fractions import Fraction
from typing import IO

import numpy as np
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from pipeline.decode.container_check import what_is_missing
from pipeline.decode.open import check_frame_size
from pipeline.errors import InputError
from pipeline.media.chapters import Chapter
from pipeline.media.damage import Damage, DamageLog
from pipeline.media.packets import StreamPacket


def is_webp(path: str) -> bool:
    """Whether the regular file at ``path`` is a WebP picture; a pipe is not looked into."""
    if not os.path.isfile(path):
        return False
    try:
        with open(path, "rb") as file:
            head = file.read(12)
    except OSError:
        return False  # the reader of all other files says why
    return head[:4] == b"RIFF" and head[8:] == b"WEBP"


class WebpReader:
    """Reads an animated WebP; see `pipeline.decode.demuxer.Reader`.

    Raises:
        InputError: Pillow cannot read the file.
    """

    def __init__(self, path: str, *, strict: bool = False) -> None:
        from PIL import Image

        try:
            self._missing = what_is_missing(path, "webp")
            self._image = Image.open(path if self._missing is None else _whole_part(path))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise InputError(path, f"is not a WebP picture that can be read ({error})") from error
        try:
            check_frame_size(path, *self._image.size)
        except InputError:
            self._image.close()
            raise
        self.container = self.codec = "webp"
        self.time_base = Fraction(1, 1000)
        self.sample_aspect_ratio = Fraction(1)
        self.average_rate: Fraction | None = None
        self.frame_count: int | None = getattr(self._image, "n_frames", 1)
        self.duration_seconds: float | None = None
        self.start_seconds: Fraction | None = Fraction(0)
        self.video: VideoStream | None = None
        self.other_streams: tuple[Stream, ...] = ()
        self.read_along: tuple[Stream, ...] = ()
        self.chapters: list[Chapter] = []
        self.metadata: dict[str, str] = {}
        self.damage = DamageLog(path, strict=strict)

    def read(self) -> Iterator[VideoFrame | StreamPacket]:
        """Composited frames; one that fails ends the clip and is noted in ``damage``."""
        pts = 0
        for index in range(self.frame_count or 1):
            try:
                self._image.seek(index)
                mode = "RGBA" if self._image.has_transparency_data else "RGB"
                frame = VideoFrame.from_ndarray(
                    np.asarray(self._image.convert(mode)), format={"RGB": "rgb24", "RGBA": "rgba"}[mode]
                )
            except (OSError, EOFError, ValueError) as error:
                self.damage.add(Damage(index, pts * self.time_base, str(error)))
                return
            frame.pts, frame.time_base = pts, self.time_base
            frame.duration = int(self._image.info.get("duration") or 100)
            pts += frame.duration
            yield frame
        if self._missing is not None:
            self.damage.add(Damage(self.frame_count or 1, pts * self.time_base, self._missing))

    def seek(self, seconds: Fraction) -> None:
        """Stay at the beginning: frames build on those before."""

    def stop(self) -> None:
        """Do nothing: a file never keeps anyone waiting."""

    def close(self) -> None:
        """Let go of the file."""
        self._image.close()


def _whole_part(path: str) -> IO[bytes]:
    """The pictures of a WebP that are whole, as a file of its own: Pillow opens none that was cut short."""
    with open(path, "rb") as file:
        data = file.read()
    place = 12
    while place + 8 <= len(data):
        length = int.from_bytes(data[place + 4 : place + 8], "little")
        if place + 8 + length > len(data):
            break
        place += 8 + length + length % 2
    return io.BytesIO(data[:4] + (place - 8).to_bytes(4, "little") + data[8:place])
