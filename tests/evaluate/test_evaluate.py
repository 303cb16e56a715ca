import json
import math
import sys
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import fields
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional as F
from typer.testing import CliRunner

import cli
from models.metrics import e_stab, estimate_motion, image_to_tensor, warp_error
from models.temporal.flow import DisFlow
from pipeline.errors import InputError, OutputError
from pipeline.evaluate.config import EvaluateConfig
from pipeline.evaluate.evaluate import READ_TOGETHER, evaluate
from pipeline.evaluate.perceptual import PerceptualMetrics
from pipeline.evaluate.plot import CURVES, CUT, check_plot, draw_plot
from pipeline.evaluate.scores import EvenSample, Pair, ScoreAccumulator, Scores
from pipeline.frames import Frame
from tests.support.media import moving_square
from tests.support.tiny import loss_network, loss_state

pytestmark = pytest.mark.usefixtures("one_thread")

Pixels = NDArray[np.uint8]


def write_clip(path: Path, frames: Sequence[Pixels]) -> Path:
    """A lossless clip, 25 frames a second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "bgr0"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def scene(count: int, *, seed: int = 0, height: int = 48, width: int = 64) -> list[Pixels]:
    """Frames full of detail that slide by a pixel per frame."""
    coarse = np.random.default_rng(seed).integers(0, 256, (16, 40, 3), np.uint8)
    image = np.array(Image.fromarray(coarse).resize((160, 64), Image.Resampling.BICUBIC))
    return [np.ascontiguousarray(image[:height, index : index + width]) for index in range(count)]


def flickered(frames: Sequence[Pixels], levels: float = 12) -> list[Pixels]:
    """The frames, each with noise of its own."""
    noise = np.random.default_rng(7)
    return [(frame + noise.normal(0, levels, frame.shape)).clip(0, 255).astype(np.uint8) for frame in frames]


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A loss network with few channels."""
    torch.save(loss_state(), tmp_path / "vgg.pth")
    return tmp_path / "vgg.pth"


@pytest.fixture
def style_image(tmp_path: Path) -> Path:
    Image.fromarray(np.random.default_rng(3).integers(0, 256, (70, 90, 3), np.uint8)).save(tmp_path / "wave.png")
    return tmp_path / "wave.png"


@pytest.fixture
def clips(tmp_path: Path) -> tuple[str, str]:
    """A clip of 14 frames and the same with flicker."""
    frames = scene(14)
    return str(write_clip(tmp_path / "in.mkv", frames)), str(write_clip(tmp_path / "out.mkv", flickered(frames)))


# --- figures ----------------------------------------------------------------------------------------------------------


def test_figures_are_those_of_all_pairs(clips: tuple[str, str], weights: Path, style_image: Path) -> None:
    before, after = scene(14), flickered(scene(14))
    finder = DisFlow("medium")

    def expected(frames: Sequence[Pixels], back: int) -> float:
        errors = []
        for index in range(back, len(frames)):
            motion = estimate_motion(before[index], before[index - back], finder)
            errors.append(warp_error(image_to_tensor(frames[index]), image_to_tensor(frames[index - back]), motion))
        return e_stab(errors)

    scores = evaluate(EvaluateConfig(original=clips[0], stylized=clips[1], painting=style_image, loss_weights=weights))
    assert (scores.frames, scores.pairs, scores.pairs10) == (14, 13, 4)
    assert (scores.left_out, scores.left_out10) == (0, 0)
    assert scores.e_stab == pytest.approx(expected(after, 1), rel=1e-6)
    assert scores.e_stab10 == pytest.approx(expected(after, 10), rel=1e-6)
    assert scores.input_e_stab == pytest.approx(expected(before, 1), rel=1e-6)
    assert scores.input_e_stab10 == pytest.approx(expected(before, 10), rel=1e-6)
    assert scores.e_warp == pytest.approx(scores.e_stab**2)
    assert scores.e_warp10 == pytest.approx(scores.e_stab10**2)
    assert scores.e_stab > 3 * scores.input_e_stab
    assert scores.style is not None
    assert scores.content is not None
    assert (scores.loss_network, scores.painting) == ("normalised VGG-19", "wave.png")
    assert scores.notes == (READ_TOGETHER,)
    assert [pair.index for pair in scores.curve] == list(range(1, 14))
    assert scores.curve[4].seconds == pytest.approx(5 / 25)


