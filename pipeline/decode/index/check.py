"""A limit for the index of an mp4 or mov, checked before FFmpeg allocates memory for it.

FFmpeg allocates up to 70 bytes for each sample that an index declares: a file of 2 kB that declares 30 million samples
took 2.1 GB. So the walk looks wherever FFmpeg's demuxer does (mov_read_default in libavformat/mov.c), which takes
tables from any box that it descends into, in any order. The payload of ``mdat`` is skipped, as FFmpeg skips it.
"""

from typing import IO

from pipeline.decode.index.tables import CHUNK_BYTES, Need
from pipeline.decode.index.walk import AHEAD_BYTES, IndexWalk

# Bytes before the place of the walk that an `IndexGuard` keeps.
KEPT_BYTES = 4096


class IndexGuard:
    """Checks a stream or file as it arrives: all bytes pass here before FFmpeg gets them."""

    def __init__(self) -> None:
        self._walk = IndexWalk(None)
        self._requests = self._walk.requests()
        self._wanted: Need | None = next(self._requests)
        self._kept = bytearray()
        self._end = 0

    def find_fault(self, data: bytes, place: int | None = None) -> str | None:
        """Return why FFmpeg must not get ``data``.

        Args:
            data: the next bytes; none are the end.
            place: of ``data`` in a file, if FFmpeg seeks.
        """
        if place is not None and place != self._end:
            self._kept.clear()
            self._end = place
            if self._wanted is not None and place > self._wanted.place:
                return "its index cannot be checked from here; download the file first"
        self._kept += data
        self._end += len(data)
        while self._wanted is not None and (not data or self._wanted.place + self._wanted.length <= self._end):
            place, length, ahead = self._wanted
            first = place - self._end + len(self._kept)
            if first < 0:
                return "its index is damaged: a table is longer than its box"
            try:
                self._wanted = self._requests.send(bytes(self._kept[first : first + length + ahead]))
            except StopIteration:
                self._wanted = None
        kept = self._end if self._wanted is None else self._wanted.place - KEPT_BYTES
        del self._kept[: max(kept - self._end + len(self._kept), 0)]
        return self._walk.find_fault(self._end, at_end=not data)


def check_index(file: IO[bytes], size: int) -> str | None:
    """Return why the index of an mp4 or mov must not be loaded; None if nothing is wrong with it."""
    walk = IndexWalk(size)
    requests = walk.requests()
    start, read, wanted = 0, b"", 0
    try:
        place, length, ahead = next(requests)
        while True:
            first = place - start
            if first < 0 or first + length > len(read):  # read ahead, ever more, as long as boxes are small
                is_near = 0 <= first <= len(read) + AHEAD_BYTES
                wanted = max(min(2 * wanted, CHUNK_BYTES) if is_near else 0, length)
                file.seek(place)
                start, read, first = place, file.read(wanted), 0
            place, length, ahead = requests.send(read[first : first + length + ahead])
    except StopIteration:
        return walk.find_fault(size, at_end=True)
