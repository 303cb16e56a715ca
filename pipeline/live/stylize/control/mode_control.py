"""Choose the mode of each live frame, so that frames are stylized in time. Reads no clock.

Modes are tried in the order of `_ranks`: a larger frame first, and one frame at a time before several side by side,
which doubles the latency. The first mode that fits is the best. Frames side by side, and a lower rate than the wanted
one, are for small sizes alone: larger ones are given up before.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.live.stylize.control.costs import Costs
from pipeline.live.stylize.modes import Mode, Size

if TYPE_CHECKING:
    from models.engines.engine import EngineName

Ready = Callable[[Size, int], "Collection[EngineName]"]
"""Returns the engines that can run at once for a size and a number of frames side by side."""

# A size with this many pixels is kept as long as it reaches this many frames per second, and is stylized side by side.
MODEST_PIXELS, ENOUGH_FPS = 320 * 180, 24.0
# Share of the time for a frame that a mode may be expected to take when it is chosen. It is left only when it takes
# more than all of that time: the difference keeps small changes from switching to and fro.
COMFORT = 0.85
# How long frames must be late before the mode changes, and how long if they take this much more time than there is.
DOWN_SECONDS, SOON_SECONDS, MUCH_TOO_SLOW = 0.7, 0.2, 1.3
# How long there must be time to spare; a share of that where a frame takes this much less time than there is.
UP_SECONDS, LONGEST_UP_SECONDS = 3.0, 60.0
SOONER, MUCH_TO_SPARE = 0.3, 0.6
# A better mode that is left again this soon was a mistake; the next attempt waits twice as long.
MISTAKE_SECONDS = 10.0
# Another engine must be faster by this factor, and a smaller frame that is late too; otherwise it gains nothing.
GAIN = 0.9
# A fast engine is prepared if it is faster by this factor, or makes a better mode possible; and once it has been
# wanted for this share of the time that it takes to prepare: sizes change in the first seconds.
WORTH = 0.87
WANTED_SHARE = 0.2
# How often to look for something better; it takes a millisecond of a slow machine.
LOOK_SECONDS = 0.25
SMOOTHING = 0.15


@dataclass(frozen=True, slots=True)
class _Rank:
    """A size, a number of frames side by side, and the frames per second that it has to reach."""

    size: Size
    workers: int
    fps: float


class ModeControl:
    """Chooses the mode from the time that stylizing takes, and from the latency.

    Args:
        sizes: height and width in pixels, the largest first.
        costs: of the modes.
        mode: to start with.
        most_workers: largest number of frames side by side; 1 if there are none.
        fps: wanted frames per second.
        latency_seconds: wanted latency of most frames, from capture to sink.
        is_engine_given: whether the user wants one engine, which is then prepared whatever it gains.

    Attributes:
        mode: that is in use.
        costs: of the modes.
    """

    def __init__(
        self,
        sizes: Sequence[Size],
        costs: Costs,
        mode: Mode,
        *,
        most_workers: int = 1,
        fps: float,
        latency_seconds: float,
        is_engine_given: bool = False,
    ) -> None:
        self.mode, self.costs = mode, costs
        self._is_engine_given = is_engine_given
        self._sizes = list(sizes)
        self._modest = next((size for size in reversed(sizes) if size[0] * size[1] >= MODEST_PIXELS), sizes[-1])
        self._most_workers = most_workers
        self._fps = fps
        self._latency_target = latency_seconds
        self._other_seconds = 0.0
        self._late_since: float | None = None
        self._spare_since: float | None = None
        self._up_seconds = UP_SECONDS
        self._went_up_at: float | None = None
        self._wanted: tuple[EngineName, float] | None = None
        self._look_at = 0.0
        self._engines: set[EngineName] = {mode.engine}

    def set_fps(self, fps: float) -> None:
        """Set the wanted frames per second."""
        self._fps = fps

    def is_smallest(self, size: Size) -> bool:
        """Return whether there is no smaller size than ``size``."""
        return size == self._sizes[-1]

    def forbid(self, size: Size) -> list[Size]:
        """Never choose ``size`` again, nor a larger one, as the device has too little memory; return them.

        A smaller size must be left.
        """
        following = self._sizes.index(size) + 1
        forbidden, self._sizes = self._sizes[:following], self._sizes[following:]
        self._modest = min(self._modest, self._sizes[0])
        self.mode = Mode(self._sizes[0], "eager")
        self._late_since = self._spare_since = self._went_up_at = self._wanted = None
        return forbidden

    @property
    def latency_budget(self) -> float:
        """Seconds that stylizing a frame may take.

        A third of the latency at least: where most of it is lost after stylizing, a smaller frame hardly helps.
        """
        return max(self._latency_target - self._other_seconds, self._latency_target / 3)

    def add(self, now: float, seconds: float) -> None:
        """Record that a frame took ``seconds`` in the present mode."""
        self.costs.add(now, self.mode, seconds)

    def add_latency(self, seconds: float, stylizing_seconds: float) -> None:
        """Record that a sink took a frame ``seconds`` after its capture, and how long stylizing it took."""
        other = max(seconds - stylizing_seconds, 0.0)
        self._other_seconds += SMOOTHING * (other - self._other_seconds)

    def start(self, now: float, ready: Ready) -> None:
        """Begin with what is best by what earlier sessions have measured; at the given size if there is nothing."""
        self._use(self._best(now, ready) if self.costs.known else self._fastest(now, self.mode.size, 1, ready))

    def choose(self, now: float, ready: Ready) -> Mode:
        """Return the mode of the next frame at ``now``, in monotonic seconds."""
        if self.mode.engine not in ready(self.mode.size, self.mode.workers):
            self._use(self._fastest(now, self.mode.size, self.mode.workers, ready))
        elif self.costs.now(self.mode) is not None:
            self._choose(now, ready)
        return self.mode

    def worth_preparing(
        self, now: float, ready: Ready, fast: "Sequence[EngineName]", prepare_seconds: Callable[[Mode], float]
    ) -> Mode | None:
        """Return a mode whose engine is not ready and would help; None while there is none, or too little is known.

        Args:
            now: monotonic seconds.
            ready: see `choose`.
            fast: the engines that can still be prepared, the fastest first.
            prepare_seconds: returns how long preparing the engine of a mode takes; 0 if it is in the cache.
        """
        if not fast or self.costs.now(self.mode) is None:
            return None
        wanted = self._wanted_mode(now, ready, fast, prepare_seconds)
        if wanted is None:
            self._wanted = None
            return None
        if self._wanted is None or self._wanted[0] != wanted.engine:
            self._wanted = wanted.engine, now
        return wanted if now - self._wanted[1] >= WANTED_SHARE * prepare_seconds(wanted) else None

    def _choose(self, now: float, ready: Ready) -> None:
        if self._is_late(now):
            self._fall(now, ready)
        if now < self._look_at:
            return
        self._look_at = now + LOOK_SECONDS
        engine = self._fastest(now, self.mode.size, self.mode.workers, ready)
        if engine != self.mode and self._expected(now, engine) < GAIN * self._expected(now, self.mode):
            self._use(engine)
        elif self._late_since is None:
            self._rise(now, ready)

    def _is_late(self, now: float) -> bool:
        """Return whether stylizing has been too slow for long enough."""
        excess = self._excess(now, self.mode, self._goals(self.mode.size)[-1])
        if excess <= 1:
            self._late_since = None
            return False
        if self._late_since is None:
            self._late_since = now
        return now - self._late_since >= (SOON_SECONDS if excess > MUCH_TOO_SLOW else DOWN_SECONDS)

    def _fall(self, now: float, ready: Ready) -> None:
        """Take what fits; a rise that has to be taken back so soon makes the next one wait longer."""
        best = self._best(now, ready)
        self._late_since = self._spare_since = None
        if best == self.mode:
            return
        if self._went_up_at is not None:
            was_mistake = now - self._went_up_at < MISTAKE_SECONDS
            self._up_seconds = min(2 * self._up_seconds, LONGEST_UP_SECONDS) if was_mistake else UP_SECONDS
        self._went_up_at = None
        self._use(best)

    def _rise(self, now: float, ready: Ready) -> None:
        """Take a better mode after enough time to spare, or at once if it is one of an engine that is new."""
        better = self._better(now, ready)
        if not better:
            self._spare_since = None
            return
        if better[0].engine in self._engines:
            if self._spare_since is None:
                self._spare_since = now
            excess = self._excess(now, better[-1], self._goals(better[-1].size)[0])
            if now - self._spare_since < self._up_seconds * (SOONER if excess < MUCH_TO_SPARE else 1):
                return
        self._went_up_at = now
        # What is only estimated is approached step by step.
        self._use(better[0] if self.costs.is_known(better[0]) or better[0].engine not in self._engines else better[-1])

    def _better(self, now: float, ready: Ready) -> list[Mode]:
        """Return the modes that fit and come before the present one, the best first."""
        better = []
        for rank in self._ranks():
            if (rank.size, rank.workers) == (self.mode.size, self.mode.workers):
                if self._excess(now, self.mode, rank.fps) <= 1:
                    break
                continue
            mode = self._fastest(now, rank.size, rank.workers, ready)
            if self._excess(now, mode, rank.fps) <= COMFORT:
                better.append(mode)
        return better

    def _best(self, now: float, ready: Ready) -> Mode:
        """Return the first mode that fits; if none does the fastest, but none that is smaller for no gain."""
        modes = [(rank, self._fastest(now, rank.size, rank.workers, ready)) for rank in self._ranks()]
        for rank, mode in modes:
            if self._excess(now, mode, rank.fps) <= COMFORT:
                return mode
        best = modes[0]
        for rank, mode in modes[1:]:
            if self._excess(now, mode, rank.fps) < GAIN * self._excess(now, best[1], best[0].fps):
                best = rank, mode
        return best[1]

    def _wanted_mode(
        self, now: float, ready: Ready, fast: "Sequence[EngineName]", prepare_seconds: Callable[[Mode], float]
    ) -> Mode | None:
        """Return the mode whose engine helps soonest, the fastest of those; None if none helps."""
        wanted: list[Mode] = []
        present = self._best(now, ready)
        order = [(rank.size, rank.workers) for rank in self._ranks()]
        for name in fast:
            mode = self._best(now, self._with(ready, name))
            if mode.engine != name or name in ready(mode.size, mode.workers):
                continue
            is_better = order.index((mode.size, mode.workers)) < order.index((present.size, present.workers))
            gains = self._expected(now, mode) < WORTH * self._expected(now, present)
            if self._is_engine_given or is_better or gains:
                wanted.append(mode)
        return min(wanted, key=prepare_seconds, default=None)

    def _with(self, ready: Ready, name: "EngineName") -> Ready:
        """Return what is ready once the engine ``name`` is."""
        given = self._is_engine_given
        return lambda size, workers: {name} if given else {*ready(size, workers), name}

    def _ranks(self) -> Iterator[_Rank]:
        """Yield what is wanted, the best first."""
        for size in self._sizes:
            for fps in self._goals(size):
                yield _Rank(size, 1, fps)
                if self._most_workers > 1 and size <= self._modest:
                    yield _Rank(size, self._most_workers, fps)

    def _goals(self, size: Size) -> list[float]:
        """Return the rates that a size may have, the wanted one first."""
        return [self._fps] if size > self._modest or self._fps <= ENOUGH_FPS else [self._fps, ENOUGH_FPS]

    def _fastest(self, now: float, size: Size, workers: int, ready: Ready) -> Mode:
        modes = [Mode(size, name, workers) for name in ready(size, workers)]
        return min(modes, key=lambda mode: self._expected(now, mode))

    def _expected(self, now: float, mode: Mode) -> float:
        return self.costs.expected(now, mode)

    def _excess(self, now: float, mode: Mode, fps: float) -> float:
        """Return the time that a frame takes over the time that it may take."""
        seconds = self._expected(now, mode)
        return max(seconds / mode.workers * fps, seconds / self.latency_budget)

    def _use(self, mode: Mode) -> None:
        self._late_since = self._spare_since = None
        self._engines.add(mode.engine)
        self.mode = mode
