"""What a terminal shows of a batch: bars with speed and time left, notices above them, and a table at the end."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.console.tables import print_plan
from pipeline.console.terminal import say
from pipeline.errors import printable

if TYPE_CHECKING:
    from rich.progress import TaskID

    from pipeline.batch.events import Ended, Event, Failed, Finished, Noted, Planned, Progressed, Skipped, Started
    from pipeline.batch.plan import BatchPlan

# In the table, a longer name does not shift the results of the others.
WIDEST_NAME = 48


@dataclass(slots=True)
class _Clip:
    """A clip as the view knows it.

    Attributes:
        megapixels: of all frames.
        done_megapixels: of the frames that are stylized; all, once the clip has ended.
        result: a word and a detail; None as long as an attempt is left.
        bar: on the screen while the clip is worked on.
    """

    megapixels: float = 0.0
    done_megapixels: float = 0.0
    result: tuple[str, str] | None = None
    bar: "TaskID | None" = None


class BatchView:
    """Shows a batch on standard error: a bar for all clips and one for each at work, notices, a table at the end.

    Args:
        quiet: show only what failed, at the end.
        emit: called with each event, in place of bars and notices; None shows these.

    Attributes:
        bars: on the screen; the first is that of the whole batch.
    """

    def __init__(self, quiet: bool, *, emit: "Callable[[Event], None] | None" = None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._quiet, self._emit = quiet, emit
        self._clips: dict[str, _Clip] = {}
        self._planned_clips, self._planned_megapixels = 0, 0.0
        console = Console(stderr=True)
        self.bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[state]}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=quiet or emit is not None or not console.is_terminal,
            refresh_per_second=4,
            speed_estimate_period=120,
        )
        self._whole = self.bars.add_task("all clips", total=None, state="")

    def __enter__(self) -> "BatchView":
        self.bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        self.bars.stop()

    def __call__(self, event: "Event") -> None:
        """Show ``event``."""
        if self._emit is not None:
            self._emit(event)
        getattr(self, f"_{event.name}", lambda event: None)(event)
        self._show_whole()

    def show_plan(self, plan: "BatchPlan") -> None:
        """Print what the batch would do, or emit it as events."""
        from pipeline.batch.events import Noted

        if self._emit is None:
            print_plan(plan)
            return
        self._emit(plan.event())
        for line in plan.notes:
            self._emit(Noted(None, line))

    def report_interruption(self) -> None:
        """Print how far the batch is, for a process that is about to be ended."""
        self.bars.stop()  # otherwise the terminal keeps the bars, and hides its cursor
        say(f"interrupted; {self._done()} of {self._all()} are done; run the same command to resume")

    def print_table(self, ended: "Ended") -> None:
        """Print the result of each clip, failures last; if quiet, these alone."""
        from rich.cells import cell_len

        from pipeline.batch.report import summary_line

        rows = [(printable(name), *clip.result) for name, clip in self._clips.items() if clip.result]
        if self._quiet:
            rows = [row for row in rows if row[1] == "failed"]
        if self._emit is None:
            width = min(max((cell_len(name) for name, _, _ in rows), default=0), WIDEST_NAME)
            for name, word, detail in sorted(rows, key=lambda row: row[1] == "failed"):
                say(f"{name}{' ' * (width - cell_len(name))}  {word:8}  {detail}")
        if rows or not self._quiet:
            say(f"{summary_line(ended)}; {ended.report}")

    def _planned(self, event: "Planned") -> None:
        self._planned_clips, self._planned_megapixels = event.clips, event.megapixels

    def _started(self, event: "Started") -> None:
        clip = self._without_bar(event.output)
        clip.megapixels, clip.done_megapixels, clip.result = event.megapixels, 0.0, None
        name = _end_of(printable(event.output), max(self.bars.console.width * 2 // 5, 20))
        clip.bar = self.bars.add_task(name, total=None, state="starting")

    def _progress(self, event: "Progressed") -> None:
        clip = self._clips.get(event.output)
        if clip is None or clip.bar is None or not event.frames:
            return
        total = max(event.total, event.frames) if event.total else None
        clip.done_megapixels = clip.megapixels * event.frames / total if total else 0.0
        speed = f"  {event.fps:.1f} fps" if event.fps else ""
        state = f"{event.frames}{f'/{event.total}' if event.total else ''}{speed}"
        self.bars.update(clip.bar, completed=event.frames, total=total, state=state)

    def _note(self, event: "Noted") -> None:
        self._say_above(f"{event.output}: {event.line}" if event.output else event.line)

    def _finished(self, event: "Finished") -> None:
        figures = event.figures
        details = [_counted(figures["frames"], "frame")]
        if figures["fps"]:
            details.append(f"{figures['fps']:.1f} fps")
        if figures["damaged_places"]:
            details.append(f"{_counted(figures['damaged_places'], 'damaged place')} in the input")
        self._end(event.output, "stylized", ", ".join(details))

    def _skipped(self, event: "Skipped") -> None:
        self._end(event.output, "done", "before")

    def _failed(self, event: "Failed") -> None:
        if event.will_retry:
            self._without_bar(event.output).done_megapixels = 0.0
            self._say_above(f"{event.output} failed: {event.error}; it is tried once more after the others")
        else:
            self._end(event.output, "failed", event.error)

    def _end(self, output: str, word: str, detail: str) -> None:
        clip = self._without_bar(output)
        clip.done_megapixels, clip.result = clip.megapixels, (word, detail)

    def _without_bar(self, output: str) -> _Clip:
        """The clip, known or new, after its bar is removed."""
        clip = self._clips.setdefault(output, _Clip())
        if clip.bar is not None:
            self.bars.remove_task(clip.bar)
            clip.bar = None
        return clip

    def _say_above(self, notice: str) -> None:
        if not self._quiet and self._emit is None:
            say(f"note: {notice}")

    def _show_whole(self) -> None:
        clips = self._clips.values()
        total = max(self._planned_megapixels, sum(clip.megapixels for clip in clips))
        failed = sum(clip.result is not None and clip.result[0] == "failed" for clip in clips)
        state = f"{self._done()}/{self._all()} clips{f', {failed} failed' if failed else ''}"
        done = sum(clip.done_megapixels for clip in clips)
        self.bars.update(self._whole, completed=done, total=total or None, state=state)

    def _done(self) -> int:
        return sum(clip.result is not None and clip.result[0] != "failed" for clip in self._clips.values())

    def _all(self) -> int:
        """Number of clips in the plan, and of those that arrived later."""
        return max(self._planned_clips, len(self._clips))


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _end_of(name: str, cells: int) -> str:
    """The end of ``name`` that fits into ``cells`` columns of the terminal."""
    from rich.cells import cell_len

    if cell_len(name) <= cells:
        return name
    start = next(place for place in range(len(name)) if cell_len(name[place:]) <= cells - 3)
    return f"...{name[start:]}"
