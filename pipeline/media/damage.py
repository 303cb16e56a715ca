"""Collect the damaged places of an input. They are reported at the end; with ``--strict``, the first is an error."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from pipeline.errors import InputError
from pipeline.media.packets import StreamPacket

MARKED_CORRUPT = "the container marks it as damaged"
# Decoders report damage a few frames late at most, so `DamageLog.move` searches only the newest places.
MAX_SEARCHED = 100
# Places named in the notice.
MAX_IN_NOTICE = 3


@dataclass(frozen=True, slots=True)
class Damage:
    """A place where the input could not be read as written; reading continued after it.

    Attributes:
        packet_index: zero-based index in its stream of the damaged packet, or of the next one if the container failed,
            counted from where reading started; a few packets late if the decoder does not report it exactly.
        seconds: presentation time in the input, or the time reached before it; None if unknown.
        reason: what is wrong.
        stream: ``video``, or the kind and index of another stream, as in ``audio 1``.
        is_numbered: whether reading started with the file; otherwise ``packet_index`` means nothing to a user.
    """

    packet_index: int
    seconds: Fraction | None
    reason: str
    stream: str = "video"
    is_numbered: bool = True

    def as_json(self) -> dict[str, object]:
        """Return the entry for ``--json``: seconds as a number, the packet None if it is not numbered."""
        seconds = None if self.seconds is None else round(float(self.seconds), 6)
        packet = self.packet_index if self.is_numbered else None
        return {"stream": self.stream, "packet": packet, "seconds": seconds, "reason": self.reason}

    @classmethod
    def from_json(cls, place: Mapping[str, Any]) -> "Damage":
        """Return the damage whose `as_json` is ``place``."""
        seconds = None if place["seconds"] is None else Fraction(place["seconds"]).limit_denominator(10**6)
        packet = place["packet"]
        return cls(-1 if packet is None else packet, seconds, place["reason"], place["stream"], packet is not None)

    @property
    def key(self) -> tuple[str, object]:
        """A key that is equal for two reports of the same place."""
        place = self.as_json()
        return self.stream, place["packet"] if self.seconds is None else place["seconds"]

    def __str__(self) -> str:
        packet = f" packet {self.packet_index}" if self.is_numbered else ""
        at = "" if self.seconds is None else f" at {float(self.seconds):.3f} s"
        return f"{self.stream}{packet}{at}: {self.reason}"


class DamageLog:
    """The damaged places of one input, in the order in which they are found.

    Args:
        path: the file as the user named it.
        strict: whether to raise an error at the first place.

    Attributes:
        places: found so far.
    """

    def __init__(self, path: str, *, strict: bool = False) -> None:
        self.places: list[Damage] = []
        self._path = path
        self._strict = strict
        self._start: Fraction | None = None
        self._end: Fraction | None = None
        self._keys: set[tuple[str, object]] = set()
        self._packet_counts: dict[int, int] = {}

    def limit(self, start_seconds: Fraction | None, end_seconds: Fraction | None) -> None:
        """Ignore places outside these times of the file; None sets no limit."""
        self._start, self._end = start_seconds, end_seconds
        self.places[:] = [place for place in self.places if self._is_inside(place)]

    def add(self, place: Damage) -> None:
        """Add ``place``, unless it is already known or outside the limits.

        Raises:
            InputError: the log is strict.
        """
        if self._is_inside(place) and place.key not in self._keys:
            self._keys.add(place.key)
            self.places.append(place)
            self._raise_if_strict()

    def add_if_corrupt(self, packet: StreamPacket, *, is_numbered: bool) -> None:
        """Add a side packet that its container marks as corrupt, as transport streams do after a gap.

        Call it for every side packet, in order.

        Raises:
            InputError: the log is strict.
        """
        index = self._packet_counts[packet.stream_index] = self._packet_counts.get(packet.stream_index, -1) + 1
        if not packet.is_corrupt:
            return
        time = packet.pts if packet.pts is not None else packet.dts
        seconds = None if time is None else time * packet.time_base
        stream = f"{packet.stream.type} {packet.stream_index}"
        self.add(Damage(index, seconds, MARKED_CORRUPT, stream, is_numbered))

    def restore(self, places: Iterable[Mapping[str, Any]]) -> None:
        """Add the places of an earlier run, as `Damage.as_json` gives them.

        Raises:
            InputError: the log is strict and has a place.
        """
        for place in map(Damage.from_json, places):
            self.places.append(place)
            self._keys.add(place.key)
        if self.places:
            self._raise_if_strict()

    def move(self, late: range, packet_index: int, seconds: Fraction | None) -> bool:
        """Correct the position of the earliest video damage reported at one of the packets ``late``.

        Return whether there is one.
        """
        for number in range(max(len(self.places) - MAX_SEARCHED, 0), len(self.places)):
            place = self.places[number]
            if place.stream == "video" and place.packet_index in late:
                self.places[number] = replace(place, packet_index=packet_index, seconds=seconds)
                return True
        return False

    def _raise_if_strict(self) -> None:
        if self._strict:
            advice = "leave out --strict to stylize as far as it decodes"
            raise InputError(self._path, f"is damaged ({self.places[0]}); {advice}")

    def _is_inside(self, place: Damage) -> bool:
        if place.seconds is None:
            return True
        is_after_start = self._start is None or place.seconds >= self._start
        return is_after_start and (self._end is None or place.seconds < self._end)


def damage_notice(damage: Sequence[Damage]) -> list[str]:
    """Return one line with the number of places and the first `MAX_IN_NOTICE`; empty if there are none."""
    if not damage:
        return []
    places = "1 place" if len(damage) == 1 else f"{len(damage)} places"
    more = f"; and {len(damage) - MAX_IN_NOTICE} more, all in --json" if len(damage) > MAX_IN_NOTICE else ""
    named = "; ".join(map(str, damage[:MAX_IN_NOTICE]))
    return [f"{places} of the input could not be read as written ({named}{more})"]
