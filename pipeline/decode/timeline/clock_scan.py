"""Where the clock of a file jumps: needed after a seek, and found by reading all packets once, without decoding."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import cast

from av.container import InputContainer
from av.format import Flags
from av.stream import Stream
from av.video.stream import VideoStream

from pipeline.decode.timeline.clock import TICK, ContinuousClock, PtsGuesses, move
from pipeline.media.packets import StreamPacket

# Ogg has times that restart too, but in streams of their own.
_CONTAINERS = ("mpegts", "mpeg")


def may_jump(container: InputContainer) -> bool:
    """Return whether the clock of such a file may restart, so that it must be read with a `ContinuousClock`."""
    flags = container.format.flags & cast(int, Flags.ts_discont.value)
    is_known = all(stream.time_base == TICK for stream in container.streams)
    return bool(flags) and container.format.name in _CONTAINERS and is_known


class ClockJumps:
    """By how much the packets of a file move, depending on where they are stored.

    Args:
        packets: all packets of the file, from its start.
        streams: of the file.
        video: the main video.

    Attributes:
        seconds: duration of the video; None if it has no packet.
    """

    def __init__(self, packets: Iterable[StreamPacket], streams: Iterable[Stream], video: VideoStream) -> None:
        self._offsets: dict[int, list[int]] = {}
        self._places: dict[int, list[int]] = {}
        self._keys: list[tuple[int, int]] = []
        first: int | None = None
        end = 0
        for packet in ContinuousClock(streams, self._note).continuous(packets):
            if packet.stream_index == video.index and packet.pts is not None:
                first = packet.pts if first is None else min(first, packet.pts)
                end = max(packet.pts + (packet.duration or 0), end)
                if packet.is_keyframe and packet.pos is not None:
                    self._keys.append((packet.pts, packet.pos))

        self.seconds = None if first is None else float((end - first) * TICK)

    def _note(self, packet: StreamPacket, offset: int) -> None:
        places = self._places.setdefault(packet.stream_index, [])
        places.append(max(packet.pos or 0, places[-1] if places else 0))
        self._offsets.setdefault(packet.stream_index, []).append(offset)

    def __bool__(self) -> bool:
        return bool(self._places)

    def key_place(self, ticks: int) -> int:
        """Return the byte at which the last key frame at or before ``ticks`` is stored; 0 if there is none."""
        return max((place for pts, place in self._keys if pts <= ticks), default=0)

    def moved(self, packets: Iterable[StreamPacket]) -> Iterator[StreamPacket]:
        """Yield ``packets``, from any key frame on, with the times that `ContinuousClock` gives them."""
        latest: dict[int, int] = {}  # not every packet has a place
        guesses = PtsGuesses()
        for packet in packets:
            index = packet.stream_index
            place = latest[index] = latest.get(index, 0) if packet.pos is None else packet.pos
            number = bisect_right(self._places.get(index, ()), place)
            guesses.mend(packet)
            yield move(packet, self._offsets[index][number - 1] if number else 0)
