"""The pixel aspect ratio in Matroska and WebM, patched into the header of a finished file.

FFmpeg's muxer takes it from a field of the stream that PyAV does not set. H.264 and H.265 are not affected: they store
it in their own packets. Nothing else in the file moves: the track is written with a title that is too long by
`TITLE_PADDING`, which makes room for it. See RFC 8794 (EBML) and RFC 9559 (Matroska).
"""

import zlib
from collections.abc import Iterator
from typing import NamedTuple

from pipeline.media.boxes import parse_element
from pipeline.system.files.writing import open_existing, sync

TITLE_PADDING = " " * 24
"""Appended to the title of the track."""

HEADER_BYTES = 2**22
SEGMENT, TRACKS, ENTRY = 0x18538067, 0x1654AE6B, 0xAE
VIDEO, NAME, CRC, VOID = 0xE0, 0x536E, 0xBF, 0xEC
DISPLAY_WIDTH, DISPLAY_HEIGHT, DISPLAY_UNIT = 0x54B0, 0x54BA, 0x54B2


def set_display_size(path: str, width: int, height: int) -> None:
    """Set the display size of the first video track of ``path`` to ``width`` x ``height``.

    Raises:
        ValueError: the file does not look like one that FFmpeg's muxer wrote with `TITLE_PADDING`.
        OSError: the file cannot be written.
    """
    with open_existing(path) as file:
        data = file.read(HEADER_BYTES)
        place, tracks = _tracks(data)
        content = _with_display_size(tracks, width, height)
        if content.startswith(_id(CRC)):
            content = content[:2] + zlib.crc32(content[6:]).to_bytes(4, "little") + content[6:]
        if len(content) != len(tracks):
            raise ValueError("its header has no room for the pixel aspect ratio")
        file.seek(place)
        file.write(content)
        sync(file)


def _tracks(data: bytes) -> tuple[int, bytes]:
    """Return the place and content of the element with the tracks."""
    segment = next((each for each in _elements(data) if each.kind == SEGMENT), None)
    if segment is None:
        raise ValueError("it is not a Matroska file")
    for each in _elements(data, segment.place):
        if each.kind == TRACKS and each.place + len(each.content) < len(data):
            return each.place, each.content
    raise ValueError("its tracks are not found")


def _with_display_size(tracks: bytes, width: int, height: int) -> bytes:
    """Return the content of ``tracks`` with the display size in the first track that has a padded title."""
    patched, is_done = b"", False
    for each in _elements(tracks):
        content = each.content
        if not is_done and each.kind == ENTRY and _has_padding(content):
            is_done, content = True, _entry(content, width, height)
        patched += each.header + content
    if not is_done:
        raise ValueError("it has no track with room for the pixel aspect ratio")
    return patched


def _has_padding(entry: bytes) -> bool:
    padding = TITLE_PADDING.encode()
    return any(each.kind == NAME and each.content.endswith(padding) for each in _elements(entry))


def _entry(entry: bytes, width: int, height: int) -> bytes:
    """Return a track of the same size, with a display size and without the padding of its title."""
    size = _element(DISPLAY_WIDTH, width.to_bytes(4)) + _element(DISPLAY_HEIGHT, height.to_bytes(4))
    patched = b""
    for each in _elements(entry):
        if each.kind == NAME:
            title = each.content.removesuffix(TITLE_PADDING.encode())
            patched += _element(NAME, title) if title else b""
        elif each.kind == VIDEO:
            fields = (field for field in _elements(each.content) if field.kind != DISPLAY_UNIT)  # FFmpeg says "unknown"
            patched += _element(VIDEO, b"".join(field.header + field.content for field in fields) + size)
        else:
            patched += each.header + each.content
    left = len(entry) - len(patched)
    return patched + (_element(VOID, bytes(left - 2)) if left >= 2 else b"")


class _Element(NamedTuple):
    kind: int
    header: bytes
    place: int
    content: bytes


def _elements(data: bytes, place: int = 0) -> Iterator[_Element]:
    """Yield the elements from ``place`` on; one of unknown length, or longer than ``data``, extends to its end."""
    while place < len(data):
        kind, width, length = parse_element(data, place)
        start = place + width
        end = len(data) if length is None else start + length
        yield _Element(kind, data[place:start], start, data[start:end])
        place = end


def _id(kind: int) -> bytes:
    return kind.to_bytes((kind.bit_length() + 7) // 8)


def _element(kind: int, content: bytes) -> bytes:
    """Return an element of up to 16 KB."""
    size = bytes([0x80 | len(content)]) if len(content) < 127 else (0x4000 | len(content)).to_bytes(2)
    return _id(kind) + size + content
