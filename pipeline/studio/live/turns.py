"""The stylize thread: viewers with a new frame take turns on one network."""

import logging
import threading
from collections import deque
from collections.abc import Callable

from pipeline.errors import PipelineError
from pipeline.live.stylize.live_network import LiveNetwork
from pipeline.studio.live.viewer import MOST_FPS, Viewer

logger = logging.getLogger(__name__)

# Several viewers share the frames of one, down to this rate for each; then the frames get smaller.
SHARED_FPS = 12.0


class Turns(threading.Thread):
    """Runs the network for all viewers, one frame at a time.

    A viewer gets no second turn before all others that have a new frame had theirs.

    Args:
        load: returns the network; called in the thread.
        on_ready: called in the thread with the network, or with the error that `load` raised.
        on_failure: called in the thread with a viewer that cannot be stylized, and why.

    Attributes:
        is_closed: whether the thread is to end.
    """

    def __init__(
        self,
        load: Callable[[], LiveNetwork],
        on_ready: Callable[[LiveNetwork | BaseException], None],
        on_failure: Callable[[Viewer, str], None],
    ) -> None:
        super().__init__(name="flowbrush-turns", daemon=True)
        self._load, self._on_ready, self._on_failure = load, on_ready, on_failure
        self._viewers: deque[Viewer] = deque()
        self._changes: deque[Callable[[LiveNetwork], None]] = deque()
        self._changed = threading.Condition()
        self.is_closed = False

    def add(self, viewer: Viewer) -> None:
        """Give turns to ``viewer``, from now on."""
        with self._changed:
            self._viewers.append(viewer)

    def remove(self, viewer: Viewer) -> None:
        """Give no more turns to ``viewer``."""
        with self._changed:
            if viewer in self._viewers:
                self._viewers.remove(viewer)

    def change(self, change: Callable[[LiveNetwork], None]) -> None:
        """Call ``change`` with the network between two turns, in the thread; never if it ends before."""
        with self._changed:
            self._changes.append(change)
            self._changed.notify()

    def wake(self) -> None:
        """Look again who is ready."""
        with self._changed:
            self._changed.notify()

    def close(self) -> None:
        """End the thread after the present frame."""
        with self._changed:
            self.is_closed = True
            self._changed.notify()

    def run(self) -> None:
        """Load the network, and stylize until the end."""
        try:
            network = self._load()
        except BaseException as error:  # noqa: BLE001 - reported to whoever waits for the network
            self._on_ready(error)
            return
        self._on_ready(network)
        try:
            network.use_this_thread()
            while (turn := self._next()) is not None:
                turn(network)
        finally:
            network.close()

    def _next(self) -> Callable[[LiveNetwork], None] | None:
        """Wait for a change or for a viewer whose turn it is, and return what to do; None at the end."""
        with self._changed:
            while not self.is_closed:
                if self._changes:
                    return self._changes.popleft()
                viewer = next((viewer for viewer in self._viewers if viewer.is_ready), None)
                if viewer is not None:
                    self._viewers.remove(viewer)
                    self._viewers.append(viewer)
                    return self._turn(viewer, turn_rate(len(self._viewers)))
                self._changed.wait()
        return None

    def _turn(self, viewer: Viewer, turns_per_second: float) -> Callable[[LiveNetwork], None]:
        def turn(network: LiveNetwork) -> None:
            try:
                viewer.stylize(network, turns_per_second)
            except PipelineError as error:
                self._on_failure(viewer, str(error))
            except Exception:  # the other viewers must not suffer
                logger.exception("a frame of a viewer could not be stylized")
                self._on_failure(viewer, "the studio failed at this frame; reload the page")

        return turn


def turn_rate(viewers: int) -> float:
    """Return how many frames per second the machine should stylize for so many viewers together."""
    return viewers * max(MOST_FPS / max(viewers, 1), SHARED_FPS)
