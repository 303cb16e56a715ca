"""Cases that tamper with what earlier runs left: the work folder of a clip, the records of a batch.

Nothing that is not ours may change, and an output that is reported must show every frame.
"""

import json
import os
import random
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pipeline.batch.config import STATE_FOLDER, BatchConfig
from pipeline.batch.session import plan, run_batch
from pipeline.errors import PipelineError
from tests.support.fuzz.clip_cases import Stopped, run_clip, stop_at
from tests.support.fuzz.mutations import MUTATIONS
from tests.support.fuzz.oracle import play
from tests.support.fuzz.recordings import Recording, record
from tests.support.fuzz.timelines import make_claim

FRAMES = 20
BATCH_OPTIONS = {
    "engine": "eager",
    "device": "cpu",
    "precision": "fp32",
    "stability": "none",
    "strength": 0.0,
    "codec": "h264",
    "preset": "ultrafast",
    "overwrite": True,
}


@dataclass
class States:
    """What earlier runs left, made once in ``folder`` when it is first asked for."""

    folder: Path

    @cached_property
    def clip(self) -> Path:
        """A healthy clip."""
        self.folder.mkdir(exist_ok=True)
        path = self.folder / "clip.mkv"
        record(path, [Recording(frames=FRAMES)], form="matroska")
        return path

    @cached_property
    def interrupted(self) -> Path:
        """The work folder of a render of `clip` that was stopped after 12 of its frames."""
        target = self.folder / "stopped.mp4"

        try:
            run_clip(self.clip, target, stop_at(12))
        except Stopped:
            return Path(f"{target}.flowbrush")
        raise AssertionError("the run was not stopped")

    @cached_property
    def packets(self) -> list[Any]:
        """The frames and packets of the output of a run that nothing disturbed."""
        target = self.folder / "whole.mp4"
        run_clip(self.clip, target)
        return _contents(target)

    @cached_property
    def batch(self) -> Path:
        """The output folder of a batch of two clips."""
        inputs = self.folder / "batch-in"
        inputs.mkdir(parents=True)
        for number in range(2):
            record(inputs / f"clip{number}.mkv", [Recording(frames=6, seed=number)], form="matroska")
        output = self.folder / "batch-out"
        _run_batch(inputs, output)
        return output


def _contents(path: Path) -> list[Any]:
    played = play(path)
    return [played.frames, [track.packets for track in played.tracks], played.cues]


def _run_batch(inputs: Path, output: Path) -> Any:
    config = BatchConfig(inputs=(str(inputs),), output=output, styles=("great-wave",), options=BATCH_OPTIONS)
    return run_batch(config, plan(config))


def work_folder_case(chance: random.Random, folder: Path, states: States) -> str:
    """Resume a run whose work folder was tampered with."""
    target = folder / "out.mp4"
    work = folder / "out.mp4.flowbrush"
    shutil.copytree(states.interrupted, work)
    others = _make_others(folder)
    words = _tamper(chance, work, others.folder)
    try:
        summary = run_clip(states.clip, target)
        outcome = "resumed" if summary.frames_reused else "from scratch"
        faults = [] if _contents(target) == states.packets else [f"another output, {outcome}"]
        if summary.frames != FRAMES:
            faults.append(f"{summary.frames} frames are reported")
    except PipelineError as error:
        outcome, faults = f"refused, {type(error).__name__}", _lines(error, folder)
    faults += others.changes()
    return f"BUG: {'; '.join(faults)} ({words})" if faults else outcome


def records_case(chance: random.Random, folder: Path, states: States) -> str:
    """Run a batch again whose records were tampered with."""
    output = folder / "out"
    shutil.copytree(states.batch, output)
    others = _make_others(folder)
    words = _tamper(chance, output / STATE_FOLDER, others.folder)
    outcome, faults = _batch_outcome(
        states.folder / "batch-in", output, {f"clip{number}.mkv": 6 for number in range(2)}
    )
    faults += others.changes()
    return f"BUG: {'; '.join(faults)} ({words})" if faults else outcome


