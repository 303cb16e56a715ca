"""Clips painted by several workers: seams, exactness, workers and parents that die, and engines of another kind."""

import contextlib
import errno
import json
import multiprocessing
import os
import pickle
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, cast

import av
import numpy as np
import pytest

from models.registry import BUNDLED
from pipeline.batch import divided, local_engine, long, seams
from pipeline.batch.divided import Divided, seam_difference
from pipeline.batch.engine import SegmentResult, SegmentTask
from pipeline.batch.jobs import BatchConfig
from pipeline.batch.local_engine import LocalEngine
from pipeline.batch.long import paint_on
from pipeline.batch.part import PAINTED, folder_of, paint_part
from pipeline.batch.seams import SEEN_FRAMES, WARM_UP_FRAMES, count_parts
from pipeline.batch.session import plan, run_batch
from pipeline.batch.worker import Failure
from pipeline.config import EncodeConfig, StylizeConfig, VideoConfig
from pipeline.errors import DeviceError, InputError, OutputError, PipelineError, StyleError
from pipeline.frames import Mark
from pipeline.lock import is_held_here
from pipeline.manifest import work_folder
from pipeline.meter import Progress
from pipeline.run import stylize_video
from pipeline.segments import SegmentWriter
from pipeline.source import open_source
from pipeline.stylize import MakeStylizer, Stylizer
from pipeline.work_folder import WorkFolder, what_is_left
from tests.batching import command, names_of, outputs_in, run, streams_of
from tests.media import Clip, Sound, make_clip, moving_square

PAINTED_SMALL = StylizeConfig("great-wave", engine="eager", device="cpu", precision="fp32", threads=1)
WARM = 12


@dataclass
class Noisy(Clip):
    """A square that moves through noise, and another picture from frame ``cut`` on."""

    cut: int | None = None

    def frame(self, number: int) -> av.VideoFrame:
        picture = moving_square(number, width=self.width, height=self.height, step=1).astype(np.int16)
        picture += np.random.default_rng(number).integers(-4, 5, picture.shape, np.int16)
        if self.cut is not None and number >= self.cut:
            picture = 255 - picture[::-1]
        return av.VideoFrame.from_ndarray(picture.clip(0, 255).astype(np.uint8), "rgb24").reformat(format="yuv420p")


@dataclass
class Inline:
    """An engine in this process, to which descriptions come as bytes, as they would over a network.

    Attributes:
        fails: numbers of the parts that fail.
    """

    workers: int = 2
    threads: int = 1
    fails: set[int] = field(default_factory=set)
    make: MakeStylizer = Stylizer
    tasks: list[SegmentTask] = field(default_factory=list)
    cancelled: int = 0

    def submit(self, task: SegmentTask) -> "Future[SegmentResult]":
        sent = pickle.dumps(task)
        assert len(sent) < 10_000
        self.tasks.append(pickle.loads(sent))
        future: Future[SegmentResult] = Future()
        if task.number in self.fails:
            future.set_exception(InputError(task.config.source, "cannot be read on this machine"))
        else:
            try:
                future.set_result(pickle.loads(pickle.dumps(paint_part(self.tasks[-1], self.make))))
            except PipelineError as error:
                future.set_exception(error)
        return future

    def cancel(self, futures: "Sequence[Future[SegmentResult]]") -> None:
        assert is_held_here(os.path.join(work_folder(self.tasks[-1].config.target), "lock"))
        self.cancelled += len(futures)

    def close(self) -> None:
        pass


def two(info: object, workers: int) -> int:
    return 2


def config(source: Path, target: Path, **changes: Any) -> VideoConfig:
    encode = EncodeConfig("ffv1", threads=1)
    return VideoConfig(
        str(source),
        str(target),
        changes.pop("stylize", PAINTED_SMALL),
        encode=encode,
        segment_seconds=Fraction(1, 2),
        **changes,
    )


