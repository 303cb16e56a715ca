"""The losses between frames, on motion that is known exactly."""

import pytest
import torch
from torch import Tensor

from models.metrics import Motion
from models.optimize.temporal import first_guess, long_term_weights, temporal_loss
from tests.support.tiny import blobs


def shift(px: int, height: int = 40, width: int = 48) -> Tensor:
    flow = torch.zeros(1, 2, height, width)
    flow[:, 0] = px
    return flow


def mask_of(*columns: slice) -> Tensor:
    mask = torch.zeros(1, 1, 40, 48, dtype=torch.bool)
    for column in columns:
        mask[..., column] = True
    return mask


def test_far_frames_count_only_where_near_ones_are_hidden() -> None:
    near, far = long_term_weights([mask_of(slice(0, 30)), mask_of(slice(20, 40))])
    assert torch.equal(near, mask_of(slice(0, 30)).float())
    assert torch.equal(far, mask_of(slice(30, 40)).float())


def test_a_frame_that_moves_along_the_flow_costs_nothing() -> None:
    wide = blobs(1, 40, 60)
    past, now = wide[..., :48], wide[..., 4:52]
    motion = Motion(shift(4), mask_of(slice(0, 44)))
    loss = temporal_loss([past], [motion], 100.0)
    assert float(loss(now)) == pytest.approx(0, abs=1e-8)
    changed = now.clone()
    changed[..., :10] += 0.1
    assert float(loss(changed)) == pytest.approx(100 * 0.01 * 10 / 48, rel=1e-4)
    hidden = now.clone()
    hidden[..., 44:] += 0.1
    assert float(loss(hidden)) == pytest.approx(0, abs=1e-8)


def test_what_was_hidden_starts_from_the_frame() -> None:
    wide, other = blobs(1, 40, 60), blobs(1, 40, 48, seed=3)
    guess = first_guess(wide[..., :48], Motion(shift(4), mask_of(slice(0, 44))), other)
    torch.testing.assert_close(guess[..., :44], wide[..., 4:48])
    assert torch.equal(guess[..., 44:], other[..., 44:])
