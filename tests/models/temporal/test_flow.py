"""Flow followed, found and trusted: against cases by hand, OpenCV and numpy, and flow that is known exactly."""

import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.temporal.flow import DisFlow, Preset, RaftFlow, flow_to_tensor, inside, motion_boundary, visible, warp
from sample_videos.renderer.scenes import scene
from tests.support.media import moving_square
from tests.support.tiny import blobs

SINTEL = Path(__file__).parents[4] / "shared" / "data" / "flow"
needs_sintel = pytest.mark.skipif(not SINTEL.is_dir(), reason=f"{SINTEL} is not there")

pytestmark = pytest.mark.usefixtures("one_thread")


def uniform(dx: float, dy: float, height: int = 6, width: int = 8) -> Tensor:
    return torch.tensor([float(dx), float(dy)]).view(1, 2, 1, 1).repeat(1, 1, height, width)


def picture(pixels: NDArray[np.uint8]) -> Tensor:
    """``(1, 3, H, W)`` in [0, 1] of ``(H, W, 3)`` uint8."""
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))[None].float() / 255


def difference(a: Tensor, b: Tensor) -> Tensor:
    """``(1, 1, H, W)``, the mean over the channels."""
    return (a - b).abs().mean(dim=1, keepdim=True)


# --- followed ---------------------------------------------------------------------------------------------------------


def test_warp_moves_by_whole_pixels_exactly() -> None:
    past = torch.rand(2, 3, 6, 8, generator=torch.Generator().manual_seed(0))
    flow = torch.cat((uniform(2, 1), uniform(-3, 0)))
    warped = warp(past, flow)
    torch.testing.assert_close(warped[0, :, :5, :6], past[0, :, 1:, 2:], rtol=0, atol=1e-5)
    torch.testing.assert_close(warped[1, :, :, 3:], past[1, :, :, :5], rtol=0, atol=1e-5)


def test_warp_takes_the_mean_half_way() -> None:
    past = torch.rand(1, 3, 6, 8, generator=torch.Generator().manual_seed(0))
    right, down = warp(past, uniform(0.5, 0)), warp(past, uniform(0, 0.25))
    torch.testing.assert_close(right[..., :-1], (past[..., :-1] + past[..., 1:]) / 2)
    torch.testing.assert_close(down[..., :-1, :], 0.75 * past[..., :-1, :] + 0.25 * past[..., 1:, :])


def test_warp_repeats_the_border() -> None:
    past = torch.rand(1, 3, 6, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(warp(past, uniform(100, 0)), past[..., -1:].expand_as(past), rtol=0, atol=1e-5)
    torch.testing.assert_close(warp(past, uniform(0, -100)), past[..., :1, :].expand_as(past), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 5), (7, 1)])
def test_warp_of_thin_pictures(height: int, width: int) -> None:
    past = torch.rand(1, 3, height, width)
    torch.testing.assert_close(warp(past, torch.zeros(1, 2, height, width)), past)


def test_warp_is_float32_whatever_comes() -> None:
    past = torch.rand(1, 3, 6, 8, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        warped = warp(past.bfloat16(), uniform(1, 0).half())
    assert warped.dtype == torch.float32
    torch.testing.assert_close(warped[..., :-1], past.bfloat16().float()[..., 1:], rtol=0, atol=1e-5)


def test_warp_passes_gradients_to_what_was_seen() -> None:
    past = torch.rand(1, 3, 6, 8, requires_grad=True)
    warp(past, uniform(2, 0))[..., :6].sum().backward()
    assert past.grad is not None
    torch.testing.assert_close(past.grad[..., 2:], torch.ones(1, 3, 6, 6), rtol=0, atol=1e-4)
    torch.testing.assert_close(past.grad[..., :2], torch.zeros(1, 3, 6, 2), rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["harbor", "street"])
def test_exact_flow_carries_a_frame_to_the_next(name: str) -> None:
    scenery = scene(name)
    past, now = (picture(scenery.frame(index)) for index in (80, 81))
    flow = flow_to_tensor(scenery.flow(81, 80))
    seen = torch.from_numpy(~scenery.occlusion(81, 80))[None, None]
    error, backwards = (float(difference(warp(past, f), now)[seen].mean()) for f in (flow, -flow))
    assert error < 2 / 255
    assert error < 0.25 * backwards
    assert error < 0.4 * float(difference(past, now)[seen].mean())


# --- found ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", ["ultrafast", "fast", "medium"])
def test_dis_finds_where_a_square_came_from(preset: Preset) -> None:
    first, second = (moving_square(index, width=160, height=120, step=5) for index in (1, 2))
    flow = flow_to_tensor(DisFlow(preset)(second, first))
    assert flow.shape == (1, 2, 120, 160)
    assert -6 < flow[0, 0].min() < -4, "the square went to the right"
    past, now = picture(first), picture(second)
    error = difference(warp(past, flow), now).mean()
    assert error < 0.2 * difference(past, now).mean()
    assert error < 0.1 * difference(warp(past, -flow), now).mean()


@pytest.mark.parametrize("preset", ["ultrafast", "fast", "medium"])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (8, 48), (24, 100), (16, 300), (31, 640), (640, 3)])
def test_dis_takes_pictures_of_any_size(preset: Preset, height: int, width: int) -> None:
    """Some of these OpenCV alone refuses, with others it takes the process down."""
    first = (blobs(1, height, width)[0] * 255).byte().permute(1, 2, 0).numpy()
    flow = DisFlow(preset)(np.roll(first, 2, axis=1), first)
    assert flow.shape == (height, width, 2)
    assert flow.dtype == np.float32
    assert np.isfinite(flow).all()
    if (height, width) == (24, 100):
        assert np.median(flow[..., 0]) == pytest.approx(-2, abs=0.3)


