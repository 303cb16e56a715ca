"""What a terminal shows of a long job: bars, with speed and time left, and lines above them.

The only module of the pipeline that draws; it is for `cli` alone, which prints the lines.
"""

import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from pipeline.errors import notes_of

if TYPE_CHECKING:
    from rich.progress import TaskID

    from models.training.trainer import Report
    from pipeline.batch.events import Ended, Event, Failed, Finished, Noted, Planned, Progressed, Skipped, Started
    from pipeline.meter import Progress

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
        self._quiet = quiet
        self._say = say
        self._left = left
        self._first = first
        self._step_times: deque[float] = deque(maxlen=20)
        self._verb = verb

    def __enter__(self) -> "Bar":
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

        self._console = Console(stderr=True)
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[state]}"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=self._quiet or not self._console.is_terminal,
            refresh_per_second=5,
        )
        self._bar.start()
        self._task = self._bar.add_task(self._first, total=None, state="")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        self._bar.stop()
        if isinstance(error, KeyboardInterrupt) and not notes_of(error):
            error.add_note(self._left())

    def note(self, notice: str) -> None:
        """Say ``notice`` above the bar."""
        if not self._quiet:
            self._above(f"note: {notice}")

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

    def steps(self, report: "Report") -> None:
        """Show where a training stands; a line for each validation."""
        losses = "  ".join(f"{name} {value:.2f}" for name, value in report.losses.items())
        text = f"step {report.step}  {self._speed()} steps/s  {losses}"
        self._bar.update(self._task, description=self._verb, total=1.0, completed=report.progress, state=text)
        if report.validation is not None and not self._quiet:
            held = "  ".join(f"{name} {value:.3f}" for name, value in report.validation.items())
            best = "  best so far, saved" if report.best else ""
            self._above(f"{report.progress:4.0%}  step {report.step}  validation: {held}{best}")

    def _above(self, line: str) -> None:
        self._bar.stop()
        self._say(line)
        self._bar.start()

    def _speed(self) -> str:
        """Steps a second, of late."""
        self._step_times.append(time.monotonic())
        seconds = self._step_times[-1] - self._step_times[0]
        return f"{(len(self._step_times) - 1) / seconds:.1f}" if seconds > 0 else "-"


class BatchView:
    """How a batch is shown while it runs: a bar for all of it, one for each clip at work, and lines for what is done.

    Args:
        quiet: show nothing.
        say: prints a line.
        show: called with each event instead; None draws bars.
    """

    def __init__(self, quiet: bool, *, say: Say, show: "Callable[[Event], None] | None") -> None:
        self._say = say
        self.shows_json = show is not None
        self._show = show or (lambda event: None)
        self._quiet = quiet
        self._tasks: dict[str, TaskID] = {}
        self._weights: dict[str, float] = {}
        self._lines: list[tuple[str, str, str]] = []
        self._counts = {"finished": 0, "skipped": 0, "clips": 0}

    def __enter__(self) -> "BatchView":
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True)
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[state]}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=self._quiet or self.shows_json or not console.is_terminal,
            refresh_per_second=4,
            speed_estimate_period=120,
        )
        self._whole = self._bars.add_task("all clips", total=None, state="")
        self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        self._bars.stop()

    def __call__(self, event: "Event") -> None:
        """Show what happened."""
        self._show(event)
        getattr(self, f"_{event.name}", lambda event: None)(event)

    def say_what_is_left(self) -> None:
        """For a process that is ended in the middle of something."""
        done = self._counts["finished"] + self._counts["skipped"]
        self._say(f"interrupted; {done} of {self._counts['clips']} are done; the same command goes on")

    def print_table(self, ended: "Ended") -> None:
        """What came of each clip, those that failed last."""
        from pipeline.batch.report import summary_line

        if not self.shows_json:
            width = max((len(name) for name, _, _ in self._lines), default=0)
            for name, word, rest in sorted(self._lines, key=lambda line: line[1] == "failed"):
                self._say(f"{name:{width}}  {word:8}  {rest}")
        self._say(f"{summary_line(ended)}; {ended.report}")

    def _planned(self, event: "Planned") -> None:
        self._counts["clips"] = event.clips
        if hasattr(self, "_bars"):
            self._bars.update(self._whole, total=event.megapixels or None, state=f"{event.clips} clips")

    def _started(self, event: "Started") -> None:
        self._tasks[event.output] = self._bars.add_task(event.output, total=None, state="")
        self._weights[event.output] = event.megapixels

    def _progress(self, event: "Progressed") -> None:
        task = self._tasks[event.output]
        of = f"/{event.total}" if event.total else ""
        total = max(event.total, event.frames) if event.total else None
        more = event.frames - self._bars.tasks[self._bars.task_ids.index(task)].completed
        weight = self._weights[event.output] / event.total if event.total else 0.0
        self._bars.update(task, completed=event.frames, total=total, state=f"{event.frames}{of}  {event.fps:.1f} fps")
        self._bars.update(self._whole, advance=more * weight)

    def _note(self, event: "Noted") -> None:
        if not self._quiet and not self.shows_json:
            self._bars.stop()
            self._say(f"note: {event.output}: {event.line}" if event.output else f"note: {event.line}")
            self._bars.start()

    def _finished(self, event: "Finished") -> None:
        figures = event.figures
        damaged = f", {figures['damaged_places']} damaged places in the input" if figures["damaged_places"] else ""
        self._lines.append((event.output, "painted", f"{figures['frames']} frames, {figures['fps']:.1f} fps{damaged}"))
        self._done("finished", event.output)

    def _skipped(self, event: "Skipped") -> None:
        self._lines.append((event.output, "done", "before"))
        self._done("skipped", event.output)

    def _failed(self, event: "Failed") -> None:
        if not event.will_retry:
            self._lines.append((event.output, "failed", event.error))
        self._done("failed", event.output)

    def _done(self, what: str, output: str) -> None:
        self._counts[what] = self._counts.get(what, 0) + 1
        task = self._tasks.pop(output, None)
        if task is not None:
            self._bars.remove_task(task)
        done = self._counts["finished"] + self._counts["skipped"]
        self._bars.update(self._whole, state=f"{done}/{self._counts['clips']} clips")
