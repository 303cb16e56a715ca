"""What a frame costs in each mode: measured where that was done, estimated elsewhere. Reads no clock.

All costs are those of a quiet machine. How busy the machine is now shows in the present mode: its time over its cost
is the load, by which the costs of all other modes are multiplied. So what was measured stays true when other programs
come and go.

A program that starts or ends in the moment when the mode changes looks like a mode that is slower or faster than it
is. So a cost counts the more the more often it was confirmed: where two modes contradict each other, the one that was
confirmed less is corrected, and a cost that was seldom confirmed is not believed for long if it contradicts those of
larger and smaller frames.
"""

from collections import deque
from collections.abc import Mapping
from statistics import median
from typing import TYPE_CHECKING

from pipeline.live.stylize.control.cost_estimate import CostEstimate
from pipeline.live.stylize.modes import Mode

if TYPE_CHECKING:
    from models.engines.engine import Precision

# The median of so many frames is the time that a mode takes now: a single slow frame changes nothing.
MEDIAN_OF, LEAST_FRAMES = 5, 3
# From the first frames in a mode its cost is learned, from later ones the load.
LEARNING_FRAMES = 12
# Times that differ by this factor contradict each other. More load than this is no quiet machine.
CONTRADICTION = 1.25
# The longer ago a mode was used, the less its cost is believed: it may be so much lower, at most.
DOUBT_PER_SECOND, LARGEST_DOUBT = 0.0005, 0.3
# A cost is confirmed by each visit to its mode, and again by each of so many seconds there.
CONFIRMED_SECONDS, MOST_CONFIRMED = 5.0, 6
# What a cost of an earlier session is worth.
STORED_CONFIRMED = 2
# After so many seconds a cost that was confirmed once is believed no longer if it contradicts those of other sizes, so
# that it is measured again; after four times as many if it was confirmed twice, and so on.
BELIEVED_SECONDS, BELIEVED_LONGER = 10.0, 4
# A mode that is new, and that began under load, is taken for what it takes after so many seconds: the load may have
# ended just then.
LOAD_SECONDS = 5.0


