"""An encoder of a GPU: used if it encodes a few frames of the clip, otherwise software does what was asked for."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.config import DecodeConfig, EncodeConfig, StylizeConfig, VideoConfig
from pipeline.decode.source import open_source
from pipeline.encode import planner
from pipeline.encode.encoder import add_video_stream
from pipeline.encode.muxer import Muxer
from pipeline.encode.output_plan import OutputPlan
from pipeline.encode.planner import plan_output
from pipeline.frames import Color
from pipeline.media import codecs
from pipeline.media.codecs import ENCODERS, Encoder, in_software
from pipeline.media.hardware import encoder_fault
from pipeline.media.pixels.bit_depth import RgbToHighDepth
from tests.support import media
from tests.support.clips.transcoding import transcode_file
from tests.support.media import Audio, Clip, make_clip

WORKING = replace(ENCODERS["libx264"], is_hardware=True, quality=(24, 1, 51))
BROKEN = replace(WORKING, options={"profile": "of no encoder"})


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clip") / "in.mp4", Clip(audio=[Audio()]))


@pytest.fixture
def plan_with(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., OutputPlan]:
    """Return a function that plans an mp4 with an encoder in place of h264_nvenc."""

    def plan(encoder: Encoder, gpu: int | None = None, **config: Any) -> OutputPlan:
        monkeypatch.setattr(codecs, "ENCODERS", {**ENCODERS, "h264_nvenc": encoder})
        with open_source(clip) as source:
            return plan_output(source, tmp_path / "out.mp4", EncodeConfig(codec="h264_nvenc", **config), gpu=gpu)

    return plan


def test_an_encoder_that_works_is_used(plan_with: Callable[..., OutputPlan]) -> None:
    plan = plan_with(WORKING)
    assert plan.encoder is WORKING
    assert (plan.options["crf"], plan.notices) == ("24", ())
    assert plan.carried, "the audio is still passed through"


def test_an_encoder_that_does_not_work_is_replaced_by_software(plan_with: Callable[..., OutputPlan]) -> None:
    plan = plan_with(BROKEN, gpu=2, quality=30)
    assert plan.encoder is ENCODERS["libx264"]
    assert (plan.gpu, plan.options["crf"]) == (None, "26")
    assert len(plan.notices) == 1
    assert "libx264 does not work here (" in plan.notices[0]
    assert "encoding with libx264, quality 26" in plan.notices[0]


def test_an_encoder_that_opens_but_encodes_nothing_is_replaced(
    plan_with: Callable[..., OutputPlan], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Lazy(Muxer):
        def finish(self) -> None:
            """Return no packet: x264 holds so few frames until it is flushed."""

    monkeypatch.setattr(planner, "Muxer", Lazy)
    notice = plan_with(WORKING).notices[0]
    assert "(it returned 0 of 4 frames): encoding with libx264, quality 20" in notice


@pytest.mark.parametrize(
    ("name", "quality", "expected"),
    [
        ("h264_nvenc", None, None),
        ("h264_nvenc", 24, 20),
        ("h264_nvenc", 1, 0),
        ("h264_nvenc", 51, 47),
        ("hevc_nvenc", 24, 23),
        ("av1_nvenc", 24, 30),
        ("av1_nvenc", 51, 63),
        ("av1_nvenc", 1, 2),
    ],
)
def test_a_quality_moves_with_the_scale_of_the_codec(name: str, quality: int | None, expected: int | None) -> None:
    config = in_software(ENCODERS[name], EncodeConfig(codec=name, quality=quality, preset="p7", streams="none"))
    assert config == EncodeConfig(codec=ENCODERS[name].codec, quality=expected, streams="none")


@pytest.mark.parametrize("wrong", [{"quality": 0}, {"quality": 52}, {"preset": "superfast"}])
def test_a_setting_of_another_encoder_is_refused(clip: Path, tmp_path: Path, wrong: dict[str, Any]) -> None:
    with open_source(clip) as source, pytest.raises(ValueError, match="nvenc must be"):
        plan_output(source, tmp_path / "out.mp4", EncodeConfig(codec="h264_nvenc", **wrong))


def test_the_gpu_of_the_network_encodes_and_decodes(plan_with: Callable[..., OutputPlan]) -> None:
    given: dict[str, str] = {}

    class Container:
        def add_stream(self, name: str, *, rate: Fraction, options: dict[str, str]) -> None:
            given.update(options)
            raise StopIteration

    for encoder, gpu, expected in ((WORKING, 1, "1"), (WORKING, None, None), (ENCODERS["libx264"], 1, None)):
        plan = replace(plan_with(WORKING), encoder=encoder, gpu=gpu)
        given.clear()
        with pytest.raises(StopIteration):
            add_video_stream(Container(), plan)  # type: ignore[arg-type]
        assert given.get("gpu") == expected
    devices = {}
    for device in ("cuda:1", "cuda", "auto"):
        stylize = StylizeConfig(style="great-wave", device=device)
        config = VideoConfig(source="a", target="b.mp4", stylize=stylize, decode=DecodeConfig(hwaccel="cuda"))
        devices[device] = config.decode.hwaccel
    assert devices == {"cuda:1": "cuda:1", "cuda": "cuda", "auto": "cuda"}
    software = VideoConfig(source="a", target="b.mp4", stylize=StylizeConfig(style="great-wave", device="cuda:1"))
    assert software.decode.hwaccel == "none"


def test_p010_has_the_samples_of_10_bits() -> None:
    pixels = np.random.default_rng(1).integers(0, 65536, (48, 64, 3), np.uint16)
    color = Color(1, False, 1, 1)
    planar, interleaved = (RgbToHighDepth(name, color)(pixels, None) for name in ("yuv420p10le", "p010le"))
    luma, *chroma = (np.frombuffer(plane, np.uint16).reshape(plane.height, -1) for plane in planar.planes)
    luma_p010, chroma_p010 = (np.frombuffer(plane, np.uint16).reshape(plane.height, -1) for plane in interleaved.planes)
    assert np.array_equal(luma_p010[:, :64] >> 6, luma[:, :64])
    for place, plane in enumerate(chroma):
        assert np.array_equal(chroma_p010[:, place:64:2] >> 6, plane[:, :32])


@pytest.mark.gpu
@pytest.mark.skipif(encoder_fault("h264_nvenc") is not None, reason="no GPU that encodes")
@pytest.mark.parametrize("codec", ["h264_nvenc", "hevc_nvenc"])
def test_a_gpu_writes_every_frame_at_its_time_and_the_same_bytes_each_time(tmp_path: Path, codec: str) -> None:
    description = Clip(width=320, height=192, pts=(0, 40, 90, 100, *range(200, 2400, 40)), time_base=Fraction(1, 1000))
    path = make_clip(tmp_path / "in.mkv", description)
    outputs = [tmp_path / name for name in ("a.mp4", "b.mp4")]
    for target in outputs:
        transcode_file(path, target, codec=codec)
    assert media.contents(outputs[0]).relative_times == media.contents(path).relative_times
    assert outputs[0].read_bytes() == outputs[1].read_bytes()