def batch_case(chance: random.Random, folder: Path) -> str:
    """Run a batch of a clip whose header lies, or whose pixels have an odd shape, and of a healthy one."""
    inputs = folder / "in"
    inputs.mkdir()
    claim = make_claim(chance, inputs)
    healthy = inputs / "healthy.mkv"
    record(healthy, [Recording(frames=6, sounds=())], form="matroska")
    assert claim.truth is not None
    names = {claim.path.name: len(claim.truth.frames), healthy.name: 6}
    outcome, faults = _batch_outcome(inputs, folder / "out", names)
    return f"BUG: {'; '.join(faults)} ({claim.words})" if faults else outcome


def _batch_outcome(inputs: Path, output: Path, clips: Mapping[str, int]) -> tuple[str, list[str]]:
    """Run a batch; return the outcome, and what is wrong with its report and its outputs.

    Args:
        inputs: folder of the clips.
        output: folder of the outputs.
        clips: number of frames by the name of the clip.
    """
    faults: list[str] = []
    try:
        ended = _run_batch(inputs, output)
    except PipelineError as error:
        return f"batch, {type(error).__name__}", _lines(error, output)
    report = json.loads((output / "report.json").read_text())
    if ended.failed or ended.painted + ended.done_before != len(clips) or len(report["clips"]) != len(clips):
        errors = [clip["error"] for clip in report["clips"] if clip["error"]]
        faults.append(f"{ended.painted} stylized, {ended.done_before} done, {ended.failed} failed {errors}")
    for name, count in clips.items():
        path = output / f"{Path(name).stem}_great-wave{Path(name).suffix}"
        shown = [number for _, number in play(path).frames] if path.exists() else None
        if shown != list(range(count)):
            faults.append(f"{path.name} shows {shown}")
    return f"batch, {ended.painted} stylized", faults


def _lines(error: PipelineError, folder: Path) -> list[str]:
    return [f"two lines: {error!r}"] if "\n" in str(error).replace(str(folder), "") else []


@dataclass
class _Others:
    """A folder of somebody's files, which must stay as they are."""

    folder: Path
    before: dict[str, bytes]

    def changes(self) -> list[str]:
        """Return what has changed."""
        after = {path.name: path.read_bytes() for path in self.folder.iterdir() if path.is_file()}
        names = [name for name in {**self.before, **after} if self.before.get(name) != after.get(name)]
        return [f"the files of others changed: {sorted(names)}"] if names else []


def _make_others(folder: Path) -> _Others:
    """Make files with the names that ours have, so that any mix-up is seen."""
    place = folder / "others"
    place.mkdir()
    names = (
        "keep.txt",
        "00000000.mp4",
        "00000005.mp4",
        "lock",
        "manifest.jsonl",
        "output.part",
        "00000010.safetensors",
    )
    for name in names:
        (place / name).write_bytes(f"belongs to somebody: {name}".encode())
    return _Others(place, {name: (place / name).read_bytes() for name in names})


def _tamper(chance: random.Random, folder: Path, others: Path) -> str:
    """Change a file in ``folder``, or the folder itself; return in words what was done."""
    change = chance.choice(_TAMPERINGS)
    return f"{change.__name__.strip('_')}: {change(chance, folder, others)}"


def _some_file(chance: random.Random, folder: Path, ending: str | tuple[str, ...] = "") -> Path:
    return chance.choice(sorted(path for path in folder.iterdir() if path.name.endswith(ending)))


def _json_value(chance: random.Random, folder: Path, others: Path) -> str:
    path = _some_file(chance, folder, (".json", ".jsonl"))
    lines = [path.read_text()] if path.suffix == ".json" else path.read_text().splitlines()
    data = [json.loads(line) for line in lines]
    words = ", ".join(_change_value(chance, data, others) for _ in range(chance.choice((1, 1, 2))))
    path.write_text("".join(f"{json.dumps(line)}\n" for line in data))
    return words


