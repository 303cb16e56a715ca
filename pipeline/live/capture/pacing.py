"""Network streams against the clock: skip packets that waited in buffers, delay frames that arrive early."""

from enum import Enum


class PacketAction(Enum):
    """What to do with a packet."""

    SHOW = "decode it and deliver the frame"
    DECODE_ONLY = "decode it, because later packets refer to it"
    DROP = "do not decode it"


class ClockOffset:
    """Estimates how far the local clock is ahead of a device's clock.

    A packet that was not delayed shows the smallest difference between the two clocks, so the estimate is the smallest
    difference seen. It grows slowly, as clocks do not run equally fast.

    Attributes:
        seconds: the estimate; None before the first `update`.
    """

    DRIFT = 1e-4

    def __init__(self) -> None:
        self.seconds: float | None = None
        self._updated_at = 0.0

    def update(self, difference: float, now: float) -> float:
        """Return the new estimate, given the ``difference`` seen at ``now``; both in seconds."""
        if self.seconds is None:
            self.seconds = difference
        self.seconds = min(self.seconds + self.DRIFT * (now - self._updated_at), difference)
        self._updated_at = now
        return self.seconds


class BacklogFilter:
    """Skips packets that waited in buffers, so that the newest frame is shown.

    A packet more than half a second late is decoded but not shown. If decoding does not catch up within two seconds,
    all packets up to the next key frame are dropped. In a stream of key frames alone, late packets are dropped at once.
    """

    LATE_SECONDS = 0.5
    # The next key frame can be ten seconds away, so decoding is tried first.
    CATCH_UP_SECONDS = 2.0
    # If reading a late packet took this long, no more packets wait in the buffers: the source's clock has jumped or
    # runs slowly.
    WAITED_SECONDS = 0.01

    def __init__(self) -> None:
        self._offset = ClockOffset()
        self._late_since: float | None = None
        self._has_delta_frames = self._is_skipping = False

    def action(self, seconds: float | None, is_key: bool, now: float, waited_seconds: float) -> PacketAction:
        """Decide what to do with a packet.

        Args:
            seconds: time stamp of the packet on the source's clock; None if it has none.
            is_key: whether the packet can be decoded without earlier ones.
            now: when the packet was read, in seconds.
            waited_seconds: how long the read took.
        """
        self._has_delta_frames = self._has_delta_frames or not is_key
        is_late = seconds is not None and self._is_late(seconds, now, waited_seconds)
        self._late_since = (self._late_since or now) if is_late else None
        if not self._has_delta_frames:
            return PacketAction.DROP if is_late else PacketAction.SHOW
        if is_key and self._is_skipping:
            self._is_skipping = False
            return PacketAction.SHOW
        if self._late_since is not None and now - self._late_since > self.CATCH_UP_SECONDS:
            self._is_skipping = not is_key
        if self._is_skipping:
            return PacketAction.DROP
        return PacketAction.DECODE_ONLY if is_late else PacketAction.SHOW

    def _is_late(self, seconds: float, now: float, waited_seconds: float) -> bool:
        difference = now - seconds
        if self._late_since is not None and waited_seconds > self.WAITED_SECONDS:
            self._offset = ClockOffset()
        return difference - self._offset.update(difference, now) > self.LATE_SECONDS


class RealTimePacer:
    """Computes when to deliver the frames of a file that arrives faster than real time.

    If delivery falls behind by more than half a second, the rest of the file is shifted by as much.
    """

    SHIFT_SECONDS = 0.5
    # A longer wait means that the time stamps have jumped.
    JUMP_SECONDS = 10.0

    def __init__(self) -> None:
        self._origin: float | None = None

    def wait_seconds(self, seconds: float, now: float) -> float:
        """Return how long to wait at ``now`` for the frame with time stamp ``seconds``; 0 if it is due."""
        origin = now - seconds
        if self._origin is None or not -self.SHIFT_SECONDS < self._origin - origin < self.JUMP_SECONDS:
            self._origin = origin
        return max(0.0, self._origin - origin)
