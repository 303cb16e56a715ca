"""The losses of a picture: their gradient, in one window and in many."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from models.losses import content_loss, style_loss, total_variation
from models.optimize.features import Features
from models.optimize.loss import PictureLoss, image_grams
from models.optimize.settings import OptimizeSettings
from models.optimize.windows import plan_windows
from models.training.losses.loss_network import LossNetwork, load_loss_network
from tests.support.tiny import blobs, loss_network, loss_state, torchvision_vgg19_state

SETTINGS = OptimizeSettings(
    style_layers={"relu1_1": 1, "relu2_1": 2, "relu3_1": 1},
    content_layers={"relu2_2": 1},
    style_weight=8.0,
    content_weight=3.0,
    variation_weight=2.0,
)


def loss_of(network: LossNetwork, content: Tensor, most_px: float, *, is_periodic: bool = False) -> PictureLoss:
    settings = SETTINGS
    features = Features([network], [*settings.style_layers, *settings.content_layers], is_periodic=is_periodic)
    grams = image_grams(Features([network], list(settings.style_layers)), blobs(1, 50, 70, seed=9), float("inf"))
    return PictureLoss(features, grams, content, settings, most_px=most_px)


def test_losses_are_those_of_the_papers_with_their_weights() -> None:
    network, content, image = loss_network(), blobs(1, 48, 61), blobs(1, 48, 61, seed=1)
    losses = loss_of(network, content, float("inf"))(image).losses
    found, wanted = network(image, ("relu1_1", "relu2_1", "relu2_2", "relu3_1")), network(content, ("relu2_2",))
    grams = image_grams(Features([network], list(SETTINGS.style_layers)), blobs(1, 50, 70, seed=9), float("inf"))
    style = sum(
        share * style_loss(found[name], grams[name]) for name, share in zip(grams, (2.0, 4.0, 2.0), strict=True)
    )
    assert losses["style"] == pytest.approx(float(style), rel=1e-5)
    assert losses["content"] == pytest.approx(3 * float(content_loss(found["relu2_2"], wanted["relu2_2"])), rel=1e-5)
    assert losses["variation"] == pytest.approx(2 * float(total_variation(image)), rel=1e-5)


def test_the_gradient_is_that_of_the_losses() -> None:
    loss, image = loss_of(loss_network(), blobs(1, 32, 40), float("inf")), blobs(1, 32, 40, seed=1)
    gradient = loss(image).gradient
    step = 0.01 * gradient / gradient.norm()
    slope = (loss(image + step).total - loss(image - step).total) / 2
    assert slope == pytest.approx(0.01 * float(gradient.norm()), rel=0.01)


@pytest.mark.parametrize("is_periodic", [False, True])
@pytest.mark.parametrize("network", [loss_network(), load_loss_network(torchvision_vgg19_state())])
def test_windows_change_nothing(network: LossNetwork, is_periodic: bool) -> None:
    size = (176, 224) if is_periodic else (170, 219)
    content, image = blobs(1, *size), blobs(1, *size, seed=1)
    whole = loss_of(network, content, float("inf"), is_periodic=is_periodic)(image)
    parts = loss_of(network, content, 130**2, is_periodic=is_periodic)(image)
    for name, value in whole.losses.items():
        assert parts.losses[name] == pytest.approx(value, rel=1e-4), name
    torch.testing.assert_close(parts.gradient, whole.gradient, rtol=1e-3, atol=1e-3 * float(whole.gradient.abs().max()))


def test_windows_cover_each_pixel_once() -> None:
    windows = plan_windows(170, 219, halo_px=32, most_px=160**2, is_periodic=False)
    assert len(windows) == 2 * 3
    counts = torch.zeros(170, 219)
    for window in windows:
        counts[window.rows.start : window.rows.stop, window.columns.start : window.columns.stop] += 1
        seen = window.cut(torch.zeros(1, 1, 170, 219))
        assert seen.numel() <= 160**2
    assert (counts == 1).all()


def test_too_little_memory_is_named() -> None:
    with pytest.raises(ValueError, match="must fit"):
        plan_windows(1000, 1000, halo_px=96, most_px=200**2, is_periodic=False)


def test_a_periodic_loss_does_not_depend_on_where_the_image_begins() -> None:
    image, content = blobs(1, 64, 80), blobs(1, 64, 80)
    loss = loss_of(loss_network(), content, float("inf"), is_periodic=True)
    moved = image.roll((16, 32), dims=(2, 3))
    assert loss(moved).losses["style"] == pytest.approx(loss(image).losses["style"], rel=1e-4)
    assert loss(moved).losses["variation"] == pytest.approx(loss(image).losses["variation"], rel=0.02)  # one corner
    bounded = loss_of(loss_network(), content, float("inf"))
    assert bounded(moved).losses["style"] != pytest.approx(bounded(image).losses["style"], rel=1e-3)


def test_the_network_that_gave_the_names_comes_first_and_stand_ins_are_named() -> None:
    real, imitation = load_loss_network(loss_state()), load_loss_network(torchvision_vgg19_state())
    imitation.name, imitation.is_imitation = "an imitation", True
    features = Features([imitation, real], ["relu1_1", "relu4_1", "relu5_1"])
    assert features.stand_ins == {"an imitation": ["relu4_1", "relu5_1"]}
    image = blobs(1, 64, 64)
    found = features(image)
    torch.testing.assert_close(found["relu1_1"], real(image)["relu1_1"])
    torch.testing.assert_close(found["relu5_1"], imitation(image, ["relu5_1"])["relu5_1"])
    with pytest.raises(ValueError, match=r"no loss network has relu4_1; there are relu1_1"):
        Features([real], ["relu4_1"])


def test_features_far_away_do_not_change_what_is_counted() -> None:
    """The surroundings of a window reach as far as the deepest features see, in the deepest network."""
    network = load_loss_network(torchvision_vgg19_state())
    features = Features([network], ["relu5_1"])
    image = blobs(1, 16, 320, seed=3).expand(-1, -1, 16, -1).repeat(1, 1, 3, 1)
    far = image.clone()
    far[..., : 160 - features.halo_px] = 0
    near, changed = features(image)["relu5_1"], features(far)["relu5_1"]
    assert torch.equal(near[..., 10:], changed[..., 10:])
    assert not torch.equal(near[..., :4], changed[..., :4])


def test_wrong_settings_are_named() -> None:
    with pytest.raises(ValueError, match="not negative"):
        replace(SETTINGS, style_weight=-1)
    with pytest.raises(ValueError, match="at least one style layer"):
        replace(SETTINGS, style_layers={"relu1_1": 0})