class Costs:
    """Knows, or estimates, how many seconds a frame takes in each mode.

    Args:
        device_type: ``cpu``, ``cuda`` or ``mps``.
        precision: of the network.
        cores: that frames share on a CPU.
        known: seconds that frames took on a quiet machine before.

    Attributes:
        load: time of a frame now over that on a quiet machine.
    """

    def __init__(
        self, device_type: str, precision: "Precision", cores: int, known: Mapping[Mode, float] | None = None
    ) -> None:
        self.load = 1.0
        self._estimate = CostEstimate(device_type, precision, cores)
        self._known = dict(known or {})
        self._confirmed = dict.fromkeys(self._known, STORED_CONFIRMED)
        self._used_at: dict[Mode, float] = {}
        self._mode: Mode | None = None
        self._before: tuple[Mode, float] | None = None
        self._last: deque[float] = deque(maxlen=MEDIAN_OF)
        self._count = 0
        self._confirm_at = self._trust_at = 0.0
        self._is_learning = False

    @property
    def known(self) -> dict[Mode, float]:
        """Seconds of a frame on a quiet machine, of all modes that were measured."""
        return dict(self._known)

    def add(self, now: float, mode: Mode, seconds: float) -> None:
        """Record that a frame took ``seconds`` in ``mode``."""
        if mode != self._mode:
            self._change(mode)
        self._last.append(seconds)
        self._count += 1
        self._used_at[mode] = now
        if self._count < LEAST_FRAMES:
            return
        if self._count == LEAST_FRAMES:
            self._meet(now, mode)
        elif now >= self._confirm_at:
            self._confirm(now, mode)
        if self._is_learning and self._count <= LEARNING_FRAMES:
            self._learn(mode)
        else:
            self._note_load(now, mode)

    def now(self, mode: Mode) -> float | None:
        """Return the seconds that a frame in ``mode``, the present one, takes now; None until that is measured."""
        return median(self._last) if mode == self._mode and self._count >= LEAST_FRAMES else None

    def is_known(self, mode: Mode) -> bool:
        """Return whether the cost of ``mode`` was measured."""
        return mode in self._known

    def expected(self, now: float, mode: Mode) -> float:
        """Return the seconds that a frame would take in ``mode`` at the present load."""
        measured = self.now(mode)
        if measured is not None:
            return measured
        known = self._known.get(mode)
        if known is None:
            return self._estimated(mode) * self.load
        unused = now - self._used_at.setdefault(mode, now)
        if unused > BELIEVED_SECONDS * BELIEVED_LONGER ** (self._confirmed[mode] - 1):
            known = min(known, self._estimate.most(mode, self._others(mode)))
        return known * self.load * (1 - min(unused * DOUBT_PER_SECOND, LARGEST_DOUBT))

    def _estimated(self, mode: Mode) -> float:
        """Return the seconds that a frame would take on a quiet machine, from what is known of other modes."""
        return self._estimate.seconds(mode, self._others(mode), self._mode)

    def _others(self, mode: Mode) -> dict[Mode, float]:
        return {each: seconds for each, seconds in self._known.items() if each != mode}

    def _change(self, mode: Mode) -> None:
        """Begin to measure another mode; the first shows how fast the machine is, compared with earlier sessions."""
        self._before = (self._mode, self.load) if self._mode in self._confirmed else None
        if self._mode is None and self._known and mode not in self._known:
            self._known[mode], self._confirmed[mode] = self._estimated(mode), 0
        self._mode, self._count = mode, 0
        self._last.clear()

    def _meet(self, now: float, mode: Mode) -> None:
        """Compare the first frames in a mode with what is known of it: is that wrong, or has the load changed?"""
        self._confirm_at, self._trust_at = now + CONFIRMED_SECONDS, 0.0
        measured = median(self._last) / self.load
        change = measured / self._known[mode] if mode in self._known else None
        if change is None or self._is_wrong(mode, change):
            self._is_learning, self._known[mode], self._confirmed[mode] = True, measured, 1
            if change is None and self.load > CONTRADICTION:
                self._trust_at = now + LOAD_SECONDS
        elif _is_about_one(change):
            self._is_learning = self.load <= CONTRADICTION
            self._confirm(now, mode)
        else:
            self._is_learning = False
            self._correct_the_last(mode)

    def _is_wrong(self, mode: Mode, change: float) -> bool:
        """Return whether frames that take ``change`` times as long as expected show a wrong cost, not another load.

        They do if the mode before, from which the load is known, was confirmed more often. Under load a cost is only
        raised: what is faster than expected then shows that the load has ended.
        """
        if self._before is None or _is_about_one(change):
            return False
        confirmed, before = self._confirmed[mode], self._confirmed[self._before[0]]
        if self.load > CONTRADICTION:
            return change > 1 and confirmed < before
        return confirmed < before or (change < 1 and confirmed == before)

    def _correct_the_last(self, mode: Mode) -> None:
        """Correct the mode before, if it was confirmed less: its frames took as long as they did at the load of now."""
        if self._before is not None and self._confirmed[self._before[0]] < self._confirmed[mode]:
            last, load = self._before
            self._known[last] *= load * self._known[mode] / median(self._last)

    def _confirm(self, now: float, mode: Mode) -> None:
        self._confirm_at = now + CONFIRMED_SECONDS
        self._confirmed[mode] = min(self._confirmed[mode] + 1, MOST_CONFIRMED)

    def _learn(self, mode: Mode) -> None:
        """Take the time of the first frames in a mode, without the load of before, for its cost."""
        self._known[mode] += (median(self._last) / self.load - self._known[mode]) / 2

    def _note_load(self, now: float, mode: Mode) -> None:
        """Take the time of a mode whose cost is known for the load; a machine that is faster than known is quiet."""
        if self._trust_at and now >= self._trust_at:
            self._known[mode], self._confirmed[mode], self._trust_at = median(self._last), 1, 0.0
        self.load = median(self._last) / self._known[mode]
        if self.load < 1:
            self._known = {each: seconds * self.load for each, seconds in self._known.items()}
            self.load = 1.0


def _is_about_one(change: float) -> bool:
    return 1 / CONTRADICTION <= change <= CONTRADICTION
