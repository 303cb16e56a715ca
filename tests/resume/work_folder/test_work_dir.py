"""The work folder: one run at a time, and nothing else in it is touched."""

import os
from pathlib import Path

import pytest

from pipeline.errors import OutputError
from pipeline.progress import Progress
from pipeline.resume.work_folder.work_dir import WorkDir, describe_partial_output
from pipeline.run import stylize_video
from pipeline.system.lock import Lock, is_held_here
from tests.support.interrupted.resuming import config, interrupt_at


def test_other_files_in_the_folder_stay(tmp_path: Path, clip: Path) -> None:
    folder = tmp_path / "out.mp4.flowbrush"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    stylize_video(config(clip, tmp_path / "out.mp4"))
    assert os.listdir(folder) == ["notes.txt"]


def test_only_the_two_newest_states_are_kept(tmp_path: Path, clip: Path) -> None:
    interrupt_at(35, clip, tmp_path / "out.mp4")
    folder = tmp_path / "out.mp4.flowbrush"
    assert sorted(path.stem for path in folder.glob("*.safetensors")) == ["00000024", "00000032"]


def test_a_second_run_on_the_same_output_is_an_error(tmp_path: Path, clip: Path) -> None:
    lock = Lock(str(tmp_path / "out.mp4.flowbrush" / "lock"))
    try:
        with pytest.raises(OutputError, match=rf"another run \(process {os.getpid()}\)"):
            stylize_video(config(clip, tmp_path / "out.mp4"))
    finally:
        lock.release()
    assert stylize_video(config(clip, tmp_path / "out.mp4")).frames == 40


def test_a_second_run_does_not_disturb_the_first(tmp_path: Path, clip: Path) -> None:
    def second(state: Progress) -> None:
        if state.frames == 12:
            with pytest.raises(OutputError, match="another run"):
                stylize_video(config(clip, tmp_path / "out.mp4"))

    assert stylize_video(config(clip, tmp_path / "out.mp4"), progress=second).frames == 40
    assert os.listdir(tmp_path) == ["out.mp4"]


def test_a_process_that_is_ended_removes_nothing_of_another(tmp_path: Path) -> None:
    target, folder = str(tmp_path / "out.mp4"), tmp_path / "out.mp4.flowbrush"
    folder.mkdir()
    (folder / "00000000.mp4.part").touch()
    assert describe_partial_output(target, is_fresh=False) == ""
    assert (folder / "00000000.mp4.part").exists()
    lock = Lock(str(folder / "lock"))
    (folder / "manifest.jsonl").write_text("{}")
    assert describe_partial_output(target, is_fresh=False) == ""
    assert (folder / "manifest.jsonl").exists(), "another version may be able to read it"
    (folder / "manifest.jsonl").unlink()
    assert describe_partial_output(target, is_fresh=False) == ""
    assert not folder.exists()
    lock.release()


@pytest.mark.skipif(os.name != "posix", reason="an open file cannot be removed")
def test_the_folder_is_locked_until_the_lock_file_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work_dir, unlink = WorkDir(str(tmp_path / "out.mp4")), os.unlink
    path, locked = work_dir.file("lock"), list[bool]()

    def watch(name: str) -> None:
        if name == path:
            locked.append(is_held_here(path))
        unlink(name)

    monkeypatch.setattr(os, "unlink", watch)
    work_dir.close(is_kept=False)
    assert locked == [True]
    assert not os.path.exists(work_dir.path)
