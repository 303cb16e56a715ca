"""What comes over the net against the clock: too late, where it waits in buffers; too early, where it is a file."""

from enum import Enum


class Use(Enum):
    """What becomes of a packet."""

    SHOW = "decoded and handed out"
    HIDE = "decoded, as others need it"
    DROP = "left out"


class Backlog:
    """Finds out that packets have waited in buffers, and what to do with them to have the newest again.

    How far the clock is ahead of the packets' own time is smallest where none has waited. What is later than that by
    half a second is not shown, and is decoded only because those behind need it. Where that does not catch up, all is
    left out up to the next key picture; where all are key pictures, one by one is.
    """

    BEHIND_SECONDS = 0.5
    # So long may decoding take to catch up: the next key picture can be ten seconds away.
    CATCH_UP_SECONDS = 2.0
    # While packets are late, one that had to be waited for says that no more are in the buffers: the source's own
    # time has leapt, or runs slowly.
    WAITED_SECONDS = 0.01
    # That the clocks do not run equally fast.
    DRIFT = 1e-4

    def __init__(self) -> None:
        self._least: float | None = None
        self._read_at = 0.0
        self._behind_since: float | None = None
        self._has_others = self._skips = False

    def use_of(self, seconds: float | None, is_key: bool, now: float, waited_seconds: float) -> Use:
        """What to do with a packet.

        Args:
            seconds: on the source's clock; None where it does not say.
            is_key: whether it can be decoded without those before it.
            now: when it was read.
            waited_seconds: how long reading it took.
        """
        self._has_others = self._has_others or not is_key
        is_behind = seconds is not None and self._is_behind(seconds, now, waited_seconds)
        self._behind_since = (self._behind_since or now) if is_behind else None
        if not self._has_others:
            return Use.DROP if is_behind else Use.SHOW
        if is_key and self._skips:
            self._skips = False
            return Use.SHOW
        if self._behind_since is not None and now - self._behind_since > self.CATCH_UP_SECONDS:
            self._skips = not is_key
        if self._skips:
            return Use.DROP
        return Use.HIDE if is_behind else Use.SHOW

    def _is_behind(self, seconds: float, now: float, waited_seconds: float) -> bool:
        late = now - seconds
        if self._least is None or (self._behind_since is not None and waited_seconds > self.WAITED_SECONDS):
            self._least, self._read_at = late, now
        self._least = min(self._least + self.DRIFT * (now - self._read_at), late)
        self._read_at = now
        return late - self._least > self.BEHIND_SECONDS


class Pace:
    """Tells how long to wait for the moment of a picture of a file; who is late by much moves the rest."""

    LATE_SECONDS = 0.5
    # Time that leaps ahead by more is not waited for.
    LEAP_SECONDS = 10.0

    def __init__(self) -> None:
        self._origin: float | None = None

    def wait_seconds(self, seconds: float, now: float) -> float:
        """How long, at ``now``, until the picture of the file's time ``seconds`` is due; 0 where it is."""
        origin = now - seconds
        if self._origin is None or not -self.LATE_SECONDS < self._origin - origin < self.LEAP_SECONDS:
            self._origin = origin
        return max(0.0, self._origin - origin)
