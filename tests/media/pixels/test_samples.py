"""Frames whose RGB is computed later: by swscale as before where it is needed here, on a device within one level."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from models.engines.gpu.transfers import FrameTransfers
from pipeline.config import DecodeConfig, Stability, StylizeConfig
from pipeline.decode.decoder import decode
from pipeline.decode.source import open_source
from pipeline.frames import Frame
from pipeline.media import hardware
from pipeline.media.pixels.colorspace import to_8_bit_rgb
from pipeline.media.pixels.samples import SampledFrame, find_siting, is_sampled, packed
from pipeline.stylize.device_filter import rgb_on_device
from pipeline.stylize.scene_cuts import thumbnail
from pipeline.stylize.stylizer import Stylizer
from tests.support.late_streams import LateStreams, as_gpu
from tests.support.media import Clip, make_clip

pytestmark = pytest.mark.usefixtures("one_thread")

CONFIG = StylizeConfig(style="great-wave", engine="eager", device="cpu", precision="fp32")
GPU = DecodeConfig(hwaccel="cuda")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clip") / "in.mkv", Clip(pts=tuple(range(0, 12 * 512, 512))))


@pytest.fixture
def decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU that decodes: software, whose frames count as those of a device."""
    monkeypatch.setattr(hardware, "decoder_fault", lambda device: None)
    monkeypatch.setattr(hardware, "_accelerator", lambda device, **settings: None)
    monkeypatch.setattr(hardware, "_FROM_DEVICE", ("yuv420p", "yuv420p10le", "nv12"))


@pytest.fixture
def streams(monkeypatch: pytest.MonkeyPatch) -> LateStreams:
    """A GPU that stylizes, where the config says ``cpu``."""
    return as_gpu(monkeypatch)


def first_frame(path: Path) -> VideoFrame:
    with av.open(str(path)) as container:
        return next(container.decode(video=0))


def nv12(frame: VideoFrame) -> VideoFrame:
    return VideoReformatter().reformat(frame, format="nv12")


def test_where_chroma_lies_is_found_out(clip: Path) -> None:
    assert find_siting(first_frame(clip)) == "left"
    assert find_siting(nv12(first_frame(clip))) is not None


@pytest.mark.parametrize("level", [16, 128])
def test_a_frame_without_colors_does_not_tell(level: int) -> None:
    grey = VideoFrame.from_ndarray(np.full((72, 64), 128, np.uint8), format="yuv420p")
    grey.planes[0].update(bytes([level]) * grey.planes[0].buffer_size)
    assert is_sampled(grey)
    assert find_siting(grey) is None


@pytest.mark.parametrize(
    ("width", "height", "pixel_format"),
    [(64, 47, "yuv420p"), (6, 64, "yuv420p"), (64, 48, "yuv444p"), (64, 48, "rgb24"), (64, 48, "yuv420p10le")],
)
def test_other_frames_are_converted_as_before(width: int, height: int, pixel_format: str) -> None:
    frame = VideoFrame(width, height, pixel_format)
    assert not is_sampled(frame)
    assert find_siting(frame) is None