def test_dis_sees_color_as_its_luma() -> None:
    first, second = (moving_square(index, width=160, height=120, step=5) for index in (1, 2))
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (second, first)]
    np.testing.assert_array_equal(DisFlow("fast")(second, first), DisFlow("fast")(*grey))


class FixedRaft(torch.nn.Module):
    """Stands in for RAFT: records its arguments; its last answer is the column and row of each pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []

    def forward(self, source: Tensor, target: Tensor) -> list[Tensor]:
        self.seen = [source, target]
        height, width = source.shape[-2:]
        rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        flow = torch.stack((columns, rows))[None].float()
        return [torch.zeros_like(flow), flow]


@pytest.mark.parametrize(
    ("height", "width", "tall", "wide"), [(48, 64, 128, 128), (130, 203, 136, 208), (128, 136, 128, 136)]
)
def test_raft_is_given_what_it_expects(
    monkeypatch: pytest.MonkeyPatch, height: int, width: int, tall: int, wide: int
) -> None:
    network = FixedRaft()
    monkeypatch.setattr("torchvision.models.optical_flow.raft_large", lambda: network)
    source, target = (moving_square(index, height=height, width=width) for index in (2, 1))
    flow = RaftFlow({})(source, target)
    assert flow.shape == (height, width, 2)
    assert flow.dtype == np.float32
    assert flow[5, 9].tolist() == [9, 5]
    for seen, given in zip(network.seen, (source, target), strict=True):
        assert seen.shape == (1, 3, tall, wide)
        torch.testing.assert_close((seen[..., :height, :width] + 1) / 2, picture(given))


# --- trusted ----------------------------------------------------------------------------------------------------------


def reference_visible(backward: NDArray[np.float32], forward: NDArray[np.float32]) -> NDArray[np.bool_]:
    """The mask of Lai et al. 2018 by OpenCV and numpy, from flow ``(H, W, 2)``."""
    height, width = backward.shape[:2]
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    x, y = columns + backward[..., 0], rows + backward[..., 1]
    there = cv2.remap(forward, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    lengths = (there**2).sum(-1) + (backward**2).sum(-1)
    occluded = ((there + backward) ** 2).sum(-1) > 0.01 * lengths + 0.5
    bend = sum(np.gradient(backward[..., axis], axis=along) ** 2 for axis in (0, 1) for along in (0, 1))
    boundary = bend > 0.01 * (backward**2).sum(-1) + 0.002
    return ~occluded & ~boundary & (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)


def smooth_flow(largest_px: float) -> NDArray[np.float32]:
    """Of whole 1/32 px, to which OpenCV rounds."""
    coarse = blobs(1, 120, 160, seed=1)[0, :2] * 2 - 1
    return np.ascontiguousarray((largest_px * coarse * 32).round().permute(1, 2, 0).numpy() / 32)


@pytest.mark.parametrize("noise_px", [0.0, 0.5])
@pytest.mark.parametrize("largest_px", [0.5, 2.0, 4.0])
def test_what_is_visible_is_as_published(largest_px: float, noise_px: float) -> None:
    backward = smooth_flow(largest_px)
    noise = np.random.default_rng(0).normal(0, noise_px, backward.shape).astype(np.float32)
    forward = noise - backward
    backward[20:40, 30:50] += np.float32(largest_px)
    expected = reference_visible(backward, forward)
    found = visible(flow_to_tensor(backward), flow_to_tensor(forward))
    assert found.shape == (1, 1, 120, 160)
    assert found.dtype == torch.bool
    assert 0.05 < expected.mean() < 0.99
    assert (found[0, 0].numpy() == expected).mean() > 0.9995


def test_what_a_moving_layer_hides_and_uncovers() -> None:
    """A block of rows 20-39 went 8 px to the right, to columns 38-57; the ground stays."""
    backward, forward = uniform(0, 0, 60, 80), uniform(0, 0, 60, 80)
    backward[:, 0, 20:40, 38:58] = -8
    forward[:, 0, 20:40, 30:50] = 8
    seen = visible(backward, forward)[0, 0]
    assert not seen[20:40, 30:37].any(), "was hidden by the block"
    assert seen[22:38, 40:56].all(), "the block itself"
    assert seen[:18].all(), "the ground"
    assert seen[:, :28].all()
    assert seen[:, 60:].all()
    assert not seen[20:40, 37:39].any(), "the boundary between the motions"


def test_all_is_visible_where_nothing_moves() -> None:
    assert visible(uniform(0, 0), uniform(0, 0)).all()


def test_what_comes_from_beyond_the_border_is_not_visible() -> None:
    seen = visible(uniform(3, 0, 8, 10), uniform(-3, 0, 8, 10))[0, 0]
    assert seen[:, :7].all()
    assert not seen[:, 7:].any()


def test_inside_ends_at_the_outermost_pixels() -> None:
    flow = uniform(0, 0, 3, 4)
    assert inside(flow).shape == (1, 1, 3, 4)
    assert inside(flow).all()
    for dx, dy, lost in ((1, 0, (slice(None), 3)), (-1, 0, (slice(None), 0)), (0, 1, 2), (0, -1, 0), (0.01, 0, (0, 3))):
        within = inside(uniform(dx, dy, 3, 4))[0, 0]
        assert not within[lost].any()
        assert within[1, 1]
    assert int(inside(uniform(1, 0, 3, 4)).sum()) == 9


def test_a_motion_boundary_is_a_bend_that_is_large_for_its_motion() -> None:
    slow, fast = uniform(0, 0, 5, 10), uniform(20, 0, 5, 10)
    slow[:, 1, :, 5:] = 0.2  # bends by .1 a pixel: .01 > .002
    fast[:, 1, :, 5:] = 0.2
    assert motion_boundary(slow)[0].nonzero()[:, 1].unique().tolist() == [4, 5]
    assert not motion_boundary(fast).any()


@pytest.mark.parametrize("name", ["harbor", "street"])
def test_occlusions_of_a_scene_are_not_visible(name: str) -> None:
    scenery = scene(name)
    backward, forward = flow_to_tensor(scenery.flow(70, 66)), flow_to_tensor(scenery.flow(66, 70))
    hidden = torch.from_numpy(scenery.occlusion(70, 66))[None, None]
    seen = visible(backward, forward)
    assert (~seen)[hidden].float().mean() > 0.85
    assert seen[~hidden].float().mean() > 0.9
    error = difference(warp(picture(scenery.frame(66)), backward), picture(scenery.frame(70)))
    assert error[seen].mean() < 0.2 * error[~seen].mean()


@dataclass
class Truth:
    """Two frames of MPI-Sintel, the flow from one to the other, and where it is known to be occluded or not."""

    source: NDArray[np.uint8]
    target: NDArray[np.uint8]
    flow: NDArray[np.float32]
    occluded: NDArray[np.bool_]
    clear: NDArray[np.bool_]


@cache
def sintel(name: str) -> Truth:
    (path,) = (SINTEL / name).glob("flow_*.npz")
    stored = np.load(path)
    height, width = stored["shape"]
    occluded, invalid = (
        np.unpackbits(stored[key])[: height * width].reshape(height, width) > 0 for key in ("occ", "invalid")
    )
    names = path.stem.removeprefix("flow_").split("_to_")
    source, target = (cv2.imread(str(path.with_name(f"frame_{n}.png")))[..., ::-1].copy() for n in names)
    flow = stored["flow_x64"].astype(np.float32) / 64
    return Truth(source, target, flow, occluded & ~invalid, ~occluded & ~invalid)


@pytest.mark.shared
@needs_sintel
@pytest.mark.parametrize("name", ["alley_1_final", "alley_2_clean", "bandage_1_final", "cave_2_clean"])
def test_dis_is_near_the_true_flow(name: str) -> None:
    truth = sintel(name)
    found = DisFlow()(truth.source, truth.target)
    apart, motion = (np.hypot(f[..., 0], f[..., 1])[truth.clear].mean() for f in (found - truth.flow, truth.flow))
    assert apart < 0.25 * motion
    assert apart < 1


@pytest.mark.shared
@needs_sintel
@pytest.mark.parametrize("name", ["cave_2_clean", "market_5_clean", "seqA_final", "temple_3_final"])
def test_most_true_occlusions_are_not_visible(name: str) -> None:
    truth, find = sintel(name), DisFlow()
    flow = find(truth.source, truth.target)
    seen = visible(flow_to_tensor(flow), flow_to_tensor(find(truth.target, truth.source)))[0, 0].numpy()
    assert seen[truth.occluded].mean() < 0.4
    assert seen[truth.clear].mean() > 1.5 * seen[truth.occluded].mean()
    apart = np.hypot(*(flow - truth.flow).transpose(2, 0, 1))
    assert apart[seen].mean() < 0.4 * apart[~seen].mean()


def test_opencv_is_loaded_only_to_find_flow() -> None:
    """Stylizing without flow must work where OpenCV's system libraries are missing."""
    import subprocess

    code = "import sys, models.temporal.flow, models.losses; sys.exit(bool({'cv2', 'torchvision'} & {*sys.modules}))"
    options: dict[str, Any] = {"cwd": Path(__file__).parents[3], "check": True, "timeout": 120}
    subprocess.run([sys.executable, "-c", code], **options)
