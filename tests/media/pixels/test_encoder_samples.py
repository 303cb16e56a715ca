"""Stylized frames leave a device as the samples of the encoder: within one level of what swscale makes of their RGB."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import pipeline.run
from pipeline.config import DecodeConfig, EncodeConfig, Stability, StylizeConfig, VideoConfig
from pipeline.decode.decoder import decode
from pipeline.decode.source import open_source
from pipeline.encode.device_format import device_format
from pipeline.encode.encoder import VideoEncoder, add_video_stream
from pipeline.encode.planner import plan_output
from pipeline.frames import Color, Frame
from pipeline.media import hardware
from pipeline.media.pixels.encoder_samples import EncoderFormat, EncoderSamples
from pipeline.run import stylize_video
from pipeline.stylize.stylizer import Stylizer
from tests.support.late_streams import LateStreams, as_gpu
from tests.support.media import Clip, make_clip

pytestmark = pytest.mark.usefixtures("one_thread")

CONFIG = StylizeConfig(style="great-wave", engine="eager", device="cpu", precision="fp32", stability="none")
GPU = DecodeConfig(hwaccel="cuda")
BT709 = Color(1, False, 1, 1)
YUV420, YUV420_10 = EncoderFormat("yuv420p", BT709), EncoderFormat("yuv420p10le", BT709)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clip") / "in.mkv", Clip(pts=tuple(range(0, 6 * 512, 512))))


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


def stylized(clip: Path, config: StylizeConfig, format: EncoderFormat | None, **settings: Any) -> list[Frame]:
    with open_source(clip) as source:
        return list(Stylizer(config, height=48, width=64, encoder_format=format, **settings)(decode(source)))


def planes_of(frame: av.VideoFrame) -> list[NDArray[np.int_]]:
    kind = np.uint16 if "10le" in frame.format.name else np.uint8
    found = [(plane, np.asarray(memoryview(plane)).view(kind)) for plane in frame.planes]
    return [rows.reshape(plane.height, -1)[:, : plane.width].astype(int) for plane, rows in found]


def encoder_of(clip: Path, folder: Path, **changes: Any) -> VideoEncoder:
    with open_source(clip) as source:
        plan = replace(plan_output(source, folder / "out.mkv"), **changes)
    container = av.open(str(folder / "out.mkv"), "w")
    return VideoEncoder(add_video_stream(container, plan), plan)


@pytest.mark.parametrize("stability", ["none", "smooth"])
def test_samples_are_those_of_the_encode_stage_within_one_level(
    clip: Path, tmp_path: Path, streams: LateStreams, stability: Stability
) -> None:
    config = replace(CONFIG, stability=stability)
    encoder = encoder_of(clip, tmp_path, color=BT709, pixel_format="yuv420p")
    for found, rgb in zip(stylized(clip, config, YUV420), stylized(clip, config, None), strict=True):
        assert isinstance(found.image, EncoderSamples)
        assert (found.pts, found.duration) == (rgb.pts, rgb.duration)
        frame, expected = found.image.video_frame(), encoder._video_frame(rgb.pixels, None)
        assert (frame.colorspace, frame.color_range) == (1, 1)
        for one, other in zip(planes_of(frame), planes_of(expected), strict=True):
            assert np.abs(one - other).max() <= 1
        assert found.pixels.shape == rgb.pixels.shape
        assert np.abs(found.pixels.astype(int) - rgb.pixels).mean() < 12  # chroma of half the size


def test_16_bits_leave_the_device_as_10(clip: Path, tmp_path: Path, streams: LateStreams) -> None:
    draw = np.random.default_rng(0)
    frames = [Frame(draw.integers(0, 65536, (48, 64, 3), np.uint16), number, Fraction(1, 25), 1) for number in range(3)]
    encoder = encoder_of(clip, tmp_path, color=BT709, pixel_format="yuv420p10le")
    settings: dict[str, Any] = {"height": 48, "width": 64, "is_16_bit": True}
    found = list(Stylizer(CONFIG, encoder_format=YUV420_10, **settings)(frames))
    for one, rgb in zip(found, Stylizer(CONFIG, **settings)(frames), strict=True):
        assert isinstance(one.image, EncoderSamples)
        pairs = zip(planes_of(one.image.video_frame()), planes_of(encoder._video_frame(rgb.pixels, None)), strict=True)
        assert max(np.abs(mine - theirs).max() for mine, theirs in pairs) <= 1
        assert (one.pixels.dtype, rgb.pixels.dtype) == (np.uint16, np.uint16)


def test_half_as_many_bytes_come_back(clip: Path, streams: LateStreams, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = set[int]()
    copy_out = streams.copy_out

    def measured(image: torch.Tensor, host: torch.Tensor) -> Any:
        sizes.add(host.numel())
        return copy_out(image, host)

    monkeypatch.setattr(streams, "copy_out", measured)
    stylized(clip, CONFIG, YUV420)
    assert sizes == {48 * 64 * 3 // 2}


@pytest.mark.parametrize("change", [{"stability": "flow"}, {"compare": "split"}])
def test_frames_that_are_needed_here_stay_rgb(clip: Path, streams: LateStreams, change: dict[str, Any]) -> None:
    config = replace(CONFIG, **change)
    for found, expected in zip(stylized(clip, config, YUV420), stylized(clip, config, None), strict=True):
        assert isinstance(found.image, np.ndarray)
        assert np.array_equal(found.image, expected.pixels)


def test_on_a_cpu_nothing_changes(clip: Path) -> None:
    for found, expected in zip(stylized(clip, CONFIG, YUV420), stylized(clip, CONFIG, None), strict=True):
        assert isinstance(found.image, np.ndarray)
        assert np.array_equal(found.image, expected.pixels)


def test_a_clip_on_a_gpu_has_the_samples_of_swscale_within_one_level(
    clip: Path, tmp_path: Path, decoder: None, streams: LateStreams, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Encoded without loss, in segments and in one pass."""
    made = list[int]()
    whole = EncoderSamples.video_frame

    def counted(samples: EncoderSamples) -> av.VideoFrame:
        made.append(1)
        return whole(samples)

    monkeypatch.setattr(EncoderSamples, "video_frame", counted)
    settings: dict[str, Any] = {"stylize": CONFIG, "decode": GPU, "encode": EncodeConfig(quality=0)}
    for name, in_segments in (("segments.mkv", True), ("pass.mkv", False)):
        config = VideoConfig(source=str(clip), target=str(tmp_path / name), in_segments=in_segments, **settings)
        stylize_video(config)
    assert len(made) == 12
    monkeypatch.setattr(pipeline.run, "device_format", lambda plan, info: None)
    stylize_video(VideoConfig(source=str(clip), target=str(tmp_path / "swscale.mkv"), **settings))
    assert len(made) == 12
    expected = decoded(tmp_path / "swscale.mkv")
    for name in ("segments.mkv", "pass.mkv"):
        found = decoded(tmp_path / name)
        assert [len(found), *(plane.shape for plane in found[0])] == [6, (48, 64), (24, 32), (24, 32)]
        assert (
            max(
                np.abs(a - b).max()
                for one, other in zip(found, expected, strict=True)
                for a, b in zip(one, other, strict=True)
            )
            <= 1
        )


