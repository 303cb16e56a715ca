"""Masks of a clip in one file, each with its exact time: a ``.npz`` archive as numpy reads it, one array for each mask.

A mask that equals the one before is not stored again. The same masks make the same bytes.
"""

import io
import zipfile
from bisect import bisect_right
from fractions import Fraction
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from pipeline.system.files.writing import open_existing

Grey = NDArray[np.uint8]
"""A mask ``(H, W)``: 255 is stylized, 0 is not."""

_TIMES, _TIME_BASE = "times", "time_base"
# Masks are flat: higher levels take much longer for a few percent.
_LEVEL = 1


class MaskRecordWriter:
    """Writes masks into a file; a context manager.

    Args:
        path: of an empty file.
        time_base: seconds per unit of pts.

    Raises:
        OSError: from every method: the disk is full.
    """

    def __init__(self, path: str, time_base: Fraction) -> None:
        self._file = open_existing(path)
        self._archive = zipfile.ZipFile(self._file, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL)
        self._time_base = time_base
        self._times: list[int] = []
        self._last: Grey | None = None

    def write(self, pts: int, mask: Grey) -> None:
        """Add the mask of the frame at ``pts``, which is larger than that of the frame before."""
        if self._last is None or not np.array_equal(mask, self._last):
            self._add(str(len(self._times)), mask)
            self._times.append(pts)
            self._last = mask

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._file, self._archive:
            if error is None:
                self._add(_TIMES, np.array(self._times, np.int64))
                self._add(_TIME_BASE, np.array(self._time_base.as_integer_ratio(), np.int64))

    def _add(self, name: str, array: NDArray[np.generic]) -> None:
        entry = zipfile.ZipInfo(f"{name}.npy")  # without the time of day
        entry.compress_type = zipfile.ZIP_DEFLATED
        content = io.BytesIO()
        np.lib.format.write_array(content, array, allow_pickle=False)
        self._archive.writestr(entry, content.getbuffer(), compresslevel=_LEVEL)


class MaskRecord:
    """Reads what `MaskRecordWriter` wrote, at any time in any order.

    Args:
        path: of the file.

    Raises:
        OSError, ValueError, KeyError, zipfile.BadZipFile: from every method: the file cannot be read, or is none.
    """

    def __init__(self, path: str) -> None:
        self._arrays = np.load(path, allow_pickle=False)
        numerator, denominator = self._arrays[_TIME_BASE].tolist()
        self._time_base = Fraction(numerator, denominator)
        self._times: list[int] = self._arrays[_TIMES].tolist()

    def number_at(self, seconds: Fraction) -> int:
        """Return the number of the mask that holds at ``seconds``; the first one before its own time."""
        return max(bisect_right(self._times, seconds / self._time_base) - 1, 0)

    def mask(self, number: int) -> Grey:
        """Return the mask of this number."""
        return np.asarray(self._arrays[str(number)], np.uint8)

    def close(self) -> None:
        """Close the file."""
        self._arrays.close()
