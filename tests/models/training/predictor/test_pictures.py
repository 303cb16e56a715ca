"""Pictures to learn from: never enlarged, repeatable, of all kinds."""

import pytest
import torch

from models.training.predictor.drawings import KINDS, Sheet, draw
from models.training.predictor.pictures import PictureSource, recolored
from tests.support.tiny import blobs, photos


def source(paintings: list[torch.Tensor], **changes: float) -> PictureSource:
    settings = {"drawings": 0, "drawing_share": 0.0, "recolor_share": 0.0} | changes
    return PictureSource(paintings, side=64, generator=torch.Generator().manual_seed(0), **settings)  # type: ignore[arg-type]


def test_a_small_painting_is_not_enlarged() -> None:
    assert source(photos(2, height=50, width=90)).draw().shape == (1, 3, 50, 50)


def test_crops_differ_in_place_and_size() -> None:
    ramp = torch.arange(200, dtype=torch.uint8).expand(3, 200, 200)
    drawn = source([ramp])
    spans = {round(float(crop.max() - crop.min()) * 255) for crop in (drawn.draw() for _ in range(12))}
    assert len(spans) > 3
    assert max(spans) > 180  # the whole picture, smaller


@pytest.mark.parametrize("kind", KINDS)
def test_drawings_have_texture_and_range(kind: object) -> None:
    sheet = Sheet(64, torch.Generator().manual_seed(3))
    image = sheet.finished(kind(sheet))  # type: ignore[operator]
    assert image.shape == (3, 64, 64)
    assert image.isfinite().all()
    assert 0 <= image.min() <= image.max() <= 1
    assert image.std() > 0.01


def test_drawings_are_repeatable() -> None:
    first, again, other = (draw(64, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_share_of_the_pictures_is_drawn() -> None:
    black = [torch.zeros(3, 80, 80, dtype=torch.uint8)]
    drawn = source(black, drawings=3, drawing_share=0.5)
    found = [bool(drawn.draw().max() > 0) for _ in range(30)]
    assert 5 < sum(found) < 25


def test_larger_paintings_are_drawn_more_often() -> None:
    dark, light = torch.zeros(3, 64, 80, dtype=torch.uint8), torch.full((3, 128, 160), 255, dtype=torch.uint8)
    pictures = source([dark, light])
    share = torch.stack([pictures.draw().mean() for _ in range(400)]).mean()
    assert 0.82 < float(share) < 0.95  # 8 of 9


def test_recolored_pictures_take_mean_and_covariance() -> None:
    picture, other = blobs(2, 64, 64)
    picture, other = 0.4 + 0.2 * picture, 0.5 + 0.2 * other  # nothing is clipped
    moved = recolored(picture, other).flatten(1)
    torch.testing.assert_close(moved.mean(dim=1), other.flatten(1).mean(dim=1), atol=1e-3, rtol=0)
    torch.testing.assert_close(torch.cov(moved), torch.cov(other.flatten(1)), atol=1e-3, rtol=0)


def test_a_source_without_pictures_is_an_error() -> None:
    with pytest.raises(ValueError, match="no picture"):
        source([])
