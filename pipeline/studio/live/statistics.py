"""What a viewer is told about speed."""

import time
from collections import deque
from collections.abc import Callable

WINDOW_SECONDS = 3.0
# Frames that are remembered: more than come within the window.
MOST_FRAMES = 200


class Speed:
    """Counts the frames of one viewer; called from any thread.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._frames: deque[tuple[float, float]] = deque(maxlen=MOST_FRAMES)

    def add(self, seconds: float) -> None:
        """Count a frame that is ready ``seconds`` after it arrived."""
        self._frames.append((self._clock(), seconds))

    @property
    def fps(self) -> float:
        """Frames per second in the last seconds; 0 for fewer than two frames."""
        times = [at for at, _ in self._recent()]
        return (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 and times[-1] > times[0] else 0.0

    @property
    def milliseconds(self) -> float:
        """Mean time from the arrival of a frame until it was stylized, in the last seconds; 0 without frames."""
        recent = self._recent()
        return 1000 * sum(seconds for _, seconds in recent) / len(recent) if recent else 0.0

    def _recent(self) -> list[tuple[float, float]]:
        since = self._clock() - WINDOW_SECONDS
        return [frame for frame in tuple(self._frames) if frame[0] >= since]


class Newcomers:
    """Counts who was turned away and still tries.

    Args:
        retry_seconds: after how long a page tries again.
        clock: monotonic seconds.
    """

    def __init__(self, retry_seconds: float = 10.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._retry_seconds, self._clock = retry_seconds, clock
        self._turned_away: deque[float] = deque(maxlen=1000)

    def add(self) -> None:
        """Count somebody who is turned away."""
        self._turned_away.append(self._clock())

    def admit(self) -> None:
        """Count somebody who is let in, and does not wait any more."""
        if self.waiting:
            self._turned_away.popleft()

    @property
    def waiting(self) -> int:
        """How many wait for a place: each tries once in ``retry_seconds``."""
        since = self._clock() - 1.1 * self._retry_seconds
        while self._turned_away and self._turned_away[0] < since:
            self._turned_away.popleft()
        return len(self._turned_away)
