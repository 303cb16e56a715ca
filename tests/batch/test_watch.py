"""Batches that watch folders."""

import os
import shutil
import sys
import time
from pathlib import Path

import pytest

from pipeline.batch.events import Event, Failed, Finished, Noted, Started
from pipeline.batch.session import plan
from pipeline.batch.watch import Arrivals, FolderWatcher, WatchTimes, is_being_written
from tests.support.batching import batch_config, make_clips, outputs_of, report_of, run_here, while_stylizing

OFTEN = WatchTimes(poll_seconds=0.05, settle_seconds=0.3)


def is_old(path: Path) -> None:
    os.utime(path, (1, 1))


def test_a_growing_clip_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "in" / "a.mp4"
    path.parent.mkdir()
    watcher = FolderWatcher([str(path.parent)], tmp_path / "out", (), OFTEN)
    for _ in range(6):
        with path.open("ab") as file:
            file.write(b"x")
        assert list(watcher.new_clips()) == []
        time.sleep(0.1)
    deadline = time.monotonic() + 10
    while not (found := list(watcher.new_clips())) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [clip.path for clip in found] == [str(path)]
    assert list(watcher.new_clips()) == []
    shutil.rmtree(path.parent)
    assert list(watcher.new_clips()) == []


def grants_leases(path: Path) -> bool:
    import fcntl

    try:
        with path.open("rb") as file:
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError:
        return False
    return True


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not report writers")
def test_a_clip_that_is_open_for_writing_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    watcher = FolderWatcher([str(tmp_path)], tmp_path / "out", (), WatchTimes(settle_seconds=0.0))
    path.touch()
    if not grants_leases(path):
        pytest.skip("this file system grants no leases")
    with path.open("wb") as file:
        file.write(b"x")
        file.flush()
        assert is_being_written(str(path))
        assert [list(watcher.new_clips()) for _ in range(2)] == [[], []]
    assert not is_being_written(str(path))
    assert [clip.path for clip in watcher.new_clips()] == [str(path)]


def test_only_new_clips_are_stylized(tmp_path: Path) -> None:
    make_clips(tmp_path, "a.mp4")
    config = batch_config(tmp_path, watch=True)
    assert plan(config).steps == ()  # it may still grow
    finished: list[str] = []

    def react(event: Event) -> None:
        if isinstance(event, Finished):
            finished.append(event.output)
            if len(finished) == 1:
                make_clips(tmp_path, "sub/b.mp4")
            else:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_here(config, react, watch_times=OFTEN)
    assert finished == ["a_great-wave.mp4", str(Path("sub/b_great-wave.mp4"))]
    assert report_of(tmp_path)["painted"] == 2


def test_a_clip_replaced_during_its_run_is_started_again_when_it_is_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not retried before that, and has one row in the report."""
    make_clips(tmp_path, "a.mp4")
    is_old(tmp_path / "in" / "a.mp4")
    happened: list[tuple[str, int]] = []

    def replace(output: str, frames: int) -> None:
        if len(happened) == 1:
            make_clips(tmp_path, "a.mp4", frames=9)

    def react(event: Event) -> None:
        if isinstance(event, Started):
            happened.append((event.name, event.attempt))
        if isinstance(event, Failed):
            happened.append((event.name, event.will_retry))
        if isinstance(event, Finished):
            raise KeyboardInterrupt

    while_stylizing(monkeypatch, replace)
    with pytest.raises(KeyboardInterrupt):
        run_here(batch_config(tmp_path, watch=True), react, watch_times=OFTEN)
    assert happened == [("started", 1), ("failed", True), ("started", 1)]
    (row,) = report_of(tmp_path)["clips"]
    assert (row["status"], row["attempts"], row["frames"]) == ("painted", 1, 9)


def test_a_clip_touched_during_its_run_is_stylized_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_clips(tmp_path, "a.mp4")
    happened: list[Event] = []

    def touch(output: str, frames: int) -> None:
        if output.startswith("a") and frames == 1:
            is_old(tmp_path / "in" / "a.mp4")
            time.sleep(0.3)  # several polls

    def react(event: Event) -> None:
        happened.append(event)
        if isinstance(event, Finished):
            if event.output.startswith("b"):
                raise KeyboardInterrupt
            make_clips(tmp_path, "b.mp4")

    while_stylizing(monkeypatch, touch)
    with pytest.raises(KeyboardInterrupt):
        run_here(batch_config(tmp_path, watch=True), react, watch_times=OFTEN)
    assert outputs_of(happened, Started) == ["a_great-wave.mp4", "b_great-wave.mp4"]
    assert outputs_of(happened, Failed) == []
    assert [row["done_before"] for row in report_of(tmp_path)["clips"]] == [False, False]


def test_a_clip_whose_output_is_taken_is_skipped_with_a_note(tmp_path: Path) -> None:
    """Taken by another clip that arrived, or by the same clip before it was changed."""
    make_clips(tmp_path, "a.mkv", "b.mp4")
    shutil.copy(tmp_path / "in" / "a.mkv", tmp_path / "in" / "a.avi")
    finished: list[str] = []

    def react(event: Event) -> None:
        if isinstance(event, Finished):
            finished.append(event.output)
            if len(finished) == 2:
                is_old(tmp_path / "in" / "a.avi")
                make_clips(tmp_path, "b.mp4", frames=7)
        if isinstance(event, Noted) and "exists already" in event.line:
            raise KeyboardInterrupt

    for path in (tmp_path / "in").iterdir():
        path.touch()  # new, so that they are left to the watcher
    with pytest.raises(KeyboardInterrupt):
        run_here(batch_config(tmp_path, watch=True), react, watch_times=OFTEN)
    report = report_of(tmp_path)
    assert sorted(finished) == ["a_great-wave.mkv", "b_great-wave.mp4"]
    assert sorted((row["output"], row["status"]) for row in report["clips"]) == [
        (output, "painted") for output in sorted(finished)
    ]
    for name, reason in (("a.mkv", "would be the output of"), ("b.mp4", "exists already")):
        assert [line for line in report["notes"] if f"{name} is skipped" in line and reason in line]
        assert f"{name} is skipped" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.skipif(os.name != "posix", reason="needs links")
def test_a_link_to_a_file_outside_is_no_arrival(tmp_path: Path) -> None:
    make_clips(tmp_path, "secret.mp4")
    is_old((tmp_path / "in" / "secret.mp4").rename(tmp_path / "secret.mp4"))
    events: list[Event] = []
    arrivals = Arrivals(batch_config(tmp_path), [], events.append, WatchTimes(0.0, 0.0))
    assert arrivals(()) == []
    (tmp_path / "in" / "a.mp4").symlink_to(tmp_path / "secret.mp4")
    assert [arrivals(()) for _ in range(3)] == [[], [], []]
    assert [event.line.partition(" and ")[0] for event in events if isinstance(event, Noted)] == [
        f"{tmp_path / 'in' / 'a.mp4'} leads out of {tmp_path / 'in'}"
    ]
