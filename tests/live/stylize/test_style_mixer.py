"""The styles of a live session: which can be chosen, and what lies between them."""

from pathlib import Path

import numpy as np
import pytest

from models.registry import bundled
from pipeline.config.style_spec import Dials
from pipeline.errors import StyleError
from pipeline.live.stylize.style_mixer import load_style_mixer, style_names
from pipeline.stylize.picture_style import predict_style
from tests.support.networks.pictures import write_picture


def test_a_mix_is_the_weighted_mean() -> None:
    mixer = load_style_mixer(["great-wave", "the-scream", "mondrian"])
    first = mixer.mix((0.5, 0.5, 0.0))
    expected = mixer.styles[0].lerp(mixer.styles[1], 0.5)
    for mixed, wanted in zip(first.tensors(), expected.tensors(), strict=True):
        assert np.allclose(mixed.numpy(), wanted.numpy(), atol=1e-6)
    third = mixer.mix((0.2, 0.3, 0.5))
    mean = sum(weight * style.shift for weight, style in zip((0.2, 0.3, 0.5), mixer.styles, strict=True))
    assert np.allclose(third.shift.numpy(), mean, atol=1e-5)
    assert mixer.mix((0.0, 1.0, 0.0)) is mixer.styles[1], "a style alone is converted once"
    with pytest.raises(ValueError, match="above 0"):
        mixer.mix((0.0, 0.0, 0.0))


def test_the_style_that_is_asked_for_is_first_of_all_bundled_ones() -> None:
    names = style_names("mondrian")
    assert names[0] == "mondrian"
    assert len(names) == len(bundled())
    assert set(names) == set(bundled())
    assert style_names("mondrian:0.5,the-scream:0.5")[0] == "mondrian:0.5,the-scream:0.5"
    assert load_style_mixer(names).names == names


def test_a_picture_is_mixed_with_the_bundled_styles(tmp_path: Path, any_picture: Path) -> None:
    picture = str(write_picture(tmp_path / "a.png"))
    names = style_names(picture, Dials(paint=2))
    assert names == (picture, *bundled())
    mixer = load_style_mixer(names[:2], dials=Dials(paint=2))
    assert np.array_equal(mixer.styles[0].scale, predict_style(Path(picture), Dials(paint=2)).style.scale)


def test_a_style_is_added(tmp_path: Path, any_picture: Path, tiny_style: Path) -> None:
    mixer = load_style_mixer(["great-wave"])
    picture = write_picture(tmp_path / "a.png")
    more = mixer.with_style(str(picture))
    assert more.names == ("great-wave", str(picture))
    assert more.mix((1.0,)) is mixer.styles[0], "weights from before it was added"
    assert np.array_equal(more.mix((0.0, 1.0)).scale, predict_style(picture).style.scale)
    with pytest.raises(StyleError, match="cannot be mixed in one session"):
        mixer.with_style(str(tiny_style))


def test_a_style_is_added_under_a_name_and_removed() -> None:
    mixer = load_style_mixer(["great-wave"]).with_style("minotaur", name="mine").with_style("mondrian")
    assert mixer.names == ("great-wave", "mine", "mondrian")
    fewer = mixer.without_style("mine")
    assert fewer.names == ("great-wave", "mondrian")
    assert fewer.mix((0.0, 1.0)) is mixer.styles[2]
    assert fewer.without_style("mine") == fewer
