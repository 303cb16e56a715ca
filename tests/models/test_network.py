"""The network: sizes, statistics, styles; all on tiny networks with random weights."""

import dataclasses

import pytest
import torch
from torch import Tensor

from models.fused_kernels import reflect
from models.layers import ConditionalInstanceNorms, ReflectConv2d, UpsampleConv2d
from models.network import Architecture, Style, StyleNetwork

TINY = Architecture(widths=(4, 6, 8), blocks=1, kernel=5)
KEEP_ALL = torch.ones(())
KEEP_NONE = torch.zeros(())


@pytest.fixture
def network() -> StyleNetwork:
    torch.manual_seed(1)
    return StyleNetwork(TINY)


@pytest.fixture
def style(network: StyleNetwork) -> Style:
    torch.manual_seed(2)
    return random_style(network)


def random_style(network: StyleNetwork) -> Style:
    start = network.initial_style()
    scale = 1 + 0.3 * torch.randn_like(start.scale)
    return dataclasses.replace(start, scale=scale, shift=0.3 * torch.randn_like(start.shift), bias=0.1 * torch.randn(3))


def picture(seed: int, height: int = 24, width: int = 32, count: int = 1) -> Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("height", "width"), [(1, 1), (1, 40), (7, 5), (16, 16), (17, 33), (18, 16), (19, 21), (64, 64), (63, 90)]
)
def test_any_size_comes_back_exactly(network: StyleNetwork, style: Style, height: int, width: int) -> None:
    stylized, used = network(picture(0, height, width), style)
    assert stylized.shape == (1, 3, height, width)
    assert used.shape == (1, 2, network.statistics_size)
    assert stylized.isfinite().all()
    assert ((stylized >= 0) & (stylized <= 1)).all()


def test_padding_is_cut_off_at_the_right_and_bottom_alone(network: StyleNetwork, style: Style) -> None:
    whole = picture(0, 20, 24)
    edges_repeat = torch.cat((whole, whole[..., -1:].expand(-1, -1, -1, 4)), dim=3)
    cropped, _ = network(edges_repeat[..., :25], style)
    padded, _ = network(edges_repeat, style)
    torch.testing.assert_close(cropped, padded[..., :25], rtol=0, atol=1e-6)


def test_the_past_does_not_matter_where_it_is_not_kept(network: StyleNetwork, style: Style) -> None:
    past = torch.full((1, 2, network.statistics_size), 123.0)
    expected, statistics = network(picture(0), style)
    stylized, used = network(picture(0), style, past, KEEP_NONE)
    assert torch.equal(stylized, expected)
    assert torch.equal(used, statistics)


def test_a_picture_with_its_own_statistics_is_the_same(network: StyleNetwork, style: Style) -> None:
    stylized, statistics = network(picture(0), style)
    again, used = network(picture(0), style, statistics, KEEP_ALL)
    torch.testing.assert_close(again, stylized, rtol=0, atol=1e-5)
    assert torch.equal(used, statistics)


def test_statistics_of_another_image_change_the_output(network: StyleNetwork, style: Style) -> None:
    _, of_dark = network(0.2 * picture(0), style)
    alone, own = network(picture(1), style)
    together, used = network(picture(1), style, of_dark, KEEP_ALL)
    assert torch.equal(used, of_dark)
    assert (together - alone).abs().max() > 0.01
    _, half = network(picture(1), style, of_dark, torch.tensor(0.5))
    first = TINY.widths[0]  # later layers see features that the mixture has already changed
    torch.testing.assert_close(half[..., :first], (own + of_dark)[..., :first] / 2)


