"""The measures against cases by hand, another implementation, and flow that is known exactly."""

import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models.losses import gram_matrix
from models.metrics import (
    Motion,
    content_score,
    e_stab,
    e_warp,
    estimate_motion,
    image_to_tensor,
    style_score,
    warp_error,
)
from models.temporal.flow import DisFlow, flow_to_tensor, inside
from sample_videos.renderer.scenes import scene
from tests.support.media import moving_square
from tests.support.tiny import blobs

SINTEL = Path(__file__).parents[3] / "shared" / "data" / "flow"

pytestmark = pytest.mark.usefixtures("one_thread")

Pixels = NDArray[np.uint8]
Floats = NDArray[Any]


def motion(dx: float, dy: float, height: int, width: int) -> Motion:
    flow = torch.tensor([dx, dy]).view(1, 2, 1, 1).repeat(1, 1, height, width)
    return Motion(flow, inside(flow))


def textured(count: int, *, height: int = 64, width: int = 96) -> list[Pixels]:
    """Frames of a picture that slides by (2.3, 1) px a frame, with noise of its own in each."""
    picture = (blobs(1, height + 40, width + 60)[0].permute(1, 2, 0).numpy() * 255).astype(np.float32)
    detail = np.random.default_rng(0).normal(0, 30, picture.shape).astype(np.float32)
    picture += cv2.GaussianBlur(detail, None, 1.5)
    noise = np.random.default_rng(1)
    frames = []
    for index in range(count):
        moved = cv2.warpAffine(picture, np.float32([[1, 0, -2.3 * index], [0, 1, -index]]), (width, height))
        frames.append((moved + noise.normal(0, 4, moved.shape)).clip(0, 255).astype(np.uint8))
    return frames


# --- stillness --------------------------------------------------------------------------------------------------------


def test_warp_error_by_hand() -> None:
    earlier, current = torch.zeros(1, 3, 2, 2), torch.zeros(1, 3, 2, 2)
    current[0, :, 0, 0] = torch.tensor([0.3, 0.6, 0.0])  # mean of squares over the colors: 0.15
    current[0, :, 1, 1] = 1.0
    mask = torch.tensor([[True, True], [True, False]])[None, None]
    assert warp_error(current, earlier, Motion(torch.zeros(1, 2, 2, 2), mask)) == pytest.approx(0.15 / 3)


def test_what_moves_with_the_flow_has_no_error() -> None:
    earlier = torch.rand(1, 3, 12, 16, generator=torch.Generator().manual_seed(0))
    current = torch.roll(earlier, (-2, 3), dims=(2, 3))
    assert warp_error(current, earlier, motion(-3, 2, 12, 16)) < 1e-10
    assert warp_error(current, earlier, motion(3, -2, 12, 16)) > 0.05


def test_nothing_visible_is_no_number() -> None:
    picture = torch.zeros(1, 3, 4, 4)
    hidden = Motion(torch.zeros(1, 2, 4, 4), torch.zeros(1, 1, 4, 4, dtype=torch.bool))
    assert math.isnan(warp_error(picture, picture, hidden))
    assert not hidden.same_scene


def test_e_stab_is_the_root_of_e_warp() -> None:
    assert e_warp([0.01, 0.03]) == pytest.approx(0.02)
    assert e_stab([0.01, 0.03]) == pytest.approx(math.sqrt(0.02))


def test_a_weaker_style_is_more_stable() -> None:
    generator = torch.Generator().manual_seed(0)
    scenery = torch.full((1, 3, 32, 32), 0.5)
    first, second = (torch.rand(1, 3, 32, 32, generator=generator) for _ in range(2))
    strong, weak = (
        e_stab(
            [warp_error(*(torch.lerp(scenery, stylize, share) for stylize in (first, second)), motion(0, 0, 32, 32))]
        )
        for share in (1.0, 0.5)
    )
    assert weak == pytest.approx(strong / 2, rel=1e-4)


@pytest.mark.parametrize("back", [1, 3])
def test_agrees_with_numpy_and_opencv(back: int) -> None:
    frames = textured(6)
    stylized = [cv2.applyColorMap(frame[..., 1].copy(), cv2.COLORMAP_JET) for frame in frames]
    finder = DisFlow("medium")
    errors, expected = [], []
    for index in range(back, len(frames)):
        found = estimate_motion(frames[index], frames[index - back], finder)
        errors.append(warp_error(image_to_tensor(stylized[index]), image_to_tensor(stylized[index - back]), found))
        mask, error = ruler(frames[index], frames[index - back], stylized[index], stylized[index - back])
        assert found.visible_share == pytest.approx(mask.mean(), abs=2e-3)
        expected.append(error)
    assert 0.01 < e_stab(errors) == pytest.approx(math.sqrt(np.mean(expected)), rel=2e-3)


