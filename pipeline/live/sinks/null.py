"""Nowhere: for measuring."""

from fractions import Fraction

from pipeline.live.frames import LiveFrame


class NullSink:
    """Takes every picture and forgets it; a `pipeline.live.sink.Sink`."""

    name = "null"
    main_thread = False

    def open(self, width: int, height: int, fps: Fraction) -> None:
        """Nothing to get ready."""

    def write(self, frame: LiveFrame) -> None:
        """Forget the picture."""

    def idle(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to finish."""
