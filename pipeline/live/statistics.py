"""What a session has done, counted in constant memory however long it runs."""

import threading
from dataclasses import dataclass, field

import numpy as np

# Latencies are counted in bins of half a millisecond, up to ten seconds.
BIN_MS = 0.5
BINS = 20_000


class Latencies:
    """Counts times and gives their percentiles, to half a millisecond."""

    def __init__(self) -> None:
        self._counts = np.zeros(BINS, np.int64)

    def add(self, seconds: float) -> None:
        """Count a time; what is longer than the scale counts as its end."""
        self._counts[min(max(int(seconds * 1000 / BIN_MS), 0), BINS - 1)] += 1

    def percentile(self, share: float) -> float | None:
        """Milliseconds that ``share`` (in [0, 1]) of the times do not exceed; None where there are none."""
        total = int(self._counts.sum())
        if not total:
            return None
        place = np.searchsorted(np.cumsum(self._counts), max(share * total, 1))
        return float((place + 1) * BIN_MS)

    def summary(self) -> dict[str, float | None]:
        """``p50``, ``p95`` and ``p99`` in milliseconds."""
        return {f"p{percent}": self.percentile(percent / 100) for percent in (50, 95, 99)}


@dataclass(frozen=True, slots=True)
class SinkSummary:
    """What came to one sink.

    Attributes:
        name: of the sink.
        fps: pictures a second, from the first to the last; None for fewer than two.
        latency_ms: ``p50``, ``p95``, ``p99`` from capture until the sink had taken the picture; None for no picture.
        delivered: pictures that it took.
        dropped: pictures that it was too slow for.
        failure: why it was taken out; None where it worked to the end.
    """

    name: str
    fps: float | None
    latency_ms: dict[str, float | None]
    delivered: int
    dropped: int
    failure: str | None


@dataclass
class Deliveries:
    """Counts what one sink takes; `add` is called in its thread, all else anywhere."""

    delivered: int = 0
    latencies: Latencies = field(default_factory=Latencies)
    last_seconds: float = 0.0
    _first: float = 0.0
    _last: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, captured_at: float, now: float) -> None:
        """A picture that was captured at ``captured_at`` has been taken ``now``."""
        with self._lock:
            self._first = self._first if self.delivered else now
            self._last = now
            self.delivered += 1
            self.last_seconds = now - captured_at
            self.latencies.add(self.last_seconds)

    def summary(self, name: str, dropped: int, failure: str | None) -> SinkSummary:
        """All of it."""
        with self._lock:
            seconds = self._last - self._first
            fps = (self.delivered - 1) / seconds if seconds > 0 else None
            return SinkSummary(name, fps, self.latencies.summary(), self.delivered, dropped, failure)


@dataclass(frozen=True, slots=True)
class LiveSummary:
    """What a live session did. The first five fields are those of the sink that took the most pictures.

    Attributes:
        fps: pictures a second.
        latency_ms: ``p50``, ``p95``, ``p99``, from capture until the sink had taken the picture.
        captured: pictures that the source gave.
        delivered: pictures that the sink took.
        dropped: captured pictures that it never got.
        seconds: from the start of the session until it was told to end; what finishing took is not in it.
        size: width and height of the pictures that came out, in pixels.
        painted_at: width and height at which the last was painted.
        engine: that painted it.
        first_picture_seconds: from the start of the session to the first picture delivered; None where none was.
        fast_after_seconds: from the start to the first picture that a fast engine painted; None where none did.
        sinks: of each sink.
        notices: what the user was told.
    """

    fps: float | None
    latency_ms: dict[str, float | None]
    captured: int
    delivered: int
    dropped: int
    seconds: float
    size: tuple[int, int]
    painted_at: tuple[int, int]
    engine: str
    first_picture_seconds: float | None
    fast_after_seconds: float | None
    sinks: tuple[SinkSummary, ...]
    notices: tuple[str, ...]
