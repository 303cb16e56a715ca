"""Pictures optimized with a tiny loss network."""

import pytest
import torch
from torch import Tensor

from models.optimize.descent import descend
from models.optimize.loss import Evaluation
from models.optimize.picture import Optimized, Painting, PictureOptimizer, Report, Start, optimize_image
from models.optimize.settings import Method, OptimizeSettings, octave_sizes, octave_steps
from tests.support.tiny import blobs, loss_network, stripes

LAYERS = {"relu1_1": 1.0, "relu2_1": 1.0, "relu3_1": 1.0}


def settings(**changes: object) -> OptimizeSettings:
    values = {"style_layers": LAYERS, "content_layers": {"relu2_2": 1.0}, "steps": 12, "octaves": 1} | changes
    return OptimizeSettings(**values)  # type: ignore[arg-type]


def optimized(content: Tensor, start: Tensor | Start = "content", **changes: object) -> tuple[Optimized, list[Report]]:
    reports: list[Report] = []
    result = optimize_image(
        content, [Painting(stripes())], [loss_network()], settings(**changes), start=start, report=reports.append
    )
    return result, reports


@pytest.mark.parametrize("method", ["lbfgs", "adam"])
@pytest.mark.parametrize("start", ["content", "noise"])
def test_the_losses_fall_and_are_those_of_the_result(method: Method, start: Start) -> None:
    content = blobs(1, 64, 80)
    result, reports = optimized(content, start, method=method)
    assert result.total < 0.8 * sum(reports[0].losses.values())
    optimizer = PictureOptimizer([loss_network()], [Painting(stripes())], settings())
    assert optimizer.loss(content)(result.image).total == pytest.approx(result.total, rel=1e-5)
    assert result.image.shape == content.shape
    assert 0 <= result.image.min() <= result.image.max() <= 1
    assert result.reason == "all 12 steps are done"


def test_the_same_seed_gives_the_same_picture_and_another_one_another() -> None:
    content = blobs(1, 64, 64)
    first, second, other = (optimized(content, "noise", steps=3, seed=seed)[0].image for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_coarse_to_fine_doubles_the_size_and_halves_the_steps() -> None:
    wide = settings(octaves=3, steps=100, smallest_px=64)
    assert octave_sizes(256, 301, wide) == [(64, 75), (128, 150), (256, 301)]
    assert octave_sizes(200, 301, wide) == [(100, 150), (200, 301)]
    assert octave_steps(100, 4) == [100, 50, 25, 20]
    assert octave_steps(5, 2) == [5, 5]
    _, reports = optimized(blobs(1, 128, 130), octaves=2, steps=2, smallest_px=64)
    assert [(report.size, report.step) for report in reports] == [
        ((64, 65), 1),
        ((64, 65), 2),
        ((128, 130), 1),
        ((128, 130), 2),
    ]
    assert [report.progress for report in reports] == sorted(report.progress for report in reports)
    assert reports[-1].progress == pytest.approx(1)


def test_a_given_start_is_optimized_at_the_final_size_alone() -> None:
    content = blobs(1, 128, 128)
    near, _ = optimized(content, steps=20)
    again, reports = optimized(content, near.image, octaves=2, steps=1, smallest_px=64)
    assert [report.size for report in reports] == [(128, 128)]
    assert again.total <= near.total


def test_it_stops_where_nothing_improves_and_says_so() -> None:
    result, reports = optimized(blobs(1, 64, 64), steps=500, tolerance=0.2)
    assert len(reports) < 200
    assert result.reason == "the last 20 steps improved the loss by less than 20.0%"
    assert reports[-1].reason == result.reason
    assert not any(report.reason for report in reports[:-1])


def test_losses_that_are_not_numbers_end_the_descent_with_the_best_picture() -> None:
    def evaluate(image: Tensor) -> Evaluation:
        value = float((image - 0.4).square().sum())
        return Evaluation({"loss": value if value > 1 else float("nan")}, 2 * (image - 0.4))

    *_, last = descend(torch.ones(1, 3, 8, 8), evaluate, method="adam", steps=200, tolerance=0)
    assert last.reason == "the losses are no longer finite numbers"
    assert 1 < last.total < 3
    assert float((last.image - 0.4).square().sum()) == pytest.approx(last.total)


def test_a_search_that_fails_begins_again_then_ends() -> None:
    directions: list[float] = []

    def evaluate(image: Tensor) -> Evaluation:
        """A gradient that leads uphill after the loss is below 30."""
        value, slope = float((image - 0.4).square().sum()), 2 * (image - 0.4)
        directions.append(value)
        return Evaluation({"loss": value}, slope if value > 30 else -slope)

    *_, last = descend(torch.ones(1, 3, 8, 8), evaluate, method="lbfgs", steps=100, tolerance=0)
    assert last.reason == "the line search finds no better picture"
    assert last.total == min(directions) < 30
    assert last.number < 20


def test_pixels_come_back_from_beyond_black_and_white() -> None:
    target = torch.full((1, 3, 8, 8), 0.9)

    def evaluate(image: Tensor) -> Evaluation:
        return Evaluation({"loss": float((image - target).square().sum())}, 2 * (image - target))

    *_, last = descend(torch.ones(1, 3, 8, 8), evaluate, method="lbfgs", steps=20, tolerance=0)
    torch.testing.assert_close(last.image, target, atol=1e-4, rtol=0)


def test_paintings_count_by_their_weights() -> None:
    def grams(*weights: float) -> dict[str, Tensor]:
        images = (stripes(), (blobs(1, 80, 90)[0] * 255).to(torch.uint8))
        paintings = [Painting(image, weight) for image, weight in zip(images, weights, strict=True)]
        return PictureOptimizer([loss_network()], paintings, settings()).target_grams(64)

    one, other, mixed = grams(1, 0), grams(0, 2), grams(3, 1)
    for name in LAYERS:
        torch.testing.assert_close(mixed[name], 0.75 * one[name] + 0.25 * other[name])
    with pytest.raises(ValueError, match="at least one painting"):
        grams(0, 0)


def test_stroke_size_is_the_size_of_the_painting() -> None:
    large = PictureOptimizer([loss_network()], [Painting(stripes())], settings(stroke_size=2.0)).target_grams(64)
    plain = PictureOptimizer([loss_network()], [Painting(stripes())], settings()).target_grams(128)
    assert torch.equal(large["relu3_1"], plain["relu3_1"])


def test_a_tiny_picture_is_optimized_too() -> None:
    result, _ = optimized(blobs(1, 1, 7), steps=2)
    assert result.image.shape == (1, 3, 1, 7)


def test_bounded_memory_gives_the_same_picture() -> None:
    content, painting = blobs(1, 176, 176), Painting(stripes())
    settings_ = settings(steps=2, method="adam")
    whole = optimize_image(content, [painting], [loss_network()], settings_)
    px = PictureOptimizer([loss_network()], [painting], settings_).features.bytes_per_px
    bound = 130**2 * px + 120 * content.numel() * 4
    parts = optimize_image(content, [painting], [loss_network()], settings_, bound_bytes=bound)
    torch.testing.assert_close(parts.image, whole.image, atol=2e-3, rtol=0)
    with pytest.raises(ValueError, match="must fit"):
        optimize_image(content, [painting], [loss_network()], settings_, bound_bytes=1e6)
