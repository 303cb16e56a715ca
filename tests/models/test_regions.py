"""Two styles in two regions: each has the statistics of its region, and nothing of the other's."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from models.engines.build import build_engine
from models.engines.engine import EngineError, EngineSpec
from models.frame_graph import FrameGraph, zero_statistics
from models.layers import RegionWeights
from models.network import RegionStyle, Style, StyleNetwork
from models.tiled.tiling import Tiling
from tests.support.tiny import TINY, blobs

pytestmark = pytest.mark.usefixtures("one_thread")

NETWORK = StyleNetwork(TINY)
FULL, NONE = torch.ones(()), torch.zeros(())
HEIGHT, WIDTH = 60, 160
# Columns that the style at the other side of the middle does not reach: the network sees 40 pixels around each.
LEFT, RIGHT = slice(0, 36), slice(124, 160)


def style(seed: int) -> Style:
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        start = NETWORK.initial_style()
        return replace(start, scale=1 + 0.2 * torch.randn_like(start.scale), bias=start.bias - 0.2)


def picture(seed: int) -> Tensor:
    return (blobs(1, HEIGHT, WIDTH, seed=seed)[0].permute(1, 2, 0) * 255).to(torch.uint8).contiguous()


def left_half() -> Tensor:
    region = torch.zeros(HEIGHT, WIDTH)
    region[:, : WIDTH // 2] = 1
    return region


def engine(**changes: Any) -> Any:
    settings = {"device": torch.device("cpu"), "precision": "fp32", "has_regions": True} | changes
    return build_engine("eager", EngineSpec(network=NETWORK, height=HEIGHT, width=WIDTH, **settings))


def run(pixels: Tensor, region: Tensor, past: Tensor | None = None, keep: Tensor = NONE, **changes: Any) -> Any:
    zeros = zero_statistics(NETWORK)
    past = torch.cat((zeros, zeros), dim=2) if past is None else past
    both = RegionStyle.of_regions(style(1), style(2))
    return engine(**changes)(pixels, both, past, keep, FULL, NONE, region)


def alone(pixels: Tensor, of_style: Style) -> Tensor:
    graph = FrameGraph(NETWORK)
    with torch.inference_mode():
        result: Tensor = graph(pixels, of_style.tensors(), zero_statistics(NETWORK), NONE, FULL, NONE)[0]
    return result


def difference(one: Tensor, other: Tensor) -> int:
    return int((one.int() - other.int()).abs().max())


def test_a_whole_frame_in_one_region_is_that_style() -> None:
    pixels = picture(0)
    assert difference(run(pixels, torch.ones(HEIGHT, WIDTH))[0], alone(pixels, style(1))) <= 1
    assert difference(run(pixels, torch.zeros(HEIGHT, WIDTH))[0], alone(pixels, style(2))) <= 1


@pytest.mark.parametrize("tiling", [None, Tiling(16), Tiling(8, keeps_half=False)])
def test_neither_region_changes_with_the_other(tiling: Tiling | None) -> None:
    first = picture(0)
    second = first.clone()
    second[:, WIDTH // 2 :] = picture(7)[:, WIDTH // 2 :] // 3
    one, other = (run(pixels, left_half(), tiling=tiling)[0].float() for pixels in (first, second))
    assert (one - other)[:, RIGHT].abs().mean() > 10
    # A style for the whole frame changes, as the network normalizes by the whole frame. What is left in the region are
    # the pixels at its edge, which see the other region and count as well.
    plain, changed = (alone(pixels, style(1)).float() for pixels in (first, second))
    whole, region = ((b - a)[:, LEFT].abs().mean() for a, b in ((plain, changed), (one, other)))
    assert whole > 10
    assert region < whole / 5
    second = first.clone()
    second[:, : WIDTH // 2] = picture(7)[:, : WIDTH // 2] // 3
    one, other = (run(pixels, left_half(), tiling=tiling)[0].float() for pixels in (first, second))
    plain, changed = (alone(pixels, style(2)).float() for pixels in (first, second))
    whole, region = ((b - a)[:, RIGHT].abs().mean() for a, b in ((plain, changed), (one, other)))
    assert whole > 10
    assert region < whole / 5


@pytest.mark.parametrize("stroke_size", [1.0, 1.7])
def test_strips_give_what_the_whole_frame_gives(stroke_size: float) -> None:
    region = torch.linspace(0, 1, WIDTH).expand(HEIGHT, WIDTH).contiguous()
    whole, used = run(picture(0), region, stroke_size=stroke_size)
    strips, used_in_strips = run(picture(0), region, stroke_size=stroke_size, tiling=Tiling(16))
    assert difference(whole, strips) <= 1
    torch.testing.assert_close(used, used_in_strips, atol=1e-3, rtol=1e-3)


def test_soft_edges_are_between_both() -> None:
    pixels = picture(0)
    front, back = (run(pixels, torch.full((HEIGHT, WIDTH), share))[0].float() for share in (1.0, 0.0))
    middle = run(pixels, torch.full((HEIGHT, WIDTH), 0.25))[0]
    assert difference(middle, (0.25 * front + 0.75 * back).round()) <= 1


def test_16_bits_are_blended_with_all_of_them() -> None:
    deep = (picture(0).int() * 257).to(torch.uint16)
    result = run(deep, torch.full((HEIGHT, WIDTH), 0.5), is_16_bit=True)[0]
    assert result.dtype == torch.uint16
    assert len((result.int() % 257).unique()) > 100


def test_statistics_of_both_are_passed_on() -> None:
    _, used = run(picture(0), left_half())
    assert used.shape == (1, 2, 2 * (NETWORK.statistics_size + 1))
    kept, again = run(picture(5), left_half(), past=used, keep=FULL)
    torch.testing.assert_close(again, used)
    assert difference(kept, run(picture(5), left_half())[0]) > 5


def test_an_empty_region_gives_numbers() -> None:
    weights = RegionWeights(torch.zeros(1, 1, 8, 8))
    x = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    mean, square = weights.moments(x)
    torch.testing.assert_close(mean, x.mean(dim=(2, 3)), atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(square, x.square().mean(dim=(2, 3)), atol=1e-4, rtol=1e-3)


def test_other_engines_refuse() -> None:
    spec = EngineSpec(
        network=NETWORK, height=16, width=16, device=torch.device("cpu"), precision="fp32", has_regions=True
    )
    with pytest.raises(EngineError, match="need --engine eager"):
        build_engine("compile", spec)
    with pytest.raises(ValueError, match="cannot be interpolated"):
        RegionStyle.of_regions(style(1), style(2)).lerp(style(1), 0.5)
