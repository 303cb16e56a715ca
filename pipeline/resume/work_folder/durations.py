"""Durations of frames in 8 bytes each: a film has hundreds of thousands, and a tuple takes five times as much."""

from array import array
from collections.abc import Iterable, Sequence
from typing import overload

_UNKNOWN = -(2**63)


class Durations(Sequence[int | None]):
    """Durations of frames in ticks, None if unknown.

    Args:
        values: within 63 bits.
    """

    __slots__ = ("_ticks",)

    def __init__(self, values: Iterable[int | None]) -> None:
        self._ticks = array("q", (_UNKNOWN if value is None else value for value in values))

    @overload
    def __getitem__(self, index: int) -> int | None: ...

    @overload
    def __getitem__(self, index: slice) -> "Durations": ...

    def __getitem__(self, index: int | slice) -> "int | Durations | None":
        if isinstance(index, slice):
            return Durations(map(_known, self._ticks[index]))
        return _known(self._ticks[index])

    def __len__(self) -> int:
        return len(self._ticks)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Durations) and self._ticks == other._ticks

    def __hash__(self) -> int:
        return hash(self._ticks.tobytes())


def _known(ticks: int) -> int | None:
    return None if ticks == _UNKNOWN else ticks
