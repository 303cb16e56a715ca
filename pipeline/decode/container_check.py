"""Checks of a file's headers before anything is decoded: whether it is complete, and whether its index is plausible.

FFmpeg reads a truncated file to its end as if it were complete, and allocates whatever an index declares. Only headers
and the index are read here. What cannot be determined passes.
"""

import os
from collections.abc import Callable
from typing import IO

from pipeline.decode.index.check import check_index
from pipeline.media.boxes import MAX_BOXES, iso_boxes, parse_element, riff_chunks

# Top-level boxes of ISO base media files; anything else is data appended to a complete file.
TOP_BOXES = frozenset(b"ftyp moov mdat moof free skip wide sidx mfra uuid styp".split())

EBML, SEGMENT, CLUSTER = 0x1A45DFA3, 0x18538067, 0x1F43B675
# Elements that contain others.
MASTERS = frozenset({CLUSTER, 0xA0, 0xA6, 0x75A1})
# Elements inside of clusters.
CLUSTER_ELEMENTS = frozenset(bytes.fromhex("a0 a6 8e 9b a1 a2 a3 a4 a5 a7 ab af bf cb e7 ec ee fa fb fd")) | {
    0x5854,
    0x75A1,
    0x75A2,
}


def find_truncation(path: str, container: str) -> str | None:
    """Return why the file at ``path`` is not complete; None if it seems to be, or is not a regular file.

    Args:
        path: the input file.
        container: FFmpeg's name of the demuxer.
    """
    check = _CHECKS.get(container.split(",")[0])
    reason = None if check is None else _checked(path, check)
    return None if reason is None else f"{reason}; check that it was copied or recorded completely"


def find_inflated_index(path: str) -> str | None:
    """Return why the index of an mp4 or mov must not be loaded; None if nothing is wrong with it."""
    return _checked(path, check_index)


def _checked(path: str, check: Callable[[IO[bytes], int], str | None]) -> str | None:
    if not os.path.isfile(path):
        return None
    try:
        with open(path, "rb") as file:
            return check(file, os.fstat(file.fileno()).st_size)
    except OSError:
        return None  # opening the file for reading will report this


def _too_short(what: str, end: int, size: int) -> str | None:
    return f"the file ends {end - size} bytes before the end of its {what}" if end > size else None


def _check_boxes(file: IO[bytes], size: int) -> str | None:
    for box in iso_boxes(file, size):
        if box.kind not in TOP_BOXES:
            return None
        if box.end > size:
            return _too_short(f"{box.kind.decode()!r} box", box.end, size)
    return None


def _check_matroska(file: IO[bytes], size: int) -> str | None:
    """RFC 8794 and 9559: an EBML header, then a segment with clusters of blocks; walk through all of them.

    A recording that was never closed has a segment of unknown length.
    """
    place, cluster_end = 0, 0
    for number in range(MAX_BOXES):
        file.seek(place)
        head = file.read(12)
        if len(head) < 2 or (number < 2 and int.from_bytes(head[:4]) != (EBML, SEGMENT)[number]):
            return None
        try:
            element = parse_element(head)
        except ValueError:
            element = None
        if element is None or (place < cluster_end and element.kind not in CLUSTER_ELEMENTS):
            return f"the file is damaged at byte {place}, and what follows is lost up to the next cluster"
        start = place + element.width
        end = size if element.length is None else start + element.length
        if end > size:
            return _too_short("Matroska segment" if number == 1 else "last element", end, size)
        if element.kind == CLUSTER and element.length is not None:
            cluster_end = end
        place = start if number == 1 or element.kind in MASTERS or element.length is None else end
    return None


def _check_riff(file: IO[bytes], size: int) -> str | None:
    """Check ``RIFF`` chunks: a long AVI has several. A recording that was never closed has size 0."""
    for chunk in riff_chunks(file):
        if chunk.kind != b"RIFF" or len(chunk.content) < 4 or chunk.end == chunk.start:
            return None
        if chunk.end > size:
            return _too_short("RIFF chunk", chunk.end, size)
    return None


def _check_flv(file: IO[bytes], size: int) -> str | None:
    """Each tag is followed by its size, so the last one can be found from the end."""
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


def _check_transport_stream(file: IO[bytes], size: int) -> str | None:
    """Packets of 188 bytes start with 0x47, after a timestamp (192 bytes) or before a checksum (204 bytes)."""
    head = file.read(3 * 204)
    for length, first in ((188, 0), (192, 4), (204, 0)):
        sync_bytes = head[first::length]
        if len(sync_bytes) >= 3 and sync_bytes[:3] == b"GGG":
            return "the file ends in the middle of a packet" if size % length else None
    return None


def _check_ogg(file: IO[bytes], size: int) -> str | None:
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


def _check_gif(file: IO[bytes], size: int) -> str | None:
    """GIF89a, 27: the last block is one byte, 0x3B; zeros may follow it."""
    file.seek(max(size - 4096, 0))
    return None if file.read().rstrip(b"\0").endswith(b";") else "the file ends before its last block"


_CHECKS: dict[str, Callable[[IO[bytes], int], str | None]] = {
    "mov": _check_boxes,
    "matroska": _check_matroska,
    "avi": _check_riff,
    "webp": _check_riff,
    "flv": _check_flv,
    "mpegts": _check_transport_stream,
    "ogg": _check_ogg,
    "gif": _check_gif,
}
