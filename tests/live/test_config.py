import sys
from pathlib import Path

import pytest

from pipeline.config import StylizeConfig
from pipeline.errors import InputError
from pipeline.live.capture.address import read_address
from pipeline.live.capture.camera import OpenCvCamera
from pipeline.live.capture.inputs import PROTOCOLS
from pipeline.live.capture.playback import Playback
from pipeline.live.capture.source import find_capture_device
from pipeline.live.capture.stream import ContainerDevice
from pipeline.live.config import LiveConfig, SinkConfig
from pipeline.live.session import output_size_px
from pipeline.live.sinks.outputs import make_audio, make_sinks
from tests.support.live import plain_config
from tests.support.media import Clip, Sound, make_clip


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"source": ""}, "no name"),
        ({"height": 8}, "height"),
        ({"fps_target": 0.5}, "fps target"),
        ({"fps_target": float("nan")}, "fps target"),
        ({"latency_target_ms": 1}, "latency target"),
        ({"seconds": 0}, "seconds"),
        ({"seconds": float("nan")}, "seconds"),
        ({"loop": True}, "--realtime"),
        ({"stylize": StylizeConfig(style="great-wave", compare="side")}, "neither compares"),
        ({"stylize": StylizeConfig(style="great-wave", style_end="mondrian")}, "nor fades"),
    ],
)
def test_what_makes_no_sense_is_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        plain_config(**changes)


def test_a_source_means_what_it_looks_like(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = make_clip(tmp_path / "a.mp4")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("DISPLAY", ":7")
    for name in ("WAYLAND_DISPLAY", "XDG_SESSION_TYPE"):
        monkeypatch.delenv(name, raising=False)
    kinds = {
        "0": OpenCvCamera,
        "/dev/video3": OpenCvCamera,
        "v4l2:/dev/video3": ContainerDevice,
        "rtsp://camera/stream": ContainerDevice,
        "udp://127.0.0.1:5000": ContainerDevice,
        "screen": ContainerDevice,
    }
    for source, kind in kinds.items():
        assert isinstance(find_capture_device(plain_config(source=source)), kind), source
    assert isinstance(find_capture_device(plain_config(source=str(clip), realtime=True)), Playback)


def test_a_source_that_means_nothing_is_told_so(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4")
    for source, said in {
        str(tmp_path / "none.mp4"): "neither a camera",
        str(clip): "--realtime",
        "ftp://host/file": "ftp is not opened",
        "file:///etc/passwd": "file is not opened",
    }.items():
        with pytest.raises(InputError, match=said) as caught:
            find_capture_device(plain_config(source=source))
        assert "\n" not in str(caught.value)


def test_wayland_is_refused_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    monkeypatch.setenv("DISPLAY", ":0")  # of XWayland, which shows nothing but black
    with pytest.raises(InputError, match="Wayland, where no program may read the screen; log in with an Xorg session"):
        find_capture_device(plain_config(source="screen"))
    monkeypatch.delenv("WAYLAND_DISPLAY")
    monkeypatch.delenv("XDG_SESSION_TYPE", raising=False)
    monkeypatch.delenv("DISPLAY")
    with pytest.raises(InputError, match="no display"):
        find_capture_device(plain_config(source="screen"))


def test_a_url_opens_nothing_but_what_its_scheme_needs() -> None:
    for scheme, protocols in PROTOCOLS.items():
        allowed = protocols.split(",")
        assert scheme in allowed
        assert not {"file", "pipe", "data", "concat", "subfile"} & set(allowed)


def test_a_password_is_never_said() -> None:
    device = find_capture_device(plain_config(source="rtsp://me:secret@camera:554/a?b=c"))
    assert device.name == "rtsp://camera:554"  # nor a path or a query, where keys of streams and passwords stand too


def test_an_address_may_stand_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "address"
    file.write_text(" rtmp://host/app/key\nmore\n")
    assert read_address(f"@{file}") == "rtmp://host/app/key"
    assert read_address("udp://host:1") == "udp://host:1"
    file.write_bytes(b"\xff\xfe")
    for wrong in (f"@{file}", f"@{tmp_path}", f"@{tmp_path}/none", "@/dev/null"):
        with pytest.raises(ValueError, match=r"cannot be read|no address"):
            read_address(wrong)


def test_without_a_display_a_session_needs_a_sink(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ValueError, match="--virtual-camera, --record FILE, --stream URL or --null"):
        SinkConfig()
    assert not SinkConfig(null=True).has_window
    assert SinkConfig(window=True).has_window
    monkeypatch.setenv("DISPLAY", "elsewhere:0")  # one of this machine is tried
    assert SinkConfig().has_window
    assert not SinkConfig(null=True).has_window
    with pytest.raises(ValueError, match="nowhere"):
        SinkConfig(window=False)


def test_measuring_has_one_sink_and_no_microphone() -> None:
    from pipeline.live.controls import Controls

    outputs = SinkConfig(null=True, window=False)
    assert [sink.name for sink in make_sinks(outputs, Controls(["great-wave"]), print)] == ["null"]
    config = plain_config()
    assert make_audio(outputs, config, find_capture_device(config), print) is None


def test_a_file_that_is_played_brings_its_own_sound_if_any(tmp_path: Path) -> None:
    silent, loud = make_clip(tmp_path / "a.mkv"), make_clip(tmp_path / "b.mkv", Clip(sounds=[Sound()]))
    for clip, wanted, found in ((silent, True, False), (loud, True, True), (loud, False, False)):
        config = plain_config(source=str(clip), realtime=True)
        outputs = SinkConfig(record=tmp_path / "out.mkv", window=False, audio=wanted)
        audio = make_audio(outputs, config, find_capture_device(config), print)
        assert (audio is not None) == found
        if audio is not None:
            audio.close()


def test_what_comes_out_has_even_sides() -> None:
    assert output_size_px((49, 65), None) == (48, 64)
    assert output_size_px((480, 640), 240) == (240, 320)
    assert output_size_px((1080, 1920), 361) == (360, 642)


def test_live_config_is_found() -> None:
    assert LiveConfig(source="0", stylize=StylizeConfig(style="great-wave")).latency_target_ms == 100
