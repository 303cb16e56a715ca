"""Batches as they run: what is shared, what fails, what is done again, what is told."""

import errno
import gc
import json
import os
import shutil
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from fractions import Fraction
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import models.engines.build
import models.engines.capabilities
import models.registry
from pipeline.atomic import write_in_place
from pipeline.batch import arrivals, clip_run, session, watch
from pipeline.batch.config import BatchConfig
from pipeline.batch.events import Ended, Event, Failed, Finished, Noted, Skipped, Started, as_json
from pipeline.batch.records import Record
from pipeline.batch.report import write_reports
from pipeline.batch.session import plan, run_batch
from pipeline.config import VideoConfig
from pipeline.errors import DeviceError, InputError, OutputError
from pipeline.media.damage import Damage, damage_notice
from pipeline.resume.lock import Lock
from pipeline.resume.segments import SegmentWriter
from pipeline.resume.work_dir import WorkDir
from pipeline.stylize.fair_lock import FairLock
from pipeline.stylize.stylizer import Stylizer
from tests.support.batching import outputs_in
from tests.support.media import Clip, make_clip

OPTIONS = {"engine": "eager", "device": "cpu", "precision": "fp32"}


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and ours():
        time.sleep(0.02)
    assert not ours()


def ours() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("flowbrush-")]


def clips(folder: Path, *names: str, frames: int = 6, width: int = 64) -> Path:
    for name in names:
        path = folder / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        make_clip(path, Clip(pts=range(0, 512 * frames, 512), width=width))
    return folder / "in"


def config(folder: Path, styles: tuple[str, ...] = ("great-wave",), **changes: Any) -> BatchConfig:
    options = OPTIONS | changes.pop("options", {})
    return BatchConfig(inputs=(str(folder / "in"),), output=folder / "out", styles=styles, options=options, **changes)


def batch(asked: BatchConfig, react: Callable[[Event], None] = lambda event: None) -> tuple[Ended, list[Event]]:
    """Run it; what came of it, and what happened."""
    events: list[Event] = []

    def emit(event: Event) -> None:
        events.append(event)
        react(event)

    return run_batch(asked, plan(asked), emit), events


def outputs(events: list[Event], kind: type) -> list[str]:
    return [event.output for event in events if isinstance(event, kind)]  # type: ignore[union-attr]


