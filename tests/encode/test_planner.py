"""What cannot be written is refused before a model is loaded."""

import os
import sys
from fractions import Fraction

import pytest

from pipeline.config import DecodeConfig, EncodeConfig
from pipeline.decode.source import open_source
from pipeline.encode.planner import plan_output
from pipeline.errors import OutputError
from tests.support.media import Audio, Clip, make_clip


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return make_clip(tmp_path_factory.mktemp("clip") / "in.mp4", Clip(audio=[Audio()]))


@pytest.mark.parametrize(
    ("name", "config", "reason"),
    [
        ("there.mp4", {}, "exists already"),
        ("folder.mp4", {"overwrite": True}, "is a folder"),
        ("fifo.mp4", {"overwrite": True}, "not a regular file"),
        ("missing/out.mp4", {}, "there is no folder"),
        ("out.xyz", {}, "names no container"),
        ("long" * 70 + ".mp4", {}, "longer than the 255 bytes"),
        ("out.avi", {}, "avi"),
        ("out", {}, "a name without an ending"),
        ("out.mp4", {"codec": "prores"}, "do not support prores; they support h264, h265, av1, vp9"),
        ("out.webm", {"codec": "h264"}, "do not support h264; they support av1, vp9"),
        ("out.mov", {"codec": "vp9"}, "libvpx-vp9 cannot be opened"),
        ("out.gif", {"codec": "h264"}, "do not support h264; they support gif"),
    ],
)
def test_what_cannot_be_written_is_refused(clip, tmp_path, name, config, reason):
    (tmp_path / "there.mp4").touch()
    (tmp_path / "folder.mp4").mkdir()
    os.mkfifo(tmp_path / "fifo.mp4")
    before = sorted(os.listdir(tmp_path))
    with open_source(clip) as source, pytest.raises(OutputError, match=reason) as caught:
        plan_output(source, tmp_path / name, EncodeConfig(**config))
    assert "\n" not in str(caught.value)
    assert sorted(os.listdir(tmp_path)) == before


@pytest.mark.skipif(sys.platform == "win32", reason="permissions")
def test_a_folder_that_cannot_be_written_is_refused(clip, tmp_path, monkeypatch):
    def refuse(path, *_):
        raise PermissionError(13, "Permission denied", path)

    with open_source(clip) as source:
        monkeypatch.setattr(os, "open", refuse)
        with pytest.raises(OutputError, match="cannot be written to"):
            plan_output(source, tmp_path / "out.mp4")


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"codec": "divx"}, "unknown codec 'divx'"),
        ({"quality": 99}, "0 to 51"),
        ({"preset": "warp"}, "ultrafast"),
        ({"codec": "ffv1", "quality": 3}, "no constant quality"),
        ({"codec": "ffv1", "preset": "fast"}, "no presets"),
    ],
)
def test_a_wrong_setting_is_a_value_error(clip, tmp_path, config, reason):
    with open_source(clip) as source, pytest.raises(ValueError, match=reason):
        plan_output(source, tmp_path / "out.mkv", EncodeConfig(**config))


def test_a_config_is_checked():
    for wrong in ({"start_seconds": Fraction(-1)}, {"duration_seconds": Fraction(0)}, {"height": 3}, {"threads": -1}):
        with pytest.raises(ValueError, match="not"):
            DecodeConfig(**wrong)
    with pytest.raises(ValueError, match="threads"):
        EncodeConfig(threads=-1)
