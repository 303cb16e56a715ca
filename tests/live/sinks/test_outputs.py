"""Options select sinks and the audio source."""

import sys
from pathlib import Path

import pytest

from pipeline.live.capture.source import find_capture_device
from pipeline.live.config import SinkConfig
from pipeline.live.controls import Controls
from pipeline.live.sinks.outputs import check_sinks, make_audio, make_sinks
from tests.support.live import plain_config
from tests.support.media import Audio, Clip, make_clip


def names(config: SinkConfig) -> list[str]:
    return [sink.name for sink in make_sinks(config, Controls(["great-wave"]), print)]


@pytest.fixture
def no_display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("no_display")
def test_each_option_selects_a_sink(tmp_path: Path) -> None:
    assert names(SinkConfig(null=True)) == ["null"]
    assert names(SinkConfig(virtual_camera=True)) == ["virtual camera"]
    assert names(SinkConfig(stream="udp://host:1")) == ["stream udp://host:1"]
    assert names(SinkConfig(record=tmp_path / "a.mkv")) == [f"record {tmp_path}/a.mkv"]
    assert names(SinkConfig(window=True, null=True)) == ["window", "record", "null"]


@pytest.mark.usefixtures("no_display")
def test_without_a_display_a_session_needs_a_sink(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"--virtual-camera.*--stream.*--record.*--null"):
        check_sinks(SinkConfig(), "0")
    check_sinks(SinkConfig(null=True), "0")
    check_sinks(SinkConfig(window=True), "0")
    monkeypatch.setenv("DISPLAY", "other-machine:0")  # which is not checked
    assert names(SinkConfig()) == ["window", "record"]
    assert names(SinkConfig(null=True)) == ["null"]
    with pytest.raises(ValueError, match="nowhere"):
        check_sinks(SinkConfig(window=False), "0")


def test_the_source_is_not_recorded_over(tmp_path: Path) -> None:
    clip, link = tmp_path / "clip.mkv", tmp_path / "link.mkv"
    clip.touch()
    link.symlink_to(clip)
    with pytest.raises(ValueError, match="record into another file"):
        check_sinks(SinkConfig(record=link, overwrite=True), str(clip))


def test_without_recording_no_microphone_is_opened() -> None:
    config = plain_config()
    assert make_audio(SinkConfig(null=True), config, find_capture_device(config), print) is None


@pytest.mark.parametrize(("has_audio", "wanted"), [(False, True), (True, True), (True, False)])
def test_a_played_file_has_its_own_audio(tmp_path: Path, has_audio: bool, wanted: bool) -> None:
    clip = make_clip(tmp_path / "a.mkv", Clip(audio=[Audio()] if has_audio else []))
    config = plain_config(source=str(clip), realtime=True)
    sinks = SinkConfig(record=tmp_path / "out.mkv", window=False, audio=wanted)
    audio = make_audio(sinks, config, find_capture_device(config), print)
    assert (audio is not None) == (has_audio and wanted)
    if audio is not None:
        audio.close()
