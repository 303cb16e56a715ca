"""Reader of image sequences: pictures become frames at a constant rate; see `pipeline.media.image_sequence`."""

import math
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
from av.stream import Stream
from av.video.frame import VideoFrame

from pipeline.decode.open import check_frame_size
from pipeline.decode.reader import Header
from pipeline.errors import InputError
from pipeline.media.damage import Damage, DamageLog
from pipeline.media.image_sequence import ImageSequence, wanted_numbers
from pipeline.media.packets import StreamPacket
from pipeline.media.photo.photo import Photo
from pipeline.media.photo.reader import read_stored
from pipeline.media.stills import image_size
from pipeline.system.files.names import why_outside

CONTAINER = "image sequence"
FPS = Fraction(25)
"""Frames per second if none are given, as in FFmpeg."""


class SequenceReader:
    """Reads an image sequence; see `pipeline.decode.reader.Reader`. Each picture is opened by its name, and no other.

    Args:
        sequence: names of the pictures.
        damage: receives the pictures that cannot be read; their time stays empty.
        fps: frames per second.
        start_number: number of the first picture; None for the lowest.

    Raises:
        InputError: there are no pictures, or some are missing between them.
    """

    def __init__(
        self,
        sequence: ImageSequence,
        damage: DamageLog,
        *,
        fps: Fraction | None = None,
        start_number: int | None = None,
    ) -> None:
        self._sequence = sequence
        self._numbers = wanted_numbers(sequence, start_number)
        self._next = 0
        rate, count = fps or FPS, len(self._numbers)
        self.header = Header(
            CONTAINER,
            sequence.path(self._numbers[0]).suffix.lower().removeprefix("."),
            1 / rate,
            average_rate=rate,
            frame_count=count,
            duration_seconds=float(count / rate),
            start_seconds=Fraction(0),
        )
        self.side_streams: tuple[Stream, ...] = ()
        self.damage = damage

    def read(self) -> Iterator[VideoFrame | StreamPacket]:
        """Yield the pictures as frames, upright and in sRGB; those that cannot be read are added to ``damage``."""
        for index in range(self._next, len(self._numbers)):
            try:
                frame = as_frame(self._photo(self._numbers[index]))
            except InputError as error:
                self.damage.add(Damage(index, index * self.header.time_base, str(error)))
                continue
            frame.pts, frame.time_base, frame.duration = index, self.header.time_base, 1
            yield frame

    def _photo(self, number: int) -> Photo:
        path = self._sequence.path(number)
        if reason := why_outside(path, self._sequence.folder):
            raise InputError(path, reason)
        check_frame_size(str(path), *image_size(path))
        return read_stored(path)

    def seek(self, seconds: Fraction) -> None:
        """Go to the picture that is shown at ``seconds``."""
        self._next = max(math.floor(seconds / self.header.time_base), 0)

    def stop(self) -> None:
        """Do nothing: reading a file does not block."""

    def close(self) -> None:
        """Do nothing: no file stays open."""


def as_frame(photo: Photo) -> VideoFrame:
    """Return a picture as a frame in RGB or RGBA, with 8 or 16 bits."""
    depth = "64le" if photo.bits == 16 else ""
    if photo.alpha is not None:
        return VideoFrame.from_ndarray(np.dstack((photo.pixels, photo.alpha)), format=f"rgba{depth}")
    return VideoFrame.from_ndarray(photo.pixels, format="rgb48le" if photo.bits == 16 else "rgb24")