def ruler(current: Pixels, earlier: Pixels, stylized: Pixels, painted_earlier: Pixels) -> tuple[Floats, float]:
    """Mask and warp error by other means: `cv2.remap`, `numpy.gradient`, sums."""
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    grey, grey_earlier = (cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (current, earlier))
    back, forth = dis.calc(grey, grey_earlier, None), dis.calc(grey_earlier, grey, None)
    rows, columns = np.mgrid[: grey.shape[0], : grey.shape[1]].astype(np.float32)
    x, y = columns + back[..., 0], rows + back[..., 1]

    def warped(picture: Floats) -> Floats:
        return cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)

    forth = warped(forth)
    hidden = ((forth + back) ** 2).sum(-1) > 0.01 * ((forth**2).sum(-1) + (back**2).sum(-1)) + 0.5
    bend = sum(np.gradient(back[..., part], axis=axis) ** 2 for part in (0, 1) for axis in (0, 1))
    hidden |= bend > 0.01 * (back**2).sum(-1) + 0.002
    mask = ~hidden & (x >= 0) & (x <= grey.shape[1] - 1) & (y >= 0) & (y <= grey.shape[0] - 1)
    new, old = stylized.astype(np.float32) / 255, painted_earlier.astype(np.float32) / 255
    return mask, float((((new - warped(old)) ** 2).mean(-1) * mask).sum() / mask.sum())


@pytest.mark.parametrize(("rows", "counts"), [(9, False), (11, True)])
def test_a_pair_counts_from_a_tenth_of_the_pixels_on(rows: int, counts: bool) -> None:
    mask = torch.arange(100).view(1, 1, 100, 1).expand(1, 1, 100, 7) < rows
    found = Motion(torch.zeros(1, 2, 100, 7), mask)
    assert found.visible_share == pytest.approx(rows / 100)
    assert found.same_scene is counts


def test_found_flow_measures_as_the_exact_flow_does() -> None:
    harbor = scene("harbor")
    now, then = harbor.frame(100), harbor.frame(99)
    flow = flow_to_tensor(harbor.flow(100, 99))
    exact = Motion(flow, torch.from_numpy(~harbor.occlusion(100, 99))[None, None] & inside(flow))
    found = estimate_motion(now, then, DisFlow("medium"))
    # What stands in the scene and flickers on its own shows alike by either flow.
    flicker = np.random.default_rng(0).normal(0, 10, (2, *now.shape))
    noisy = [(frame + noise).clip(0, 255).astype(np.uint8) for frame, noise in zip((now, then), flicker, strict=True)]
    for pair, tolerance in (((now, then), 0.3), (noisy, 0.03)):
        by_exact, by_found = (
            e_stab([warp_error(image_to_tensor(pair[0]), image_to_tensor(pair[1]), moved)]) for moved in (exact, found)
        )
        assert by_found == pytest.approx(by_exact, rel=tolerance)


@pytest.mark.shared
@pytest.mark.skipif(not SINTEL.is_dir(), reason=f"{SINTEL} is not there")
def test_found_flow_measures_as_the_flow_of_sintel_does() -> None:
    folder = SINTEL / "alley_2_clean"
    (file,) = folder.glob("flow_*.npz")
    truth = np.load(file)
    height, width = truth["shape"]
    flow = flow_to_tensor(truth["flow_x64"].astype(np.float32) / 64)
    hidden = np.unpackbits(truth["occ"] | truth["invalid"])[: height * width].reshape(height, width).astype(bool)
    exact = Motion(flow, torch.from_numpy(~hidden)[None, None] & inside(flow))
    first, second = file.stem.removeprefix("flow_").split("_to_")
    now, then = (cv2.imread(str(folder / f"frame_{name}.png"))[..., ::-1].copy() for name in (first, second))
    found = estimate_motion(now, then, DisFlow("medium"))
    both = found.mask & exact.mask
    assert (found.flow - exact.flow).norm(dim=1, keepdim=True)[both].mean() < 0.15
    tensors = image_to_tensor(now), image_to_tensor(then)
    by_exact, by_found = (e_stab([warp_error(*tensors, moved)]) for moved in (exact, found))
    assert by_found == pytest.approx(by_exact, rel=0.3)


# --- likeness and content ---------------------------------------------------------------------------------------------


def test_style_image_has_style_score_0_and_frame_has_content_score_0() -> None:
    features = {"a": torch.rand(1, 3, 5, 6), "b": torch.rand(1, 4, 3, 3)}
    style_image = {name: gram_matrix(layer)[0] for name, layer in features.items()}
    assert style_score(features, style_image) == 0
    assert content_score(features["a"], features["a"]) == 0


def test_style_score_is_the_mean_over_the_layers() -> None:
    features = {"a": torch.full((1, 1, 2, 2), 2.0), "b": torch.ones(1, 1, 2, 2), "c": torch.zeros(1, 1, 1, 1)}
    # Gram matrices of one channel: 4 and 1, the style image 1 and 2: (9 / 1 + 1 / 4) / 2; the layer c does not count.
    style_image = {"a": torch.ones(1, 1), "b": torch.full((1, 1), 2.0)}
    assert style_score(features, style_image) == pytest.approx(4.625)


def test_content_score_is_relative_to_the_spread() -> None:
    original = torch.tensor([0.0, 2.0]).view(1, 1, 1, 2)  # variance 2
    assert content_score(original + 1, original) == pytest.approx(0.5)
    unrelated = [torch.randn(1, 8, 20, 20, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1)]
    assert content_score(*unrelated) == pytest.approx(2, rel=0.05)


def test_pixels_become_numbers_from_0_to_1() -> None:
    picture = moving_square(1)
    numbers = image_to_tensor(picture)
    assert numbers.shape == (1, 3, 48, 64)
    assert numbers[0, 2, 5, 7] == picture[5, 7, 2] / np.float32(255)
