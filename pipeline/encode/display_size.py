"""The shape of pixels in Matroska and WebM, written where PyAV cannot: into the header of a finished file.

FFmpeg's muxer takes the shape from a field of the stream that PyAV does not set. H.264 and H.265, which write it into
their own packets, are not concerned. Nothing of the file is moved: the track is written with a name that is too
long by `ROOM`, which makes the room. See RFC 8794 (EBML) and RFC 9559 (Matroska).
"""

import os
import zlib
from collections.abc import Iterator
from typing import NamedTuple

ROOM = " " * 24
"""What is put behind the name of the track."""

HEADER_BYTES = 2**22
EBML, SEGMENT, TRACKS, ENTRY = 0x1A45DFA3, 0x18538067, 0x1654AE6B, 0xAE
VIDEO, NAME, CRC, VOID = 0xE0, 0x536E, 0xBF, 0xEC
DISPLAY_WIDTH, DISPLAY_HEIGHT, DISPLAY_UNIT = 0x54B0, 0x54BA, 0x54B2


class Element(NamedTuple):
    """An element of a file.

    Attributes:
        number: its kind.
        head: its kind and size, as they are written.
        begin: of what it holds.
        end: of what it holds.
    """

    number: int
    head: bytes
    begin: int
    end: int


def set_display_size(path: str, width: int, height: int) -> None:
    """Say in the first video track of ``path`` that its pictures are shown at ``width`` x ``height``.

    Raises:
        ValueError: the file has not the form that FFmpeg's muxer gives it with `ROOM` behind the track's name.
        OSError: it cannot be written.
    """
    with open(path, "r+b") as file:
        data = file.read(HEADER_BYTES)
        tracks = _tracks(data)
        content = _shaped(data, tracks, width, height)
        if content.startswith(_number(CRC)):
            content = content[:2] + zlib.crc32(content[6:]).to_bytes(4, "little") + content[6:]
        if len(content) != tracks.end - tracks.begin:
            raise ValueError("its header has no room for the shape of the pixels")
        file.seek(tracks.begin)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _tracks(data: bytes) -> Element:
    segment = next((e for e in _elements(data, 0, len(data)) if e.number == SEGMENT), None)
    if segment is None:
        raise ValueError("it is no Matroska file")
    for element in _elements(data, segment.begin, len(data)):
        if element.number == TRACKS and element.end <= len(data):
            return element
    raise ValueError("its tracks are not found")


def _shaped(data: bytes, tracks: Element, width: int, height: int) -> bytes:
    """What ``tracks`` holds, with the shape in its first track that has a picture."""
    content, is_done = b"", False
    for entry in _elements(data, tracks.begin, tracks.end):
        inner = data[entry.begin : entry.end]
        if not is_done and entry.number == ENTRY and _has_room(inner):
            is_done, inner = True, _entry(inner, width, height)
        content += entry.head + inner
    if not is_done:
        raise ValueError("it has no track with room for the shape of the pixels")
    return content


def _has_room(entry: bytes) -> bool:
    names = [entry[e.begin : e.end] for e in _elements(entry, 0, len(entry)) if e.number == NAME]
    return any(name.endswith(ROOM.encode()) for name in names)


def _entry(entry: bytes, width: int, height: int) -> bytes:
    """A track of as many bytes, its name without the room, its picture with the size."""
    size = _element(DISPLAY_WIDTH, width.to_bytes(4)) + _element(DISPLAY_HEIGHT, height.to_bytes(4))
    content = b""
    for each in _elements(entry, 0, len(entry)):
        inner = entry[each.begin : each.end]
        if each.number == NAME:
            inner = inner.removesuffix(ROOM.encode())
            content += _element(NAME, inner) if inner else b""
        elif each.number == VIDEO:
            kept = (e for e in _elements(inner, 0, len(inner)) if e.number != DISPLAY_UNIT)  # there it is "unknown"
            inner = b"".join(e.head + inner[e.begin : e.end] for e in kept) + size
            content += _element(VIDEO, inner)
        else:
            content += each.head + inner
    left = len(entry) - len(content)
    return content + (_element(VOID, bytes(left - 2)) if left >= 2 else b"")


def _elements(data: bytes, begin: int, end: int) -> Iterator[Element]:
    """The elements between ``begin`` and ``end``; one of unknown size is taken to reach to the end."""
    while begin < end:
        kind = _length(data[begin])
        size = _length(data[begin + kind])
        head = data[begin : begin + kind + size]
        length = int.from_bytes(head[kind:]) & ((1 << 7 * size) - 1)
        first = begin + len(head)
        begin = end if length == (1 << 7 * size) - 1 else first + length
        yield Element(int.from_bytes(head[:kind]), head, first, begin)


def _length(first: int) -> int:
    """Bytes of a number that begins with ``first``: as many as it has zero bits in front, and one."""
    if not first:
        raise ValueError("a number of its header is too long")
    return 9 - first.bit_length()


def _number(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8)


def _element(number: int, content: bytes) -> bytes:
    """An element of less than 127 bytes, or of up to 16 KB."""
    size = bytes([0x80 | len(content)]) if len(content) < 127 else (0x4000 | len(content)).to_bytes(2)
    return _number(number) + size + content
