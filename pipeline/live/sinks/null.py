"""Nowhere: for measuring."""

from fractions import Fraction

from pipeline.live.frames import LiveFrame
from pipeline.live.sinks.sink import Sink


class NullSink(Sink):
    """Takes every picture and forgets it."""

    name = "null"

    def open(self, width: int, height: int, fps: Fraction) -> None:
        """Nothing to get ready."""

    def write(self, frame: LiveFrame) -> None:
        """Forget the picture."""

    def close(self) -> None:
        """Nothing to finish."""
