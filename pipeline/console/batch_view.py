"""What a terminal shows of a batch: bars, with speed and time left, lines above them, and a table at the end.

For `cli` alone, as `pipeline.console.progress_bar`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.console.progress_bar import Say
from pipeline.errors import printable

if TYPE_CHECKING:
    from rich.progress import TaskID

    from pipeline.batch.events import Ended, Event, Failed, Finished, Noted, Planned, Progressed, Skipped, Started

# In the table, a longer name does not push the others' results aside.
WIDEST_NAME = 48


@dataclass(slots=True)
class _Clip:
    """A clip as the view of a batch knows it.

    Attributes:
        megapixels: of all its frames.
        passed: of these, what is painted; all, where it came to its end.
        came: what came of it, a word and the rest; None as long as it has an attempt to go.
        bar: on the screen, while it is at work.
    """

    megapixels: float = 0.0
    passed: float = 0.0
    came: tuple[str, str] | None = None
    bar: "TaskID | None" = None


class BatchView:
    """How a batch is shown: a bar for all of it and one for each clip at work, lines for notices, a table at the end.

    Args:
        quiet: show nothing but what failed, at the end.
        say: prints a line.
        show: called with each event instead; None draws bars.
    """

    def __init__(self, quiet: bool, *, say: Say, show: "Callable[[Event], None] | None") -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._say = say
        self.shows_json = show is not None
        self._show = show or (lambda event: None)
        self._quiet = quiet
        self._clips: dict[str, _Clip] = {}
        self._planned_clips = 0
        self._planned_megapixels = 0.0
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

    def __enter__(self) -> "BatchView":
        self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        self._bars.stop()

    def __call__(self, event: "Event") -> None:
        """Show what happened."""
        self._show(event)
        getattr(self, f"_{event.name}", lambda event: None)(event)
        self._show_whole()

    def say_what_is_left(self) -> None:
        """For a process that is ended in the middle of something."""
        self._bars.stop()  # else the bars stay, and the cursor is gone for good
        self._say(f"interrupted; {self._done()} of {self._all()} are done; the same command goes on")

    def print_table(self, ended: "Ended") -> None:
        """What came of each clip, those that failed last; where it is to be quiet, these alone."""
        from rich.cells import cell_len

        from pipeline.batch.report import summary_line

        rows = [(printable(name), *clip.came) for name, clip in self._clips.items() if clip.came]
        if self._quiet:
            rows = [row for row in rows if row[1] == "failed"]
        if not self.shows_json:
            width = min(max((cell_len(name) for name, _, _ in rows), default=0), WIDEST_NAME)
            for name, word, rest in sorted(rows, key=lambda row: row[1] == "failed"):
                self._say(f"{name}{' ' * (width - cell_len(name))}  {word:8}  {rest}")
        if rows or not self._quiet:
            self._say(f"{summary_line(ended)}; {ended.report}")

    def _planned(self, event: "Planned") -> None:
        self._planned_clips, self._planned_megapixels = event.clips, event.megapixels

    def _started(self, event: "Started") -> None:
        clip = self._at_rest(event.output)
        clip.megapixels, clip.passed, clip.came = event.megapixels, 0.0, None
        name = _end_of(printable(event.output), max(self._bars.console.width * 2 // 5, 20))
        clip.bar = self._bars.add_task(name, total=None, state="getting ready")

    def _progress(self, event: "Progressed") -> None:
        clip = self._clips.get(event.output)
        if clip is None or clip.bar is None or not event.frames:
            return
        total = max(event.total, event.frames) if event.total else None
        clip.passed = clip.megapixels * event.frames / total if total else 0.0
        speed = f"  {event.fps:.1f} fps" if event.fps else ""
        state = f"{event.frames}{f'/{event.total}' if event.total else ''}{speed}"
        self._bars.update(clip.bar, completed=event.frames, total=total, state=state)

    def _note(self, event: "Noted") -> None:
        self._above(f"{event.output}: {event.line}" if event.output else event.line)

    def _finished(self, event: "Finished") -> None:
        figures = event.figures
        parts = [_counted(figures["frames"], "frame")]
        parts += [f"{figures['fps']:.1f} fps"] if figures["fps"] else []
        parts += (
            [f"{_counted(figures['damaged_places'], 'damaged place')} in the input"]
            if figures["damaged_places"]
            else []
        )
        self._ended_as(event.output, "painted", ", ".join(parts))

    def _skipped(self, event: "Skipped") -> None:
        self._ended_as(event.output, "done", "before")

    def _failed(self, event: "Failed") -> None:
        if event.will_retry:
            self._at_rest(event.output).passed = 0.0
            self._above(f"{event.output} failed: {event.error}; it is tried once more after the others")
        else:
            self._ended_as(event.output, "failed", event.error)

    def _ended_as(self, output: str, word: str, rest: str) -> None:
        clip = self._at_rest(output)
        clip.passed, clip.came = clip.megapixels, (word, rest)

    def _at_rest(self, output: str) -> _Clip:
        """The clip, known or new, without a bar."""
        clip = self._clips.setdefault(output, _Clip())
        if clip.bar is not None:
            self._bars.remove_task(clip.bar)
            clip.bar = None
        return clip

    def _above(self, notice: str) -> None:
        if not self._quiet and not self.shows_json:
            self._say(f"note: {notice}")

    def _show_whole(self) -> None:
        clips = self._clips.values()
        total = max(self._planned_megapixels, sum(clip.megapixels for clip in clips))
        failed = sum(clip.came is not None and clip.came[0] == "failed" for clip in clips)
        state = f"{self._done()}/{self._all()} clips{f', {failed} failed' if failed else ''}"
        self._bars.update(self._whole, completed=sum(clip.passed for clip in clips), total=total or None, state=state)

    def _done(self) -> int:
        return sum(clip.came is not None and clip.came[0] != "failed" for clip in self._clips.values())

    def _all(self) -> int:
        """Clips of the plan, and those that came later."""
        return max(self._planned_clips, len(self._clips))


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _end_of(name: str, cells: int) -> str:
    """As much of ``name`` as has a place on the screen."""
    from rich.cells import cell_len

    if cell_len(name) <= cells:
        return name
    start = next(place for place in range(len(name)) if cell_len(name[place:]) <= cells - 3)
    return f"...{name[start:]}"