@pytest.mark.parametrize(("height", "width"), [(24, 32), (33, 18)])
def test_with_features_returns_the_same_image(network: StyleNetwork, style: Style, height: int, width: int) -> None:
    pictures = picture(0, height, width, count=2)
    stylized, features = network.with_features(pictures, style)
    assert torch.equal(stylized, network(pictures, style)[0])
    assert features.shape == (2, TINY.widths[2], -(-height // 4), -(-width // 4))


def test_features_determine_the_output() -> None:
    torch.manual_seed(1)
    learning = StyleNetwork(TINY)
    drawn = Style.of([t.requires_grad_() for t in random_style(learning).tensors()])
    stylized, features = learning.with_features(picture(0), drawn)
    (gradient,) = torch.autograd.grad(stylized.sum(), features, retain_graph=True)
    assert gradient.abs().sum() > 0
    weights, decoder = drawn.convolutions[:-2], drawn.convolutions[-2:]
    assert all(g.abs().sum() > 0 for g in torch.autograd.grad(features.square().sum(), weights, retain_graph=True))
    gradients = torch.autograd.grad(features.sum(), decoder, allow_unused=True)
    assert all(g is None for g in gradients), "they come from before the decoder"


def test_calls_leave_nothing_behind(network: StyleNetwork, style: Style) -> None:
    other = random_style(network)
    first, _ = network(picture(0), style)
    network(picture(1, 17, 9), other, torch.rand(1, 2, network.statistics_size), KEEP_ALL)
    again, _ = network(picture(0), style)
    assert torch.equal(first, again)


def test_pictures_of_a_batch_do_not_see_each_other(network: StyleNetwork, style: Style) -> None:
    both, statistics = network(torch.cat((picture(0), 0.3 * picture(1))), style)
    alone, own = network(0.3 * picture(1), style)
    torch.testing.assert_close(both[1:], alone, rtol=0, atol=1e-5)
    torch.testing.assert_close(statistics[1:], own)


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_flat_pictures_stay_finite(network: StyleNetwork, style: Style, level: float, dtype: torch.dtype) -> None:
    stylized, used = network(torch.full((1, 3, 24, 20), level, dtype=dtype), style.to("cpu", dtype))
    assert stylized.dtype == dtype
    assert used.dtype == torch.float32
    assert stylized.isfinite().all()
    assert used.isfinite().all()
    assert (used[:, 1] >= 0).all()


def test_a_flat_picture_gets_no_border(network: StyleNetwork, style: Style) -> None:
    # In float64: normalisation blows the rounding of a picture without contrast up, layer by layer.
    exact = Style.of([t.double() for t in style.tensors()])
    stylized, _ = network(torch.full((1, 3, 32, 24), 0.4).double(), exact)
    torch.testing.assert_close(stylized, stylized[..., 12:13, 12:13].expand_as(stylized), rtol=0, atol=2e-3)


def test_reflect_mirrors_without_repeating_the_edge() -> None:
    row = torch.arange(4.0).expand(1, 1, 4, 4)
    assert reflect(row, 2)[0, 0, 0].tolist() == [2, 1, 0, 1, 2, 3, 2, 1]
    assert reflect(row, 0) is row


def test_statistics_are_mean_and_variance() -> None:
    features = 3 * picture(0, 9, 11, count=2) + 1
    size = features.shape[1]
    scale, shift, past = torch.rand(size), torch.rand(size), torch.zeros(2, 2, size)
    norms = ConditionalInstanceNorms([size], scale, shift, past, KEEP_NONE)
    result, used = norms(features), norms.statistics()
    variance, mean = torch.var_mean(features, dim=(2, 3), correction=0)
    torch.testing.assert_close(used, torch.stack((mean, variance), dim=1))
    expected = torch.nn.functional.instance_norm(features, weight=scale, bias=shift)
    torch.testing.assert_close(result, expected)


def test_statistics_of_wide_features_are_exact_under_bf16() -> None:
    features = (200 + 10 * picture(0, 64, 64)).bfloat16()
    ones = torch.ones(3)
    norms = ConditionalInstanceNorms([3], ones, ones, torch.zeros(1, 2, 3), KEEP_NONE)
    norms(features)
    used = norms.statistics()
    variance, mean = torch.var_mean(features.float(), dim=(2, 3), correction=0)
    torch.testing.assert_close(used[:, 0], mean, rtol=1e-4, atol=0)
    torch.testing.assert_close(used[:, 1], variance, rtol=2e-2, atol=0)


def test_styles_blend_from_one_to_the_other(network: StyleNetwork, style: Style) -> None:
    other = random_style(network)
    for amount, end in ((0.0, style), (1.0, other)):
        for blended, expected in zip(style.lerp(other, amount).tensors(), end.tensors(), strict=True):
            assert torch.equal(blended, expected)
    middle = style.lerp(other, 0.5)
    torch.testing.assert_close(middle.weight, (style.weight + other.weight) / 2)
    ends = [network(picture(0), s)[0] for s in (style, other)]
    between, _ = network(picture(0), middle)
    assert all((between - end).abs().mean() > 1e-3 for end in ends)


def test_a_style_keeps_its_vectors_in_float32(style: Style) -> None:
    half = style.to("cpu", torch.bfloat16)
    assert [half.scale.dtype, half.shift.dtype] == [torch.float32] * 2
    assert {t.dtype for t in (*half.convolutions, half.weight, half.bias)} == {torch.bfloat16}


def test_every_part_of_network_and_style_learns() -> None:
    torch.manual_seed(0)
    network = StyleNetwork(TINY)
    style = Style.of([t.requires_grad_() for t in random_style(network).tensors()])
    network(picture(0), style)[0].square().mean().backward()
    for tensor in style.tensors():
        assert tensor.grad is not None
        assert tensor.grad.abs().sum() > 0
    gradient = style.scale.grad
    assert gradient is not None
    parts = torch.split(gradient, list(TINY.norm_channels))
    assert all(part.abs().sum() > 0 for part in parts)


def test_sizes_of_an_architecture() -> None:
    assert TINY.norm_channels == (4, 6, 8, 8, 8, 6, 4)
    assert StyleNetwork(TINY).statistics_size == 44
    assert StyleNetwork().architecture == Architecture()


@pytest.mark.parametrize(
    "wrong", [{"widths": (4, 8)}, {"widths": (0, 4, 8)}, {"blocks": -1}, {"kernel": 4}, {"kernel": 0}]
)
def test_impossible_architectures_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        dataclasses.replace(TINY, **wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [ReflectConv2d, UpsampleConv2d])
def test_a_layer_has_a_hash_before_it_has_attributes(kind: type) -> None:
    """The compiler of torch 2.11 asks for it; otherwise no network is compiled on a GPU, and none in training."""
    assert hash(object.__new__(kind)) != 0
