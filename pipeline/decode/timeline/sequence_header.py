"""Where an MPEG-1 or MPEG-2 video changes in the middle of a file: recordings that are joined."""

import re

from pipeline.media.packets import VideoPacket

CODECS = frozenset({"mpeg1video", "mpeg2video"})
_HEADER, _EXTENSION = b"\x00\x00\x01\xb3", b"\x00\x00\x01\xb5"
# Headers come first in a packet; quantizer matrices may lie between them (ISO/IEC 13818-2, 6.2.2.1).
_SEARCHED_BYTES = 256
# The header of a picture (0) comes before its slices.
_PICTURE_OR_SLICE = re.compile(rb"\x00\x00\x01([\x00-\xaf])")
_CHROMA_420 = 1  # of MPEG-1 always


class SequenceHeader:
    """Notes what the sequence headers of a video say about its frames.

    FFmpeg's decoder restarts where that changes, and drops the frame that it still holds.
    """

    def __init__(self) -> None:
        self._frame_kind: tuple[int, ...] | None = None

    def has_changed(self, packet: VideoPacket) -> bool:
        """Return whether the frames of ``packet`` have another size or chroma format than those before."""
        kind = _frame_kind(bytes(memoryview(packet)[:_SEARCHED_BYTES]))
        if kind is None:
            return False
        before, self._frame_kind = self._frame_kind, kind
        return before not in (None, kind)


def may_be_picture(packet: VideoPacket) -> bool:
    """Return False for slices without a picture: what a packet of another codec, such as H.264, looks like."""
    found = _PICTURE_OR_SLICE.search(bytes(memoryview(packet)[:_SEARCHED_BYTES]))
    return found is None or found[1] == b"\0"


def _frame_kind(data: bytes) -> tuple[int, ...] | None:
    """Return width, height, rows that are decoded and chroma format by the first sequence header in ``data``."""
    place = data.find(_HEADER)
    if place < 0 or len(data) < place + 8:
        return None
    size = int.from_bytes(data[place + 4 : place + 7])
    width, height, is_progressive, chroma = size >> 12, size & 0xFFF, True, _CHROMA_420
    extension = data.find(_EXTENSION, place + 8)
    if extension >= 0 and len(data) >= extension + 7 and data[extension + 4] >> 4 == 1:
        bits = int.from_bytes(data[extension + 4 : extension + 7])
        width, height = width | (bits >> 7 & 3) << 12, height | (bits >> 5 & 3) << 12
        is_progressive, chroma = bool(bits >> 11 & 1), bits >> 9 & 3
    rows = 16 if is_progressive else 32  # interlaced frames are stored in pairs of rows of blocks
    return width, height, -(-height // rows) * rows, chroma
