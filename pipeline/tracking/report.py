"""What the user is told about a tracked mask: where it has no key frame to come from."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

Frames = tuple[int, int]
"""Numbers of the first and the last of some frames."""


@dataclass(slots=True)
class Gaps:
    """Frames whose masks are not, or not only, what key frames say.

    Attributes:
        reach: number of frames that a mask is carried backward.
        first: number of the first frame; None before it.
        last: number of the last frame; -1 before the first.
        shots: number of shots.
        used: numbers of the key frames that were reached.
        without_key: shots without a key frame.
        too_early: frames too far before the first key frame of their shot.
        forward_only: frames too far before the next key frame, with the mask of the one before.
    """

    reach: int
    first: int | None = None
    last: int = -1
    shots: int = 0
    used: set[int] = field(default_factory=set)
    without_key: list[Frames] = field(default_factory=list)
    too_early: list[Frames] = field(default_factory=list)
    forward_only: list[Frames] = field(default_factory=list)

    def note_frame(self, number: int) -> None:
        """Note that the clip has a frame of this number; they increase."""
        self.first = number if self.first is None else self.first
        self.last = number

    def lines(self, keys: Iterable[int], first: int = 0) -> list[str]:
        """Return a line for each kind of gap, and one for key frames that the clip does not have.

        Args:
            keys: numbers of key frames.
            first: number of the first frame that counts.
        """
        found: list[str] = []
        without_key, too_early, forward_only = (
            [(max(start, first), end) for start, end in places if end >= first]
            for places in (self.without_key, self.too_early, self.forward_only)
        )
        if without_key:
            many = f"{len(without_key)} of {self.shots} shots have" if self.shots > 1 else "the clip has"
            found.append(
                f"--mask-track: {many} no key frame, {_places(without_key)}: the mask is black there; add a "
                "picture of one of these frames"
            )
        if too_early:
            found.append(
                f"--mask-track: {_places(too_early)} more than {self.reach} frames before the first key frame of "
                "the shot: the mask is black there; add a key frame"
            )
        if forward_only:
            found.append(
                f"--mask-track: {_places(forward_only)} more than {self.reach} frames before the next key frame: "
                "the mask comes from the one before alone"
            )
        if unused := [key for key in keys if key not in self.used]:
            more = f" and {len(unused) - 1} more" if len(unused) > 1 else ""
            found.append(f"--mask-track: the clip has no frame {unused[0]}{more}; it has frames up to {self.last}")
        return found


def _places(places: Sequence[Frames]) -> str:
    first, last = places[0]
    more = f" and {len(places) - 1} more" if len(places) > 1 else ""
    return f"frames {first} to {last}{more}" if len(places) > 1 or first != last else f"frame {first}"
