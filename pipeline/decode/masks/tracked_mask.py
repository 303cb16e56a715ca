"""A mask that was tracked between key frames beforehand; see `pipeline.tracking`."""

import zipfile
from fractions import Fraction

import numpy as np
from av.video.frame import VideoFrame

from pipeline.decode.masks.frame_mask import Amount, FrameMask
from pipeline.errors import InputError, reason_of
from pipeline.frames import Pixels
from pipeline.media.mask_record import MaskRecord
from pipeline.media.pixels.colorspace import EXACT


class TrackedMask(FrameMask):
    """The masks of a `pipeline.media.mask_record`, whose times are those of the frames.

    Args:
        path: of the file.
        width: of the video's frames in pixels; the masks are scaled to them.
        height: of the video's frames in pixels.
        feather_px: see `FrameMask`.
        inverted: see `FrameMask`.

    Raises:
        InputError: the file cannot be read.
    """

    def __init__(self, path: str, *, width: int, height: int, feather_px: float = 0.0, inverted: bool = False) -> None:
        super().__init__(feather_px=feather_px, inverted=inverted)
        self._path, self._size = path, (width, height)
        self._number: int | None = None
        self._current: Amount = np.zeros((height, width, 1), np.float32)
        try:
            self._record = MaskRecord(path)
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise InputError(path, f"the tracked mask cannot be read ({reason_of(error)}); run with --fresh") from error

    def amount(self, pixels: Pixels, seconds: Fraction) -> Amount:
        """Return how much of each pixel is stylized; the frame does not count, and times may come in any order."""
        number = self._record.number_at(seconds)
        if number != self._number:
            self._current, self._number = self._read(number), number
        return self._current

    def close(self) -> None:
        """Close the file."""
        self._record.close()

    def _read(self, number: int) -> Amount:
        try:
            grey = VideoFrame.from_ndarray(self._record.mask(number), format="gray")
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            reason = f"the tracked mask cannot be read ({reason_of(error)}); run with --fresh"
            raise InputError(self._path, reason) from error
        scaled = grey.reformat(*self._size, format="gray", src_color_range=2, dst_color_range=2, interpolation=EXACT)
        return self._finished(np.asarray(scaled.to_ndarray(), np.float32) / np.float32(255))
