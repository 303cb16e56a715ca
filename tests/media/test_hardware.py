"""Decoders and encoders of a GPU: used where they work, otherwise software does the same and says so."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from pipeline.config import DecodeConfig
from pipeline.decode.decoder import decode
from pipeline.decode.source import open_source
from pipeline.media import hardware
from pipeline.media.pixels.bit_depth import HighDepthToRgb
from pipeline.media.pixels.colorspace import EXACT, to_8_bit_rgb
from tests.support.media import Clip, make_clip

WITHOUT_DEVICE = hardware.decoder_fault("cuda") is not None


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    description = Clip(pts=(0, 40, 90, 100, 200), time_base=Fraction(1, 1000))
    return make_clip(tmp_path_factory.mktemp("clip") / "in.mkv", description)


def test_software_encodes_the_tiny_clip_and_an_unknown_encoder_does_not() -> None:
    assert hardware.encoder_fault("libx264") is None
    assert hardware.encoder_fault("no_such_encoder")


def test_the_tiny_clip_must_come_back_from_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "_accelerator", lambda device, **settings: None)
    fault = hardware.decoder_fault.__wrapped__
    assert fault("cuda") == "3 of 3 frames came back"
    monkeypatch.setattr(hardware, "_FROM_DEVICE", ("yuv420p",))
    assert fault("cuda") is None


@pytest.mark.skipif(not WITHOUT_DEVICE, reason="this machine decodes on its GPU")
def test_without_a_device_software_decodes_the_same_and_says_why(clip: Path) -> None:
    with open_source(clip) as source, open_source(clip, DecodeConfig(hwaccel="cuda")) as other:
        assert (source.info.hwaccel, source.info.hwaccel_fault) == (None, None)
        assert other.info.hwaccel is None
        assert other.info.hwaccel_fault == hardware.decoder_fault("cuda")
        for found, expected in zip(decode(other), decode(source), strict=True):
            assert (found.pts, found.duration) == (expected.pts, expected.duration)
            assert np.array_equal(found.pixels, expected.pixels)


def test_a_stream_that_a_working_device_does_not_support_is_named(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(hardware, "decoder_fault", lambda device: asked.append(device))
    monkeypatch.setattr(hardware, "_accelerator", lambda device, **settings: None)
    with open_source(clip, DecodeConfig(hwaccel="cuda:1")) as source:
        assert source.info.hwaccel_fault == "it does not support this h264, yuv420p"
    assert set(asked) == {"cuda:1"}


def test_the_frames_of_a_device_are_known_by_their_format(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "decoder_fault", lambda device: None)
    monkeypatch.setattr(hardware, "_accelerator", lambda device, **settings: None)
    monkeypatch.setattr(hardware, "_FROM_DEVICE", ("yuv420p",))
    with open_source(clip, DecodeConfig(hwaccel="cuda")) as source:
        assert (source.info.hwaccel, source.info.hwaccel_fault) == ("cuda", None)


def test_nv12_becomes_the_rgb_of_yuv420p_bit_for_bit() -> None:
    height, width = 98, 162
    draw = np.random.default_rng(1)
    y, u, v = (draw.integers(0, 256, size, np.uint8) for size in ((height, width), *[(height // 2, width // 2)] * 2))
    planar = np.concatenate([plane.ravel() for plane in (y, u, v)]).reshape(-1, width)
    interleaved = np.concatenate((y, np.stack((u, v), axis=2).reshape(height // 2, width)))
    of_planar, of_interleaved = (
        to_8_bit_rgb(VideoFrame.from_ndarray(samples, format=name), VideoReformatter())
        for samples, name in ((planar, "yuv420p"), (interleaved, "nv12"))
    )
    assert np.array_equal(of_planar, of_interleaved)


def test_p010_becomes_the_rgb_of_10_bits_bit_for_bit(clip: Path) -> None:
    with open_source(clip) as source:
        info = replace(source.info, is_16_bit=True)
    software = VideoFrame(64, 48, "yuv420p10le")
    draw = np.random.default_rng(1)
    for plane in software.planes:
        plane.update(draw.integers(64, 940, plane.buffer_size // 2, np.uint16).tobytes())
    unchanged = {"src_color_range": 1, "dst_color_range": 1, "src_colorspace": 1, "dst_colorspace": 1}
    from_device = VideoReformatter().reformat(software, format="p010le", **unchanged)
    for frame in (software, from_device):
        frame.colorspace, frame.color_range = 1, 1
    assert max(component.bits for component in VideoFormat("p010le").components) == 10
    of_software, of_device = (HighDepthToRgb(info)(frame, 64, 48, EXACT)[0] for frame in (software, from_device))
    assert np.array_equal(of_software, of_device)


@pytest.mark.parametrize("name", ["auto", "cuda:", "vaapi", "cuda:0001"])
def test_other_devices_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"hwaccel must be none, cuda or cuda:N"):
        DecodeConfig(hwaccel=name)


@pytest.mark.gpu
@pytest.mark.skipif(WITHOUT_DEVICE, reason="no GPU that decodes")
@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_a_gpu_decodes_what_software_decodes(tmp_path: Path, codec: str) -> None:
    path = make_clip(tmp_path / "in.mkv", Clip(width=320, height=192, codec=codec, pts=range(0, 2400, 40)))
    with open_source(path) as source, open_source(path, DecodeConfig(hwaccel="cuda")) as other:
        assert other.info.hwaccel == "cuda"
        for found, expected in zip(decode(other), decode(source), strict=True):
            assert (found.pts, found.duration) == (expected.pts, expected.duration)
            assert np.array_equal(found.pixels, expected.pixels)
