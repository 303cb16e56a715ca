"""Pairs of frames: exact motion and occlusions, and everything that must stay equal."""

import dataclasses

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from models.temporal.flow import warp
from models.training.data.pairs import ClipPair, FramePairs, clip_crops
from models.training.data.synthetic_motion import MARGIN_PX, MotionConfig, moved_pairs
from tests.support.tiny import blobs

SIZE = 64
COUNT = 12
# Motion alone: nothing of the light changes, so that the second frame is the first one moved.
CONSTANT = MotionConfig(exposure=0, white_balance=0, noise=0, blurred=0, still=0, layered=0, whole=0)
CAMERA = {"shift_px": 0.0, "rotation": 0.0, "zoom": 0.0, "perspective": 0.0, "local_px": 0.0}

pytestmark = pytest.mark.usefixtures("one_thread")


def pairs(motion: MotionConfig | None = None, *, seed: int = 0, count: int = COUNT, size: int = SIZE) -> FramePairs:
    """Bright blobs, and dark ones that pass in front of them."""
    photos = 0.25 + 0.5 * blobs(count, size + 2 * MARGIN_PX, size + 2 * MARGIN_PX, seed=seed)
    dark = 0.2 * photos.roll(1, 0)
    return moved_pairs(photos, dark, torch.Generator().manual_seed(seed), motion)


def difference(moved: FramePairs) -> Tensor:
    """``(N, 1, H, W)``: how far the first frame, carried along the flow, is from the second."""
    return (warp(moved.clean_first, moved.flow) - moved.clean_second).abs().amax(dim=1, keepdim=True)


def test_shapes_and_ranges() -> None:
    moved = pairs(size=SIZE)
    for frame in (moved.first, moved.second, moved.clean_first, moved.clean_second):
        assert frame.shape == (COUNT, 3, SIZE, SIZE)
        assert ((frame >= 0) & (frame <= 1)).all()
    assert moved.flow.shape == (COUNT, 2, SIZE, SIZE)
    assert moved.mask.shape == (COUNT, 1, SIZE, SIZE)
    assert set(moved.mask.unique().tolist()) == {0.0, 1.0}
    assert all(tensor.dtype == torch.float32 for tensor in moved.tensors())
    assert len(moved) == COUNT


def test_the_first_frame_is_the_middle_of_the_photo() -> None:
    photos = blobs(2, SIZE + 2 * MARGIN_PX, SIZE + 2 * MARGIN_PX)
    moved = moved_pairs(photos, photos.flip(-1), torch.Generator().manual_seed(0), CONSTANT)
    assert torch.equal(moved.clean_first, photos[..., MARGIN_PX:-MARGIN_PX, MARGIN_PX:-MARGIN_PX])


@pytest.mark.parametrize(
    "kind", [{"shift_px": 8.0}, {"rotation": 0.05}, {"zoom": 0.05}, {"perspective": 0.05}, {"local_px": 2.5}]
)
def test_the_flow_of_each_motion_is_exact(kind: dict[str, float]) -> None:
    moved = pairs(dataclasses.replace(CONSTANT, **{**CAMERA, **kind}))
    seen = moved.mask > 0
    assert moved.flow.abs().max() > 0.5
    assert seen.float().mean() > 0.8
    assert difference(moved)[seen].max() < 0.004
    backwards = dataclasses.replace(moved, flow=-moved.flow)
    assert difference(backwards)[seen].mean() > 5 * difference(moved)[seen].mean()


def test_a_shift_by_whole_pixels_changes_no_pixel() -> None:
    moved = pairs(dataclasses.replace(CONSTANT, whole=1))
    seen = (moved.mask > 0).expand_as(moved.clean_first)
    assert torch.equal(moved.flow, moved.flow.round())
    assert moved.flow.abs().amax(dim=(1, 2, 3)).median() > 2
    assert (moved.flow == moved.flow[..., :1, :1]).all(), "one shift for all of the frame"
    carried = warp(moved.clean_first, moved.flow)
    torch.testing.assert_close(moved.clean_second[seen], carried[seen], rtol=0, atol=2e-5)


