"""Batches for tests: folders of clips, batches in this process or another one, and their outputs."""

import json
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

import cli
from pipeline.batch import runner
from pipeline.batch.config import BatchConfig
from pipeline.batch.events import Ended, Event
from pipeline.batch.session import plan, run_batch
from pipeline.batch.watch import WatchTimes
from pipeline.config import VideoConfig
from pipeline.progress import Progress, ProgressCallback
from pipeline.run import stylize_video
from pipeline.summary import Summary
from tests.support.media import Audio, Clip, make_clip

ROOT = Path(cli.__file__).parent
PLAIN = ["--style", "great-wave", "--engine", "eager", "--device", "cpu"]
OPTIONS = {"engine": "eager", "device": "cpu", "precision": "fp32"}

# Size, ticks of a frame at 1/15360 s, codec, pixel format, ending.
_KINDS = [
    ((64, 48), 512, "libx264", "yuv420p", "mp4"),
    ((80, 48), 640, "libx264", "yuv420p", "mkv"),
    ((64, 48), 256, "libx265", "yuv420p", "mkv"),
    ((48, 64), 1024, "libx264", "yuv444p", "mov"),
    ((64, 48), 512, "mpeg4", "yuv420p", "mp4"),
    ((80, 48), 600, "ffv1", "bgr0", "mkv"),
    ((63, 47), 512, "ffv1", "bgr0", "mkv"),
    ((64, 48), 512, "libvpx-vp9", "yuv420p", "webm"),
]
_OPTIONS = {
    "libx264": {"crf": "12", "preset": "ultrafast", "bf": "3"},
    "libx265": {"preset": "ultrafast", "x265-params": "log-level=none"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"},
}


def make_clips(folder: Path, *names: str, frames: int = 6, width: int = 64) -> Path:
    """Write clips into ``folder/in``, and return that folder."""
    for name in names:
        path = folder / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        make_clip(path, Clip(pts=range(0, 512 * frames, 512), width=width))
    return folder / "in"


def batch_config(folder: Path, styles: tuple[str, ...] = ("great-wave",), **changes: Any) -> BatchConfig:
    """Return the configuration of a batch from ``folder/in`` into ``folder/out``."""
    options = OPTIONS | changes.pop("options", {})
    return BatchConfig(inputs=(str(folder / "in"),), output=folder / "out", styles=styles, options=options, **changes)


def run_here(
    config: BatchConfig,
    react: Callable[[Event], None] = lambda event: None,
    *,
    watch_times: WatchTimes | None = None,
) -> tuple[Ended, list[Event]]:
    """Run a batch in this process; return its last event, and all of them.

    Args:
        config: of the batch.
        react: called with each event; may raise.
        watch_times: of `run_batch`.
    """
    events: list[Event] = []

    def emit(event: Event) -> None:
        events.append(event)
        react(event)

    return run_batch(config, plan(config), emit, watch_times=watch_times), events


def outputs_of(events: list[Event], kind: type) -> list[str]:
    """Return the outputs of all events of one kind."""
    return [event.output for event in events if isinstance(event, kind)]  # type: ignore[union-attr]


def report_of(folder: Path) -> dict[str, Any]:
    """Return the report of a batch into ``folder/out``."""
    report: dict[str, Any] = json.loads((folder / "out" / "report.json").read_text())
    return report


def while_stylizing(
    monkeypatch: pytest.MonkeyPatch,
    after_frame: Callable[[str, int], None] = lambda output, frames: None,
    after_output: Callable[[], None] = lambda: None,
) -> None:
    """Interfere with the clips of a batch.

    Args:
        monkeypatch: undoes it.
        after_frame: called in the thread of the clip with the name of its output and the number of its frames so far.
        after_output: called when an output and its record are complete.
    """

    def stylize(
        config: VideoConfig, *, progress: ProgressCallback, finished: Callable[[], None], **settings: Any
    ) -> Summary:
        def watch(state: Progress) -> None:
            progress(state)
            after_frame(Path(config.target).name, state.frames)

        def finish() -> None:
            finished()
            after_output()

        return stylize_video(config, progress=watch, finished=finish, **settings)

    monkeypatch.setattr(runner, "stylize_video", stylize)


def make_folder(folder: Path, count: int, *, long_every: int = 10) -> list[Path]:
    """Write ``count`` clips of many kinds into two folders, half of them with audio, some with several segments."""
    clips = []
    for number in range(count):
        size, step, codec, pixel_format, ending = _KINDS[number % len(_KINDS)]
        frames = 10 * 15360 // step if number % long_every == 3 % long_every else 6 + number % 5
        sound = Audio("libopus" if ending == "webm" else "aac", seconds=Fraction(frames * step, 15360))
        clip = Clip(
            pts=range(0, frames * step, step),
            width=size[0],
            height=size[1],
            codec=codec,
            options=_OPTIONS.get(codec, {}),
            pixel_format=pixel_format,
            audio=[sound] if number % 2 else [],
        )
        place = folder / ("sub" if number % 3 == 0 else ".")
        place.mkdir(parents=True, exist_ok=True)
        clips.append(make_clip(place / f"clip{number:02}.{ending}", clip))
    return clips


def break_some(folder: Path, whole: Path) -> list[Path]:
    """Write three files that are no clips: one cut off, one empty, and one of text."""
    cut, empty, text = folder / "cut.mp4", folder / "empty.mkv", folder / "sub" / "text.mov"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    empty.touch()
    text.parent.mkdir(exist_ok=True)
    text.write_text("ffconcat version 1.0\nfile clip00.mp4\n")
    return [cut, empty, text]


def command(*arguments: str | Path) -> list[str]:
    """Return the command line of `flowbrush batch`."""
    return [sys.executable, str(ROOT / "cli.py"), "batch", *map(str, arguments), *PLAIN, "--json-lines"]


def run(*arguments: str | Path) -> tuple[int, list[dict[str, Any]]]:
    """Run `flowbrush batch`; return its exit code and its events."""
    done = subprocess.run(command(*arguments), capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def run_until(finished: int, *arguments: str | Path) -> list[dict[str, Any]]:
    """Run it until so many clips are finished, kill it, and return its events."""
    process = subprocess.Popen(command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    events = []
    for line in process.stdout:
        events.append(json.loads(line))
        if sum(event["event"] == "finished" for event in events) >= finished:
            process.kill()
            break
    process.communicate()
    assert process.returncode != 0
    return events


def names_of(events: list[dict[str, Any]], kind: str) -> list[str]:
    """Return the outputs of all events with this name."""
    return [event["output"] for event in events if event["event"] == kind]


def streams_of(path: Path) -> list[tuple[int, int | None, int | None, bytes]]:
    """Return all packets of a file: stream, pts, duration, content."""
    with av.open(str(path)) as container:
        return [
            (packet.stream_index, packet.pts, packet.duration, bytes(packet))
            for packet in container.demux()
            if packet.size
        ]


def outputs_in(folder: Path) -> dict[str, Path]:
    """Return the complete outputs in an output folder by their names."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): path
        for path in files
        if path.suffix in (".mp4", ".mkv", ".mov", ".webm") and ".flowbrush" not in str(path.relative_to(folder))
    }