def test_one_engine_for_each_size_whatever_the_style(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[tuple[int, int]] = []
    build = models.engines.build.build_engine

    def counted(name: Any, spec: Any) -> Any:
        built.append((spec.width, spec.height))
        return build(name, spec)

    monkeypatch.setattr(models.engines.build, "build_engine", counted)
    clips(tmp_path, "a.mp4", "c.mp4")
    clips(tmp_path, "b.mp4", width=80)
    ended, _ = batch(config(tmp_path, ("great-wave", "starry-night", "great-wave:0.5,minotaur:0.5")))
    assert (ended.painted, ended.failed, ended.left) == (9, 0, 0)
    assert sorted(built) == [(64, 48), (80, 48)]


def test_styles_that_share_an_engine_differ_all_the_same(tmp_path: Path) -> None:
    clips(tmp_path, "a.mp4")
    batch(config(tmp_path, ("great-wave", "starry-night")))
    first, second = (path.read_bytes() for path in outputs_in(tmp_path / "out").values())
    assert first != second


def test_neighbours_overlap_but_one_paints_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paint, at_work, most = Stylizer.__call__, set(), 0

    def watched(self: Stylizer, *args: Any) -> Any:
        nonlocal most
        at_work.add(id(self))
        most = max(most, len(at_work))
        yield from paint(self, *args)
        at_work.remove(id(self))

    monkeypatch.setattr(Stylizer, "__call__", watched)
    clips(tmp_path, *(f"{number}.mp4" for number in range(5)), frames=20)
    _, events = batch(config(tmp_path))
    assert most == 1
    second = next(place for place, event in enumerate(events) if isinstance(event, Started) and "1" in event.output)
    assert second < next(place for place, event in enumerate(events) if isinstance(event, Finished))


def test_what_a_clip_leaves_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames and stylizers that hold each other do not wait for Python to look for such some day."""
    init, alive, most = Stylizer.__init__, weakref.WeakSet(), 0

    def noted(self: Stylizer, *args: Any, **settings: Any) -> None:
        alive.add(self)
        init(self, *args, **settings)

    def count(event: Event) -> None:
        nonlocal most
        most = max(most, len(alive)) if isinstance(event, Started) else most

    monkeypatch.setattr(Stylizer, "__init__", noted)
    clips(tmp_path, *(f"{number}.mp4" for number in range(8)))
    gc.disable()
    try:
        batch(config(tmp_path), count)
    finally:
        gc.enable()
    assert most <= 4


def test_a_turn_is_given_in_the_order_of_asking_and_ends_with_the_batch() -> None:
    stopped, order, threads = threading.Event(), [], []
    turn = FairLock(stopped)

    def take(number: int) -> None:
        with turn:
            order.append(number)

    with turn:
        for number in range(4):
            threads.append(threading.Thread(target=take, args=(number,)))
            threads[-1].start()
            while len(turn._queue) < number + 2:
                time.sleep(0.01)
        assert order == []
    for thread in threads:
        thread.join()
    assert order == [0, 1, 2, 3]
    with turn:
        stopped.set()
        with pytest.raises(KeyboardInterrupt):
            turn.take()


def test_what_is_done_is_skipped_until_something_is_other(tmp_path: Path) -> None:
    clips(tmp_path, "a.mp4", "b.mp4")
    assert batch(config(tmp_path))[0].painted == 2
    ended, events = batch(config(tmp_path))
    assert (ended.painted, ended.done_before, outputs(events, Started)) == (0, 2, [])
    assert outputs(events, Skipped) == ["a_great-wave.mp4", "b_great-wave.mp4"]

    clips(tmp_path, "b.mp4", frames=7)
    clips(tmp_path, "c.mp4")
    ended, events = batch(config(tmp_path))  # one that is in the way of its clip leaves the others alone
    assert (ended.painted, ended.done_before, ended.failed) == (1, 1, 1)
    assert "b_great-wave.mp4: exists already" in next(event.error for event in events if isinstance(event, Failed))
    with pytest.raises(OutputError, match="exists already, as do 2 more outputs, made with other settings"):
        plan(config(tmp_path, options={"strength": 0.5}))
    with pytest.raises(OutputError, match="leave it out"):
        plan(config(tmp_path, options={"fresh": True}))
    (tmp_path / "in" / "c.mp4").unlink()
    replacing = config(tmp_path, options={"overwrite": True})
    assert outputs(batch(replacing)[1], Finished) == ["b_great-wave.mp4"]
    assert batch(config(tmp_path, options={"overwrite": True, "strength": 0.5}))[0].painted == 2
    (tmp_path / "out" / "a_great-wave.mp4").write_bytes(b"edited")
    assert outputs(batch(config(tmp_path, options={"overwrite": True, "strength": 0.5}))[1], Finished) == [
        "a_great-wave.mp4"
    ]
    fresh = config(tmp_path, options={"overwrite": True, "strength": 0.5, "fresh": True})
    assert batch(fresh)[0].painted == 2


def test_a_finished_output_is_noted_before_what_was_kept_of_it_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill at any moment leaves the one or the other; the figures and the pictures of the report come behind."""
    clips(tmp_path, "a.mp4")
    leave, noted = WorkDir.leave, []

    def watched(self: WorkDir, *, is_kept: bool) -> None:
        noted.extend(path.read_text() for path in (tmp_path / "out" / ".flowbrush-batch").glob("*.json"))
        leave(self, is_kept=is_kept)

    monkeypatch.setattr(WorkDir, "leave", watched)
    batch(config(tmp_path))
    (record,) = (tmp_path / "out" / ".flowbrush-batch").glob("*.json")
    record.write_text(noted[0])
    for picture in record.parent.glob("*.jpg"):
        picture.unlink()
    assert outputs(batch(config(tmp_path))[1], Skipped) == ["a_great-wave.mp4"]
    assert (tmp_path / "out" / "report.html").read_text().count("data:image/jpeg") == 2


def while_writing(monkeypatch: pytest.MonkeyPatch, do: Callable[[SegmentWriter], None]) -> None:
    """Let something happen with each frame that is written."""
    write = SegmentWriter.write

    def patched(self: SegmentWriter, frame: Any) -> None:
        write(self, frame)
        do(self)

    monkeypatch.setattr(SegmentWriter, "write", patched)


def test_a_strangers_file_is_no_finished_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put there after an interruption, or while the clip is painted, it stays, and its clip is reported."""
    clips(tmp_path, "a.mp4", "b.mp4")
    a, b = tmp_path / "out" / "a_great-wave.mp4", tmp_path / "out" / "b_great-wave.mp4"

    def put(writer: SegmentWriter) -> None:
        if "a_great" in writer._path:
            raise KeyboardInterrupt
        b.write_bytes(b"someone else's")

    with monkeypatch.context() as patch:
        while_writing(patch, put)
        ended, events = batch(config(tmp_path))
    assert (ended.failed, ended.left) == (1, 1)
    assert any("another file has come there" in event.error for event in events if isinstance(event, Failed))
    a.write_bytes(b"someone else's")
    ended, _ = batch(config(tmp_path))
    assert (ended.done_before, ended.failed) == (0, 2)
    assert (a.read_bytes(), b.read_bytes()) == (b"someone else's", b"someone else's")
    b.unlink()
    ended, events = batch(config(tmp_path))
    assert (ended.painted, ended.failed) == (1, 1)
    assert [event.figures["frames_reused"] for event in events if isinstance(event, Finished)] == [6]


def test_a_batch_is_known_again_wherever_it_is_and_however_it_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = clips(tmp_path, "a.mp4")
    shutil.copy(models.registry.BUNDLED, tmp_path / "w.safetensors")
    monkeypatch.chdir(tmp_path)
    here = BatchConfig(inputs=("in",), output=Path("in"), styles=("w.safetensors#great-wave",), options=OPTIONS)
    assert batch(here)[0].painted == 1
    style = f"{tmp_path / 'w.safetensors'}#great-wave"
    assert batch(replace(here, inputs=(str(folder),), output=folder, styles=(style,)))[0].done_before == 1
    folder.rename(tmp_path / "moved")
    moved = replace(here, inputs=("moved",), output=Path("moved"))
    ended, events = batch(moved)
    assert (ended.painted, ended.done_before, outputs(events, Started)) == (0, 1, [])
    others = plan(replace(moved, styles=("starry-night",))).steps
    assert [step.job.name for step in others] == ["a_starry-night.mp4"]  # and no painting of a painting


def test_a_clip_that_is_only_touched_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = clips(tmp_path, "a.mp4")
    while_writing(monkeypatch, lambda writer: os.utime(folder / "a.mp4", (1, 1)))
    assert batch(config(tmp_path))[0].painted == 1
    assert batch(config(tmp_path))[0].done_before == 1


def test_paintings_in_the_folder_of_the_clips_are_not_painted_again(tmp_path: Path) -> None:
    folder = clips(tmp_path, "a.mp4")
    here = BatchConfig(inputs=(str(folder),), output=folder, styles=("great-wave",), options=OPTIONS)
    assert batch(here)[0].painted == 1
    ended, events = batch(here)
    assert (ended.painted, ended.done_before) == (0, 1)
    assert outputs(events, Started) == []
    shutil.rmtree(folder / ".flowbrush-batch")
    assert outputs(batch(replace(here, options=OPTIONS | {"overwrite": True}))[1], Started) == ["a_great-wave.mp4"]


def breaks(monkeypatch: pytest.MonkeyPatch, name: str, error: Exception, times: int) -> None:
    """Let the clip ``name`` fail so many times, at its third frame."""
    write, left = SegmentWriter.write, times

    def failing(self: SegmentWriter, frame: Any) -> None:
        nonlocal left
        write(self, frame)
        if name in self._path and len(self._pts) == 3 and left:
            left -= 1
            raise error

    monkeypatch.setattr(SegmentWriter, "write", failing)


@pytest.mark.parametrize("times", [1, 2])
def test_a_full_disk_is_the_matter_of_one_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    breaks(monkeypatch, "b_", OSError(errno.ENOSPC, "No space left on device"), times)
    clips(tmp_path, "a.mp4", "b.mp4", "c.mp4")
    ended, events = batch(config(tmp_path))
    assert (ended.painted, ended.failed) == ((3, 0) if times == 1 else (2, 1))
    failures = [event for event in events if isinstance(event, Failed)]
    assert [event.will_retry for event in failures] == [True, False][:times]
    assert all("No space left" in event.error for event in failures)
    assert outputs(events, Started)[-1] == "b_great-wave.mp4"


@pytest.mark.parametrize("fresh", [False, True])
def test_the_second_attempt_goes_on_with_what_the_first_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: bool
) -> None:
    write, is_broken = SegmentWriter.write, False

    def failing(self: SegmentWriter, frame: Any) -> None:
        nonlocal is_broken
        write(self, frame)
        if not is_broken and not Path(self._path).name.startswith("00000000"):
            is_broken = True
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(SegmentWriter, "write", failing)
    folder = clips(tmp_path)
    folder.mkdir()
    make_clip(folder / "a.mp4", Clip(pts=range(0, 1536 * 60, 1536)))
    ended, events = batch(config(tmp_path, options={"fresh": fresh}))
    assert ended.painted == 1
    figures = next(event.figures for event in events if isinstance(event, Finished))
    assert (figures["frames"], figures["frames_reused"]) == (60, 40)


def test_a_bug_ends_one_clip_not_the_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    breaks(monkeypatch, "b_", ZeroDivisionError("a bug"), 2)
    clips(tmp_path, "a.mp4", "b.mp4", "c.mp4")
    ended, events = batch(config(tmp_path))
    assert (ended.painted, ended.failed) == (2, 1)
    assert [event.error for event in events if isinstance(event, Failed)] == ["ZeroDivisionError: a bug"] * 2


def test_without_keep_going_the_first_failure_is_the_last(tmp_path: Path) -> None:
    clips(tmp_path, *(f"{number}.mp4" for number in range(6)))
    (tmp_path / "in" / "5.mp4").write_bytes(b"broken")
    asked = BatchConfig(
        inputs=tuple(str(path) for path in sorted((tmp_path / "in").iterdir())),
        output=tmp_path / "out",
        styles=("great-wave",),
        options=OPTIONS,
        keep_going=False,
    )
    ended = run_batch(asked, plan(asked))
    assert (ended.failed, ended.painted + ended.left) == (1, 5)
    assert ended.left >= 3


def test_a_folder_that_vanishes_takes_its_clips_alone(tmp_path: Path) -> None:
    clips(tmp_path, "a.mp4", "z1.mp4", "z2.mp4", *(f"sub/{number}.mp4" for number in range(4)), frames=10)

    def vanish(event: Event) -> None:
        if isinstance(event, Finished):
            shutil.rmtree(tmp_path / "in" / "sub", ignore_errors=True)

    ended, events = batch(config(tmp_path), vanish)
    assert ended.left == 0
    assert {"a_great-wave.mp4", "z1_great-wave.mp4", "z2_great-wave.mp4"} <= set(outputs(events, Finished))
    lost = {name for name in outputs(events, Failed) if name not in outputs(events, Finished)}
    assert lost
    assert all(name.startswith("sub") for name in lost)


def test_an_output_folder_that_vanishes_is_made_again(tmp_path: Path) -> None:
    clips(tmp_path, *(f"sub/{number}.mp4" for number in range(6)), frames=10)
    gone: list[str] = []

    def vanish(event: Event) -> None:
        if isinstance(event, Finished) and not gone:
            gone.append(event.output)
            shutil.rmtree(tmp_path / "out", ignore_errors=True)

    ended, events = batch(config(tmp_path), vanish)
    assert (ended.painted, ended.left, ended.failed) == (6, 0, 0)
    lost = set(outputs(events, Finished)) - set(outputs_in(tmp_path / "out"))
    assert gone[0] in lost
    assert len(lost) < 4
    assert (tmp_path / "out" / "report.html").exists()


def test_a_clip_that_changes_while_it_is_painted_is_painted_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips(tmp_path, "a.mp4", "b.mp4")
    write, is_changed = SegmentWriter.write, False

    def changing(self: SegmentWriter, frame: Any) -> None:
        nonlocal is_changed
        write(self, frame)
        if "b_" in self._path and not is_changed:
            is_changed = True
            clips(tmp_path, "b.mp4", frames=9)

    monkeypatch.setattr(SegmentWriter, "write", changing)
    ended, events = batch(config(tmp_path))
    failure = next(event for event in events if isinstance(event, Failed))
    assert "b.mp4" in failure.error
    assert "changed" in failure.error
    assert ended.painted == 2
    done = {event.output: event.figures for event in events if isinstance(event, Finished)}
    assert done["b_great-wave.mp4"]["frames"] == 9
    assert batch(config(tmp_path))[0].done_before == 2


def test_a_small_disk_is_told_of_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clips(tmp_path, "a.mp4")
    asked = config(tmp_path)
    planned = plan(asked)
    small = SimpleNamespace(free=10)
    monkeypatch.setattr(session, "shutil", SimpleNamespace(disk_usage=lambda path: small))
    events: list[Event] = []
    run_batch(asked, planned, events.append)
    assert any(isinstance(event, Noted) and event.output is None and "are free" in event.line for event in events)


def test_what_no_clip_could_do_ends_the_batch_before_it_begins(tmp_path: Path) -> None:
    clips(tmp_path, "a.mp4")
    with pytest.raises(DeviceError):
        plan(config(tmp_path, options={"device": "cuda:99"}))
    assert not (tmp_path / "out").exists()
    (tmp_path / "in" / "a.mp4").unlink()
    (tmp_path / "in" / "notes.txt").write_text("no clip")
    with pytest.raises(InputError, match="no video was found among 1 files"):
        plan(config(tmp_path))


def test_two_batches_at_once_do_not_work_in_one_folder(tmp_path: Path) -> None:
    clips(tmp_path, "a.mp4")
    asked = config(tmp_path)
    planned, lock = plan(asked), Lock(str(asked.state_folder / "lock"))
    try:
        with pytest.raises(OutputError, match="another batch"):
            run_batch(asked, planned)
    finally:
        lock.release()


class Page(HTMLParser):
    """What a page shows, and what it would load."""

    def __init__(self) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.texts: list[str] = []
        self.rows: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = dict(attributes)
        self.sources += [str(values[name]) for name in ("src", "href") if name in values]
        if tag == "tr" and "class" in values:
            self.rows.append(str(values["class"]))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_the_report_has_pictures_figures_and_errors_and_loads_nothing(tmp_path: Path) -> None:
    clips(tmp_path, "a<b>.mp4")
    (tmp_path / "in" / "broken.mp4").write_bytes(b"broken")
    batch(config(tmp_path))
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert (report["painted"], report["failed"]) == (1, 1)
    done, failed = report["clips"]
    assert (done["status"], done["frames"], done["engine"], done["attempts"]) == ("painted", 6, "eager", 1)
    assert (failed["status"], failed["attempts"]) == ("failed", 2)
    assert "broken.mp4" in failed["error"]
    page = Page()
    page.feed((tmp_path / "out" / "report.html").read_text(encoding="utf-8"))
    assert page.rows == ["done", "failed"]
    assert len(page.sources) == 2
    assert all(source.startswith("data:image/jpeg;base64,") for source in page.sources)
    assert page.sources[0] != page.sources[1]
    text = " ".join(page.texts)
    assert "a<b>_great-wave.mp4" in text
    assert failed["error"] in text
    assert "1 painted, 1 failed" in text


def test_events_are_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clip_run, "TELL_SECONDS", 0.0)
    clips(tmp_path, "a.mp4")
    _, events = batch(config(tmp_path))
    found = [json.loads(json.dumps(as_json(event))) for event in events]
    assert [event["event"] for event in found if event["event"] not in ("progress", "note")] == [
        "planned",
        "started",
        "finished",
        "ended",
    ]
    assert found[0] | {"seconds": 0, "bytes": 0, "megapixels": 0} == {
        "event": "planned",
        "clips": 1,
        "done": 0,
        "frames": 6,
        "megapixels": 0,
        "seconds": 0,
        "bytes": 0,
        "ignored": 0,
    }
    told = [event for event in found if event["event"] == "progress"]
    assert [event | {"fps": 0} for event in told] == [
        {"event": "progress", "output": "a_great-wave.mp4", "frames": number, "total": 6, "fps": 0}
        for number in range(1, 7)
    ]


def test_a_growing_clip_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "STANDS_SECONDS", 0.3)
    path = tmp_path / "in" / "a.mp4"
    path.parent.mkdir()
    watcher = watch.Watcher([str(path.parent)], tmp_path / "out")
    for _ in range(6):
        with path.open("ab") as file:
            file.write(b"x")
        assert list(watcher.arrived()) == []
        time.sleep(0.1)
    deadline = time.monotonic() + 10
    while not (found := list(watcher.arrived())) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [clip.path for clip in found] == [str(path)]
    assert list(watcher.arrived()) == []
    shutil.rmtree(path.parent)
    assert list(watcher.arrived()) == []


def gives_leases(path: Path) -> bool:
    import fcntl

    try:
        with path.open("rb") as file:
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError:
        return False
    return True


@pytest.mark.skipif(sys.platform != "linux", reason="the others do not tell")
def test_a_clip_that_is_held_open_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "STANDS_SECONDS", 0.0)
    path = tmp_path / "a.mp4"
    watcher = watch.Watcher([str(tmp_path)], tmp_path / "out")
    path.touch()
    if not gives_leases(path):
        pytest.skip("this file system gives no leases")
    with path.open("wb") as file:
        file.write(b"x")
        file.flush()
        assert watch.is_being_written(str(path))
        assert [list(watcher.arrived()) for _ in range(2)] == [[], []]
    assert not watch.is_being_written(str(path))
    assert [clip.path for clip in watcher.arrived()] == [str(path)]


def test_watching_paints_what_comes_and_only_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clips(tmp_path, "a.mp4")
    asked = config(tmp_path, watch=True)
    assert plan(asked).steps == ()  # it may still grow
    monkeypatch.setattr(watch, "STANDS_SECONDS", 0.1)
    finished: list[str] = []

    def react(event: Event) -> None:
        if isinstance(event, Finished):
            finished.append(event.output)
            if len(finished) == 1:
                clips(tmp_path, "sub/b.mp4")
            else:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        batch(asked, react)
    assert finished == ["a_great-wave.mp4", str(Path("sub/b_great-wave.mp4"))]
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["painted"] == 2


def looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at folders often, and take what stands for a moment."""
    monkeypatch.setattr(watch, "STANDS_SECONDS", 0.3)
    monkeypatch.setattr(arrivals, "WATCH_SECONDS", 0.05)


def report_of(folder: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((folder / "out" / "report.json").read_text())
    return report


def test_a_clip_replaced_while_it_is_painted_comes_again_when_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not tried again before, and has one row in the report."""
    clips(tmp_path, "a.mp4")
    os.utime(tmp_path / "in" / "a.mp4", (1, 1))
    looks(monkeypatch)
    happened: list[tuple[str, int]] = []

    def change(writer: SegmentWriter) -> None:
        if len(happened) == 1:
            clips(tmp_path, "a.mp4", frames=9)

    def react(event: Event) -> None:
        if isinstance(event, Started):
            happened.append((event.name, event.attempt))
        if isinstance(event, Failed):
            happened.append((event.name, event.will_retry))
        if isinstance(event, Finished):
            raise KeyboardInterrupt

    while_writing(monkeypatch, change)
    with pytest.raises(KeyboardInterrupt):
        batch(config(tmp_path, watch=True), react)
    assert happened == [("started", 1), ("failed", True), ("started", 1)]
    (row,) = report_of(tmp_path)["clips"]
    assert (row["status"], row["attempts"], row["frames"]) == ("painted", 1, 9)


def test_a_clip_touched_while_it_is_painted_is_painted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clips(tmp_path, "a.mp4")
    looks(monkeypatch)
    happened: list[Event] = []

    def touch(writer: SegmentWriter) -> None:
        if "a_great" in writer._path and len(writer._pts) == 1:
            os.utime(tmp_path / "in" / "a.mp4", (1, 1))
            time.sleep(0.3)  # several looks long

    def react(event: Event) -> None:
        happened.append(event)
        if isinstance(event, Finished):
            if event.output.startswith("b"):
                raise KeyboardInterrupt
            clips(tmp_path, "b.mp4")

    while_writing(monkeypatch, touch)
    with pytest.raises(KeyboardInterrupt):
        batch(config(tmp_path, watch=True), react)
    assert outputs(happened, Started) == ["a_great-wave.mp4", "b_great-wave.mp4"]
    assert outputs(happened, Failed) == []
    assert [row["done_before"] for row in report_of(tmp_path)["clips"]] == [False, False]


def test_of_two_arrivals_with_one_output_the_second_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As is one that is changed after it was painted; the report says so."""
    clips(tmp_path, "a.mkv", "b.mp4")
    shutil.copy(tmp_path / "in" / "a.mkv", tmp_path / "in" / "a.avi")
    looks(monkeypatch)
    monkeypatch.setattr(session, "may_grow", lambda path: True)
    finished: list[str] = []

    def react(event: Event) -> None:
        if isinstance(event, Finished):
            finished.append(event.output)
            if len(finished) == 2:
                os.utime(tmp_path / "in" / "a.avi", (1, 1))
                clips(tmp_path, "b.mp4", frames=7)
        if isinstance(event, Noted) and "exists already" in event.line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        batch(config(tmp_path, watch=True), react)
    report = report_of(tmp_path)
    assert sorted(finished) == ["a_great-wave.mkv", "b_great-wave.mp4"]
    assert sorted((row["output"], row["status"]) for row in report["clips"]) == [
        (output, "painted") for output in sorted(finished)
    ]
    assert any("a.mkv is left alone: " in line and "would be the output of" in line for line in report["notes"])
    assert any("b.mp4 is left alone: " in line for line in report["notes"])
    assert "is left alone" in (tmp_path / "out" / "report.html").read_text()


def test_however_it_ends_there_is_a_report(tmp_path: Path) -> None:
    clips(tmp_path, "a.mp4", "b.mp4")

    def break_down(event: Event) -> None:
        if isinstance(event, Finished):
            raise RuntimeError("who listens has a fault")

    with pytest.raises(RuntimeError, match="who listens"):
        batch(config(tmp_path), break_down)
    assert report_of(tmp_path)["painted"] >= 1


@pytest.mark.parametrize("where", ["shutil", "draw_thumbnails"])
def test_an_interruption_at_any_time_tells_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """Before the first clip, and behind the last."""

    def interrupt(*args: Any) -> None:
        raise KeyboardInterrupt

    clips(tmp_path, "a.mp4")
    asked = config(tmp_path, options={"fresh": where == "shutil"})
    if where != "shutil":
        batch(asked)
        for picture in (tmp_path / "out" / ".flowbrush-batch").glob("*.jpg"):
            picture.unlink()
    stand_in = SimpleNamespace(disk_usage=interrupt) if where == "shutil" else interrupt
    monkeypatch.setattr(session, where, stand_in)
    events: list[Event] = []
    with pytest.raises(KeyboardInterrupt) as caught:
        run_batch(asked, plan(asked), events.append)
    command = "the same command without --fresh goes on" if where == "shutil" else "the same command goes on"
    assert command in caught.value.__notes__[0]
    assert isinstance(events[-1], Ended)
    assert report_of(tmp_path)["clips"][0]["output"] == "a_great-wave.mp4"


def test_the_memory_of_a_host_is_left_to_it(tmp_path: Path) -> None:
    clips(tmp_path, "a.mp4")
    gc.freeze()
    frozen = gc.get_freeze_count()
    try:
        batch(config(tmp_path))
        assert gc.get_freeze_count() == pytest.approx(frozen, rel=0.01)
    finally:
        gc.unfreeze()


def test_a_full_disk_leaves_no_part_of_a_small_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    write_in_place(str(tmp_path / "report.json"), b"old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_in_place(str(tmp_path / "report.json"), [b"new"])
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("report.json", b"old")]


def test_a_place_that_is_damaged_is_told_of_once(tmp_path: Path) -> None:
    places = [Damage(number, Fraction(number), f"fault {number}") for number in range(5)]
    for count, said in ((1, "1 damaged place in the input"), (5, "5 damaged places in the input")):
        reasons = [place.reason for place in places[:count]]
        figures = {"frames": 6, "fps": 1.0, "frames_reused": 0, "damaged_places": count, "damage": reasons}
        record = Record("a", "b", "c", "done", figures=figures, notices=damage_notice(places[:count]))
        write_reports(tmp_path, [record], Ended(1, 0, 0, 0, 1.0, ""), datetime.now())
        page = (tmp_path / "report.html").read_text()
        assert said in page
        assert [page.count(reason) for reason in reasons] == [1] * count


def test_notices_reach_the_report_with_their_clip(tmp_path: Path) -> None:
    clips(tmp_path, "a.mp4")
    from tests.support.media import Sound

    make_clip(tmp_path / "in" / "b.mp4", Clip(pts=(0, 512), sounds=[Sound()]))
    _, events = batch(config(tmp_path, name="{stem}.gif"))
    notes = [event for event in events if isinstance(event, Noted)]
    assert {note.output for note in notes} >= {"b.gif"}
    rows = json.loads((tmp_path / "out" / "report.json").read_text())["clips"]
    assert any("sound" in line or "audio" in line for line in rows[1]["notices"])


def test_nine_sizes_are_all_compiled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Dynamo would run the ninth uncompiled, as it counts by code object."""
    import torch

    from models.engines.engine import EngineSpec
    from models.frame_graph import zero_statistics
    from models.network import StyleNetwork
    from tests.support.tiny import TINY

    compiled: list[int] = []
    real = torch.compile

    def backend(graph: Any, example: Any) -> Any:
        compiled.append(1)
        return graph.forward

    def cheap(module: Any, **settings: Any) -> Any:
        return real(module, dynamic=False, backend=backend)

    monkeypatch.setattr(torch, "compile", cheap)
    monkeypatch.setattr(models.engines.capabilities, "can_compile", lambda device: True)
    network, device = StyleNetwork(TINY), torch.device("cpu")
    for number in range(9):
        height = 16 + 4 * number
        spec = EngineSpec(network=network, height=height, width=16, device=device, precision="fp32", cache=tmp_path)
        engine = models.engines.build.build_engine("compile", spec)
        pixels = torch.from_numpy(np.zeros((height, 16, 3), np.uint8))
        engine(pixels, network.neutral_style(), zero_statistics(network, device), *(torch.zeros(()) for _ in range(4)))
    assert len(compiled) == 9


def test_the_configuration_of_a_batch_is_that_of_video(tmp_path: Path) -> None:
    clips(tmp_path, "a.mp4")
    step = plan(config(tmp_path, options={"stability": "none", "codec": "h265"})).steps[0]
    assert isinstance(step.job.config, VideoConfig)
    assert (step.job.config.stylize.stability, step.job.config.encode.codec) == ("none", "h265")
