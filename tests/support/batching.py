"""Folders of clips for batches, made on the spot, and what is asked of the outputs."""

import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

import cli
from tests.support.media import Clip, Sound, make_clip

ROOT = Path(cli.__file__).parent
PLAIN = ["--style", "great-wave", "--engine", "eager", "--device", "cpu"]

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


def make_folder(folder: Path, count: int, *, long_every: int = 10) -> list[Path]:
    """``count`` clips of many kinds in two folders, every other one with sound; some are long enough for segments."""
    clips = []
    for number in range(count):
        size, step, codec, pixel_format, ending = _KINDS[number % len(_KINDS)]
        frames = 10 * 15360 // step if number % long_every == 3 % long_every else 6 + number % 5
        sound = Sound("libopus" if ending == "webm" else "aac", seconds=Fraction(frames * step, 15360))
        clip = Clip(
            pts=range(0, frames * step, step),
            width=size[0],
            height=size[1],
            codec=codec,
            options=_OPTIONS.get(codec, {}),
            pixel_format=pixel_format,
            sounds=[sound] if number % 2 else [],
        )
        place = folder / ("sub" if number % 3 == 0 else ".")
        place.mkdir(parents=True, exist_ok=True)
        clips.append(make_clip(place / f"clip{number:02}.{ending}", clip))
    return clips


def break_some(folder: Path, whole: Path) -> list[Path]:
    """Three that are no clips any more: cut off, empty, and something else altogether."""
    cut, empty, text = folder / "cut.mp4", folder / "empty.mkv", folder / "sub" / "text.mov"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    empty.touch()
    text.parent.mkdir(exist_ok=True)
    text.write_text("ffconcat version 1.0\nfile clip00.mp4\n")
    return [cut, empty, text]


def command(*arguments: str | Path) -> list[str]:
    """`flowbrush batch` in a process of its own."""
    return [sys.executable, str(ROOT / "cli.py"), "batch", *map(str, arguments), *PLAIN, "--json-lines"]


def run(*arguments: str | Path) -> tuple[int, list[dict[str, Any]]]:
    """Its exit code, and what happened."""
    done = subprocess.run(command(*arguments), capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def run_until(finished: int, *arguments: str | Path) -> list[dict[str, Any]]:
    """The same, killed as soon as so many clips are finished; what happened until then."""
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
    """Outputs to which something of this kind happened."""
    return [event["output"] for event in events if event["event"] == kind]


def streams_of(path: Path) -> list[tuple[int, int | None, int | None, bytes]]:
    """All packets of a file: stream, pts, duration, content."""
    with av.open(str(path)) as container:
        return [
            (packet.stream_index, packet.pts, packet.duration, bytes(packet))
            for packet in container.demux()
            if packet.size
        ]


def outputs_in(folder: Path) -> dict[str, Path]:
    """The finished clips in a batch's folder by their names."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): path
        for path in files
        if path.suffix in (".mp4", ".mkv", ".mov", ".webm") and ".flowbrush" not in str(path.relative_to(folder))
    }