def test_samples_of_both_formats_are_packed_without_padding(clip: Path) -> None:
    frame = first_frame(clip)
    planar, interleaved = packed(frame), packed(nv12(frame))
    assert planar.shape == interleaved.shape == (64 * 48 * 3 // 2,)
    luma, chroma = np.split(planar, [64 * 48])
    assert np.array_equal(interleaved[: 64 * 48], luma)
    assert np.array_equal(interleaved[64 * 48 :].reshape(-1, 2).T.ravel(), chroma)
    assert np.array_equal(frame.to_ndarray(format="yuv420p").ravel(), planar)


def test_the_pixels_of_a_sampled_frame_are_those_of_software_bit_for_bit(clip: Path, decoder: None) -> None:
    with open_source(clip) as source, open_source(clip, GPU) as other:
        assert (source.info.siting, other.info.siting) == (None, "left")
        for found, expected in zip(decode(other), decode(source), strict=True):
            assert isinstance(found.image, SampledFrame)
            assert (found.pts, found.duration, found.alpha) == (expected.pts, expected.duration, None)
            assert np.array_equal(found.pixels, expected.pixels)
            assert found.pixels is found.pixels


@pytest.mark.parametrize("change", [{"rotation": 90}, {"pixel_format": "yuv420p10le"}, {"width": 64, "height": 34}])
def test_what_a_device_does_not_convert_exactly_is_converted_as_before(
    tmp_path: Path, decoder: None, change: dict[str, Any]
) -> None:
    path = make_clip(tmp_path / "in.mov", replace(Clip(pts=(0, 512, 1024)), **change))
    config = replace(GPU, height=48) if "height" in change else GPU
    with open_source(path, config) as source:
        assert source.info.siting is None
        assert all(isinstance(frame.image, np.ndarray) for frame in decode(source))


def test_a_device_computes_rgb_within_one_level(clip: Path, decoder: None) -> None:
    transfers = FrameTransfers(LateStreams())
    with open_source(clip, GPU) as source:
        for frame in decode(source):
            assert isinstance(frame.image, SampledFrame)
            found = rgb_on_device(frame.image, transfers)
            assert transfers.holds(found)
            difference = found.as_subclass(torch.Tensor).int() - torch.from_numpy(frame.pixels.astype(np.int32))
            assert difference.abs().max() <= 1


@pytest.mark.parametrize("format_name", ["yuv420p", "nv12"])
def test_the_thumbnail_of_samples_is_that_of_their_pixels(tmp_path: Path, format_name: str) -> None:
    frame = first_frame(make_clip(tmp_path / "in.mkv", Clip(width=320, height=192, pts=(0, 512))))
    samples = SampledFrame(frame if format_name == "yuv420p" else nv12(frame), "left")
    of_samples, of_pixels = thumbnail(samples), thumbnail(to_8_bit_rgb(frame, VideoReformatter()))
    assert np.abs(of_samples.pixels - of_pixels.pixels).mean() < 1
    assert np.abs(of_samples.histogram - of_pixels.histogram).sum() / 2 < 0.05


@pytest.mark.parametrize("stability", ["none", "smooth", "flow"])
def test_a_clip_whose_samples_go_to_a_device_has_the_frames_of_its_rgb(
    clip: Path, decoder: None, streams: LateStreams, stability: Stability
) -> None:
    config = replace(CONFIG, stability=stability)
    with open_source(clip, GPU) as source:
        found = list(Stylizer(config, height=48, width=64)(decode(source)))
    uploads = len(streams.uploaded)
    with open_source(clip, GPU) as source:
        converted = [_with_rgb_of_the_device(frame) for frame in decode(source)]
    expected = list(Stylizer(config, height=48, width=64)(converted if stability != "flow" else _in_software(clip)))
    assert uploads >= 12
    for one, other in zip(found, expected, strict=True):
        assert (one.pts, one.duration) == (other.pts, other.duration)
        assert np.array_equal(one.pixels, other.pixels)


def _with_rgb_of_the_device(frame: Frame) -> Frame:
    assert isinstance(frame.image, SampledFrame)
    rgb = rgb_on_device(frame.image, FrameTransfers(LateStreams()))
    return frame.with_pixels(rgb.as_subclass(torch.Tensor).clone().numpy())


def _in_software(clip: Path) -> list[Frame]:
    with open_source(clip) as source:
        return list(decode(source))


def test_half_as_many_bytes_go_to_the_device(clip: Path, decoder: None, streams: LateStreams) -> None:
    sizes = list[int]()
    copy_in = streams.copy_in

    def measured(host: torch.Tensor) -> Any:
        sizes.append(host.numel())
        return copy_in(host)

    streams.copy_in = measured  # type: ignore[method-assign]
    with open_source(clip, GPU) as source:
        list(Stylizer(CONFIG, height=48, width=64)(decode(source)))
    assert set(sizes) == {48 * 64 * 3 // 2}
    assert len(sizes) == 12


def test_a_cpu_stylizes_sampled_frames_as_those_of_software(clip: Path, decoder: None) -> None:
    with open_source(clip, GPU) as source:
        found = list(Stylizer(CONFIG, height=48, width=64)(decode(source)))
    expected = list(Stylizer(CONFIG, height=48, width=64)(_in_software(clip)))
    assert all(np.array_equal(one.pixels, other.pixels) for one, other in zip(found, expected, strict=True))
