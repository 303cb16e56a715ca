"""The stylize stage that optimizes frames."""

from collections import OrderedDict
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn
from torchvision.models import VGG19_Weights, vgg

from models.optimize.features import Features
from models.optimize.settings import CONTENT_LAYERS, STYLE_LAYERS
from models.optimize.windows import plan_windows
from models.training.losses.loss_network import load_loss_network
from pipeline.config import StylizeConfig
from pipeline.errors import InputError, OutputError, TooLittleMemoryError
from pipeline.frames import Frame, SegmentBoundary
from pipeline.media.stills import read_image
from pipeline.stylize.make import make_stylizer
from pipeline.stylize.optimize.history import history_arrays, read_history
from pipeline.stylize.stylizer import StylizeStage
from tests.support.networks.optimizing import optimizing_config, write_optimizing_files
from tests.support.tiny import blobs, torchvision_vgg19_state

SIZE = {"height": 64, "width": 72}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("optimizing")
    write_optimizing_files(folder)
    return folder


def pan(count: int, step_px: int = 2) -> list[NDArray[np.uint8]]:
    wide = (blobs(1, 64, 72 + count * step_px)[0] * 255).round().byte().permute(1, 2, 0).numpy()
    return [wide[:, index * step_px : index * step_px + 72].copy() for index in range(count)]


def frames_of(pictures: Sequence[NDArray[Any]], boundary_after: int | None = None) -> list[Frame]:
    return [
        Frame(
            pixels,
            index,
            Fraction(1, 25),
            boundary=SegmentBoundary(index + 1) if index == boundary_after else None,
        )
        for index, pixels in enumerate(pictures)
    ]


def stylizer(config: StylizeConfig, **changes: Any) -> StylizeStage:
    return make_stylizer(config, **{**SIZE, **changes})


def test_a_picture_takes_the_colors_of_the_painting_and_says_why_it_ended(folder: Path) -> None:
    notices: list[str] = []
    config = optimizing_config(folder, {"steps": 25, "content_weight": 0})
    (picture,) = pan(1)
    (frame,) = stylizer(config, notify=notices.append, is_single=True)(frames_of([picture]))
    red_and_yellow = np.array([250, 127, 0])
    before, after = (abs(pixels.mean(axis=(0, 1)) - red_and_yellow).sum() for pixels in (picture, frame.pixels))
    assert after < 0.7 * before
    assert any("25 steps: all 25 steps are done; loss" in line for line in notices)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_strength_and_colors_work_as_with_the_network(folder: Path, dtype: type[np.generic]) -> None:
    picture = pan(1)[0].astype(dtype) * (257 if dtype is np.uint16 else 1)
    is_16_bit = dtype is np.uint16
    (untouched,) = stylizer(optimizing_config(folder, strength=0.0), is_16_bit=is_16_bit)(frames_of([picture]))
    assert untouched.pixels.dtype == dtype
    assert np.array_equal(untouched.pixels, picture)
    (kept,) = stylizer(optimizing_config(folder, keep_colors=True), is_16_bit=is_16_bit)(frames_of([picture]))
    (full,) = stylizer(optimizing_config(folder), is_16_bit=is_16_bit)(frames_of([picture]))

    def chroma(pixels: NDArray[Any]) -> NDArray[Any]:
        return np.diff(pixels.astype(float), axis=-1)

    assert abs(chroma(kept.pixels) - chroma(picture)).mean() < 0.2 * abs(chroma(full.pixels) - chroma(picture)).mean()


def test_a_resumed_clip_has_the_same_frames(folder: Path) -> None:
    pictures, config = pan(4), optimizing_config(folder, {"memory_frames": 10})
    whole = list(stylizer(config)(frames_of(pictures, boundary_after=1)))
    assert whole[1].boundary is not None
    state = whole[1].boundary.state
    assert len(read_history(state)) == 2
    again = list(stylizer(config)(frames_of(pictures)[2:], state))
    for one, other in zip(whole[2:], again, strict=True):
        assert np.array_equal(one.pixels, other.pixels)
    without = list(stylizer(config)(frames_of(pictures)[2:]))
    assert not np.array_equal(without[0].pixels, whole[2].pixels)


def test_a_history_survives_as_arrays(folder: Path) -> None:
    whole = list(stylizer(optimizing_config(folder))(frames_of(pan(3), boundary_after=2)))
    assert whole[2].boundary is not None
    history = read_history(whole[2].boundary.state)
    assert np.array_equal(history[0].stylized, whole[2].pixels)
    assert np.array_equal(history[2].original, pan(3)[0])
    assert history_arrays(history).keys() == whole[2].boundary.state.keys()


def test_frames_follow_the_motion_unless_nothing_is_to_be_stable(folder: Path) -> None:
    def change(**changes: Any) -> float:
        config = optimizing_config(folder, {"steps": 12, "init": "noise", "octaves": 1}, **changes)
        stylized = [frame.pixels.astype(float) for frame in stylizer(config)(frames_of(pan(3)))]
        return float(np.mean([abs(b[:, :-2] - a[:, 2:]).mean() for a, b in pairwise(stylized)]))

    assert change() < 0.5 * change(stability="none")


def test_a_cut_forgets_the_frames_before(folder: Path) -> None:
    first, second = pan(1)[0], 255 - pan(2)[1][::-1]
    config = optimizing_config(folder)
    *_, after_cut = stylizer(config)(frames_of([first, np.ascontiguousarray(second)]))
    (alone,) = stylizer(config)(frames_of([np.ascontiguousarray(second)]))
    assert np.array_equal(after_cut.pixels, alone.pixels)