def decoded(path: Path) -> list[list[NDArray[np.int_]]]:
    with av.open(str(path)) as container:
        return [planes_of(frame) for frame in container.decode(video=0)]


def test_only_what_a_gpu_decodes_leaves_it_as_samples(clip: Path, tmp_path: Path, decoder: None) -> None:
    with open_source(clip) as source, open_source(clip, GPU) as on_gpu:
        plan = plan_output(on_gpu, tmp_path / "out.mp4")
        assert device_format(plan, source.info) is None
        assert device_format(plan, on_gpu.info) == EncoderFormat("yuv420p", plan.color)
        assert device_format(plan, replace(on_gpu.info, has_alpha=True)) is None
        assert device_format(plan, replace(on_gpu.info, is_16_bit=True)) is None
        assert device_format(replace(plan, pixel_format="bgr0"), on_gpu.info) is None
        assert device_format(replace(plan, width=6), on_gpu.info) is None
        assert device_format(plan_output(on_gpu, tmp_path / "out.gif"), on_gpu.info) is None
        assert device_format("an image sequence", on_gpu.info) is None


def test_samples_of_another_size_are_no_frame() -> None:
    with pytest.raises(ValueError, match="64x48"):
        EncoderSamples(np.zeros(10 + 64 * 48 * 3 // 2, np.uint8), 48, 64, YUV420).video_frame()
