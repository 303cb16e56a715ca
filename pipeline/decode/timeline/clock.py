"""One clock for a file whose own clock restarts or jumps: joined transport streams, recordings, DVDs.

The streams of such a file share its clock, so all of them move by the same time, and audio and video stay in step. That
time is the least with which no stream overlaps itself: one of them continues without a gap.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

from av.stream import Stream

from pipeline.media.packets import StreamPacket
from pipeline.media.stream_kinds import is_cover

# Seconds per tick in the containers concerned.
TICK = Fraction(1, 90_000)
# Decoding times never decrease, but there are small mistakes: a hundredth of a second is one.
BACKWARD_TICKS = 900
# A longer gap in all streams is a jump. In a shorter one the signal may have been lost.
FORWARD_TICKS = 60 * 90_000
# How far streams may be stored from each other; also the least by which the clock of a single stream jumps.
LAG_TICKS = 10 * 90_000
# How far to read ahead to see whether the other streams jump too.
AHEAD_TICKS, AHEAD_PACKETS = 3 * 90_000, 1_000
# A file with more jumps is damaged, or malicious: its further times stay as they are.
MAX_JUMPS = 10_000


class ContinuousClock:
    """Moves the packets of a file, read from its start, so that no stream jumps.

    Args:
        streams: of the file; the packets of all of them are needed.
        changed: called with a packet, not yet moved, and the ticks by which it and those after it in its stream move,
            whenever these change.
    """

    def __init__(
        self, streams: Iterable[Stream], changed: Callable[[StreamPacket, int], None] = lambda packet, offset: None
    ) -> None:
        self._clocks = {
            stream.index: _StreamClock(stream.type in ("audio", "video") and not is_cover(stream)) for stream in streams
        }
        self._changed = changed
        self._offset = 0  # since the last jump of the whole file
        self._now: int | None = None
        self._jumps = 0
        self._jump: _Jump | None = None

    def continuous(self, packets: Iterable[StreamPacket]) -> Iterator[StreamPacket]:
        """Yield ``packets`` in their order, with their final times; at a jump, read some ahead."""
        guesses = PtsGuesses()
        for packet in packets:
            if not packet.size:  # an empty packet at the end flushes a decoder
                yield from self._end_jump()
            guesses.mend(packet)
            yield from self._add(packet)
        yield from self._end_jump()

    def _add(self, packet: StreamPacket) -> Iterator[StreamPacket]:
        if self._jump is not None:
            self._read_ahead(self._jump, packet)
            if self._jump.is_decided(self._active()):
                yield from self._end_jump()
            return
        offset = self._offset_of(packet, self._clocks[packet.stream_index])
        repeats = offset is not None and self._repeats(packet, offset)
        if (offset is None or repeats) and self._jumps < MAX_JUMPS:
            self._jumps += 1
            self._jump = _Jump(packet, is_doubtful=repeats)
        else:
            yield self._moved(packet, self._clocks[packet.stream_index].offset if offset is None else offset)

    def _offset_of(self, packet: StreamPacket, clock: "_StreamClock") -> int | None:
        """Return the offset with which ``packet`` continues its stream best; None if none does.

        Args:
            packet: not yet moved.
            clock: where its stream is.
        """
        time = packet.dts
        if time is None or self._now is None:
            return clock.offset
        own, latest = clock.offset, self._offset
        if not clock.is_dense:
            return min(own, latest, key=lambda offset: abs(time + offset - (self._now or 0)))
        earliest = self._now - LAG_TICKS if clock.last is None else clock.last - BACKWARD_TICKS
        end = max(self._now, clock.last or 0) + FORWARD_TICKS
        fitting = [own] if earliest <= time + own <= end else []
        if latest != own and earliest - LAG_TICKS <= time + latest <= end:
            fitting.append(latest)
        expected = self._now if clock.last is None else clock.last + clock.step
        return min(fitting, key=lambda offset: abs(time + offset - expected), default=None)

    def _repeats(self, packet: StreamPacket, offset: int) -> bool:
        """Return whether ``packet`` is not later than the one before it: a mistake, or a clock set back by a frame."""
        clock, time = self._clocks[packet.stream_index], packet.dts
        return clock.is_dense and clock.last is not None and time is not None and time + offset <= clock.last

    def _read_ahead(self, jump: "_Jump", packet: StreamPacket) -> None:
        """Add ``packet`` to ``jump``, and note whether it has jumped too."""
        jump.packets.append(packet)
        time, last = packet.dts, jump.last.get(packet.stream_index)
        clock = jump.clocks.setdefault(packet.stream_index, replace(self._clocks[packet.stream_index]))
        if time is None or not clock.is_dense:
            return
        offset = self._offset_of(packet, clock)
        if offset is None:
            jump.note(packet)
            return
        expected = (self._now or 0) if clock.last is None else clock.last + clock.step
        is_early = clock.last is not None and 2 * (expected - time - offset) > clock.step
        if last is None and is_early:
            jump.note(packet)
            jump.set_back[packet.stream_index] = packet
        elif last is not None and abs(time - last - clock.step) <= abs(time + offset - expected):
            jump.note(packet)
        else:
            if last is None:
                clock.note(packet, offset)
            place = clock.place if packet.pos is None else packet.pos
            if place is None or jump.first.pos is None or place > jump.first.pos:
                jump.unmoved.add(packet.stream_index)

    def _active(self) -> set[int]:
        """Return the streams that have packets all the time, and had some a short while ago."""
        return {
            index
            for index, clock in self._clocks.items()
            if clock.last is not None and clock.is_dense and clock.last >= (self._now or 0) - AHEAD_TICKS
        }

    def _end_jump(self) -> Iterator[StreamPacket]:
        """Decide what the jump is; yield the packets that were read ahead."""
        jump, self._jump = self._jump, None
        if jump is None:
            return
        first = jump.first
        clock, time = self._clocks[first.stream_index], first.dts or 0
        if jump.is_of_file:
            before = {index: jump.clocks.get(index, self._clocks[index]) for index in jump.first_pts}
            ends = {index: clock.end for index, clock in before.items() if clock.last is not None}
            self._offset = max((ends[index] - jump.first_pts[index] for index in ends), default=self._offset)
            yield self._moved(first, self._offset)
        else:
            expected = time + clock.offset if clock.last is None else clock.last + clock.step
            offset = expected - time
            yield self._moved(first, offset if abs(offset - clock.offset) >= LAG_TICKS else clock.offset)
        for packet in jump.packets[1:]:
            if jump.is_of_file and jump.set_back.get(packet.stream_index) is packet:
                yield self._moved(packet, self._offset)
            else:
                yield from self._add(packet)

    def _moved(self, packet: StreamPacket, offset: int) -> StreamPacket:
        clock = self._clocks[packet.stream_index]
        if offset != clock.offset:
            clock.offset = offset
            self._changed(packet, offset)
        move(packet, offset)
        if clock.is_dense and packet.dts is not None:
            clock.note(packet)
            self._now = packet.dts if self._now is None else max(self._now, packet.dts)
        return packet


def move(packet: StreamPacket, offset: int) -> StreamPacket:
    """Add ``offset`` to the times of ``packet``, and return it."""
    if offset:
        packet.pts = None if packet.pts is None else packet.pts + offset
        packet.dts = None if packet.dts is None else packet.dts + offset
    return packet


class PtsGuesses:
    """Mends pts that are not of the clock of their dts: FFmpeg guesses the last one before a jump from the next."""

    def __init__(self) -> None:
        self._leads: dict[int, int] = {}

    def mend(self, packet: StreamPacket) -> None:
        """Set a wrong pts as long after the dts as the one before."""
        if packet.pts is None or packet.dts is None:
            return
        lead = packet.pts - packet.dts
        if abs(lead) <= LAG_TICKS:
            self._leads[packet.stream_index] = lead
        else:
            packet.pts = packet.dts + self._leads.get(packet.stream_index, 0)


@dataclass(slots=True)
class _StreamClock:
    """Where a stream is, in ticks.

    Attributes:
        is_dense: whether it has packets all the time, as audio and video.
        offset: by which its times move.
        last: moved dts of the last packet; None before the first.
        step: from the last packet to the next.
        end: moved end of presentation.
        place: byte at which the last packet is stored; several packets may share one. None if unknown.
    """

    is_dense: bool
    offset: int = 0
    last: int | None = None
    step: int = 0
    end: int = 0
    place: int | None = None

    def note(self, packet: StreamPacket, offset: int = 0) -> None:
        """Note a packet, whose times move by ``offset``."""
        time = (packet.dts or 0) + offset
        if packet.duration:
            self.step = packet.duration
        elif self.last is not None and time > self.last:
            self.step = min(time - self.last, 90_000)
        end = (time if packet.pts is None else packet.pts + offset) + self.step
        self.end = end if self.last is None else max(self.end, end)
        self.last = time
        self.place = self.place if packet.pos is None else packet.pos


class _Jump:
    """The packets from one on that does not continue its stream.

    Attributes:
        first: that packet.
        packets: in their order, not yet moved.
        first_pts: earliest pts after the jump, of each stream that jumps.
        last: dts of the last packet after the jump, of each stream that jumps.
        unmoved: streams that continue, or return to, the clock before the jump.
        set_back: first packet after the jump, of each stream that goes back so little that alone it were no jump.
        clocks: where streams are before they jump, of those that have packets from before the jump among ``packets``.

    Args:
        first: see above.
        is_doubtful: whether ``first`` goes back so little that it is a jump only if all other streams jump too.
    """

    def __init__(self, first: StreamPacket, *, is_doubtful: bool = False) -> None:
        self.first = first
        self.packets = [first]
        self.first_pts: dict[int, int] = {}
        self.last: dict[int, int] = {}
        self.unmoved: set[int] = set()
        self.set_back: dict[int, StreamPacket] = {}
        self.clocks: dict[int, _StreamClock] = {}
        self._is_doubtful = is_doubtful
        self._is_confirmed = False
        self.note(first)

    @property
    def is_of_file(self) -> bool:
        """Whether no stream continues as before."""
        if self._is_doubtful and (self.unmoved or len(self.last) == 1):
            return False
        return self.first.stream_index not in self.unmoved and self.unmoved <= self.last.keys()

    def is_decided(self, active: set[int]) -> bool:
        """Return whether it is known what the jump is.

        Args:
            active: the streams that must jump too.
        """
        index = self.first.stream_index
        is_far = self.last[index] - (self.first.dts or 0) > AHEAD_TICKS or len(self.packets) >= AHEAD_PACKETS
        is_dismissed = index in self.unmoved or (self._is_doubtful and bool(self.unmoved))
        return is_far or is_dismissed or (self._is_confirmed and active <= self.last.keys())

    def note(self, packet: StreamPacket) -> None:
        """Note that ``packet`` has jumped too."""
        index, time = packet.stream_index, packet.dts or 0
        pts = time if packet.pts is None else packet.pts
        self.first_pts[index] = min(self.first_pts.get(index, pts), pts)
        self.last[index] = time
        is_same = index == self.first.stream_index
        self._is_confirmed = self._is_confirmed or (is_same and packet.pos != self.first.pos)
