"""Runs that are killed at each call that creates, renames or deletes something, and repeated by the same command.

    python -m tests.support.interrupted.faults CASE FOLDER [--every N]

prints a line of JSON. Each run is a fork of this process, which has loaded torch. The calls are found from outside,
through Python's audit events: whatever module makes them, and none of its functions are replaced.
"""

import argparse
import hashlib
import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

EVENTS = {"os.rename", "os.link", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "os.symlink"}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


@dataclass
class Outcome:
    """What came of one run.

    Attributes:
        code: -9 if it was killed, 0 if it returned, 1 if it raised.
        points: the calls that it came to, such as ``os.rename out.mp4``.
        result: what it returned.
        error: traceback, if it raised.
    """

    code: int
    points: list[str] = field(default_factory=list)
    result: dict[str, Any] = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True)
class Case:
    """A command, and what must be true of it.

    Attributes:
        prepare: makes the inputs in a folder.
        run: the command; gets the folder.
        after_kill: yields what is wrong after a kill; gets the folder, and that of a run that was not killed.
        after_repeat: yields what is wrong after the command was repeated; gets the result of the repetition too.
    """

    prepare: Callable[[Path], None]
    run: Callable[[Path], dict[str, Any]]
    after_kill: Callable[[Path, Path], Iterator[str]]
    after_repeat: Callable[[Path, Path, Outcome], Iterator[str]]


