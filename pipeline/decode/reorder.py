"""Which packet a picture came of, and which gave none: decoders reorder, work ahead, and report failures late."""

import os
from collections.abc import Iterator

from av.packet import Packet

# Codecs in which each packet gives a picture, so that one which gives none was lost. The others hide pictures, or show
# two packets as one; where they lose one they say so.
STRICT = frozenset({"hevc"})

# Pictures may wait for so many packets; what waits longer is forgotten.
MOST_WAITING = 256


class Ordering:
    """The packets of one video that have been sent to its decoder and not come back as a picture.

    Args:
        codec: FFmpeg's name of the decoder.

    Attributes:
        is_strict: whether each packet must give a picture.
        lateness: how many packets late a failure may be told.
    """

    def __init__(self, codec: str) -> None:
        self.is_strict = codec in STRICT
        self.lateness = 2 * (os.cpu_count() or 1) + 2
        self._waiting: dict[int, int] = {}
        self._has_begun = False

    def sent(self, index: int, packet: "Packet") -> None:  # type: ignore[type-arg]
        """``packet``, the one with ``index``, goes into the decoder."""
        if packet.size and packet.pts is not None and not packet.is_discard:
            self._waiting[packet.pts] = index
            if len(self._waiting) > MOST_WAITING:
                del self._waiting[next(iter(self._waiting))]

    def came(self, pts: int) -> int | None:
        """The index of the packet that the picture with ``pts`` came of; None where that is not known."""
        return self._waiting.pop(pts, None)

    def lost(self, before: int | None) -> Iterator[tuple[int, int]]:
        """Index and pts of packets that cannot give a picture any more: one that is shown later has come.

        What is shown before the first picture may build on others that are not in the file; it is no loss.
        """
        gone = sorted(pts for pts in self._waiting if before is None or pts < before)
        found = [(self._waiting.pop(pts), pts) for pts in gone]
        if self._has_begun:
            yield from found
        self._has_begun = self._has_begun or before is not None

    def clear(self) -> None:
        """Begin anew, behind a seek."""
        self._waiting.clear()
        self._has_begun = False