def test_the_original_keeps_its_content_and_a_clip_of_the_style_image_its_style(tmp_path: Path, weights: Path) -> None:
    frames = scene(6)
    clip = str(write_clip(tmp_path / "in.mkv", frames))
    Image.fromarray(frames[0]).save(tmp_path / "still.png")
    scores = evaluate(
        EvaluateConfig(original=clip, stylized=clip, painting=tmp_path / "still.png", loss_weights=weights)
    )
    assert scores.content == 0
    assert scores.style is not None
    assert scores.style < 0.02
    assert scores.e_stab == scores.input_e_stab
    flickering = str(write_clip(tmp_path / "out.mkv", flickered(frames, 60)))
    other = evaluate(
        EvaluateConfig(original=clip, stylized=flickering, painting=tmp_path / "still.png", loss_weights=weights)
    )
    assert other.content is not None
    assert other.style is not None
    assert other.content > 0.1
    assert other.style > 2 * scores.style


def test_perceptual_metrics_agree_with_plain_convolutions() -> None:
    """Features by convolutions written out, with the style image at the short side of the frame."""
    state = loss_state()

    def features(pixels: Pixels) -> list[torch.Tensor]:
        x = torch.from_numpy(pixels.transpose(2, 0, 1)[None] / np.float32(255))
        found = []
        for index in (0, 2, 5, 7, 10):
            if index in (5, 10):
                x = F.max_pool2d(x, 2, 2, ceil_mode=True)
            x = F.pad(x, (1, 1, 1, 1), mode="reflect")
            x = F.relu(F.conv2d(x, state[f"features.{index}.weight"], state[f"features.{index}.bias"]))
            found += [x] if index in (0, 5, 10) else []
        return found

    def gram(layer: torch.Tensor) -> torch.Tensor:
        flat = layer[0].flatten(1)
        return flat @ flat.T / flat.numel()

    (original,), (stylized,) = scene(1), scene(1, seed=2)
    style_image = scene(1, seed=3, height=60, width=72)[0]
    shown = cv2.resize(style_image, None, fx=48 / 60, fy=48 / 60, interpolation=cv2.INTER_AREA)
    before, after, wanted = features(original), features(stylized), features(shown)
    pairs = [(gram(layer), gram(target)) for layer, target in zip(after, wanted, strict=True)]
    style = np.mean([float(((g - t) ** 2).sum() / (t**2).sum()) for g, t in pairs])
    content = float(((after[2] - before[2]) ** 2).mean() / before[2].var())
    metrics = PerceptualMetrics(loss_network(), style_image)
    assert metrics(original, stylized) == pytest.approx((style, content), rel=1e-4)


def test_large_frames_are_scaled_down_for_perceptual_metrics() -> None:
    seen: list[tuple[int, ...]] = []
    network = loss_network()
    network.register_forward_pre_hook(lambda module, inputs: seen.append(tuple(inputs[0].shape[-2:])))
    (frame,), style_image = scene(1), scene(1, seed=3, height=60, width=70)[0]
    assert PerceptualMetrics(network, style_image, largest_px=24)(frame, frame)[1] == 0
    assert seen == [(24, 32), (24, 32), (24, 28)]


def test_without_a_style_image_there_is_no_style_score(clips: tuple[str, str], weights: Path) -> None:
    scores = evaluate(EvaluateConfig(original=clips[0], stylized=clips[1], loss_weights=weights))
    assert (scores.style, scores.painting) == (None, None)
    assert scores.content is not None


