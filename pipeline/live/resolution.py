"""At which resolution to paint, so that the pictures come in time: a pure class, told times, asked for a step.

Step 0 is the full resolution; each further one is coarser. What a step would cost is estimated from what the present
one costs, by the number of pixels; what it did cost when it was used is remembered, and believed for a while.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

SCALES = (1.0, 5 / 6, 2 / 3, 1 / 2, 5 / 12, 1 / 3, 1 / 4, 1 / 6)
# Under 32 pixels OpenCV's flow crashes; and what is smaller than this is no picture.
SMALLEST_PX = 64

# Share of the time between two pictures that a step may be expected to take before it is chosen. A step is left only
# when it takes more than all of it: what lies between keeps small changes from moving it to and fro.
COMFORT = 0.85
DOWN_SECONDS, UP_SECONDS = 0.7, 3.0
LONGEST_UP_SECONDS = 60.0
# A step that had to be left again so soon was a mistake; the next try waits twice as long.
MISTAKE_SECONDS = 10.0
BELIEVE_SECONDS = 30.0
# A compiled network against an eager one, until both have been measured.
EAGER_IS_SLOWER = 2.5
SMOOTHING = 0.15


def working_sizes(height: int, width: int) -> tuple[tuple[int, int], ...]:
    """Heights and widths in pixels of the steps for an output of that size, the largest first."""
    sizes = [(height, width)]
    for scale in SCALES[1:]:
        size = (round(height * scale / 4) * 4, round(width * scale / 4) * 4)
        if min(size) >= SMALLEST_PX and size[0] < sizes[-1][0]:
            sizes.append(size)
    return tuple(sizes)


def first_step(sizes: Sequence[tuple[int, int]], most_pixels: float) -> int:
    """The largest of ``sizes`` with at most ``most_pixels``; the smallest where none has."""
    return next((step for step, (height, width) in enumerate(sizes) if height * width <= most_pixels), len(sizes) - 1)


@dataclass(slots=True)
class _Cost:
    """What painting at a step costs, smoothed, and when that was last measured, both in seconds."""

    seconds: float
    at: float


class ResolutionControl:
    """Steers the resolution by the time that painting takes, and by the latency.

    Args:
        sizes: height and width in pixels of each step, the largest first.
        step: to begin with.
        fps: pictures a second that are wanted.
        latency_seconds: from capture to sink, that most pictures are to stay below.

    Attributes:
        step: that is used.
    """

    def __init__(self, sizes: Sequence[tuple[int, int]], *, step: int, fps: float, latency_seconds: float) -> None:
        self.step = step
        self._pixels = [height * width for height, width in sizes]
        self._interval = 1 / fps
        self._latency_target = latency_seconds
        self._elsewhere = 0.0
        self._largest = 0
        self._costs: dict[tuple[int, bool], _Cost] = {}
        self._is_fast = False
        self._late_since: float | None = None
        self._room_since: float | None = None
        self._up_seconds = UP_SECONDS
        self._went_up_at: float | None = None

    def set_fps(self, fps: float) -> None:
        """Aim at ``fps`` pictures a second from now on."""
        self._interval = 1 / fps

    def forbid(self, step: int) -> None:
        """Never choose ``step`` again, nor a larger one: the device has no memory for it."""
        self._largest = max(self._largest, step + 1)
        self.step = max(self.step, self._largest)
        self._late_since = self._room_since = self._went_up_at = None

    @property
    def budget_seconds(self) -> float:
        """That a picture may take to paint.

        Where time is lost behind the painter a smaller picture helps little: a third of the latency stays for painting.
        """
        room = max(self._latency_target - self._elsewhere, self._latency_target / 3)
        return min(self._interval, room)

    def add(self, now: float, seconds: float, *, fast: bool) -> None:
        """A picture took ``seconds`` to paint at the present step, with the ``fast`` engine or the slow one."""
        self._is_fast = fast
        known = self._costs.get((self.step, fast))
        if known is None or now - known.at > BELIEVE_SECONDS:
            self._costs[self.step, fast] = _Cost(seconds, now)
        else:
            known.seconds += SMOOTHING * (seconds - known.seconds)
            known.at = now

    def add_latency(self, seconds: float) -> None:
        """A sink took a picture ``seconds`` after it had been captured."""
        cost = self._costs.get((self.step, self._is_fast))
        elsewhere = max(seconds - (cost.seconds if cost else 0.0), 0.0)
        self._elsewhere += SMOOTHING * (elsewhere - self._elsewhere)

    def choose(self, now: float, ready: Collection[int]) -> int:
        """The step to paint the next picture at.

        Args:
            now: seconds.
            ready: the steps for which the fast engine is there.
        """
        cost = self._costs.get((self.step, self._is_fast))
        if cost is None:
            return self.step
        if self._is_late(now, cost.seconds):
            self._go(now, self._best(now, ready))
        elif (better := self._better(now, ready)) is not None:
            self._go(now, better)
        return self.step

    def worth_preparing(self, now: float) -> int | None:
        """The step whose fast engine would serve best; None as long as too little is known."""
        if (self.step, self._is_fast) not in self._costs:
            return None
        steps = range(self._largest, len(self._pixels))
        fits = (step for step in steps if self._expect(now, step, True) <= self._comfort)
        return next(fits, len(self._pixels) - 1)

    @property
    def _comfort(self) -> float:
        return COMFORT * self.budget_seconds

    def _is_late(self, now: float, seconds: float) -> bool:
        """Whether painting has taken too long for long enough to be sure."""
        if seconds <= self.budget_seconds:
            self._late_since = None
            return False
        if self._late_since is None:
            self._late_since = now
        return now - self._late_since >= DOWN_SECONDS

    def _better(self, now: float, ready: Collection[int]) -> int | None:
        """A larger step, where there has been room for one for long enough; at once where a fast engine came."""
        best = self._best(now, ready)
        if best >= self.step or self._expect(now, best, best in ready) > self._comfort:
            self._room_since = None
            return None
        if best in ready and not self._is_fast:
            return best
        if self._room_since is None:
            self._room_since = now
        if now - self._room_since < self._up_seconds:
            return None
        return self.step - 1 if self._expect(now, self.step - 1, self.step - 1 in ready) <= self._comfort else best

    def _best(self, now: float, ready: Collection[int]) -> int:
        """The largest step that fits; where none does, the quickest."""
        steps = range(self._largest, len(self._pixels))
        expected = {step: self._expect(now, step, step in ready) for step in steps}
        fits = (step for step, seconds in expected.items() if seconds <= self._comfort)
        return next(fits, min(expected, key=expected.__getitem__))

    def _expect(self, now: float, step: int, fast: bool) -> float:
        """Seconds that a picture would take at ``step``."""
        for engine in (fast, not fast):
            known = self._costs.get((step, engine))
            if known is not None and now - known.at <= BELIEVE_SECONDS:
                return known.seconds * self._ratio(engine, fast)
        cost = self._costs[self.step, self._is_fast]
        return cost.seconds * self._pixels[step] / self._pixels[self.step] * self._ratio(self._is_fast, fast)

    def _ratio(self, known: bool, wanted: bool) -> float:
        """How much longer one engine takes than the other."""
        if known == wanted:
            return 1.0
        both = [step for step in range(len(self._pixels)) if {(step, True), (step, False)} <= self._costs.keys()]
        slower = EAGER_IS_SLOWER
        if both:
            slower = max(self._costs[both[0], False].seconds / self._costs[both[0], True].seconds, 1.0)
        return slower if known else 1 / slower

    def _go(self, now: float, step: int) -> None:
        """Change to ``step``, and learn from a change upward that did not last."""
        self._late_since = self._room_since = None
        if step == self.step:
            return
        if step < self.step:
            self._went_up_at = now
        elif self._went_up_at is not None:
            mistaken = now - self._went_up_at < MISTAKE_SECONDS
            self._up_seconds = min(2 * self._up_seconds, LONGEST_UP_SECONDS) if mistaken else UP_SECONDS
            self._went_up_at = None
        self.step = step