def _change_value(chance: random.Random, data: Any, others: Path) -> str:
    """Change one value, anywhere in ``data``."""
    places = list(_places(data))
    holder, key = chance.choice(places)
    was = holder[key]
    if isinstance(was, int) and chance.random() < 0.5:
        holder[key] = was + chance.choice((-1, 1, 2**32, -(2**32), 10**15))
    elif isinstance(holder, dict) and chance.random() < 0.2:
        del holder[key]
        return f"without {key!r}"
    else:
        holder[key] = chance.choice((*_VALUES, str(others / "keep.txt")))
    return f"{key!r}: {str(was)[:40]!r} becomes {str(holder[key])[:60]!r}"


# fmt: off
_VALUES = (None, -1, 0, 2**63, 1e308, True, "", "x", "a\0b", [], {}, [[1, 2**40]], [[0, -1]], "\udc80", "1/0",
           "../others/00000000.mp4", "..", "/dev/zero", "00000000.mp4")
# fmt: on


def _places(data: Any) -> Any:
    """Yield each holder of a value in nested JSON, and the key that it is held by."""
    keys = list(data) if isinstance(data, dict) else range(len(data)) if isinstance(data, list) else ()
    for key in keys:
        yield data, key
        yield from _places(data[key])


def _bytes(chance: random.Random, folder: Path, others: Path) -> str:
    path = _some_file(chance, folder)
    data = bytearray(path.read_bytes())
    change = chance.choice(MUTATIONS)
    if data:
        change(data, chance, [others / "keep.txt"])
    path.write_bytes(data)
    return f"{change.__name__} in {path.name}"


def _zeros(chance: random.Random, folder: Path, others: Path) -> str:
    """As a disk does that lost a block: the size stays."""
    path = _some_file(chance, folder)
    data = bytearray(path.read_bytes())
    begin = chance.randrange(max(len(data), 1))
    end = min(begin + chance.choice((1, 60, 600)), len(data))
    data[begin:end] = bytes(end - begin)
    path.write_bytes(data)
    return f"{end - begin} bytes from {begin} in {path.name}"


def _replaced(chance: random.Random, folder: Path, others: Path) -> str:
    """Put something else in the place of a file of ours, whether it is there or not."""
    names = [path.name for path in folder.iterdir()] + [
        "lock",
        "output.part",
        "manifest.jsonl.part",
        "00000010.mp4.part",
    ]
    path = folder / chance.choice(sorted(set(names)))
    path.unlink(missing_ok=True)
    return f"{path.name} becomes {_put(chance, path, others)}"


def _put(chance: random.Random, path: Path, others: Path) -> str:
    kind = chance.choice(("link", "link", "dangling link", "fifo", "folder", "nothing"))
    if kind == "link":
        path.symlink_to(chance.choice(sorted(others.iterdir())))
    elif kind == "dangling link":
        path.symlink_to(others / "new.txt")
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
        (path / "a.txt").write_text("a")
    return kind


def _folder_itself(chance: random.Random, folder: Path, others: Path) -> str:
    """Put a link to somebody's folder, or something else, in the place of ours."""
    kind = chance.choice(("link", "link", "file", "fifo", "link with our manifest"))
    moved = folder.with_name("moved")
    folder.rename(moved)
    if kind == "link":
        folder.symlink_to(others)
    elif kind == "file":
        folder.write_text("a file")
    elif kind == "fifo":
        os.mkfifo(folder)
    else:
        folder.symlink_to(moved)
        (moved / "holiday.mp4").write_text("somebody's")
    return kind


_TAMPERINGS: tuple[Callable[[random.Random, Path, Path], str], ...] = (
    _json_value,
    _json_value,
    _json_value,
    _bytes,
    _zeros,
    _replaced,
    _replaced,
    _folder_itself,
)
