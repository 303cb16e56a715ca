"""Choose the working size of a live session, so that frames are stylized in time.

Step 0 is the full size; each further step is smaller. The cost of a step is estimated from the cost of the present one
by the number of pixels; a cost that was measured is used instead for a while. The module reads no clock.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

SCALES = (1.0, 5 / 6, 2 / 3, 1 / 2, 5 / 12, 1 / 3, 1 / 4, 1 / 6)
# OpenCV's optical flow crashes below 32 pixels, and a frame much smaller than this shows nothing.
SMALLEST_PX = 64

# Share of the time between two frames that a step may be expected to take when it is chosen. It is left only when it
# takes more than all of that time: the difference keeps small changes from switching to and fro.
COMFORT = 0.85
# How long frames must be late, or leave time to spare, before the step changes.
DOWN_SECONDS, UP_SECONDS = 0.7, 3.0
LONGEST_UP_SECONDS = 60.0
# A larger step that is left again this soon was a mistake; the next attempt waits twice as long.
MISTAKE_SECONDS = 10.0
# A measured cost is used for so long.
VALID_SECONDS = 30.0
# Time of eager over that of a fast engine, until both have been measured.
EAGER_FACTOR = 2.5
SMOOTHING = 0.15


def working_sizes(height: int, width: int) -> tuple[tuple[int, int], ...]:
    """Return heights and widths in pixels of the steps for an output of this size, the largest first."""
    sizes = [(height, width)]
    for scale in SCALES[1:]:
        size = (round(height * scale / 4) * 4, round(width * scale / 4) * 4)
        if min(size) >= SMALLEST_PX and size[0] < sizes[-1][0]:
            sizes.append(size)
    return tuple(sizes)


def first_step(sizes: Sequence[tuple[int, int]], most_pixels: float) -> int:
    """Return the first of ``sizes`` with at most ``most_pixels``; the last one if there is none."""
    return next((step for step, (height, width) in enumerate(sizes) if height * width <= most_pixels), len(sizes) - 1)


@dataclass(slots=True)
class _Cost:
    """Smoothed time that a frame takes at a step, and when it was last measured, both in seconds."""

    seconds: float
    at: float


class ResolutionControl:
    """Chooses the step from the time that stylizing takes, and from the latency.

    Args:
        sizes: height and width in pixels of each step, the largest first.
        step: to start with.
        fps: wanted frames per second.
        latency_seconds: wanted latency of most frames, from capture to sink.

    Attributes:
        step: that is in use.
    """

    def __init__(self, sizes: Sequence[tuple[int, int]], *, step: int, fps: float, latency_seconds: float) -> None:
        self.step = step
        self._pixels = [height * width for height, width in sizes]
        self._interval = 1 / fps
        self._latency_target = latency_seconds
        self._other_seconds = 0.0
        self._largest = 0
        self._costs: dict[tuple[int, bool], _Cost] = {}
        self._is_fast = False
        self._late_since: float | None = None
        self._spare_since: float | None = None
        self._up_seconds = UP_SECONDS
        self._went_up_at: float | None = None

    def set_fps(self, fps: float) -> None:
        """Set the wanted frames per second."""
        self._interval = 1 / fps

    def forbid(self, step: int) -> None:
        """Never choose ``step`` or a larger size again: the device has too little memory."""
        self._largest = max(self._largest, step + 1)
        self.step = max(self.step, self._largest)
        self._late_since = self._spare_since = self._went_up_at = None

    @property
    def budget_seconds(self) -> float:
        """The time that stylizing a frame may take.

        A third of the latency at least: where most of it is lost after stylizing, a smaller frame hardly helps.
        """
        left = max(self._latency_target - self._other_seconds, self._latency_target / 3)
        return min(self._interval, left)

    def add(self, now: float, seconds: float, *, fast: bool) -> None:
        """Record that a frame took ``seconds`` at the present step, with a ``fast`` engine or with eager."""
        self._is_fast = fast
        known = self._costs.get((self.step, fast))
        if known is None or now - known.at > VALID_SECONDS:
            self._costs[self.step, fast] = _Cost(seconds, now)
        else:
            known.seconds += SMOOTHING * (seconds - known.seconds)
            known.at = now

    def add_latency(self, seconds: float) -> None:
        """Record that a sink took a frame ``seconds`` after its capture."""
        cost = self._costs.get((self.step, self._is_fast))
        other = max(seconds - (cost.seconds if cost else 0.0), 0.0)
        self._other_seconds += SMOOTHING * (other - self._other_seconds)

    def choose(self, now: float, ready: Collection[int]) -> int:
        """Return the step for the next frame.

        Args:
            now: monotonic seconds.
            ready: the steps with a fast engine.
        """
        cost = self._costs.get((self.step, self._is_fast))
        if cost is None:
            return self.step
        if self._is_late(now, cost.seconds):
            self._change(now, self._best(now, ready))
        elif (better := self._better(now, ready)) is not None:
            self._change(now, better)
        return self.step

    def worth_preparing(self, now: float) -> int | None:
        """Return the step for which a fast engine would help most; None while too little is known."""
        if (self.step, self._is_fast) not in self._costs:
            return None
        steps = range(self._largest, len(self._pixels))
        fitting = (step for step in steps if self._expected(now, step, True) <= self._comfort)
        return next(fitting, len(self._pixels) - 1)

    @property
    def _comfort(self) -> float:
        return COMFORT * self.budget_seconds

    def _is_late(self, now: float, seconds: float) -> bool:
        """Return whether stylizing has been too slow for `DOWN_SECONDS`."""
        if seconds <= self.budget_seconds:
            self._late_since = None
            return False
        if self._late_since is None:
            self._late_since = now
        return now - self._late_since >= DOWN_SECONDS

    def _better(self, now: float, ready: Collection[int]) -> int | None:
        """Return a larger size after enough time to spare, or at once where a fast engine is new; None otherwise."""
        best = self._best(now, ready)
        if best >= self.step or self._expected(now, best, best in ready) > self._comfort:
            self._spare_since = None
            return None
        if best in ready and not self._is_fast:
            return best
        if self._spare_since is None:
            self._spare_since = now
        if now - self._spare_since < self._up_seconds:
            return None
        above = self.step - 1
        return above if self._expected(now, above, above in ready) <= self._comfort else best

    def _best(self, now: float, ready: Collection[int]) -> int:
        """Return the largest size that fits into the budget; the fastest if none does."""
        steps = range(self._largest, len(self._pixels))
        expected = {step: self._expected(now, step, step in ready) for step in steps}
        fitting = (step for step, seconds in expected.items() if seconds <= self._comfort)
        return next(fitting, min(expected, key=expected.__getitem__))

    def _expected(self, now: float, step: int, fast: bool) -> float:
        """Return the seconds that a frame would take at ``step``."""
        for engine in (fast, not fast):
            known = self._costs.get((step, engine))
            if known is not None and now - known.at <= VALID_SECONDS:
                return known.seconds * self._ratio(engine, fast)
        cost = self._costs[self.step, self._is_fast]
        return cost.seconds * self._pixels[step] / self._pixels[self.step] * self._ratio(self._is_fast, fast)

    def _ratio(self, known: bool, wanted: bool) -> float:
        """Return the time of the ``wanted`` engine over that of the ``known`` one; each is fast, or eager."""
        if known == wanted:
            return 1.0
        measured = [step for step in range(len(self._pixels)) if {(step, True), (step, False)} <= self._costs.keys()]
        factor = EAGER_FACTOR
        if measured:
            step = measured[0]
            factor = max(self._costs[step, False].seconds / self._costs[step, True].seconds, 1.0)
        return factor if known else 1 / factor

    def _change(self, now: float, step: int) -> None:
        """Use ``step``; a step up that is soon taken back makes the next one wait longer."""
        self._late_since = self._spare_since = None
        if step == self.step:
            return
        if step < self.step:
            self._went_up_at = now
        elif self._went_up_at is not None:
            was_mistake = now - self._went_up_at < MISTAKE_SECONDS
            self._up_seconds = min(2 * self._up_seconds, LONGEST_UP_SECONDS) if was_mistake else UP_SECONDS
            self._went_up_at = None
        self.step = step
