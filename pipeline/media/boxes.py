"""The headers of container units: ISO BMFF boxes (mp4, mov), RIFF chunks (avi, webp), EBML elements (mkv, webm)."""

from collections.abc import Iterator
from typing import IO, NamedTuple

# Limit of a walk. A film of two hours has half a million blocks, which take some seconds.
MAX_BOXES = 2_000_000


class Box(NamedTuple):
    """A box or chunk: its kind, start and end of its content (maybe beyond the file), and 12 bytes of it or more."""

    kind: bytes
    start: int
    end: int
    content: bytes


class Element(NamedTuple):
    """The header of an EBML element: its id, its size in bytes, the length of the content (None if unknown)."""

    kind: int
    width: int
    length: int | None


def iso_boxes(file: IO[bytes], size: int) -> Iterator[Box]:
    """Yield the top-level boxes of a file of ``size`` bytes in order; ISO/IEC 14496-12, 4.2.

    A box starts with its size and kind, or with 1, the kind and a size of 64 bits; size 0 extends to the file's end.
    """
    place = 0
    for _ in range(MAX_BOXES):
        if place + 8 > size:
            return
        file.seek(place)
        head = file.read(28)
        length, width = int.from_bytes(head[:4]), 8
        if length == 1 and len(head) >= 16:
            length, width = int.from_bytes(head[8:16]), 16
        end = place + length if length >= width else size
        yield Box(head[4:8], place + width, end, head[width:])
        place = end


def riff_chunks(file: IO[bytes], place: int = 0) -> Iterator[Box]:
    """Yield the chunks from ``place`` on: kind, size, content, and a byte of padding after an odd size."""
    for _ in range(MAX_BOXES):
        file.seek(place)
        head = file.read(20)
        if len(head) < 8:
            return
        end = place + 8 + int.from_bytes(head[4:8], "little")
        yield Box(head[:4], place + 8, end, head[8:])
        place = end + end % 2


def parse_element(data: bytes, place: int = 0) -> Element:
    """Return the header of the EBML element at ``place``, at most 12 bytes; RFC 8794.

    Raises:
        ValueError: the id is longer than 4 bytes, or the size is longer than 8.
    """
    data = data[place : place + 12]
    id_width = 9 - data[0].bit_length() if data else 9
    if id_width > 4 or id_width >= len(data) or not data[id_width]:
        raise ValueError("it is not an EBML element")
    width = id_width + 9 - data[id_width].bit_length()
    unknown = (1 << 7 * (width - id_width)) - 1
    length = int.from_bytes(data[id_width:width]) & unknown
    return Element(int.from_bytes(data[:id_width]), width, None if length == unknown else length)