def test_without_a_network_stability_is_measured(
    clips: tuple[str, str], style_image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(*args: object, **options: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
    said: list[str] = []
    scores = evaluate(EvaluateConfig(original=clips[0], stylized=clips[1], painting=style_image), notify=said.append)
    assert scores.e_stab is not None
    assert scores.e_warp10 is not None
    assert (scores.style, scores.content, scores.loss_network, scores.pictures) == (None, None, None, 0)
    assert len(said) == 2
    assert "VGG-19" in said[0]
    assert "brushwork are not measured" in said[1]
    assert "no route to host" in said[1]
    assert scores.notes == (*said, READ_TOGETHER)


def test_pairs_across_a_cut_are_left_out() -> None:
    accumulator = ScoreAccumulator(lost_at_cuts, None, total=None, pairs=0)
    frames = [*scene(12), *(frame // 8 for frame in scene(12))]
    for index, (frame, stylized) in enumerate(zip(frames, flickered(frames), strict=True)):
        accumulator.add(*(Frame(pixels, index, Fraction(1, 25)) for pixels in (frame, stylized)))
    scores = accumulator.scores(None, None, ())
    assert (scores.pairs, scores.left_out) == (22, 1)
    assert (scores.pairs10, scores.left_out10) == (4, 10)
    assert [pair.index for pair in scores.curve if pair.stylized is None] == [12]
    counted = [pair.stylized for pair in scores.curve if pair.stylized is not None]
    assert scores.e_stab == pytest.approx(e_stab(counted))


def test_a_clip_of_nothing_but_cuts_has_no_scores() -> None:
    accumulator = ScoreAccumulator(lost_at_cuts, None, total=None, pairs=0)
    for index, pixels in enumerate(scene(4)):
        frame = Frame(pixels // 4**index, index, Fraction(1, 25))
        accumulator.add(frame, frame)
    scores = accumulator.scores(None, None, ())
    assert (scores.pairs, scores.left_out, scores.e_stab, scores.e_warp) == (0, 3, None, None)
    assert (scores.pairs10, scores.e_stab10) == (0, None)


def lost_at_cuts(source: Pixels, target: Pixels) -> NDArray[np.float32]:
    """No motion, but where the light changes: there, forward and backward flow contradict each other."""
    is_cut = abs(float(source.mean()) - float(target.mean())) > 5
    return np.full((*source.shape[:2], 2), 7 * is_cut, np.float32)


# --- which clips belong together --------------------------------------------------------------------------------------


@pytest.mark.parametrize("longer", [0, 1])
def test_another_number_of_frames_is_refused(tmp_path: Path, weights: Path, longer: int) -> None:
    paths = [tmp_path / "in.mkv", tmp_path / "out.mkv"]
    for number, path in enumerate(paths):
        write_clip(path, scene(5 + 2 * (number == longer)))
    said: list[str] = []
    with pytest.raises(InputError, match="same range of both") as caught:
        evaluate(
            EvaluateConfig(original=str(paths[0]), stylized=str(paths[1]), loss_weights=weights), notify=said.append
        )
    assert f"{paths[1 - longer]}: ends after 5 frames, {paths[longer]} has more" in str(caught.value)
    assert any("headers" in line for line in said)


def test_the_original_is_scaled_to_the_stylized_clip(tmp_path: Path, weights: Path) -> None:
    small = write_clip(tmp_path / "out.mkv", scene(4, height=48, width=64))
    large = [np.array(Image.fromarray(frame).resize((128, 96))) for frame in scene(4)]
    original = write_clip(tmp_path / "in.mkv", large)
    scores = evaluate(EvaluateConfig(original=str(original), stylized=str(small), loss_weights=weights))
    assert "128x96" in scores.notes[0]
    assert "64x48" in scores.notes[0]
    assert scores.content is not None
    assert scores.content < 0.2


def test_another_aspect_ratio_is_refused(tmp_path: Path, weights: Path) -> None:
    original = write_clip(tmp_path / "in.mkv", scene(3))
    side = write_clip(tmp_path / "out.mkv", [np.concatenate((frame, frame), axis=1) for frame in scene(3)])
    with pytest.raises(InputError, match=r"128x48, .*64x48: .*--compare"):
        evaluate(EvaluateConfig(original=str(original), stylized=str(side), loss_weights=weights))


def test_a_single_frame_and_tiny_frames_are_refused(tmp_path: Path, weights: Path) -> None:
    single = str(write_clip(tmp_path / "one.mkv", scene(1)))
    tiny = str(write_clip(tmp_path / "tiny.mkv", scene(3, height=8, width=8)))
    with pytest.raises(InputError, match="single frame"):
        evaluate(EvaluateConfig(original=single, stylized=single, loss_weights=weights))
    with pytest.raises(InputError, match="8x8 px; 16 px or more"):
        evaluate(EvaluateConfig(original=tiny, stylized=tiny, loss_weights=weights))


def test_invalid_configurations() -> None:
    with pytest.raises(ValueError, match="frames"):
        EvaluateConfig(original="a", stylized="b", frames=-1)
    with pytest.raises(ValueError, match="standard input"):
        EvaluateConfig(original="-", stylized="-")


# --- long clips -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 5, 20, 21, 40, 41, 333, 1000])
@pytest.mark.parametrize("stride", [1, 3])
def test_a_sample_is_spread_evenly_whatever_the_length(count: int, stride: int) -> None:
    sample = EvenSample[int](20, stride)
    measured = 0
    for index in range(count):
        if sample.wants(index):
            sample.add(index, index)
            measured += 1
    kept = sample.items
    assert len(set(np.diff(kept))) <= 1
    assert len(kept) <= 20
    assert kept[0] == 0
    assert len(kept) >= min(10, -(-count // stride))
    assert count - kept[-1] <= max(stride, 2 * count / 20)
    assert measured <= 20 + 10 * max(math.log2(count / 20) + 1, 0)


def test_a_sample_of_all() -> None:
    sample = EvenSample[int](0, 0)
    for index in range(100):
        assert sample.wants(index)
        sample.add(index, index)
    assert sample.items == list(range(100))


@pytest.mark.parametrize(("pairs", "total", "expected"), [(5, 31, 5), (5, None, 7), (0, 31, 30), (100, 31, 30)])
def test_as_many_pairs_as_are_wanted(pairs: int, total: int | None, expected: int) -> None:
    accumulator = ScoreAccumulator(still_flow, None, total=total, pairs=pairs)
    for frame in frames_one_by_one(31):
        accumulator.add(frame, frame)
    scores = accumulator.scores(None, None, ())
    assert scores.pairs == expected
    assert scores.frames == 31


def test_memory_does_not_grow_with_the_clip() -> None:
    accumulator = ScoreAccumulator(still_flow, None, total=None, pairs=10)
    alive: list[weakref.ref[Pixels]] = []
    for frame in frames_one_by_one(60):
        alive.append(weakref.ref(frame.pixels))
        accumulator.add(frame, frame)
        del frame
        assert sum(pixels() is not None for pixels in alive) <= 11
    assert len(accumulator.scores(None, None, ()).curve) <= 20


def still_flow(source: Pixels, target: Pixels) -> NDArray[np.float32]:
    return np.zeros((*source.shape[:2], 2), np.float32)


def frames_one_by_one(count: int) -> Iterator[Frame]:
    for index in range(count):
        yield Frame(moving_square(index), index, Fraction(1, 25))


def test_progress_counts_every_frame(clips: tuple[str, str], weights: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    evaluate(
        EvaluateConfig(original=clips[0], stylized=clips[1], loss_weights=weights, frames=3),
        lambda *state: seen.append(state),
    )
    assert seen == [(count, 14) for count in range(1, 15)]


# --- the plot ---------------------------------------------------------------------------------------------------------


def rgb(name: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(name[1:]))


def near(image: Pixels, color: str, within: int = 40) -> NDArray[np.bool_]:
    return (np.abs(image.astype(int) - rgb(color)) < within).all(axis=2)


def test_the_plot_shows_both_curves_and_the_cut() -> None:
    pairs = [Pair(index, index / 25, 0.9, 0.01**2, 0.04**2) for index in range(1, 101)]
    pairs[59] = Pair(60, 60 / 25, 0.02, None, None)
    image = draw_plot(pairs)
    assert image.shape == (480, 1200, 3)
    body = image[40:]
    original, stylized, cut = (near(body, color) for color in (*CURVES.values(), CUT))
    (top,), (middle,) = ({int(np.median(np.flatnonzero(curve.sum(axis=1) > 500)))} for curve in (stylized, original))
    columns = np.flatnonzero(cut.sum(axis=0) > 100)
    # The axes: dark lines at the left and at the bottom.
    dark = (body < 60).all(axis=2)
    left, bottom = np.flatnonzero(dark.sum(axis=0) > 300)[0], np.flatnonzero(dark.sum(axis=1) > 900)[-1]
    assert (bottom - middle) / (bottom - top) == pytest.approx(0.01 / 0.04, abs=0.01)
    end = np.flatnonzero(stylized[top])[-1]
    assert (columns.mean() - left) / (end - left) == pytest.approx(60 / 100, abs=0.01)
    at_cut = slice(columns[0] - 1, columns[-1] + 2)
    assert not stylized[:, at_cut].any(), "the curve is interrupted where a pair does not count"


def test_a_lone_pair_between_two_cuts_is_visible() -> None:
    cuts = [Pair(index, index / 25, 0.0, None, None) for index in (1, 3)]
    image = draw_plot([cuts[0], Pair(2, 2 / 25, 1.0, 0.01**2, 0.04**2), cuts[1]])
    assert near(image[40:], CURVES["stylized"]).sum() > 10


@pytest.mark.parametrize("pairs", [[], [Pair(1, 0.04, 0.01, None, None)], [Pair(1, 0.04, 1.0, 0.0, 0.0)]])
def test_a_plot_of_almost_nothing(pairs: list[Pair]) -> None:
    assert draw_plot(pairs).shape == (480, 1200, 3)


def test_a_plot_without_matplotlib_is_refused_before_anything_is_measured(
    clips: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, out, error = run(*clips, "--loss-weights", tmp_path / "missing.pth", "--plot", tmp_path / "flicker.png")
    assert (code, out) == (4, "")
    assert error.count("\n") == 1
    assert "matplotlib" in error
    assert "pip install 'flowbrush[plot]'" in error


def test_a_plot_that_cannot_be_written_is_refused_first(tmp_path: Path) -> None:
    there = tmp_path / "there.png"
    there.touch()
    check_plot(there, overwrite=True)
    check_plot(tmp_path / "new.png", overwrite=False)
    for path, reason in ((there, "--overwrite"), (tmp_path / "a.mkv", "ends in"), (tmp_path / "no/a.png", "folder")):
        with pytest.raises(OutputError, match=reason):
            check_plot(path, overwrite=False)


# --- the command ------------------------------------------------------------------------------------------------------


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(cli.app, ["evaluate", *map(str, arguments)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def test_the_command_prints_the_figures_and_draws(
    clips: tuple[str, str], weights: Path, style_image: Path, tmp_path: Path
) -> None:
    plot = tmp_path / "flicker.png"
    code, out, error = run(*clips, "--painting", style_image, "--loss-weights", weights, "--plot", plot)
    assert (code, error) == (0, "")
    lines = out.splitlines()
    assert [line.split()[0] for line in lines[:4]] == ["e_stab", "E_warp", "style", "content"]
    assert "10 frames apart" in lines[0]
    assert "original" in lines[0]
    assert "wave.png" in lines[2]
    assert "normalised VGG-19" in lines[3]
    assert lines[4].startswith("strokes")
    assert "13 neighboring pairs and 4 10 apart" in lines[5]
    assert lines[6] == READ_TOGETHER
    with Image.open(plot) as image:
        assert image.size == (1200, 480)
    assert run(*clips, "--plot", plot)[0] == 4


def test_the_command_prints_one_object(clips: tuple[str, str], weights: Path) -> None:
    code, out, _ = run(*clips, "--loss-weights", weights, "--frames", 4, "--json", "-q")
    result = json.loads(out)
    assert code == 0
    assert set(result) == {field.name for field in fields(Scores)} - {"curve"}
    assert (result["frames"], result["pairs"], result["style"]) == (14, 4, None)
    assert READ_TOGETHER in result["notes"]


def test_every_mistake_is_one_line(clips: tuple[str, str], weights: Path, tmp_path: Path) -> None:
    cases = [
        (2, (*clips, "--frames", -1)),
        (2, ("-", "-")),
        (3, (clips[0], tmp_path / "missing.mkv", "--loss-weights", weights)),
        (3, (*clips, "--painting", clips[0], "--loss-weights", weights)),
        (3, (*clips, "--loss-weights", clips[0])),
        (4, (*clips, "--plot", tmp_path / "plot.mp4")),
    ]
    for expected, arguments in cases:
        code, out, error = run(*arguments)
        assert (code, out) == (expected, ""), (arguments, error)
        if "--frames" not in arguments:  # typer's own
            assert error.count("\n") == 1, error
            assert error.startswith("flowbrush: ")


def test_the_help_gives_the_formulas() -> None:
    text = " ".join(run("--help")[1].split())
    assert "e_stab = sqrt(mean over pairs" in text
    assert "E_warp is the same without the root" in text
    assert "a weaker style is always more stable" in text
