"""A progress bar with speed and remaining time, and notices above it."""

import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from pipeline.console.terminal import say
from pipeline.errors import notes_of

if TYPE_CHECKING:
    from models.optimize.picture import Report
    from models.training.report import TrainingReport
    from pipeline.progress import Progress

NO_PARTIAL_OUTPUT = "no partial output is kept"


class Bar:
    """A bar on standard error if that is a terminal; notices are printed above it.

    A `KeyboardInterrupt` that leaves the context gets a note that describes the partial output.

    Args:
        verb: label of the bar, such as ``stylizing``.
        quiet: show nothing.
        left: describes the partial output after an interruption.
        first: label until the first frame is done.
    """

    def __init__(
        self,
        verb: str,
        quiet: bool,
        *,
        left: Callable[[], str] = lambda: NO_PARTIAL_OUTPUT,
        first: str = "loading the network",
    ) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

        self._verb, self._quiet, self._left = verb, quiet, left
        self._step_times: deque[float] = deque(maxlen=20)
        console = Console(stderr=True)
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[state]}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=quiet or not console.is_terminal,
            refresh_per_second=5,
        )
        self._task = self._bar.add_task(first, total=None, state="")

    def __enter__(self) -> "Bar":
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        self.stop()
        if isinstance(error, KeyboardInterrupt) and not notes_of(error):
            error.add_note(self._left())

    def stop(self) -> None:
        """Remove the bar before the context ends, for a process that is about to be ended."""
        self._bar.stop()

    def note(self, notice: str) -> None:
        """Print ``notice`` above the bar."""
        if not self._quiet:
            say(f"note: {notice}")

    def frames(self, state: "Progress") -> None:
        """Show the progress of a clip."""
        of = f"/{state.total}" if state.total else ""
        text = f"{state.frames}{of} frames  {state.fps:.1f} fps  waits for {state.bottleneck}"
        self._show(state.frames, state.total, text)

    def counts(self, done: int, total: int | None, what: str = "frames") -> None:
        """Show how many frames, clips or tiles are done."""
        self._show(done, total, f"{done}{f'/{total}' if total else ''} {what}")

    def pictures(self, done: int, total: int) -> None:
        """Show how many pictures are done, and how fast."""
        self._show(done, total, f"{done}/{total} pictures  {self._speed()} pictures/s")

    def steps(self, report: "TrainingReport") -> None:
        """Show the progress of a training, and print a line for each validation."""
        losses = "  ".join(f"{name} {value:.2f}" for name, value in report.losses.items())
        self._show(report.progress, 1.0, f"step {report.step}  {self._speed()} steps/s  {losses}")
        if report.validation is not None and not self._quiet:
            scores = "  ".join(f"{name} {value:.3f}" for name, value in report.validation.items())
            best = "  best so far, saved" if report.best else ""
            say(f"{report.progress:4.0%}  step {report.step}  validation: {scores}{best}")

    def refinement(self, report: "TrainingReport") -> None:
        """Show the progress of the refinement of a style."""
        text = f"step {report.step}  {self._speed()} steps/s"
        if report.validation is not None:
            text += f"  validation {sum(report.validation.values()):.2f}"
        self._show(report.progress, 1.0, text, "refining the style")

    def tracked(self, frames: int, total: int | None) -> None:
        """Show for how many frames the mask is tracked."""
        self._show(frames, total, f"{frames}{f'/{total}' if total else ''} frames", "tracking the mask")

    def optimized(self, report: "Report") -> None:
        """Show a step of the optimization of a picture."""
        height, width = report.size
        losses = "  ".join(f"{name} {value:.3f}" for name, value in report.losses.items())
        self._show(report.progress, 1.0, f"{width}x{height}  step {report.step}  {self._speed()} steps/s  {losses}")

    def _show(self, done: float, total: float | None, state: str, verb: str = "") -> None:
        most = max(total, done) if total else None
        self._bar.update(self._task, description=verb or self._verb, total=most, completed=done, state=state)

    def _speed(self) -> str:
        """Return the steps per second of the last 20 steps."""
        self._step_times.append(time.monotonic())
        seconds = self._step_times[-1] - self._step_times[0]
        return f"{(len(self._step_times) - 1) / seconds:.1f}" if seconds > 0 else "-"