def exact_to_the_edge(moved: FramePairs) -> bool:
    """Whether seen pixels agree; at the soft edge of a layer bilinear and bicubic differ, by a tenth at most."""
    apart = difference(moved)[moved.mask > 0]
    return bool(apart.mean() < 0.001 and apart.quantile(0.99) < 0.01 and apart.max() < 0.1)


def test_layers_move_by_themselves_and_what_they_hide_is_masked() -> None:
    moved = pairs(dataclasses.replace(CONSTANT, layered=1, still=1))
    seen = moved.mask > 0
    moving = moved.flow.abs().sum(1, keepdim=True) > 0
    dark = moved.clean_second.amax(1, keepdim=True) < 0.2
    assert 0.1 < moving.float().mean() < 0.9, "the layer, over a camera that stands still"
    assert (dark == moving)[seen].float().mean() > 0.999
    assert seen[dark].float().mean() > 0.8
    assert seen[~dark].float().mean() > 0.8
    assert exact_to_the_edge(moved)
    assert difference(moved)[~seen].max() > 0.3, "what the layer hid or hides"
    assert difference(moved)[~seen].mean() > 100 * difference(moved)[seen].mean()


def test_layers_over_a_moving_camera() -> None:
    moved = pairs(dataclasses.replace(CONSTANT, layered=1))
    seen = moved.mask > 0
    assert seen.float().mean() > 0.6
    assert exact_to_the_edge(moved)


def test_what_comes_from_beyond_the_border_is_masked() -> None:
    moved = pairs(dataclasses.replace(CONSTANT, **{**CAMERA, "shift_px": 8.0}))
    columns, rows = torch.arange(SIZE).view(1, 1, 1, -1), torch.arange(SIZE).view(1, 1, -1, 1)
    x, y = columns + moved.flow[:, :1], rows + moved.flow[:, 1:]
    outside = (x < 0) | (x > SIZE - 1) | (y < 0) | (y > SIZE - 1)
    assert outside.any()
    assert torch.equal(moved.mask == 0, outside)


def test_a_still_camera_has_no_flow_at_all() -> None:
    moved = pairs(dataclasses.replace(CONSTANT, still=1))
    assert not moved.flow.any()
    assert moved.mask.all()
    torch.testing.assert_close(moved.clean_second, moved.clean_first, rtol=0, atol=2e-5)


def test_of_a_still_camera_only_light_and_noise_differ() -> None:
    moved = pairs(MotionConfig(still=1, layered=0, blurred=0), count=24)
    ratio = moved.clean_second / moved.clean_first
    most = MotionConfig().exposure + MotionConfig().white_balance
    assert (ratio - 1).abs().max() < most + 1e-3
    of_each = ratio.mean(dim=(2, 3))
    torch.testing.assert_close(ratio, of_each[..., None, None].expand_as(ratio), rtol=0, atol=1e-3)
    steady = ((of_each - 1).abs() < 1e-4).all(dim=1).float().mean()
    assert 0.2 < steady < 0.8, "in about half of the pairs the light stays"
    assert (moved.first != moved.clean_first).any()


def whole_shifts(moved: FramePairs) -> Tensor:
    """``(N,)``: whether the camera shifts by whole pixels."""
    return (moved.flow == moved.flow.round()).flatten(1).all(1)


@pytest.mark.parametrize(
    ("share", "expected"),
    [("still", lambda m: ~m.flow.flatten(1).any(1)), ("layered", lambda m: edges(m)), ("whole", whole_shifts)],
)
def test_shares_are_of_the_pairs(share: str, expected) -> None:  # type: ignore[no-untyped-def]
    for wanted in (0.0, 0.5, 1.0):
        found = expected(pairs(dataclasses.replace(CONSTANT, **{share: wanted}), count=24)).float().mean()
        assert found == pytest.approx(wanted, abs=0.3 if wanted == 0.5 else 0)


