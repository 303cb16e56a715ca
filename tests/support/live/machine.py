"""A simulated machine with a clock of its own, on which the control of live sessions runs in no time."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

from models.engines.engine import EngineName, Precision
from pipeline.live.stylize.control.costs import Costs
from pipeline.live.stylize.control.mode_control import ModeControl
from pipeline.live.stylize.modes import Mode, Size, working_sizes

SIZES = working_sizes(360, 640)
FULL_PIXELS = 640 * 360


@dataclass
class Machine:
    """Stylizes frames that come ``fps`` times a second; the newest one counts.

    Attributes:
        core_ms: milliseconds of a core for a frame at the full size, by engine.
        fixed_ms: of a core at any size.
        shared_gain: what further cores add to one frame, as a share of the first.
        cores: number of them.
        load: cores that other programs take.
        noise: standard deviation of the time of a frame, as a share of it.
        spike_every: one in so many frames takes three times as long; 0 for none.
        other_ms: from the end of stylizing to the sink.
        prepare_seconds: until an engine that was asked for is ready, by engine.
        in_all_modes: engines that are ready in all modes once they are in one.
        compiling: what a compiler in the background costs, as a factor of all times.
        precision: of the network.
        seed: of the noise.
        ready: modes with a fast engine that is ready.
        asked: modes whose engine was prepared or is being prepared.
        log: when each frame was started, in seconds, and its mode.
        frames: when each frame was finished, and its latency, in seconds.
        now: seconds since the start.
        factor: returns what the time of a mode is multiplied with; None for nothing.
    """

    core_ms: dict[str, float]
    fixed_ms: float = 3.0
    shared_gain: float = 0.8
    cores: int = 2
    load: float = 0.0
    noise: float = 0.0
    spike_every: int = 0
    other_ms: float = 5.0
    prepare_seconds: dict[str, float] = field(default_factory=lambda: {"openvino": 4.0, "compile": 40.0})
    in_all_modes: frozenset[str] = frozenset()
    compiling: float = 1.0
    precision: Precision = "fp32"
    seed: int = 0
    ready: set[Mode] = field(default_factory=set)
    asked: list[Mode] = field(default_factory=list)
    log: list[tuple[float, Mode]] = field(default_factory=list)
    frames: list[tuple[float, float]] = field(default_factory=list)
    now: float = 0.0
    factor: Callable[[Mode], float] | None = None

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._done: list[tuple[float, Mode]] = []
        self._busy: list[float] = []
        self._settling, self._look_at = 0, 0.0
        self._last: Mode | None = None

    def names(self, size: Size, workers: int) -> list[EngineName]:
        """Return the engines that are ready."""
        ready = {mode.engine for mode in self.ready if (mode.size, mode.workers) == (size, workers)}
        return [*sorted(ready | {mode.engine for mode in self.ready if mode.engine in self.in_all_modes}), "eager"]

    def seconds(self, mode: Mode) -> float:
        """Return how long a frame takes in ``mode`` now, without noise."""
        core = self.fixed_ms + self.core_ms[mode.engine] * mode.pixels / FULL_PIXELS
        threads = max(self.cores // mode.workers, 1)
        shared = core / (1 + (threads - 1) * self.shared_gain)
        side = 1.05 if mode.workers > 1 else 1.0
        # Threads that share a frame wait for the one that shares its core with another program.
        busy = 1 + self.load if threads > 1 else self.cores / (self.cores - self.load)
        factor = self.factor(mode) if self.factor else 1.0
        return shared * side * busy * factor * (self.compiling if self._done else 1.0) / 1000

    def control(self, *, fps: float = 30.0, **changes: object) -> ModeControl:
        """Return the control of a session that begins on this machine."""
        known: dict[Mode, float] | None = changes.pop("known", None)  # type: ignore[assignment]
        settings = {"most_workers": self.cores, "fps": fps, "latency_seconds": 0.1} | changes
        costs = Costs("cpu", self.precision, self.cores, known)
        control = ModeControl(SIZES, costs, Mode(SIZES[0], "eager"), **settings)  # type: ignore[arg-type]
        control.start(self.now, self.names)
        return control

    def run(self, control: ModeControl, seconds: float, *, fps: float = 30.0) -> None:
        """Let the session run so long."""
        fast: list[EngineName] = [name for name in ("compile", "openvino") if name in self.core_ms]  # type: ignore[misc]
        end = self.now + seconds
        while self.now < end:
            self.ready |= {mode for at, mode in self._done if at <= self.now}
            self._done = [(at, mode) for at, mode in self._done if at > self.now]
            mode = control.choose(self.now, self.names)
            self._stylize(control, mode, fps)
            wanted = None
            if self.now >= self._look_at:
                self._look_at = self.now + 0.25
                wanted = control.worth_preparing(self.now, self.names, fast, self._prepare_seconds)
            if wanted and not any(each.engine == wanted.engine for _, each in self._done):
                self.asked.append(wanted)
                self._done.append((self.now + self.prepare_seconds[wanted.engine], wanted))

    def _prepare_seconds(self, mode: Mode) -> float:
        return self.prepare_seconds[mode.engine]

    def _stylize(self, control: ModeControl, mode: Mode, fps: float) -> None:
        """Stylize a frame as soon as there is one and a worker is free, and go on to where the next one can begin."""
        took = self.seconds(mode) * max(self._random.gauss(1, self.noise), 0.3)
        if self.spike_every and self._random.randrange(self.spike_every) == 0:
            took *= 3
        self._settling = mode.workers if mode != self._last else self._settling - 1
        took *= 1.5 if self._settling > 0 else 1.0  # the first frames in a mode
        began = self.now
        self.log.append((began, mode))
        self.frames.append((began + took, took + self.other_ms / 1000))
        if self._settling <= 0:
            control.add(began + took, took)
        control.add_latency(took + self.other_ms / 1000, took)
        self._last = mode
        self._busy = [*(at for at in self._busy if at > began), began + took]
        free = sorted(self._busy)[-mode.workers] if len(self._busy) >= mode.workers else began
        self.now = max(free, began + 1 / fps)

    def changes(self, since: float = 0.0) -> int:
        """Return how often the mode has changed since a time."""
        modes = [mode for at, mode in self.log if at >= since]
        return sum(before != after for before, after in pairwise(modes))

    def fps(self, since: float, until: float = 1e9) -> float:
        """Return the frames per second in a time."""
        until = min(until, self.now)
        return sum(since <= at < until for at, _ in self.frames) / (until - since)

    def p95(self, since: float, until: float = 1e9) -> float:
        """Return the 95th percentile of the latencies in a time, in seconds."""
        latencies = sorted(late for at, late in self.frames if since <= at < until)
        return latencies[int(0.95 * len(latencies))]

    def sizes(self, since: float, until: float = 1e9) -> set[Size]:
        """Return the sizes at which frames were stylized in a time."""
        return {mode.size for at, mode in self.log if since <= at < until}
