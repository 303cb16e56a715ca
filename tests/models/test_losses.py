"""The losses against cases worked out by hand."""

import pytest
import torch

from models.losses import content_loss, gram_matrix, style_loss, total_variation


def features(seed: int, count: int = 2) -> torch.Tensor:
    return torch.rand(count, 3, 5, 7, generator=torch.Generator().manual_seed(seed))


def test_gram_matrix_by_hand() -> None:
    two_channels = torch.tensor([[[[1.0, 2.0], [3.0, 0.0]], [[0.0, 1.0], [1.0, 4.0]]]])
    # Products: 1 + 4 + 9 = 14, 0 + 2 + 3 + 0 = 5, 0 + 1 + 1 + 16 = 18; over C H W = 8.
    expected = torch.tensor([[[14.0, 5.0], [5.0, 18.0]]]) / 8
    torch.testing.assert_close(gram_matrix(two_channels), expected)


def test_gram_matrix_is_float32_and_does_not_mix_pictures() -> None:
    both = features(0)
    assert gram_matrix(both.bfloat16()).dtype == torch.float32
    torch.testing.assert_close(gram_matrix(both)[1], gram_matrix(both[1:])[0])


def test_gram_matrix_does_not_know_where_things_are() -> None:
    one = features(0, count=1)
    torch.testing.assert_close(gram_matrix(one.flip(-1)), gram_matrix(one))


def test_equal_is_zero() -> None:
    one = features(0, count=1)
    assert style_loss(one, gram_matrix(one)[0]) == 0
    assert content_loss(one, one) == 0
    assert total_variation(torch.full((1, 3, 4, 4), 0.3)) == 0


def test_style_loss_by_hand() -> None:
    # Gram matrices of one channel: 4 and 1; (4 - 1)^2 / 1^2.
    assert style_loss(torch.full((1, 1, 2, 2), 2.0), torch.ones(1, 1)) == 9


def test_content_loss_by_hand() -> None:
    target = torch.tensor([[[[0.0, 2.0, 0.0, 2.0]]]])  # variance 4/3
    torch.testing.assert_close(content_loss(target + 1, target), torch.tensor(0.75))


def test_unrelated_content_is_two() -> None:
    a, b = torch.randn(2, 1, 8, 64, 64, generator=torch.Generator().manual_seed(0))
    assert content_loss(a, b) == pytest.approx(2, abs=0.05)


@pytest.mark.parametrize("factor", [1e-2, 1e2])
def test_losses_are_relative_to_their_target(factor: float) -> None:
    stylized, other = features(0), features(1)
    style_gram = gram_matrix(other)[0]
    scaled = gram_matrix(factor * other)[0]
    torch.testing.assert_close(style_loss(factor * stylized, scaled), style_loss(stylized, style_gram))
    torch.testing.assert_close(content_loss(factor * stylized, factor * other), content_loss(stylized, other))


def test_empty_targets_stay_finite() -> None:
    assert style_loss(features(0), torch.zeros(3, 3)).isfinite()
    flat = torch.ones(1, 3, 4, 4)
    assert content_loss(flat, flat) == 0
    assert content_loss(1.1 * flat, flat) == pytest.approx(1, rel=1e-3)
    assert content_loss(flat, 0 * flat).isfinite()


def test_total_variation_by_hand() -> None:
    pixels = torch.tensor([[0.0, 1.0, 3.0], [0.0, 2.0, 0.0]]).expand(1, 3, 2, 3)
    down = (0 + 1 + 9) / 3
    right = (1 + 4 + 4 + 4) / 4
    torch.testing.assert_close(total_variation(pixels), torch.tensor(down + right))
