"""The disk space for segments and output is estimated before anything is stylized."""

import os
import struct
from fractions import Fraction
from pathlib import Path

import pytest

from pipeline.decode.source import open_source
from pipeline.errors import OutputError
from pipeline.run import stylize_video
from tests.support.interrupted.resuming import UNSTYLIZED, config, interrupt_at
from tests.support.media import Clip, make_clip


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


@pytest.mark.parametrize("milliseconds", [2.0**40, 5e9])
def test_an_absurd_duration_in_the_header_is_no_reason(tmp_path: Path, milliseconds: float) -> None:
    clip = Clip(pts=range(0, 400, 40), time_base=Fraction(1, 1000))
    source = make_clip(tmp_path / "in.mkv", clip)
    data = source.read_bytes()
    place = data.index(b"\x44\x89\x88") + 3
    source.write_bytes(data[:place] + struct.pack(">d", milliseconds) + data[place + 8 :])
    with open_source(source) as opened:
        assert opened.info.frame_count is None
    assert stylize_video(config(source, tmp_path / "out.mkv", stylize=UNSTYLIZED)).frames == 10
