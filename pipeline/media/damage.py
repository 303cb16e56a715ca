"""Places where an input could not be read: noted as they come, told at the end, or an error where that is asked for."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Protocol

from pipeline.errors import InputError

MARKED = "the container marks it as damaged"
# A decoder tells of a damage a few pictures late at most: among so many of the newest places it is looked for.
NEWEST_PLACES = 100
# So many places stand in the notice.
MAX_IN_NOTICE = 3


class Marked(Protocol):
    """What is asked of a packet."""

    is_corrupt: bool
    stream_index: int
    pts: int | None
    dts: int | None
    time_base: Fraction


@dataclass(frozen=True, slots=True)
class Damage:
    """A place where the input could not be read as it was written; reading went on behind it.

    Attributes:
        packet_index: zero-based index of the packet that is damaged, or was next when the container failed, in its
            stream, counted from where reading began; where a decoder does not tell, it can be a few packets late.
        seconds: its presentation time in the input, or that which was reached; None where it has none.
        reason: in FFmpeg's words or ours.
        stream: what was damaged: ``video``, or another stream's kind and index, as ``audio 1``.
        is_numbered: whether reading began with the file; where it did elsewhere, its number tells nobody anything.
    """

    packet_index: int
    seconds: Fraction | None
    reason: str
    stream: str = "video"
    is_numbered: bool = True

    def as_json(self) -> dict[str, object]:
        """The same for ``--json``; seconds as a number, the packet None where its number is not known."""
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
        """The same for the same place, whoever comes upon it."""
        place = self.as_json()
        return self.stream, place["packet"] if self.seconds is None else place["seconds"]

    def __str__(self) -> str:
        packet = f" packet {self.packet_index}" if self.is_numbered else ""
        at = "" if self.seconds is None else f" at {float(self.seconds):.3f} s"
        return f"{self.stream}{packet}{at}: {self.reason}"


class DamageLog:
    """The damages of one input, in the order in which they were found.

    Args:
        path: the file as the user named it.
        strict: whether the first one is an error.

    Attributes:
        places: what was noted so far.
    """

    def __init__(self, path: str, *, strict: bool = False) -> None:
        self.places: list[Damage] = []
        self._path = path
        self._strict = strict
        self._begin: Fraction | None = None
        self._end: Fraction | None = None
        self._known: set[tuple[str, object]] = set()
        self._counts: dict[int, int] = {}

    def limit(self, begin_seconds: Fraction | None, end_seconds: Fraction | None) -> None:
        """Leave out what lies outside the part that is wanted, in seconds of the file; None sets no limit."""
        self._begin, self._end = begin_seconds, end_seconds
        self.places[:] = [place for place in self.places if self._is_wanted(place)]

    def add(self, place: Damage) -> None:
        """Note ``place``, unless it is known already or outside the part that is wanted.

        Raises:
            InputError: the log is strict.
        """
        if not self._is_wanted(place) or place.key in self._known:
            return
        self._known.add(place.key)
        self.places.append(place)
        self._refuse(place)

    def add_if_corrupt(self, packet: "Marked", kind: str, *, is_numbered: bool) -> None:
        """Note a packet beside the picture that its container marks: transport streams do so behind a gap.

        Args:
            packet: of PyAV; each one, in their order.
            kind: of its stream.
            is_numbered: see `Damage`.

        Raises:
            InputError: the log is strict.
        """
        index = self._counts[packet.stream_index] = self._counts.get(packet.stream_index, -1) + 1
        if not packet.is_corrupt:
            return
        time = packet.pts if packet.pts is not None else packet.dts
        seconds = None if time is None else time * packet.time_base
        self.add(Damage(index, seconds, MARKED, f"{kind} {packet.stream_index}", is_numbered))

    def restore(self, places: Iterable[Mapping[str, Any]]) -> None:
        """Take over what an earlier run noted, as `Damage.as_json` gives it.

        Raises:
            InputError: the log is strict, and something was noted.
        """
        for place in map(Damage.from_json, places):
            self.places.append(place)
            self._known.add(place.key)
        if self.places:
            self._refuse(self.places[0])

    def move(self, late: range, packet_index: int, seconds: Fraction | None) -> bool:
        """Put the earliest damage that was noted at one of the packets ``late`` where it belongs, if there is one."""
        for number in range(max(len(self.places) - NEWEST_PLACES, 0), len(self.places)):
            place = self.places[number]
            if place.stream == "video" and place.packet_index in late:
                self.places[number] = replace(place, packet_index=packet_index, seconds=seconds)
                return True
        return False

    def _refuse(self, place: Damage) -> None:
        if self._strict:
            raise InputError(self._path, f"is damaged ({place}); without --strict it is painted as far as it decodes")

    def _is_wanted(self, place: Damage) -> bool:
        if place.seconds is None:
            return True
        return (self._begin is None or place.seconds >= self._begin) and (
            self._end is None or place.seconds < self._end
        )


def damage_notice(damage: Sequence[Damage]) -> list[str]:
    """One line with the number of places and the first `MAX_IN_NOTICE`; none where there is no damage."""
    if not damage:
        return []
    places = "1 place" if len(damage) == 1 else f"{len(damage)} places"
    more = f"; and {len(damage) - MAX_IN_NOTICE} more, all in --json" if len(damage) > MAX_IN_NOTICE else ""
    return [f"{places} of the input could not be read as written ({'; '.join(map(str, damage[:MAX_IN_NOTICE]))}{more})"]
