"""From a picture to a style: shapes, the mean as a start, dials, files."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load as deserialize
from safetensors.torch import save

from models import registry
from models.blend import blend
from models.network import Style
from models.predictor.colors import SMALLEST_VARIANCE, color_map, color_moments, logits
from models.predictor.encoder import SMALLEST_PX, PictureEncoder
from models.predictor.file import load, to_bytes
from models.predictor.predictor import StylePredictor
from models.registry import WeightsError
from tests.support.tiny import TINY, blobs

pytestmark = pytest.mark.usefixtures("one_thread")


def known_styles(predictor: StylePredictor, count: int = 3) -> list[Style]:
    """Styles that differ a little, as those fine-tuned from one network do."""
    torch.manual_seed(0)
    first = predictor.network.initial_style()
    others = [[tensor + 0.05 * torch.randn_like(tensor) for tensor in first.tensors()] for _ in range(count - 1)]
    return [first, *(Style.of(tensors) for tensors in others)]


@pytest.fixture
def predictor() -> StylePredictor:
    torch.manual_seed(0)
    made = StylePredictor(TINY, hidden=8, directions=4)
    made.start_from(known_styles(made)[1], known_styles(made))
    return made


def trained(predictor: StylePredictor) -> StylePredictor:
    """The predictor with a last layer that is not zero, as after training."""
    torch.nn.init.normal_(predictor.last.weight, std=0.3)
    return predictor


def test_before_training_every_picture_has_the_first_style(predictor: StylePredictor) -> None:
    center = known_styles(predictor)[1].tensors()
    for seed in (1, 2):
        predicted = predictor.predict(blobs(1, 64, 80, seed=seed), name="blobs").style
        for tensor, expected in zip(
            predicted.tensors()[:-2], center[:-2], strict=True
        ):  # the last convolution is color
            torch.testing.assert_close(tensor, expected)


def test_before_training_the_colors_are_those_of_the_picture(predictor: StylePredictor) -> None:
    frames = blobs(4, 64, 64, seed=9)
    predictor.learn_colors(frames)
    picture = 0.3 + 0.4 * blobs(1, 64, 64, seed=3) * torch.tensor((1.0, 0.6, 0.2)).view(1, 3, 1, 1)
    style = predictor.predict(picture, name="blobs")
    painted = torch.cat([style.network(frame, style.style)[0] for frame in frames.split(1)])
    found, wanted = (color_moments(logits(images)) for images in (painted, picture))
    torch.testing.assert_close(found[:3], wanted[:3], atol=0.05, rtol=0)
    assert (found[3:] - wanted[3:]).norm() < 0.6 * wanted[3:].norm()


def test_a_color_map_moves_mean_and_covariance() -> None:
    before, after = (color_moments(logits(blobs(1, 64, 64, seed=seed))) for seed in (1, 2))
    matrix, offset = color_map(before, after)
    small = SMALLEST_VARIANCE * torch.eye(3)
    old, new = (moments[3:].view(3, 3) + small for moments in (before, after))
    torch.testing.assert_close(matrix @ old @ matrix.T, new, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(matrix @ before[:3] + offset, after[:3], atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(matrix, matrix.T, atol=1e-4, rtol=1e-3)  # the smallest change


def test_pictures_and_dials_change_the_style(predictor: StylePredictor) -> None:
    trained(predictor)
    first, second = blobs(1, 64, 64, seed=1), blobs(1, 64, 64, seed=2)
    styles = [
        predictor.predict(first, name="a"),
        predictor.predict(second, name="b"),
        predictor.predict(first, paint=2, name="c"),
        predictor.predict(first, stillness=2, name="d"),
    ]
    for index, tensors in enumerate(zip(*(each.style.tensors() for each in styles), strict=True)):
        for other in tensors[1:]:
            assert not torch.allclose(tensors[0], other), index


@pytest.mark.parametrize("dial", ["paint", "stillness"])
@pytest.mark.parametrize("value", [0.0, 0.2, 5.0, float("nan")])
def test_a_dial_out_of_range_is_named(predictor: StylePredictor, dial: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{dial} must be from 0.25 to 4, not"):
        predictor.predict(blobs(1, 64, 64), name="a", **{dial: value})


def test_several_pictures_of_one_style_are_averaged(predictor: StylePredictor) -> None:
    pictures = blobs(2, 64, 64)
    both, swapped = predictor.describe(pictures), predictor.describe(pictures.flip(0))
    torch.testing.assert_close(both, swapped, atol=1e-3, rtol=1e-3)
    one = pictures[:1]
    torch.testing.assert_close(
        predictor.describe(one.repeat(2, 1, 1, 1)), predictor.describe(one), atol=1e-3, rtol=1e-3
    )


@pytest.mark.parametrize("size", [(SMALLEST_PX, SMALLEST_PX), (SMALLEST_PX, 301), (97, 65)])
def test_descriptions_are_finite_at_any_size(size: tuple[int, int]) -> None:
    encoder = PictureEncoder()
    for picture in (torch.zeros(1, 3, *size), torch.ones(1, 3, *size), blobs(1, *size)):
        description = encoder(picture)
        assert description.shape == (encoder.size,)
        assert description.isfinite().all()


def test_a_strange_picture_stays_near_known_ones(predictor: StylePredictor) -> None:
    trained(predictor)
    predictor.learn_inputs(torch.stack([predictor.describe(blobs(1, 64, 64, seed=seed)) for seed in range(4)]))
    checkers = ((torch.arange(64)[:, None] + torch.arange(64)) % 2).float().expand(1, 3, 64, 64)
    assert all(tensor.abs().max() < 100 for tensor in predictor.predict(checkers, name="a").style.tensors())


def test_a_predicted_style_is_a_style_as_any_other(predictor: StylePredictor, tmp_path: Path) -> None:
    trained(predictor)
    first, second = (predictor.predict(blobs(1, 64, 64, seed=seed), name=f"s{seed}") for seed in (1, 2))
    file = tmp_path / "s1.safetensors"
    file.write_bytes(registry.to_bytes(first.network, [first.style], [first.metadata], {}))
    stored = registry.load(str(file))
    assert stored.metadata.name == "s1"
    for tensor, expected in zip(stored.style.tensors(), first.style.tensors(), strict=True):
        torch.testing.assert_close(tensor, expected, atol=1e-3, rtol=1e-3)
    mixed = blend([first, second], [0.5, 0.5], "both")
    image, _ = mixed.network(blobs(1, 32, 32), mixed.style)
    assert image.shape == (1, 3, 32, 32)
    assert image.isfinite().all()


def test_a_predictor_survives_its_file(predictor: StylePredictor, tmp_path: Path) -> None:
    trained(predictor)
    file = tmp_path / "any.safetensors"
    file.write_bytes(to_bytes(predictor, {"steps_run": 7}))
    loaded = load(file)
    assert loaded.recipe == {"steps_run": 7}
    assert not any(parameter.requires_grad for parameter in loaded.predictor.parameters())
    picture = blobs(1, 64, 64)
    before, after = (each.predict(picture, name="a").style for each in (predictor, loaded.predictor))
    for tensor, expected in zip(after.tensors(), before.tensors(), strict=True):
        torch.testing.assert_close(tensor, expected, atol=0.02, rtol=0.02)


def test_damaged_and_other_files_are_refused(predictor: StylePredictor, tmp_path: Path) -> None:
    content = to_bytes(predictor, {})
    tensors = deserialize(content)
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
    one = next(iter(tensors))
    cases = {
        "text": b"no tensors",
        "short": content[: len(content) // 2],
        "format": save(tensors, header | {"format": "flowbrush-1"}),
        "missing": save({name: tensor for name, tensor in tensors.items() if name != one}, header),
        "large": save(tensors, header | {"sizes": json.dumps({"hidden": 10**9, "directions": 4})}),
        "nan": save(tensors | {one: torch.full_like(tensors[one], torch.nan)}, header),
        "pickle": b"PK\x03\x04rest",
    }
    for name, damaged in cases.items():
        file = tmp_path / name
        file.write_bytes(damaged)
        with pytest.raises(WeightsError, match=f"{name}: .*; train it again"):
            load(file)
    with pytest.raises(WeightsError):
        load(tmp_path / "absent")


def test_the_shipped_size_is_below_4_mb() -> None:
    assert len(to_bytes(StylePredictor(), {})) < 4_000_000


def test_the_encoder_takes_only_the_distilled_network(predictor: StylePredictor) -> None:
    state = {name.removeprefix("layers."): t.clone() for name, t in predictor.encoder.state_dict().items()}
    predictor.encoder.load(state)
    with pytest.raises(ValueError, match=r"conv41\.weight is missing"):
        predictor.encoder.load({name: tensor for name, tensor in state.items() if name != "conv41.weight"})
    with pytest.raises(ValueError, match=r"conv0\.bias is of shape \(4,\)"):
        predictor.encoder.load(state | {"conv0.bias": torch.zeros(4)})
