"""The disk space for segments and output is estimated before anything is stylized."""

import os
from pathlib import Path

import pytest

from pipeline.errors import OutputError
from pipeline.run import stylize_video
from tests.support.resuming import config, interrupt_at


def pretend_free(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": free}))


def test_far_too_little_space_is_an_error(tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_free(monkeypatch, 100)
    with pytest.raises(OutputError, match="free"):
        stylize_video(config(clip, tmp_path / "out.mp4"))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(("free", "is_noted"), [(9_000, True), (10**9, False)])
def test_somewhat_too_little_space_is_noted(
    tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch, free: int, is_noted: bool
) -> None:
    pretend_free(monkeypatch, free)
    lines: list[str] = []
    stylize_video(config(clip, tmp_path / "out.mp4"), notify=lines.append)
    assert any("may become full" in line for line in lines) == is_noted


def test_what_a_killed_run_was_writing_is_removed_first(
    tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_at(20, clip, tmp_path / "out.mp4")
    unfinished = tmp_path / "out.mp4.flowbrush" / "output.part"
    unfinished.write_bytes(bytes(100))
    exists: list[bool] = []

    def disk_usage(folder: str) -> object:
        exists.append(unfinished.exists())
        return type("Usage", (), {"free": 10**9})

    monkeypatch.setattr("shutil.disk_usage", disk_usage)
    stylize_video(config(clip, tmp_path / "out.mp4"))
    assert exists == [False]
