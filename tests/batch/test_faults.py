"""Batches in which something fails, vanishes or changes."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from pipeline.batch.config import BatchConfig
from pipeline.batch.events import Event, Failed, Finished, Started
from pipeline.batch.session import plan, run_batch
from pipeline.errors import DeviceError, InputError, OutputError
from pipeline.system.files.atomic import write_atomically
from pipeline.system.lock import Lock
from tests.support.batching import OPTIONS, batch_config, make_clips, outputs_in, outputs_of, run_here, while_stylizing
from tests.support.media import Clip, make_clip

LIMIT_BYTES = 300_000


@pytest.mark.parametrize("times", [1, 2])
def test_a_full_disk_fails_one_clip(tmp_path: Path, times: int) -> None:
    """The limit on the size of files stands for a full disk; only the work of the large clip exceeds it."""
    resource = pytest.importorskip("resource")
    make_clips(tmp_path, "a.mp4", "c.mp4")
    make_clip(tmp_path / "in" / "b.mp4", Clip(pts=range(0, 512 * 6, 512), width=192, height=144))
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)

    def react(event: Event) -> None:
        if isinstance(event, Failed) and times == 1:
            resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)

    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT_BYTES, unlimited[1]))
    try:
        ended, events = run_here(batch_config(tmp_path), react)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    assert (ended.painted, ended.failed) == ((3, 0) if times == 1 else (2, 1))
    failures = [event for event in events if isinstance(event, Failed)]
    assert [event.will_retry for event in failures] == [True, False][:times]
    assert all(os.strerror(errno.EFBIG) in event.error for event in failures)
    assert outputs_of(events, Started)[-1] == "b_great-wave.mp4"


@pytest.mark.parametrize("fresh", [False, True])
def test_the_second_attempt_resumes_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: bool) -> None:
    attempts: list[int] = []

    def fail_once(output: str, frames: int) -> None:
        if frames == 50 and not attempts:
            attempts.append(1)
            raise OutputError(output, "the disk is full")

    while_stylizing(monkeypatch, fail_once)
    (tmp_path / "in").mkdir()
    make_clip(tmp_path / "in" / "a.mp4", Clip(pts=range(0, 1536 * 60, 1536)))
    ended, events = run_here(batch_config(tmp_path, options={"fresh": fresh}))
    assert ended.painted == 1
    figures = next(event.figures for event in events if isinstance(event, Finished))
    assert (figures["frames"], figures["frames_reused"]) == (60, 40)


def test_a_bug_fails_one_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(output: str, frames: int) -> None:
        if output.startswith("b_") and frames == 3:
            raise ZeroDivisionError("a bug")

    while_stylizing(monkeypatch, fail)
    make_clips(tmp_path, "a.mp4", "b.mp4", "c.mp4")
    ended, events = run_here(batch_config(tmp_path))
    assert (ended.painted, ended.failed) == (2, 1)
    assert [event.error for event in events if isinstance(event, Failed)] == ["ZeroDivisionError: a bug"] * 2


def test_without_keep_going_the_first_failure_ends_the_batch(tmp_path: Path) -> None:
    make_clips(tmp_path, *(f"{number}.mp4" for number in range(6)))
    (tmp_path / "in" / "5.mp4").write_bytes(b"broken")
    config = BatchConfig(
        inputs=tuple(str(path) for path in sorted((tmp_path / "in").iterdir())),
        output=tmp_path / "out",
        styles=("great-wave",),
        options=OPTIONS,
        keep_going=False,
    )
    ended = run_batch(config, plan(config))
    assert (ended.failed, ended.painted + ended.left) == (1, 5)
    assert ended.left >= 3


def test_a_folder_that_vanishes_fails_its_clips_alone(tmp_path: Path) -> None:
    make_clips(tmp_path, "a.mp4", "z1.mp4", "z2.mp4", *(f"sub/{number}.mp4" for number in range(4)), frames=10)

    def vanish(event: Event) -> None:
        if isinstance(event, Finished):
            shutil.rmtree(tmp_path / "in" / "sub", ignore_errors=True)

    ended, events = run_here(batch_config(tmp_path), vanish)
    assert ended.left == 0
    assert {"a_great-wave.mp4", "z1_great-wave.mp4", "z2_great-wave.mp4"} <= set(outputs_of(events, Finished))
    lost = {name for name in outputs_of(events, Failed) if name not in outputs_of(events, Finished)}
    assert lost
    assert all(name.startswith("sub") for name in lost)


def test_an_output_folder_that_vanishes_is_created_again(tmp_path: Path) -> None:
    make_clips(tmp_path, *(f"sub/{number}.mp4" for number in range(6)), frames=10)
    removed_after: list[str] = []

    def vanish(event: Event) -> None:
        if isinstance(event, Finished) and not removed_after:
            removed_after.append(event.output)
            shutil.rmtree(tmp_path / "out", ignore_errors=True)

    ended, events = run_here(batch_config(tmp_path), vanish)
    assert (ended.painted, ended.left, ended.failed) == (6, 0, 0)
    lost = set(outputs_of(events, Finished)) - set(outputs_in(tmp_path / "out"))
    assert removed_after[0] in lost
    assert len(lost) < 4
    assert (tmp_path / "out" / "report.html").exists()


def test_a_clip_that_changes_during_its_run_is_stylized_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_clips(tmp_path, "a.mp4", "b.mp4")
    changes: list[int] = []

    def change_once(output: str, frames: int) -> None:
        if output.startswith("b_") and not changes:
            changes.append(1)
            make_clips(tmp_path, "b.mp4", frames=9)

    while_stylizing(monkeypatch, change_once)
    ended, events = run_here(batch_config(tmp_path))
    failure = next(event for event in events if isinstance(event, Failed))
    assert "b.mp4" in failure.error
    assert "changed" in failure.error
    assert ended.painted == 2
    done = {event.output: event.figures for event in events if isinstance(event, Finished)}
    assert done["b_great-wave.mp4"]["frames"] == 9
    assert run_here(batch_config(tmp_path))[0].done_before == 2


def test_a_file_of_another_program_is_no_finished_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Written after an interruption or during the run, it stays, and its clip fails."""
    make_clips(tmp_path, "a.mp4", "b.mp4")
    a, b = tmp_path / "out" / "a_great-wave.mp4", tmp_path / "out" / "b_great-wave.mp4"

    def interfere(output: str, frames: int) -> None:
        if output == a.name and frames == 6:
            raise KeyboardInterrupt
        if output == b.name:
            b.write_bytes(b"someone else's")

    with monkeypatch.context() as patch:
        while_stylizing(patch, interfere)
        ended, events = run_here(batch_config(tmp_path))
    assert (ended.failed, ended.left) == (1, 1)
    assert any(str(b) in event.error for event in events if isinstance(event, Failed))
    a.write_bytes(b"someone else's")
    ended, _ = run_here(batch_config(tmp_path))
    assert (ended.done_before, ended.failed) == (0, 2)
    assert (a.read_bytes(), b.read_bytes()) == (b"someone else's", b"someone else's")
    b.unlink()
    ended, events = run_here(batch_config(tmp_path))
    assert (ended.painted, ended.failed) == (1, 1)
    assert [event.figures["frames_reused"] for event in events if isinstance(event, Finished)] == [6]


def test_what_fails_every_clip_ends_the_batch_before_it_starts(tmp_path: Path) -> None:
    make_clips(tmp_path, "a.mp4")
    with pytest.raises(DeviceError):
        plan(batch_config(tmp_path, options={"device": "cuda:99"}))
    assert not (tmp_path / "out").exists()
    (tmp_path / "in" / "a.mp4").unlink()
    (tmp_path / "in" / "notes.txt").write_text("no clip")
    with pytest.raises(InputError, match="no video was found among 1 files"):
        plan(batch_config(tmp_path))


def test_a_second_batch_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    make_clips(tmp_path, "a.mp4")
    config = batch_config(tmp_path)
    planned, lock = plan(config), Lock(str(config.state_folder / "lock"))
    try:
        with pytest.raises(OutputError, match="another batch"):
            run_batch(config, planned)
    finally:
        lock.release()


def test_a_full_disk_leaves_the_old_content_of_a_small_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    write_atomically(str(tmp_path / "report.json"), b"old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(str(tmp_path / "report.json"), [b"new"])
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("report.json", b"old")]
