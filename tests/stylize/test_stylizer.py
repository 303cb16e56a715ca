"""The stylize stage: pixels, engines, comparison, mask, and what the stabilizer does to a clip."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import models.engines.capabilities
from models.engines.build import build_engine
from models.engines.engine import EngineSpec
from pipeline.config import StylizeConfig
from pipeline.decode.masks.mask import Mask
from pipeline.errors import DeviceError, StyleError
from pipeline.frames import Frame
from pipeline.stylize.engine.bounded_engine import slow_engine_notice
from pipeline.stylize.frame_stylizer import FrameControls, FrameStylizer
from pipeline.stylize.stabilizer import TemporalState
from pipeline.stylize.style import find_style, load_style_settings
from pipeline.stylize.stylizer import Stylizer, compose, stylized_width_px
from pipeline.system.folders import cache_folder
from tests.support.media import moving_square

PLAIN = StylizeConfig(style="great-wave", engine="eager", device="cpu", precision="fp32")


@pytest.fixture(scope="module")
def stylizer() -> Stylizer:
    return Stylizer(PLAIN, height=48, width=64)


def frames(count: int) -> Iterator[Frame]:
    for number in range(count):
        yield Frame(moving_square(number), 7 * number, Fraction(1, 90000), 6)


def test_only_the_pixels_change(stylizer: Stylizer) -> None:
    before, after = list(frames(3)), list(stylizer(frames(3)))
    assert [frame.with_pixels(before[0].pixels) for frame in after] == [
        frame.with_pixels(before[0].pixels) for frame in before
    ]
    for old, new in zip(before, after, strict=True):
        assert new.pixels.shape == old.pixels.shape
        assert new.pixels.dtype == np.uint8
        assert np.abs(new.pixels.astype(int) - old.pixels).mean() > 10


def test_a_frame_that_is_observed_only_is_not_yielded(stylizer: Stylizer) -> None:
    first, second = frames(2)
    stylized = list(stylizer([replace(first, is_observed_only=True), second]))
    assert [frame.pts for frame in stylized] == [second.pts]


def test_strength_0_returns_the_pixels_and_half_is_between() -> None:
    pixels = moving_square(1)
    untouched = Stylizer(replace(PLAIN, strength=0.0), height=48, width=64).stylize(pixels)
    assert np.array_equal(untouched, pixels)
    half = Stylizer(replace(PLAIN, strength=0.5), height=48, width=64).stylize(pixels)
    full = Stylizer(PLAIN, height=48, width=64).stylize(pixels)
    assert np.abs(half.astype(int) - (pixels.astype(int) + full) / 2).max() <= 1


def test_a_frame_does_not_depend_on_those_before_it(stylizer: Stylizer) -> None:
    alone = stylizer.stylize(moving_square(5))
    for number in range(5):
        stylizer.stylize(moving_square(number))
    assert np.array_equal(stylizer.stylize(moving_square(5)), alone)


def test_read_only_pixels_are_accepted(stylizer: Stylizer) -> None:
    pixels = moving_square(0)
    pixels.flags.writeable = False
    assert stylizer.stylize(pixels).shape == (48, 64, 3)


def test_compare_shows_both_frames() -> None:
    original, stylized = np.full((4, 8, 3), 10, np.uint8), np.full((4, 8, 3), 200, np.uint8)
    side = compose(original, stylized, "side")
    assert side.shape == (4, 16, 3)
    assert (side[:, :8] == 10).all()
    assert (side[:, 8:] == 200).all()
    split = compose(original, stylized, "split")
    assert split[0, :, 0].tolist() == [10, 10, 10, 255, 255, 200, 200, 200]
    assert [stylized_width_px(8, compare) for compare in ("side", "split", None)] == [16, 8, 8]


def test_the_original_is_left_of_the_stylized_frame(stylizer: Stylizer) -> None:
    both = Stylizer(replace(PLAIN, compare="side"), height=48, width=64)
    pixels = moving_square(3)
    shown = both.stylize(pixels)
    assert np.array_equal(shown[:, :64], pixels)
    assert np.array_equal(shown[:, 64:], stylizer.stylize(pixels))


def test_each_argument_of_the_engine_is_a_tensor_of_its_own() -> None:
    """torch.compile would compile again, in mid-clip, where two arguments are the same tensor."""
    calls = []

    def build(name: str, spec: EngineSpec) -> Any:
        run = build_engine(name, spec)

        def engine(*arguments: Any) -> Any:
            calls.append(arguments[2:])
            return run(*arguments)

        return engine

    list(Stylizer(PLAIN, height=48, width=64, build=build)(frames(8)))
    assert len(calls) >= 8
    for arguments in calls:
        assert len({id(argument) for argument in arguments}) == len(arguments) == 4


def test_auto_falls_back_to_eager_with_one_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models.engines.capabilities, "available_engines", lambda device: ["eager"])
    lines: list[str] = []
    automatic = Stylizer(replace(PLAIN, engine="auto"), height=16, width=16, notify=lines.append)
    assert automatic.engine == "eager"
    assert len(lines) == 1
    assert "g++" in lines[0]


def test_auto_tries_the_next_engine_if_one_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(name: Any, spec: EngineSpec) -> Any:
        if name == "compile":
            raise RuntimeError("the compiler crashed\nwith a long trace")
        return build_engine(name, spec)

    monkeypatch.setattr(models.engines.capabilities, "available_engines", lambda device: ["compile", "eager"])
    lines: list[str] = []
    automatic = replace(PLAIN, engine="auto")
    assert Stylizer(automatic, height=16, width=16, notify=lines.append, build=failing).engine == "eager"
    assert "the compiler crashed" in lines[0]
    with pytest.raises(DeviceError, match=r"the compiler crashed$"):
        Stylizer(replace(PLAIN, engine="compile"), height=16, width=16, build=failing)


def test_a_notice_names_only_missing_software() -> None:
    assert slow_engine_notice("cpu", ["compile", "eager"]).startswith("no OpenVINO found")
    assert slow_engine_notice("cpu", ["openvino", "eager"]).startswith("no C++ compiler found")
    assert slow_engine_notice("cpu", ["compile", "openvino", "eager"]).startswith("running eager")
    assert slow_engine_notice("cuda", ["eager"]).startswith("no Triton found")


def test_a_read_only_cache_is_a_device_error() -> None:
    def locked(name: Any, spec: EngineSpec) -> Any:
        raise PermissionError(13, "Permission denied", "/locked")

    with pytest.raises(DeviceError, match="/locked: Permission denied; or set FLOWBRUSH_CACHE"):
        Stylizer(PLAIN, height=16, width=16, build=locked)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has the device")
def test_a_missing_device_is_refused_with_a_hint() -> None:
    with pytest.raises(DeviceError, match="flowbrush doctor"):
        Stylizer(replace(PLAIN, device="cuda"), height=16, width=16)


def test_an_unknown_style_names_the_nearest() -> None:
    with pytest.raises(StyleError, match="great-wave"):
        find_style("graet-wave")
    with pytest.raises(StyleError, match="cannot be read"):
        find_style("/nowhere/mine.safetensors")


def test_the_cache_folder_can_be_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FLOWBRUSH_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("FLOWBRUSH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("sys.platform", "linux")
    assert cache_folder() == tmp_path / "flowbrush"


@pytest.mark.parametrize(
    "wrong",
    [
        {"strength": 1.5},
        {"strength": -0.1},
        {"device": "gpu"},
        {"device": "cuda:x"},
        {"precision": "int8"},
        {"engine": "onnx"},
        {"compare": "above"},
        {"threads": -1},
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        replace(PLAIN, **wrong)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_agrees_with_the_cpu(stylizer: Stylizer) -> None:
    on_gpu = Stylizer(replace(PLAIN, device="cuda"), height=48, width=64).stylize(moving_square(0))
    assert np.abs(on_gpu.astype(int) - stylizer.stylize(moving_square(0))).mean() < 1


def noisy_frames(count: int, *, cut_at: int | None = None, seed: int = 0) -> Iterator[Frame]:
    """A static scene with sensor noise; another scene from ``cut_at`` on."""
    draw = np.random.default_rng(seed)
    for number in range(count):
        scene = moving_square(3).astype(float)
        if cut_at is not None and number >= cut_at:
            scene = 255 - scene[::-1] / 2
        noise = draw.normal(0, 4, scene.shape)
        yield Frame((scene + noise).clip(0, 255).astype(np.uint8), 7 * number, Fraction(1, 90000), 6)


def stylized(config: StylizeConfig, source: Iterator[Frame]) -> list[np.ndarray[Any, Any]]:
    stylizer = Stylizer(config, height=48, width=64)
    return [frame.pixels.astype(float) for frame in stylizer(source)]


def test_noise_on_a_static_scene_flickers_less_with_each_stability() -> None:
    flicker = {}
    for stability in ("none", "smooth", "flow"):
        result = stylized(replace(PLAIN, stability=stability), noisy_frames(24))[8:]
        flicker[stability] = np.abs(np.diff(result, axis=0)).mean()
    unstylized = np.abs(np.diff([frame.pixels.astype(float) for frame in noisy_frames(16)], axis=0)).mean()
    assert flicker["smooth"] < 0.5 * flicker["none"]
    assert flicker["flow"] < flicker["smooth"]
    assert flicker["smooth"] < unstylized


@pytest.mark.parametrize("stability", ["smooth", "flow"])
def test_the_result_does_not_depend_on_how_many_frames_are_stylized_at_once(stability: str) -> None:
    several = stylized(replace(PLAIN, stability=stability, threads=4), noisy_frames(14))
    one = stylized(replace(PLAIN, stability=stability, threads=1), noisy_frames(14))
    assert max(np.abs(a - b).max() for a, b in zip(several, one, strict=True)) <= 1


@pytest.mark.parametrize("stability", ["none", "smooth", "flow"])
def test_the_core_stylizes_frame_by_frame_what_a_clip_is_stylized_to(stability: str) -> None:
    """The call that a live session makes: one frame and the state in, the stylized frame and the next state out."""
    config = replace(PLAIN, stability=stability, strength=0.7, keep_colors=True)
    frames_ = list(noisy_frames(14, cut_at=8))
    style = load_style_settings(config.style)
    core = FrameStylizer(style.network, config, print)
    spec = EngineSpec(
        network=style.network, height=48, width=64, device=core.device, precision="fp32", cache=cache_folder()
    )
    engine = build_engine("eager", spec)
    controls, state = FrameControls(style.style(0.0), config.strength, config.keep_colors), TemporalState()
    for frame, expected in zip(frames_, stylized(config, iter(frames_)), strict=True):
        pixels, state = core(frame.pixels, state, controls, engine)
        assert np.array_equal(pixels, expected)


@pytest.mark.parametrize("stability", ["smooth", "flow"])
def test_a_scene_is_stylized_as_if_it_were_the_first(stability: str) -> None:
    config = replace(PLAIN, stability=stability)
    frames_ = list(noisy_frames(16, cut_at=8))
    after_cut, alone = stylized(config, iter(frames_))[8:], stylized(config, iter(frames_[8:]))
    assert all(np.array_equal(a, b) for a, b in zip(after_cut, alone, strict=True))


def test_strength_0_leaves_every_pixel_of_a_clip_unchanged() -> None:
    before = list(noisy_frames(8))
    after = stylized(replace(PLAIN, strength=0.0), iter(before))
    assert all(np.array_equal(new, old.pixels) for new, old in zip(after, before, strict=True))


def test_an_unknown_stability_is_refused() -> None:
    with pytest.raises(ValueError, match="none, smooth, flow"):
        replace(PLAIN, stability="calm")


def test_a_mask_selects_what_is_stylized(tmp_path: Path) -> None:
    picture = np.zeros((48, 64), np.uint8)
    picture[:, 32:] = 255
    Image.fromarray(picture).save(tmp_path / "mask.png")
    with Mask(tmp_path / "mask.png", width=64, height=48) as mask:
        masked = list(Stylizer(PLAIN, height=48, width=64, mask=mask)(frames(2)))
    whole = list(Stylizer(PLAIN, height=48, width=64)(frames(2)))
    for before, after, everywhere in zip(frames(2), masked, whole, strict=True):
        assert (after.pixels[:, :30] == before.pixels[:, :30]).all()
        assert (after.pixels[:, 34:] == everywhere.pixels[:, 34:]).all()
        assert np.abs(after.pixels[:, 34:].astype(int) - before.pixels[:, 34:]).mean() > 10