def fork(run: Callable[[Path], dict[str, Any]], folder: Path, kill_at: int = 0) -> Outcome:
    """Run ``run(folder)`` in a fork; kill it just before its call number ``kill_at``, counted from 1."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        os._exit(_run_child(run, folder, kill_at, writing))
    os.close(writing)
    outcome = Outcome(1)
    with open(reading, encoding="utf-8") as lines:
        for line in lines:
            kind, value = json.loads(line)
            if kind == "point":
                outcome.points.append(value)
            else:
                setattr(outcome, kind, value)
    outcome.code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return outcome


def _run_child(run: Callable[[Path], dict[str, Any]], folder: Path, kill_at: int, pipe: int) -> int:
    null = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(null, number)
    points, process = 0, os.getpid()

    def report(kind: str, value: object) -> None:
        os.write(pipe, (json.dumps([kind, value]) + "\n").encode())

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal points
        if os.getpid() == process and _changes(event, arguments, folder):
            points += 1
            if points == kill_at:
                os.kill(process, signal.SIGKILL)
            report("point", f"{event} {' '.join(os.path.basename(str(each)) for each in _paths(arguments))}")

    sys.addaudithook(watch)
    try:
        report("result", run(folder))
    except BaseException:  # noqa: BLE001 - the parent judges it
        report("error", traceback.format_exc())
        return 1
    return 0


def _changes(event: str, arguments: tuple[Any, ...], folder: Path) -> bool:
    if event == "open":
        flags = arguments[2]
        if not isinstance(flags, int) or not flags & WRITING:
            return False
    elif event not in EVENTS:
        return False
    return any(path.startswith(f"{folder}/") for path in _paths(arguments))


def _paths(arguments: tuple[Any, ...]) -> list[str]:
    return [os.fspath(each) for each in arguments if isinstance(each, str | os.PathLike)]


def examine(case: Case, folder: Path, every: int, first: int = 1) -> tuple[int, int, list[str]]:
    """Kill the command of ``case`` at every ``every``-th point; return points, kills, and what was wrong."""
    template, whole = folder / "template", folder / "whole"
    template.mkdir()
    (template / "keep.txt").write_text("the user's")
    prepared = fork(lambda here: case.prepare(here) or {}, template)  # here, torch's threads would break later forks
    if prepared.code:
        return 0, 0, [f"its inputs cannot be made: {prepared.error}"]
    shutil.copytree(template, whole, symlinks=True)
    reference = fork(case.run, whole)
    if reference.code or not reference.points:
        return 0, 0, [f"it fails without a kill: {reference.result} {reference.error}"]
    wrong, kills = list[str](), 0
    for point in range(first, len(reference.points) + 1, every):
        here = folder / "here"
        shutil.copytree(template, here, symlinks=True)
        killed = fork(case.run, here, point)
        where = f"point {point} of {len(reference.points)} ({reference.points[point - 1]})"
        kills += killed.code == -signal.SIGKILL
        faults = [*_touched(template, here), *_checked(partial(case.after_kill, whole=whole), here)]
        if not faults:
            repeated = fork(case.run, here)
            check = partial(case.after_repeat, whole=whole, repeated=repeated)
            faults = [*_touched(template, here), *_checked(check, here)]
        wrong += [f"{where}: {fault}" for fault in faults]
        shutil.rmtree(here)
    return len(reference.points), kills, wrong


def _checked(check: Callable[[Path], Iterator[str]], here: Path) -> list[str]:
    """Return what a check in a fork finds wrong."""
    outcome = fork(lambda folder: {"wrong": list(check(folder))}, here)
    return list(outcome.result["wrong"]) if not outcome.code else [f"the check failed: {outcome.error}"]


def _touched(template: Path, here: Path) -> Iterator[str]:
    """Yield the inputs and other files of the user that are not as they were; what may be replaced is in ``old``."""
    for path in template.rglob("*"):
        if path.is_file() and not path.name.startswith("old-"):
            copy = here / path.relative_to(template)
            if not copy.exists() or copy.read_bytes() != path.read_bytes():
                yield f"{path.name} was touched"


def _files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# --- video ---


def _make_clip(folder: Path) -> None:
    from tests.support.media import Audio, Clip, make_clip

    make_clip(folder / "in.mp4", Clip(pts=range(0, 512 * 24, 512), audio=[Audio()]))


def _make_old_output(folder: Path) -> None:
    _make_clip(folder)
    (folder / "old-out.mp4").write_text("old")


def _video(folder: Path, target: str = "out.mp4", **changes: Any) -> dict[str, Any]:
    from pipeline.run import stylize_video
    from tests.support.interrupted.resuming import UNSTYLIZED, config

    summary = stylize_video(config(folder / "in.mp4", folder / target, stylize=UNSTYLIZED, **changes))
    return {"reused": summary.frames_reused}


def _video_over(folder: Path) -> dict[str, Any]:
    from pipeline.config import EncodeConfig

    return _video(folder, "old-out.mp4", encode=EncodeConfig(overwrite=True))


def _video_at_once(folder: Path) -> dict[str, Any]:
    return _video(folder, in_segments=False)


def _is_whole_or_absent(here: Path, whole: Path, name: str) -> Iterator[str]:
    path = here / name
    if path.exists() and path.read_bytes() not in (b"old", (whole / name).read_bytes()):
        yield f"{name} is neither complete nor absent"
    if name.startswith("old") and not path.exists():
        yield f"{name} was lost"


def _kept_frames(here: Path, name: str) -> int:
    from pipeline.resume.work_folder.manifest import read_manifest

    manifest = read_manifest(str(here / f"{name}.flowbrush"))
    return 0 if manifest is None else manifest.frames


def _video_killed(here: Path, whole: Path, name: str = "out.mp4") -> Iterator[str]:
    (here.parent / "kept").write_text(str(_kept_frames(here, name)))
    yield from _is_whole_or_absent(here, whole, name)


def _video_repeated(here: Path, whole: Path, repeated: Outcome, name: str = "out.mp4") -> Iterator[str]:
    is_there = "exists already" in repeated.error  # killed after everything was done
    if repeated.code and not is_there:
        yield f"the repetition failed: {repeated.error}"
    elif _digest(here / name) != _digest(whole / name):
        yield "the output is not that of a run without a kill"
    elif (left := _files(here)) != _files(whole):
        yield f"the folder contains {left - _files(whole)}"
    kept = int((here.parent / "kept").read_text())
    if not repeated.code and repeated.result["reused"] < kept:
        yield f"{kept} frames were finished, {repeated.result['reused']} were used"


# --- batch ---


def _make_clips(folder: Path) -> None:
    from tests.support.media import Clip, make_clip

    (folder / "in").mkdir()
    for name in ("a", "b"):
        make_clip(folder / "in" / f"{name}.mp4", Clip(pts=range(0, 512 * 6, 512)))


def _batch(folder: Path) -> dict[str, Any]:
    from tests.support.batching import batch_config, run_here

    ended, _ = run_here(batch_config(folder, options={"strength": 0.0, "stability": "none"}))
    return {"done": ended.painted + ended.done_before, "failed": ended.failed}


def _batch_killed(here: Path, whole: Path) -> Iterator[str]:
    for path in (whole / "out").glob("*.mp4"):
        yield from _is_whole_or_absent(here, whole, f"out/{path.name}")
    for path in here.rglob("*.json"):
        if path.parent.suffix != ".flowbrush":
            json.loads(path.read_text())


def _batch_repeated(here: Path, whole: Path, repeated: Outcome) -> Iterator[str]:
    if repeated.code or repeated.result != {"done": 2, "failed": 0}:
        yield f"the repetition failed: {repeated.result} {repeated.error}"
        return
    for path in (whole / "out").glob("*.mp4"):
        if _digest(here / "out" / path.name) != _digest(path):
            yield f"{path.name} is not that of a run without a kill"
    left = {name for name in _files(here) - _files(whole) if not name.endswith(".jpg")}
    if left:
        yield f"the folder contains {left}"


# --- train ---


def _make_images(folder: Path) -> None:
    from tests.support.networks.training import write_training_files

    write_training_files(folder)


def _train(folder: Path) -> dict[str, Any]:
    import torch

    from pipeline.train.shared_options import checkpoint_of
    from pipeline.train.train import train
    from tests.support.networks.training import training_config

    torch.set_num_threads(1)  # threads of OpenMP in a fork once waited for each other for minutes
    config = training_config(folder, folder / "mine.safetensors", validate_every=1)
    if checkpoint_of(config.output).exists():
        config = replace(config, resume=True)
    elif config.output.exists():
        config = replace(config, overwrite=True)
    return {"steps": train(config).steps}


def _train_killed(here: Path, whole: Path) -> Iterator[str]:
    from models.registry import load
    from pipeline.train.checkpoint import read_checkpoint

    if (here / "mine.safetensors").exists():
        load(f"{here / 'mine.safetensors'}#stripes")
    if (here / "mine.checkpoint").exists():
        read_checkpoint(here / "mine.checkpoint")
    yield from ()


def _train_repeated(here: Path, whole: Path, repeated: Outcome) -> Iterator[str]:
    from models.registry import load

    if repeated.code or repeated.result != {"steps": 3}:
        yield f"the repetition failed: {repeated.result} {repeated.error}"
        return
    load(f"{here / 'mine.safetensors'}#stripes")
    if left := _files(here) - _files(whole):
        yield f"the folder contains {left}"


# --- live ---


def _make_old_recording(folder: Path) -> None:
    _make_clip(folder)
    (folder / "old-out.mkv").write_text("old")


def _live(folder: Path) -> dict[str, Any]:
    import cli

    options = [
        "--style",
        "great-wave",
        "--engine",
        "eager",
        "--device",
        "cpu",
        "--height",
        "48",
        "--realtime",
        "--null",
    ]
    try:
        cli.app(["live", str(folder / "in.mp4"), *options, "--record", str(folder / "old-out.mkv"), "--overwrite"])
    except SystemExit as ended:
        return {"code": ended.code or 0}
    return {}


def _live_killed(here: Path, whole: Path) -> Iterator[str]:
    yield from ()


def _live_repeated(here: Path, whole: Path, repeated: Outcome) -> Iterator[str]:
    import av

    if repeated.code or repeated.result != {"code": 0}:
        yield f"the repetition failed: {repeated.result} {repeated.error}"
        return
    with av.open(str(here / "old-out.mkv")) as recording:
        if not sum(1 for _ in recording.decode(video=0)):
            yield "the recording has no frames"
    if left := _files(here) - _files(whole):
        yield f"the folder contains {left}"


CASES = {
    "video": Case(_make_clip, _video, _video_killed, _video_repeated),
    "video-over-an-old-output": Case(
        _make_old_output,
        _video_over,
        partial(_video_killed, name="old-out.mp4"),
        partial(_video_repeated, name="old-out.mp4"),
    ),
    "video-in-one-pass": Case(_make_clip, _video_at_once, _video_killed, _video_repeated),
    "batch": Case(_make_clips, _batch, _batch_killed, _batch_repeated),
    "train": Case(_make_images, _train, _train_killed, _train_repeated),
    "live": Case(_make_old_recording, _live, _live_killed, _live_repeated),
}


def main() -> None:
    """Examine one case, and print ``{"points": ..., "kills": ..., "wrong": [...]}``."""
    import torch  # loaded before the forks

    import pipeline.run

    parser = argparse.ArgumentParser()
    parser.add_argument("case", choices=CASES)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--first", type=int, default=1)
    given = parser.parse_args()
    assert torch.get_num_threads()
    assert pipeline.run.stylize_video
    points, kills, wrong = examine(CASES[given.case], given.folder.resolve(), given.every, given.first)
    print(json.dumps({"points": points, "kills": kills, "wrong": wrong}))


if __name__ == "__main__":
    main()
