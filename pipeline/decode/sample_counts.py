"""Whether the index of an MP4 pretends to hold more samples than the file has bytes.

FFmpeg keeps some 70 bytes for each sample that an index tells of, before it looks for one: a file of 2 kB that tells of
30 million took 2.1 GB. Only the counts are read here (ISO/IEC 14496-12, 8.7.3 and 8.8.8).
"""

import os
from collections.abc import Iterator
from typing import IO

HOLDERS = frozenset({b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf", b"edts", b"mvex", b"tref", b"udta"})
FIRST = HOLDERS | {b"ftyp", b"mdat", b"free", b"skip", b"wide", b"styp", b"sidx", b"pnot", b"uuid"}
# A compressed index, as QuickTime wrote it around 2000: what it tells of is not seen from outside.
COMPRESSED = b"cmov"
MOST_BOXES = 2_000_000


def what_is_pretended(path: str) -> str | None:
    """Why the file at ``path`` should not be opened, in words; None where nothing speaks against it."""
    if not os.path.isfile(path):
        return None
    try:
        with open(path, "rb") as file:
            return _judged(file, os.fstat(file.fileno()).st_size)
    except OSError:
        return None  # whoever opens the file says why


def _judged(file: IO[bytes], size: int) -> str | None:
    samples = 0
    for name, fields in _boxes(file, size):
        if name == COMPRESSED:
            return "has a compressed index, which is not read; copy it into a new file with another program first"
        samples += int.from_bytes(fields[{b"stsz": slice(8, 12), b"trun": slice(4, 8)}.get(name, slice(0))])
        if samples > 2 * size:  # tracks may share their bytes
            return f"its index tells of {samples} samples or more, in {size} bytes; it is damaged, or made to be so"
    return None


def _boxes(file: IO[bytes], size: int) -> Iterator[tuple[bytes, bytes]]:
    """Name and first fields of each box, also of those in others."""
    place, ends = 0, [size]
    for number in range(MOST_BOXES):
        while ends and place + 8 > ends[-1]:
            place = ends.pop()
        if not ends:
            return
        file.seek(place)
        head = file.read(28)
        name, length, begin = head[4:8], int.from_bytes(head[:4]), 8
        if number == 0 and name not in FIRST:
            return
        if length == 1:
            length, begin = int.from_bytes(head[8:16]), 16
        yield name, head[begin:]
        end = place + length if length >= begin else ends[-1]
        if name in HOLDERS:
            ends.append(min(end, ends[-1]))
            place += begin
        else:
            place = end
