"""Whether a file holds as many bytes as its own headers promise; known before a frame of it is decoded.

FFmpeg reads a file that was cut short to its end as if it were whole. Most containers say at the front how long they
are: only the sizes of the boxes are read here, never the pictures in them. What cannot be told is taken as whole.
"""

import os
from collections.abc import Callable
from typing import IO

# More are not walked through: a film of two hours has half a million blocks, which takes some seconds.
MOST_BOXES = 2_000_000

# Of ISO base media files, so that what merely follows a whole file is not taken for one.
BOXES = frozenset({b"ftyp", b"moov", b"mdat", b"moof", b"free", b"skip", b"wide", b"sidx", b"mfra", b"uuid", b"styp"})

EBML, SEGMENT, CLUSTER = 0x1A45DFA3, 0x18538067, 0x1F43B675
GROUPS = frozenset({0xA0, 0xA6, 0x75A1})
HOLDERS = GROUPS | {CLUSTER}
IN_CLUSTERS = GROUPS | {0x8E, 0x9B, 0xA1, 0xA2, 0xA3, 0xA4, 0xA5, 0xA7, 0xAB, 0xAF, 0xBF, 0xCB, 0xE7, 0xEC, 0xEE}
IN_CLUSTERS |= {0xFA, 0xFB, 0xFD, 0x5854, 0x75A2}


def what_is_missing(path: str, container: str) -> str | None:
    """Why the file at ``path`` cannot be whole, in words; None where it seems to be.

    Args:
        path: a regular file; for anything else the answer is None.
        container: FFmpeg's name of the demuxer.
    """
    check = _CHECKS.get(container.split(",")[0])
    if check is None or not os.path.isfile(path):
        return None
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            missing = check(file, size)
    except OSError:
        return None  # whoever reads the file says why
    return None if missing is None else f"{missing}; check that it was copied or recorded to its end"


def _too_short(what: str, end: int, size: int) -> str | None:
    return f"the file ends {end - size} bytes before the end of its {what}" if end > size else None


def _of_boxes(file: IO[bytes], size: int) -> str | None:
    """ISO/IEC 14496-12, 4.2: size and type, or a size of 64 bits behind the type; 0 reaches to the end."""
    place = 0
    for _ in range(MOST_BOXES):
        file.seek(place)
        head = file.read(16)
        if len(head) < 8 or head[4:8] not in BOXES:
            return None
        length = int.from_bytes(head[:4])
        if length == 1 and len(head) == 16:
            length = int.from_bytes(head[8:])
        if length < 8:
            return None
        if place + length > size:
            return _too_short(f"{head[4:8].decode()!r} box", place + length, size)
        place += length
    return None


def _of_matroska(file: IO[bytes], size: int) -> str | None:
    """RFC 8794 and 9559: an EBML header, then a segment of elements, and clusters of blocks, which are walked through.

    Each is an id, a length and as many bytes. A recording that never ended has a segment of unknown length.
    """
    place, cluster_ends = 0, 0
    for number in range(MOST_BOXES):
        file.seek(place)
        head = file.read(12)
        if len(head) < 2 or (number < 2 and int.from_bytes(head[:4]) != (EBML, SEGMENT)[number]):
            return None
        id_width = 9 - head[0].bit_length()
        width = 9 - head[id_width].bit_length() if id_width <= 4 and id_width < len(head) else 9
        name = int.from_bytes(head[:id_width])
        if width > 8 or (place < cluster_ends and name not in IN_CLUSTERS):
            return f"the file is broken at byte {place}, and what follows up to the next whole part is lost"
        length = int.from_bytes(head[id_width : id_width + width]) & ((1 << 7 * width) - 1)
        begins, is_open = place + id_width + width, length == (1 << 7 * width) - 1
        ends = size if is_open else begins + length
        if ends > size:
            return _too_short("Matroska segment" if number == 1 else "last element", ends, size)
        if name == CLUSTER and not is_open:
            cluster_ends = ends
        place = begins if number == 1 or name in HOLDERS or is_open else ends
    return None


def _of_riff(file: IO[bytes], size: int) -> str | None:
    """Chunks ``RIFF``, size, type; a long AVI has several. A recording that never ended has size 0."""
    place = 0
    for _ in range(MOST_BOXES):
        file.seek(place)
        head = file.read(12)
        length = int.from_bytes(head[4:8], "little")
        if len(head) < 12 or head[:4] != b"RIFF" or not length:
            return None
        if place + 8 + length > size:
            return _too_short("RIFF chunk", place + 8 + length, size)
        place += 8 + length + length % 2
    return None


def _of_flv(file: IO[bytes], size: int) -> str | None:
    """Each tag is followed by its size, so that the last one can be found from the end."""
    if size < 13 + 15:
        return None
    file.seek(size - 4)
    length = int.from_bytes(file.read(4))
    place = size - 4 - length
    if length >= 11 and place >= 13:
        file.seek(place)
        head = file.read(4)
        if head[0] & 0x1F in (8, 9, 18) and int.from_bytes(head[1:]) + 11 == length:
            return None
    return "the file ends in the middle of a tag"


def _of_transport_stream(file: IO[bytes], size: int) -> str | None:
    """Packets of 188 bytes, or 192 with a time in front, or 204 with a checksum behind; each with 0x47."""
    head = file.read(3 * 204)
    for length, first in ((188, 0), (192, 4), (204, 0)):
        marks = head[first::length]
        if len(marks) >= 3 and marks[:3] == b"GGG":
            return "the file ends in the middle of a packet" if size % length else None
    return None


def _of_ogg(file: IO[bytes], size: int) -> str | None:
    """RFC 3533: the last page, at most 65,307 bytes, ends with the file."""
    file.seek(max(size - 65_307, 0))
    tail = file.read()
    place = tail.rfind(b"OggS")
    if place < 0 or len(tail) - place < 27:
        return "the file ends in the middle of a page"
    segments = tail[place + 26]
    end = place + 27 + segments + sum(tail[place + 27 : place + 27 + segments])
    is_cut = len(tail) - place < 27 + segments or end > len(tail)
    return "the file ends in the middle of a page" if is_cut else None


def _of_gif(file: IO[bytes], size: int) -> str | None:
    """GIF89a, 27: the last block is one byte, 0x3B; zeros may follow it."""
    file.seek(max(size - 4096, 0))
    return None if file.read().rstrip(b"\0").endswith(b";") else "the file ends before its last block"


_CHECKS: dict[str, Callable[[IO[bytes], int], str | None]] = {
    "mov": _of_boxes,
    "matroska": _of_matroska,
    "avi": _of_riff,
    "webp": _of_riff,
    "flv": _of_flv,
    "mpegts": _of_transport_stream,
    "ogg": _of_ogg,
    "gif": _of_gif,
}