def frames_of(path: Path) -> list[tuple[int | None, np.ndarray]]:
    with av.open(str(path)) as container:
        return [(frame.pts, frame.to_ndarray(format="gbrp")) for frame in container.decode(video=0)]


def difference(path: Path, other: Path) -> list[int]:
    """The largest difference in each frame."""
    a, b = frames_of(path), frames_of(other)
    assert [frame[0] for frame in a] == [frame[0] for frame in b]
    return [int(np.abs(x[1].astype(int) - y[1]).max()) for x, y in zip(a, b, strict=True)]


def bound(monkeypatch: pytest.MonkeyPatch, mean: float, most: float) -> None:
    monkeypatch.setattr(divided, "MEAN_LEVELS", mean)
    monkeypatch.setattr(divided, "MOST_LEVELS", most)


@pytest.fixture(autouse=True)
def warm(monkeypatch: pytest.MonkeyPatch) -> None:
    """So few frames are enough only for tests of other things than seams."""
    bound(monkeypatch, 256, 256)
    monkeypatch.setattr(seams, "WARM_UP_FRAMES", WARM)
    monkeypatch.setattr(seams, "SEEN_FRAMES", 6)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[int | None, Path]:
    """Of 60 frames with sound: with a cut at 35, near where it is divided best, and without."""
    folder = tmp_path_factory.mktemp("clips")
    pts = range(0, 60 * 512, 512)
    return {
        cut: make_clip(folder / f"{cut}.mkv", Noisy(pts=pts, sounds=[Sound(seconds=Fraction(2))], cut=cut))
        for cut in (35, None)
    }


@pytest.fixture(scope="module")
def engine() -> Iterator[LocalEngine]:
    engine = LocalEngine(2, "cpu")
    yield engine
    engine.close()


# --- seams ---


@pytest.mark.parametrize("stability", ["none", "smooth", "flow"])
def test_parts_that_begin_at_a_cut_are_what_one_worker_paints(
    tmp_path: Path, clips: dict[int | None, Path], stability: str, one_thread: None
) -> None:
    stylize = replace(PAINTED_SMALL, stability=stability)
    whole, parts = tmp_path / "whole.mkv", tmp_path / "parts.mkv"
    stylize_video(config(clips[35], whole, stylize=stylize))
    engine = Inline()
    summary = paint_on(config(clips[35], parts, stylize=stylize), engine, count=two)
    begin = engine.tasks[1].begin
    assert begin is not None
    assert begin.pts == begin.warm_pts == begin.seen_pts
    assert begin.pts == 1167 or stability == "none"
    assert set(difference(whole, parts)) == {0}
    sounds = [[packet for packet in streams_of(path) if packet[0] == 1] for path in (whole, parts)]
    assert sounds[0] == sounds[1]
    assert (summary.frames, summary.frames_reused, summary.notices) == (60, 0, ())
    assert set(os.listdir(tmp_path)) == {"whole.mkv", "parts.mkv"}


