"""Limits of how often one address may ask."""

import time
from collections import OrderedDict
from collections.abc import Callable

# Addresses that are remembered; the one that was silent for the longest time is forgotten first.
MOST_ADDRESSES = 1000


class RateLimit:
    """Lets each address ask ``burst`` times at once, and ``per_second`` times a second in the long run.

    Args:
        burst: requests that may come at once.
        per_second: requests a second that are allowed for ever.
        clock: the time in seconds.
    """

    def __init__(self, burst: int, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._burst, self._per_second, self._clock = burst, per_second, clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def allows(self, address: str) -> bool:
        """Return whether ``address`` may ask now, and count that it does."""
        left = self.left(address)
        is_allowed = left >= 1
        self._left[address] = (left - 1 if is_allowed else left, self._clock())
        self._left.move_to_end(address)
        while len(self._left) > MOST_ADDRESSES:
            self._left.popitem(last=False)
        return is_allowed

    def left(self, address: str) -> float:
        """Return how many requests ``address`` may make now; counts nothing."""
        left, at = self._left.get(address, (float(self._burst), self._clock()))
        return min(left + (self._clock() - at) * self._per_second, float(self._burst))
