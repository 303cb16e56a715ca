"""Reader of animated WebP, with Pillow: FFmpeg decodes only still WebP images."""

import io
import os
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
from av.stream import Stream
from av.video.frame import VideoFrame

from pipeline.decode.container_check import find_truncation
from pipeline.decode.open import check_frame_size
from pipeline.decode.reader import Header
from pipeline.errors import InputError
from pipeline.media.boxes import riff_chunks
from pipeline.media.damage import Damage, DamageLog
from pipeline.media.packets import StreamPacket
from pipeline.system.files.reading import open_input


def is_webp(path: str) -> bool:
    """Return whether ``path`` is a regular file that starts as a WebP image."""
    if not os.path.isfile(path):
        return False
    try:
        with open(path, "rb") as file:
            head = file.read(12)
    except OSError:
        return False  # opening the file for reading will report this
    return head[:4] == b"RIFF" and head[8:] == b"WEBP"


class WebpReader:
    """Reads an animated WebP; see `pipeline.decode.reader.Reader`.

    Args:
        path: the file.
        damage: receives the damaged places.

    Raises:
        InputError: Pillow cannot read the file.
    """

    def __init__(self, path: str, damage: DamageLog) -> None:
        from pipeline.media.stills import PILLOW_ERRORS, open_image

        try:
            self._truncation = find_truncation(path, "webp")
            with open_input(path) if self._truncation is None else _complete_chunks(path) as file:
                self._image = open_image(file, ["WEBP"])
        except PILLOW_ERRORS as error:
            raise InputError(path, f"is not a WebP image that can be read ({error})") from error
        try:
            check_frame_size(path, *self._image.size)
        except InputError:
            self._image.close()
            raise
        count = getattr(self._image, "n_frames", 1)
        self.header = Header("webp", "webp", Fraction(1, 1000), frame_count=count, start_seconds=Fraction(0))
        self.side_streams: tuple[Stream, ...] = ()
        self.damage = damage

    def read(self) -> Iterator[VideoFrame | StreamPacket]:
        """Yield composited frames; the first that fails ends the clip and is added to ``damage``."""
        from pipeline.media.stills import PILLOW_ERRORS

        pts = 0
        for index in range(self.header.frame_count or 1):
            try:
                self._image.seek(index)
                mode = "RGBA" if self._image.has_transparency_data else "RGB"
                pixels = np.asarray(self._image.convert(mode))
            except PILLOW_ERRORS as error:
                self.damage.add(Damage(index, pts * self.header.time_base, str(error)))
                return
            frame = VideoFrame.from_ndarray(pixels, format={"RGB": "rgb24", "RGBA": "rgba"}[mode])
            frame.pts, frame.time_base = pts, self.header.time_base
            frame.duration = int(self._image.info.get("duration") or 100)
            pts += frame.duration
            yield frame
        if self._truncation is not None:
            self.damage.add(Damage(self.header.frame_count or 1, pts * self.header.time_base, self._truncation))

    def seek(self, seconds: Fraction) -> None:
        """Do nothing: frames depend on all frames before them."""

    def stop(self) -> None:
        """Do nothing: reading a file does not block."""

    def close(self) -> None:
        """Close the file."""
        self._image.close()


def _complete_chunks(path: str) -> io.BytesIO:
    """Return a WebP of the chunks that are complete: Pillow does not open a truncated file."""
    from pipeline.media.stills import MAX_WEBP_FILE_BYTES

    with open_input(path) as file:
        data, end = file.read(MAX_WEBP_FILE_BYTES), 12
        for chunk in riff_chunks(file, end):
            if chunk.end > len(data):
                break
            end = chunk.end + chunk.end % 2
    return io.BytesIO(data[:4] + (end - 8).to_bytes(4, "little") + data[8:end])