@pytest.mark.parametrize("stability", ["smooth", "flow"])
def test_elsewhere_a_part_warms_up_and_stays_within_the_bound(
    tmp_path: Path, stability: str, one_thread: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound(monkeypatch, 1, 4)
    monkeypatch.setattr(seams, "WARM_UP_FRAMES", WARM_UP_FRAMES)
    monkeypatch.setattr(seams, "SEEN_FRAMES", SEEN_FRAMES // 3)
    clip = make_clip(tmp_path / "in.mkv", Noisy(pts=range(0, 260 * 512, 512)))
    stylize = replace(PAINTED_SMALL, stability=stability)
    whole, parts = tmp_path / "whole.mkv", tmp_path / "parts.mkv"
    stylize_video(config(clip, whole, stylize=stylize))
    engine = Inline()
    summary = paint_on(config(clip, parts, stylize=stylize), engine, count=two)
    begin = engine.tasks[1].begin
    assert begin is not None
    assert (begin.pts - begin.warm_pts, begin.warm_pts - begin.seen_pts) == (5000, 1667)
    assert begin.pts % 500 == 0  # where a segment of one worker begins
    found = difference(whole, parts)
    assert not any(found[: 30 * begin.pts // 1000])
    assert 0 < max(found) < 4
    assert summary.notices == ()


def test_a_part_whose_seam_shows_is_painted_again(
    tmp_path: Path, clips: dict[int | None, Path], one_thread: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound(monkeypatch, 1, 4)
    monkeypatch.setattr(seams, "WARM_UP_FRAMES", 1)
    monkeypatch.setattr(seams, "SEEN_FRAMES", 0)
    monkeypatch.setattr(seams, "LONGER", 28)
    whole, target = tmp_path / "whole.mkv", tmp_path / "out.mkv"
    stylize_video(config(clips[None], whole))
    engine = Inline()
    summary = paint_on(config(clips[None], target), engine, count=two)
    assert summary.notices == ("behind 1.00 s a seam would show: painting that part again",)
    first, again = engine.tasks[1].begin, engine.tasks[3].begin
    assert first is not None
    assert again is not None
    assert (again.pts, again.warm_pts, first.warm_pts) == (1000, 67, 967)
    assert 0 < max(difference(whole, target)) < 8


def test_a_seam_that_shows_all_the_same_is_said(
    tmp_path: Path, clips: dict[int | None, Path], one_thread: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound(monkeypatch, 1, 4)
    monkeypatch.setattr(seams, "WARM_UP_FRAMES", 1)
    monkeypatch.setattr(seams, "SEEN_FRAMES", 0)
    monkeypatch.setattr(seams, "LONGER", 1)
    seen = list[tuple[float, float] | None]()
    target = tmp_path / "out.mkv"

    def look(state: object) -> None:
        seen.append(seam_difference(str(target), 1))

    summary = paint_on(config(clips[None], target), Inline(), count=two, progress=look)
    (notice,) = summary.notices
    assert notice.startswith("behind ")
    assert "where another worker took over, the picture differs by up to " in notice
    assert seen[-1] is not None
    assert seen[-1][1] >= 4


def test_long_clips_alone_are_divided(clips: dict[int | None, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    with open_source(clips[None]) as source:
        info = source.info
    assert count_parts(info, 2) == 1
    monkeypatch.setattr(seams, "SHORTEST_PART_FRAMES", 20)
    assert [count_parts(info, workers) for workers in (1, 2, 3, 9)] == [1, 2, 3, 3]
    assert count_parts(info, 2, are_busy=True) == 1


# --- going on ---


def test_what_a_failed_part_leaves_is_gone_on_with(
    tmp_path: Path, clips: dict[int | None, Path], one_thread: None
) -> None:
    target, alone = tmp_path / "out.mkv", tmp_path / "alone.mkv"
    paint_on(config(clips[None], alone), Inline(), count=two)
    engine = Inline(fails={1})
    with pytest.raises(InputError, match="cannot be read on this machine") as caught:
        paint_on(config(clips[None], target), engine, count=two)
    assert engine.cancelled == 2
    kept = re.fullmatch(r"(\d+) frames of \d+ are kept in (.+); the same command goes on", caught.value.__notes__[0])
    assert kept is not None
    assert kept[2] == work_folder(str(target))
    engine = Inline(workers=5)
    summary = paint_on(config(clips[None], target), engine, count=lambda info, workers: 5)
    assert len(engine.tasks) == 2
    assert summary.frames_reused == int(kept[1]) > 0
    assert streams_of(target) == streams_of(alone)
    assert set(os.listdir(tmp_path)) == {"out.mkv", "alone.mkv"}


def test_a_part_goes_on_behind_its_last_segment(
    tmp_path: Path, clips: dict[int | None, Path], one_thread: None
) -> None:
    target, alone = tmp_path / "out.mkv", tmp_path / "alone.mkv"
    paint_on(config(clips[None], alone), Inline(), count=two)
    with pytest.raises(InputError):
        paint_on(config(clips[None], target), Inline(fails={0, 1}), count=two)
    with pytest.raises(InputError, match="is gone") as caught:
        paint_on(config(clips[None], target), Inline(make=Breaking), count=two)
    assert caught.value.__notes__[0].startswith("30 frames of ")
    summary = paint_on(config(clips[None], target), Inline(), count=two)
    assert summary.frames_reused == 30
    assert streams_of(target) == streams_of(alone)


class Breaking(Stylizer):
    """Fails behind the first segment."""

    def __call__(self, items: Any, state: Any = None) -> Iterator[Any]:
        for item in super().__call__(items, state):
            yield item
            if isinstance(item, Mark):
                raise InputError("in.mkv", "is gone")


def test_the_speed_is_that_of_the_frames_painted_now(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1000.0, 1000.0, 1002.0])
    monkeypatch.setattr(long, "time", SimpleNamespace(time=lambda: 0.0, perf_counter=lambda: next(clock)))
    painted, told = iter([30, 51]), list[Progress]()
    watch = long._Watch(cast(Divided, SimpleNamespace(reused=30, painted=lambda: next(painted))), 60, told.append)
    for _ in range(2):
        watch()
    assert (told[1].reused, told[1].fps) == (30, 10.0)


def test_errors_of_a_part_name_the_output(
    tmp_path: Path, clips: dict[int | None, Path], one_thread: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(self: SegmentWriter, frame: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(SegmentWriter, "write", write)
    target = str(tmp_path / "out.mkv")
    with pytest.raises(OutputError) as caught:
        paint_on(config(clips[None], tmp_path / "out.mkv"), Inline(), count=two)
    assert caught.value.path == target
    assert str(caught.value).startswith(f"{target}: ")


def test_one_worker_does_not_go_on_with_what_several_began(
    tmp_path: Path, clips: dict[int | None, Path], one_thread: None
) -> None:
    target = tmp_path / "out.mkv"
    with pytest.raises(InputError):
        paint_on(config(clips[None], target), Inline(fails={1}), count=two)
    kept = sorted(tmp_path.rglob("*"))
    assert "what several workers began is kept" in what_is_left(str(target), is_fresh=False)
    with pytest.raises(OutputError, match=r"several workers.* go on with that batch, or begin anew with --fresh"):
        stylize_video(config(clips[None], target))
    assert sorted(tmp_path.rglob("*")) == kept
    assert stylize_video(replace(config(clips[None], target), fresh=True)).frames_reused == 0
    assert os.listdir(tmp_path) == ["out.mkv"]


# --- another engine ---


class Elsewhere(Inline):
    """Paints in another folder, as another machine does."""

    def submit(self, task: SegmentTask) -> "Future[SegmentResult]":
        with contextlib.chdir("/"):
            return super().submit(task)


def test_an_engine_is_all_that_a_cluster_needs(
    tmp_path: Path, clips: dict[int | None, Path], one_thread: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(seams, "SHORTEST_PART_FRAMES", 20)
    for source, name in ((clips[None], "in.mkv"), (clips[35], "mask.mkv"), (BUNDLED, "w.safetensors")):
        shutil.copy(source, name)
    options = {"mask": "mask.mkv", "device": "cpu", "engine": "eager", "precision": "fp32"}
    asked = BatchConfig(("in.mkv",), Path("out"), ("great-wave:1,w.safetensors#minotaur:2",), options=options)
    engine = Elsewhere()
    ended = run_batch(asked, plan(asked), engine=engine)
    assert (ended.painted, len(engine.tasks)) == (1, 2)

    task = engine.tasks[0]
    os.unlink("w.safetensors")
    assert isinstance(Inline().submit(task).exception(), StyleError)
    Path("w.safetensors").write_bytes(BUNDLED.read_bytes())
    identity = {**task.identity, "mask": {}, "software": {**task.identity["software"], "torch": "1.0"}}
    with pytest.raises(DeviceError, match=r"in\.mkv: the worker on .+ has other mask and software \(torch\) than"):
        paint_part(replace(task, identity=identity))


# --- workers ---


def test_workers_paint_what_one_process_would(
    tmp_path: Path, clips: dict[int | None, Path], engine: LocalEngine, one_thread: None
) -> None:
    paint_on(config(clips[None], tmp_path / "here.mkv"), Inline(threads=engine.threads), count=two)
    summary = paint_on(config(clips[None], tmp_path / "there.mkv"), engine, count=two)
    assert (summary.frames, summary.engine, summary.device) == (60, "eager", "cpu")
    assert streams_of(tmp_path / "here.mkv") == streams_of(tmp_path / "there.mkv")


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="Windows sends Ctrl-C in another way")
@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="what a process does not hear is found in /proc")
def test_no_worker_hears_an_interruption_even_while_it_starts(engine: LocalEngine) -> None:
    """It would end in a traceback on the user's screen, somewhere in its imports."""
    while len(multiprocessing.active_children()) < engine.workers:
        time.sleep(0.01)
    for worker in multiprocessing.active_children():
        blocked = re.search(r"SigBlk:\s*(\w+)", Path(f"/proc/{worker.pid}/status").read_text())
        assert blocked
        assert int(blocked[1], 16) >> (signal.SIGINT - 1) & 1
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_errors_come_back_as_they_are(tmp_path: Path, clips: dict[int | None, Path], engine: LocalEngine) -> None:
    error = engine.submit(SegmentTask(config(tmp_path / "no.mkv", tmp_path / "out.mkv"), {})).exception(60)
    assert isinstance(error, InputError)
    assert error.path == str(tmp_path / "no.mkv")
    assert "there is no such file" in str(error)


def test_errors_of_every_kind_can_be_sent() -> None:
    sent = OutputError("a.mp4", "is full")
    sent.add_note("a note")
    error = pickle.loads(pickle.dumps(Failure.of(sent))).arrived()
    assert (str(error), error.path, error.__notes__) == ("a.mp4: is full", "a.mp4", ["a note"])

    class Local(Exception):
        pass

    failure = Failure.of(Local("what"))
    error = pickle.loads(pickle.dumps(failure)).arrived()
    assert str(error) == "Local: what"
    assert "test_errors_of_every_kind_can_be_sent.<locals>.Local: what" in str(error.__cause__)


def kill_workers(folder: Path) -> None:
    """As soon as somebody paints in ``folder``."""
    while not (folder / PAINTED).exists():
        time.sleep(0.01)
    for child in multiprocessing.active_children():
        if child.name.startswith("flowbrush worker") and child.pid is not None:
            os.kill(child.pid, signal.SIGKILL if os.name == "posix" else signal.SIGTERM)
    (folder / PAINTED).unlink(missing_ok=True)


def test_a_worker_that_dies_is_replaced_once(
    tmp_path: Path, clips: dict[int | None, Path], engine: LocalEngine
) -> None:
    target = tmp_path / "out.mkv"
    future = engine.submit(SegmentTask(config(clips[None], target), {}))
    kill_workers(Path(folder_of(str(target), 0)))
    assert future.result(60).notices[-1].startswith("a worker died (SIGKILL); another went on with its part")
    assert sum(len(segment.pts) for segment in future.result().segments) == 60

    future = engine.submit(SegmentTask(config(clips[None], tmp_path / "other.mkv"), {}))
    for _ in range(2):
        kill_workers(Path(folder_of(str(tmp_path / "other.mkv"), 0)))
    error = future.exception(60)
    assert isinstance(error, DeviceError)
    assert "two workers died of one part" in str(error)
    assert "(SIGKILL, then SIGKILL), for want of memory perhaps" in str(error)


def test_closed_while_it_paints(tmp_path: Path, clips: dict[int | None, Path]) -> None:
    engine = LocalEngine(1, "cpu")
    painted, waiting, left = (
        engine.submit(SegmentTask(config(clips[None], tmp_path / f"{n}.mkv"), {})) for n in range(3)
    )
    folder = folder_of(str(tmp_path / "0.mkv"), 0)
    while not os.path.exists(os.path.join(folder, PAINTED)):
        time.sleep(0.01)
    with pytest.raises(OutputError, match="another run"):
        WorkFolder("0.mkv", folder)
    engine.cancel([painted, left])
    assert painted.exception() is not None
    assert left.cancelled()
    WorkFolder("0.mkv", folder).leave(is_kept=False)
    engine.close()
    assert waiting.done()
    assert engine.submit(SegmentTask(config(clips[None], tmp_path / "3.mkv"), {})).done()
    assert not [thread for thread in threading.enumerate() if thread in engine._threads]


class Odd:
    """A worker without a process.

    Attributes:
        does: what comes of its tasks, one after another.
        made: how many there were.
    """

    does: ClassVar[list[Exception | None]] = []
    made = 0
    is_alive = True

    def __init__(self, number: int, place: object) -> None:
        type(self).made += 1
        self.has_started = False

    def paint(self, task: SegmentTask, is_over: object) -> SegmentResult | None:
        what = self.does.pop(0)
        if what is not None:
            raise what
        return None

    def end(self, **patience: float) -> str:
        self.is_alive = False
        return "exit code 1"


def test_whatever_happens_an_answer_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_engine, "Worker", Odd)
    monkeypatch.setattr(Odd, "does", [KeyError("what"), None])
    monkeypatch.setattr(Odd, "made", 0)
    engine = LocalEngine(1, "cpu")
    task = SegmentTask(config(tmp_path / "in.mkv", tmp_path / "out.mkv"), {})
    assert isinstance(engine.submit(task).exception(10), KeyError)
    for _ in range(2):
        error = engine.submit(task).exception(10)
        assert isinstance(error, DeviceError)
        assert str(error).startswith("a worker cannot be started (exit code 1); a script of your own must be a file")
    assert Odd.made == 2
    engine.close()


# --- the command ---


def workers_of(process: "subprocess.Popen[bytes]") -> list[int]:
    """Processes of Python that it started."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == process.pid:
            found.append(int(folder.name))
    return found


def wait_for_end(pids: list[int]) -> None:
    while [pid for pid in pids if Path(f"/proc/{pid}").exists()]:
        time.sleep(0.02)


def first_progress(process: "subprocess.Popen[bytes]") -> None:
    assert process.stdout is not None
    for line in process.stdout:
        event = json.loads(line)
        if event["event"] == "progress" and event["frames"] > 0:
            return


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="processes are found in /proc")
def test_a_batch_that_dies_takes_its_workers_along_and_goes_on(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in "ab":
        make_clip(tmp_path / "in" / f"{name}.mkv", Noisy(pts=range(0, 300 * 512, 512)))
    where = [tmp_path / "in", "--output", tmp_path / "out", "--workers", "2"]
    process = subprocess.Popen(command(*where), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    first_progress(process)
    workers = workers_of(process)
    assert len(workers) >= 2
    process.kill()
    process.communicate()
    wait_for_end(workers)
    parts = list((tmp_path / "out").glob("*/part0000.flowbrush/manifest.json"))
    assert not any(json.loads(path.read_text())["is_whole"] for path in parts)

    process = subprocess.Popen(command(*where), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    first_progress(process)
    workers = workers_of(process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"the same command goes on" in err
    assert b"Traceback" not in err
    wait_for_end(workers)

    code, events = run(*where)
    assert code == 0
    assert len(names_of(events, "finished")) + len(names_of(events, "skipped")) == 2
    for path in outputs_in(tmp_path / "out").values():
        assert sorted(packet[1] or 0 for packet in streams_of(path)) == [round(n * 1000 / 30) for n in range(300)]