def edges(moved: FramePairs) -> Tensor:
    """In which pairs dark is beside bright."""
    return moved.clean_first.amax(1).flatten(1).amin(1) < 0.2


def test_the_seed_decides_everything() -> None:
    torch.manual_seed(1)
    first, other = pairs(seed=3), pairs(seed=4)
    torch.manual_seed(2)
    again = pairs(seed=3)
    assert all(torch.equal(a, b) for a, b in zip(first.tensors(), again.tensors(), strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(first.tensors(), other.tensors(), strict=True))


def test_noise_is_in_what_the_network_sees_alone() -> None:
    quiet, loud = (pairs(dataclasses.replace(CONSTANT, layered=0.5, noise=noise)) for noise in (0.0, 0.1))
    assert torch.equal(quiet.first, quiet.clean_first)
    assert torch.equal(quiet.second, quiet.clean_second)
    for a, b in zip(quiet.tensors()[2:], loud.tensors()[2:], strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(loud.first, loud.clean_first)
    assert not torch.equal(loud.second, loud.clean_second)


def test_noise_is_bounded_and_new_in_each_frame() -> None:
    moved = pairs(dataclasses.replace(CONSTANT, noise=0.05), count=32)
    of_first, of_second = moved.first - moved.clean_first, moved.second - moved.clean_second
    deviations = torch.stack((of_first, of_second)).flatten(2).std(dim=2)
    assert deviations.max() < 0.05 * 1.05
    assert deviations.max() > 0.5 * 0.05
    assert deviations.min() < 0.2 * 0.05
    assert deviations.mean() > 0.1 * 0.05
    together = (of_first * of_second).mean() / (of_first.std() * of_second.std())
    assert abs(together) < 0.05


def sharpness(frames: Tensor) -> Tensor:
    return frames.diff(dim=-1).square().mean() + frames.diff(dim=-2).square().mean()


def test_motion_blur_is_in_both_frames_and_leaves_the_flow_alone() -> None:
    grain = torch.rand(4, 3, SIZE + 2 * MARGIN_PX, SIZE + 2 * MARGIN_PX, generator=torch.Generator().manual_seed(0))
    sharp, blurred = (
        moved_pairs(grain, grain, torch.Generator().manual_seed(0), dataclasses.replace(CONSTANT, blurred=share))
        for share in (0.0, 1.0)
    )
    assert torch.equal(sharp.flow, blurred.flow)
    assert sharpness(blurred.clean_first) < 0.6 * sharpness(sharp.clean_first)
    assert sharpness(blurred.clean_second) < 0.6 * sharpness(sharp.clean_second)
    torch.testing.assert_close(
        blurred.clean_first.mean(dim=(2, 3)), sharp.clean_first.mean(dim=(2, 3)), rtol=0, atol=0.02
    )


def test_moving_leaves_the_second_frame_all_but_as_sharp_as_the_first() -> None:
    """Bicubic interpolation keeps 0.85 of the differences in this texture, bilinear would keep 0.62."""
    grain = F.avg_pool2d(torch.rand(8, 3, 116, 116, generator=torch.Generator().manual_seed(0)), 5, stride=1)
    moved = moved_pairs(grain, grain, torch.Generator().manual_seed(0), dataclasses.replace(CONSTANT, rotation=0.05))
    assert sharpness(moved.clean_second) > 0.75 * sharpness(moved.clean_first)


def test_light_and_noise_end_at_white() -> None:
    photos = torch.full((8, 3, 112, 112), 0.99)
    moved = moved_pairs(photos, photos, torch.Generator().manual_seed(0), MotionConfig(exposure=0.3))
    for frame in moved.tensors()[:4]:
        assert ((frame >= 0) & (frame <= 1)).all()
    assert (moved.clean_second == 1).any()


def test_parts_of_pairs_and_all_of_them() -> None:
    moved = pairs(count=5)
    parts = moved.split(2)
    assert [len(part) for part in parts] == [2, 2, 1]
    assert torch.equal(parts[1].flow, moved.flow[2:4])
    for a, b in zip(FramePairs.join(parts).tensors(), moved.tensors(), strict=True):
        assert torch.equal(a, b)
    assert [id(t) for t in moved.tensors()] == [id(getattr(moved, f.name)) for f in dataclasses.fields(FramePairs)]


# --- of real clips ----------------------------------------------------------------------------------------------------


def clip_pair(number: int = 0, *, dx: float = 5.0, height: int = 40, width: int = 60) -> ClipPair:
    """A picture that has moved ``dx`` px to the left; its red is ``number``, green its row, blue its column."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    second = torch.stack((torch.full_like(rows, number), rows, columns)).to(torch.uint8)
    first = torch.stack((torch.full_like(rows, number), rows, columns - int(dx))).to(torch.uint8)
    flow = torch.tensor([dx, 0.0]).view(2, 1, 1).expand(2, height, width).half()
    return ClipPair(first, second, flow, torch.ones(1, height, width, dtype=torch.bool))


def test_crops_of_clips_are_excerpts_in_step() -> None:
    crops = clip_crops([clip_pair(0), clip_pair(1)], 20, 16, torch.Generator().manual_seed(0))
    assert crops.first.shape == crops.second.shape == (20, 3, 16, 16)
    assert crops.flow.shape == (20, 2, 16, 16)
    assert crops.flow.dtype == crops.mask.dtype == torch.float32
    assert torch.equal(crops.first, crops.clean_first)
    assert torch.equal(crops.second, crops.clean_second)
    shown = (crops.second * 255).round()
    top, left = shown[:, 1, 0, 0], shown[:, 2, 0, 0]
    for crop, y, x in zip(shown, top, left, strict=True):
        assert crop[1, :, 0].tolist() == [y + row for row in range(16)]
        assert crop[2, 0].tolist() == [x + column for column in range(16)]
    assert set(shown[:, 0, 0, 0].tolist()) == {0, 1}
    assert len(top.unique()) > 5
    assert len(left.unique()) > 5
    assert difference(crops)[crops.mask > 0].max() < 1e-5


def test_crops_reach_every_corner_of_a_clip() -> None:
    crops = clip_crops([clip_pair(height=18, width=17)], 60, 16, torch.Generator().manual_seed(0))
    corners = {(int(y), int(x)) for y, x in (crops.second[:, 1:, 0, 0] * 255).round()}
    assert corners == {(y, x) for y in range(3) for x in range(2)}
    whole = clip_crops([clip_pair(height=16, width=16)], 1, 16, torch.Generator().manual_seed(0))
    assert torch.equal(whole.second[0], clip_pair(height=16, width=16).second.float() / 255)


@pytest.mark.parametrize(("height", "width"), [(15, 40), (40, 15)])
def test_clips_smaller_than_a_crop_are_refused(height: int, width: int) -> None:
    with pytest.raises(ValueError, match=f"a clip of {width}x{height} px is smaller than a crop of 16 px"):
        clip_crops([clip_pair(height=height, width=width)], 1, 16, torch.Generator())


def test_what_leaves_a_crop_or_cannot_be_trusted_is_masked() -> None:
    doubtful = clip_pair()
    doubtful.mask[:, 20:] = False
    crops = clip_crops([doubtful], 20, 16, torch.Generator().manual_seed(0))
    rows = (crops.second[:, 1:2] * 255).round()
    assert not crops.mask[..., 11:].any(), "came from beyond the right border of the crop"
    expected = (rows < 20).float()[..., :11]
    assert 0.1 < expected.mean() < 0.9
    assert torch.equal(crops.mask[..., :11], expected)


def test_crops_of_clips_follow_from_the_generator() -> None:
    def drawn(seed: int) -> Tensor:
        return clip_crops([clip_pair(0), clip_pair(1)], 4, 16, torch.Generator().manual_seed(seed)).second

    assert torch.equal(drawn(0), drawn(0))
    assert not torch.equal(drawn(0), drawn(1))
