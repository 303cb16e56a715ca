"""What a terminal shows of a long job: a bar, with speed and time left, and lines above it.

With `pipeline.console.batch_view` all of the pipeline that draws; it is for `cli` alone, which prints the lines. As
long as
a bar is there, rich puts above it what is printed on standard error.
"""

import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from pipeline.errors import notes_of

if TYPE_CHECKING:
    from models.training.trainer import TrainingReport
    from pipeline.progress import Progress

Say = Callable[[str], None]


class Bar:
    """Progress on standard error where that is a terminal; notices and the end of an interrupted run as lines.

    Args:
        verb: what is being done.
        quiet: show nothing.
        say: prints a line.
        left: says, when an interruption happens, what it leaves behind.
        first: what is done before.
    """

    def __init__(
        self,
        verb: str,
        quiet: bool,
        *,
        say: Say,
        left: Callable[[], str] = lambda: "nothing of the output is kept",
        first: str = "loading the network",
    ) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

        self._quiet = quiet
        self._say = say
        self._left = left
        self._step_times: deque[float] = deque(maxlen=20)
        self._verb = verb
        console = Console(stderr=True)
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[state]}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=self._quiet or not console.is_terminal,
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
        """Take the bar away, which ``with`` does at its end; for a process that is ended in the middle of something."""
        self._bar.stop()

    def note(self, notice: str) -> None:
        """Say ``notice`` above the bar."""
        if not self._quiet:
            self._say(f"note: {notice}")

    def frames(self, state: "Progress") -> None:
        """Show where a painting stands."""
        of = f"/{state.total}" if state.total else ""
        text = f"{state.frames}{of} frames  {state.fps:.1f} fps  waits for {state.bottleneck}"
        total = max(state.total, state.frames) if state.total else None
        self._bar.update(self._task, description=self._verb, total=total, completed=state.frames, state=text)

    def counts(self, done: int, total: int | None, what: str = "frames") -> None:
        """Show how many frames, or tiles, are done."""
        of = f"/{total}" if total else ""
        most = max(total, done) if total else None
        self._bar.update(self._task, description=self._verb, total=most, completed=done, state=f"{done}{of} {what}")

    def steps(self, report: "TrainingReport") -> None:
        """Show where a training stands; a line for each validation."""
        losses = "  ".join(f"{name} {value:.2f}" for name, value in report.losses.items())
        text = f"step {report.step}  {self._speed()} steps/s  {losses}"
        self._bar.update(self._task, description=self._verb, total=1.0, completed=report.progress, state=text)
        if report.validation is not None and not self._quiet:
            held = "  ".join(f"{name} {value:.3f}" for name, value in report.validation.items())
            best = "  best so far, saved" if report.best else ""
            self._say(f"{report.progress:4.0%}  step {report.step}  validation: {held}{best}")

    def _speed(self) -> str:
        """Steps a second, of late."""
        self._step_times.append(time.monotonic())
        seconds = self._step_times[-1] - self._step_times[0]
        return f"{(len(self._step_times) - 1) / seconds:.1f}" if seconds > 0 else "-"