def test_the_start_may_be_halfway_to_the_result_of_the_network(folder: Path) -> None:
    (picture,) = pan(1)
    network = make_stylizer(StylizeConfig(style="great-wave", engine="eager", stability="none", device="cpu"), **SIZE)
    (stylized,) = network(frames_of([picture]))
    expected = (picture.astype(float) + stylized.pixels) / 2
    config = optimizing_config(folder, {"init": "style", "steps": 1}, style="great-wave", engine="eager")
    (near,) = stylizer(config, is_single=True)(frames_of([picture]))
    (far,) = stylizer(optimizing_config(folder, {"steps": 1}), is_single=True)(frames_of([picture]))
    distances = [abs(frame.pixels.astype(float) - expected).mean() for frame in (near, far)]
    assert distances[0] < 0.3 * distances[1]


def test_the_preview_shows_the_picture_so_far(folder: Path, tmp_path: Path) -> None:
    config = optimizing_config(folder, {"preview": tmp_path / "so-far.png"})
    list(stylizer(config)(frames_of(pan(1))))
    assert read_image(tmp_path / "so-far.png").shape == (64, 72, 3)
    with pytest.raises(OutputError, match="there is no folder"):
        stylizer(optimizing_config(folder, {"preview": tmp_path / "none" / "a.png"}))


@pytest.fixture
def downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where torchvision looks for a VGG-19 that it downloaded before."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    file = tmp_path / "hub" / "checkpoints" / VGG19_Weights.IMAGENET1K_V1.url.rpartition("/")[2]
    file.parent.mkdir(parents=True)
    return file


def test_without_weights_the_layers_are_those_of_torchvisions_file(folder: Path, downloaded: Path) -> None:
    """In the format of its age, with a classifier; nothing stands in for a layer, and the deepest one counts."""
    state = torchvision_vgg19_state() | {f"classifier.{n}.weight": torch.zeros(2, 2) for n in (0, 3, 6)}
    parameters = OrderedDict((name, nn.Parameter(tensor)) for name, tensor in state.items())
    torch.save(parameters, downloaded, _use_new_zipfile_serialization=False)
    notices: list[str] = []
    few: dict[str, Any] = {"steps": 1, "content_weight": 5}
    config = optimizing_config(folder, few | {"loss_weights": ()})
    (frame,) = stylizer(config, notify=notices.append, is_single=True)(frames_of(pan(1)))
    assert notices[0] == "loading torchvision's VGG-19 (548 MB, downloaded once)"
    assert len(notices) == 2
    by_file = few | {"loss_weights": (downloaded,)}
    (again,) = stylizer(optimizing_config(folder, by_file), is_single=True)(frames_of(pan(1)))
    assert np.array_equal(frame.pixels, again.pixels)
    for layer in ("features.21", "features.28"):  # relu4_2 and relu5_1
        torch.save(state | {f"{layer}.weight": -state[f"{layer}.weight"]}, downloaded)
        (other,) = stylizer(config, is_single=True)(frames_of(pan(1)))
        assert not np.array_equal(frame.pixels, other.pixels), layer


def test_a_broken_download_is_named(folder: Path, downloaded: Path) -> None:
    downloaded.write_bytes(b"<html>")
    with pytest.raises(InputError, match=r"vgg19-.*\.pth: not the weights of VGG-19 .*; delete it, or give a file"):
        stylizer(optimizing_config(folder, {"loss_weights": ()}))


def test_full_width_and_4k_fit_into_a_memory_bound() -> None:
    """With the widths of VGG-19 itself; no feature of a frame is computed."""
    state = {f"features.{name}": tensor for name, tensor in vgg.make_layers(vgg.cfgs["E"]).state_dict().items()}
    features = Features([load_loss_network(state)], [*STYLE_LAYERS, *CONTENT_LAYERS])
    most_px = 3 * 2**30 / features.bytes_per_px
    assert 512 * 512 < most_px < 2160 * 3840
    windows = plan_windows(2160, 3840, halo_px=features.halo_px, most_px=most_px, is_periodic=False)
    assert len(windows) > 10
    for window in windows:
        rows, columns = ((span.stop - span.start + span.before + span.after) for span in (window.rows, window.columns))
        assert rows * columns <= most_px


def test_errors_name_the_file_and_what_to_do(folder: Path) -> None:
    with pytest.raises(InputError, match=r"loss\.pth: no loss network has relu5_4; there are .*choose other layers"):
        stylizer(optimizing_config(folder, {"style_layers": "relu5_4"}))
    with pytest.raises(InputError, match=r"nothing\.png: no such file"):
        stylizer(StylizeConfig(method="optimize", paintings=(str(folder / "nothing.png"),)))
    config = optimizing_config(folder, max_memory=10**6)
    with pytest.raises(TooLittleMemoryError, match="choose a larger --max-memory"):
        list(stylizer(config)(frames_of(pan(1))))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "optimize"}, "needs --painting"),
        ({"paintings": ("a.jpg",), "style": "great-wave"}, "--painting is for --method optimize"),
        ({"method": "optimize", "paintings": ("a.jpg",), "style_end": "great-wave"}, "cannot fade"),
        ({"method": "optimize", "paintings": ("a.jpg",), "precision": "fp16"}, "fp32 or bf16"),
        ({"method": "optimize", "paintings": ("great-wave",)}, "not the name of a picture"),
        ({"method": "optimize", "paintings": ("a.jpg:2", "b.jpg")}, "weights for some styles only"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        StylizeConfig(**options)


@pytest.mark.parametrize("layers", ["relu1_1,conv2", "relu1_1:x", "relu1_1:-1", ""])
def test_wrong_layers_are_named(folder: Path, layers: str) -> None:
    with pytest.raises(ValueError, match=r"relu1_1|layer of VGG-19"):
        optimizing_config(folder, {"content_layers": layers})
