"""The losses of stillness against cases worked out by hand."""

import pytest
import torch
from torch import Tensor

from models.losses import feature_loss, luma, output_loss
from models.pixels.color import BT709_LUMA
from models.temporal.flow import warp

SHAPE = (2, 3, 12, 16)
ALL, NOWHERE = torch.ones(2, 1, 12, 16), torch.zeros(2, 1, 12, 16)
STILL = torch.zeros(2, 2, 12, 16)


def noise(seed: int, shape: tuple[int, ...] = SHAPE) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def color(red: float, green: float, blue: float) -> Tensor:
    return torch.tensor([red, green, blue]).view(1, 3, 1, 1)


def test_luma_is_that_of_bt709() -> None:
    assert sum(BT709_LUMA) == pytest.approx(1)
    assert luma(torch.ones(SHAPE)).shape == (2, 1, 12, 16)
    torch.testing.assert_close(luma(torch.ones(SHAPE)), ALL)
    assert luma(color(0.0, 1.0, 0.0)).item() == pytest.approx(0.7152)
    assert luma(color(1.0, 0.0, 0.0)).item() == pytest.approx(0.2126)


def test_strokes_that_move_with_the_scene_are_stable() -> None:
    flow = torch.tensor([3.0, -2.0]).view(1, 2, 1, 1) + noise(2, (2, 2, 12, 16))
    past, past_frame = noise(0), noise(1)
    stylized, frame = warp(past, flow), warp(past_frame, flow)
    assert output_loss(stylized, past, frame, past_frame, flow, ALL) == 0
    assert output_loss(stylized, past, frame, past_frame, -flow, ALL) > 0.01
    assert output_loss(past, past, frame, past_frame, flow, ALL) > 0.01


def test_output_loss_by_hand() -> None:
    past, frame = noise(0), noise(1)
    change = color(0.3, 0.0, -0.1)
    expected = (0.09 + 0.0 + 0.01) / 3
    assert output_loss(past + change, past, frame, frame, STILL, ALL).item() == pytest.approx(expected, rel=1e-4)


def test_strokes_may_brighten_with_the_scene() -> None:
    past, past_frame = noise(0), noise(1)
    assert output_loss(past + 0.1, past, past_frame + 0.1, past_frame, STILL, ALL) < 1e-12
    assert output_loss(past, past, past_frame + 0.1, past_frame, STILL, ALL).item() == pytest.approx(0.01, rel=1e-3)


def test_a_change_of_hue_is_no_change_of_light() -> None:
    past, past_frame = noise(0), noise(1)
    hue = color(0.1, -0.1 * 0.2126 / 0.7152, 0)
    expected = float(hue.square().mean())
    assert output_loss(past + hue, past, past_frame + hue, past_frame, STILL, ALL).item() == pytest.approx(expected)
    red = output_loss(past, past, past_frame + color(0.1, 0, 0), past_frame, STILL, ALL)
    assert red.item() == pytest.approx(0.02126**2, rel=1e-3)


def test_hidden_pixels_do_not_count() -> None:
    past, frame = noise(0), noise(1)
    mask = ALL.clone()
    mask[..., 8:] = 0
    stylized, other = past.clone(), frame.clone()
    stylized[..., 8:] = other[..., 8:] = 0.77
    assert output_loss(stylized, past, other, frame, STILL, mask) < 1e-12
    assert output_loss(stylized, past, other, frame, STILL, ALL) > 0.01
    features = torch.cat((past, frame), dim=1)
    changed = features.clone()
    changed[..., 8:] = 9
    assert feature_loss(changed, features, STILL, mask) < 1e-12
    assert feature_loss(changed, features, STILL, ALL) > 0.01


def test_the_share_that_is_hidden_does_not_matter() -> None:
    past, frame = noise(0), noise(1)
    half = ALL.clone()
    half[..., ::2] = 0
    whole = output_loss(past + 0.2, past, frame, frame, STILL, ALL)
    torch.testing.assert_close(output_loss(past + 0.2, past, frame, frame, STILL, half), whole)
    whole = feature_loss(past + 0.2, past, STILL, ALL)
    torch.testing.assert_close(feature_loss(past + 0.2, past, STILL, half), whole)


def test_all_hidden_is_zero_and_passes_zero_gradients() -> None:
    stylized = noise(0).requires_grad_()
    losses = (
        output_loss(stylized, noise(1), noise(2), noise(3), STILL, NOWHERE),
        feature_loss(stylized, noise(1), STILL, NOWHERE),
    )
    for loss in losses:
        assert loss == 0
        (gradient,) = torch.autograd.grad(loss, stylized)
        assert not gradient.any()


def test_both_frames_learn_to_be_still() -> None:
    stylized, past = noise(0).requires_grad_(), noise(1).requires_grad_()
    losses = output_loss(stylized, past, noise(2), noise(3), STILL, ALL), feature_loss(stylized, past, STILL, ALL)
    for loss in losses:
        assert all(gradient.abs().sum() > 0 for gradient in torch.autograd.grad(loss, (stylized, past)))


def test_features_follow_the_flow_at_their_own_scale() -> None:
    past = noise(0, (2, 8, 16, 48))  # of a frame of 64 x 96: a quarter of its height, half its width
    small = torch.tensor([1.0, -2.0]).view(1, 2, 1, 1).expand(2, 2, 16, 48)
    flow = torch.tensor([2.0, -8.0]).view(1, 2, 1, 1).repeat(1, 1, 64, 96).expand(2, -1, -1, -1)
    mask = torch.ones(2, 1, 64, 96)
    features = warp(past, small)
    assert feature_loss(features, past, flow, mask) < 1e-8
    assert feature_loss(features, past, 1.5 * flow, mask) > 0.1
    assert feature_loss(features, past, -flow, mask) > 0.1


def test_feature_loss_by_hand_is_relative_to_the_variance() -> None:
    features = noise(0)
    spread = float(features.var())
    assert feature_loss(features, features - 0.1, STILL, ALL).item() == pytest.approx(0.01 / spread, rel=1e-3)
    assert feature_loss(50 * features, 50 * features - 5, STILL, ALL).item() == pytest.approx(0.01 / spread, rel=1e-3)


def test_constant_features_stay_finite() -> None:
    flat = torch.full(SHAPE, 0.5)
    assert feature_loss(flat, flat, STILL, ALL) == 0
    assert feature_loss(flat, flat + 1, STILL, ALL).isfinite()


def test_the_variance_is_no_way_out() -> None:
    """Features must grow still, not large: nothing is learnt through the divisor."""
    past = noise(1)
    features = (past + 0.1).requires_grad_()
    (gradient,) = torch.autograd.grad(feature_loss(features, past, STILL, ALL), features)
    torch.testing.assert_close(gradient, torch.full_like(gradient, float(gradient.mean())), rtol=1e-3, atol=1e-9)


def test_half_precision_is_compared_in_float32() -> None:
    past, frame = noise(0), noise(1)
    stylized = (past + 0.1).bfloat16()
    losses = (
        output_loss(stylized, past.bfloat16(), frame.bfloat16(), frame, STILL, ALL),
        feature_loss(stylized, past.bfloat16(), STILL, ALL),
    )
    assert all(loss.dtype == torch.float32 for loss in losses)
