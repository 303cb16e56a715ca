"""What a session did, counted in constant memory however long it runs."""

import threading
from dataclasses import dataclass

import numpy as np

# Latencies are counted in bins of half a millisecond, up to ten seconds.
BIN_MS = 0.5
BINS = 20_000


class Latencies:
    """A histogram of times, which gives percentiles exact to half a millisecond."""

    def __init__(self) -> None:
        self._counts = np.zeros(BINS, np.int64)

    def add(self, seconds: float) -> None:
        """Count a time; one beyond the scale counts as its end."""
        self._counts[min(max(int(seconds * 1000 / BIN_MS), 0), BINS - 1)] += 1

    def percentile(self, share: float) -> float | None:
        """Return the milliseconds that ``share`` (in [0, 1]) of the times do not exceed; None without any times."""
        total = int(self._counts.sum())
        if not total:
            return None
        place = np.searchsorted(np.cumsum(self._counts), max(share * total, 1))
        return float((place + 1) * BIN_MS)

    def summary(self) -> dict[str, float | None]:
        """Return ``p50``, ``p95`` and ``p99`` in milliseconds."""
        return {f"p{percent}": self.percentile(percent / 100) for percent in (50, 95, 99)}


@dataclass(frozen=True, slots=True)
class SinkSummary:
    """What a sink took.

    Attributes:
        name: of the sink.
        fps: frames per second, from the first to the last; None for fewer than two frames.
        latency_ms: ``p50``, ``p95``, ``p99`` from capture until the sink had taken the frame; None without frames.
        delivered: number of frames that the sink took.
        dropped: number of frames that it was too slow for.
        failure: why it failed; None if it did not.
    """

    name: str
    fps: float | None
    latency_ms: dict[str, float | None]
    delivered: int
    dropped: int
    failure: str | None


class Deliveries:
    """Counts the frames that one sink takes; `add` is called in its thread, everything else in any.

    Attributes:
        delivered: number of frames so far.
        last_seconds: latency of the last frame.
    """

    def __init__(self) -> None:
        self.delivered = 0
        self.last_seconds = 0.0
        self._latencies = Latencies()
        self._first_at = self._last_at = 0.0
        self._lock = threading.Lock()

    def add(self, captured_at: float, now: float) -> None:
        """Count a frame that was captured at ``captured_at`` and delivered ``now``, on one clock."""
        with self._lock:
            self._first_at = self._first_at if self.delivered else now
            self._last_at = now
            self.delivered += 1
            self.last_seconds = now - captured_at
            self._latencies.add(self.last_seconds)

    def summary(self, name: str, dropped: int, failure: str | None) -> SinkSummary:
        """Return the summary of the sink ``name``."""
        with self._lock:
            seconds = self._last_at - self._first_at
            fps = (self.delivered - 1) / seconds if seconds > 0 else None
            return SinkSummary(name, fps, self._latencies.summary(), self.delivered, dropped, failure)


@dataclass(frozen=True, slots=True)
class LiveSummary:
    """What a live session did. The first five fields are those of the sink that took the most frames.

    Attributes:
        fps: frames per second.
        latency_ms: ``p50``, ``p95``, ``p99``, from capture until the sink had taken the frame.
        captured: number of captured frames.
        delivered: number of frames that the sink took.
        dropped: number of captured frames that it did not get.
        seconds: from the start of the session until it was told to end, without the time that finishing took.
        size: width and height of the output frames, in pixels.
        stylized_size: width and height at which the network ran on the last frame, in pixels.
        engine: that stylized the last frame.
        side_by_side: number of frames that were stylized at once at the end.
        first_frame_seconds: from the start of the session to the first stylized frame; None if there was none.
        fast_after_seconds: from the start to the first frame of a fast engine; None if there was none.
        sinks: of each sink.
        notices: messages to the user.
    """

    fps: float | None
    latency_ms: dict[str, float | None]
    captured: int
    delivered: int
    dropped: int
    seconds: float
    size: tuple[int, int]
    stylized_size: tuple[int, int]
    engine: str
    side_by_side: int
    first_frame_seconds: float | None
    fast_after_seconds: float | None
    sinks: tuple[SinkSummary, ...]
    notices: tuple[str, ...]
