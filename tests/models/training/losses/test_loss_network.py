"""The loss networks against torchvision's own, with the same random weights."""

from pathlib import Path

import pytest
import torch
import torchvision
from torch import Tensor, nn

from models.training.losses.loss_network import IMAGENET_DEVIATION, IMAGENET_MEAN, load_loss_network

LOSS_FILES = Path(__file__).parents[5] / "shared" / "data" / "loss"


def picture(height: int = 64, width: int = 64) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))


def normalised(pictures: Tensor) -> Tensor:
    mean, deviation = (torch.tensor(v).view(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_DEVIATION))
    return (pictures - mean) / deviation


def through_file(state: dict[str, Tensor], folder: Path) -> dict[str, Tensor]:
    torch.save(state, folder / "weights.pth")
    loaded: dict[str, Tensor] = torch.load(folder / "weights.pth", weights_only=True)
    return loaded


def with_keys_of_the_whole(features: nn.Module) -> dict[str, Tensor]:
    return {f"features.{key}": value for key, value in features.state_dict().items()}


@pytest.fixture(scope="module")
def vgg19_features() -> nn.Sequential:
    """`torchvision.models.vgg19().features`, without the 500 MB of its classifier."""
    torch.manual_seed(0)
    layout = torchvision.models.vgg.cfgs["E"]
    features: nn.Sequential = torchvision.models.vgg.make_layers(layout, batch_norm=False).eval()
    for layer in features:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
            nn.init.normal_(layer.bias, std=0.1)
    return features


@torch.no_grad()
def test_vgg19_is_torchvisions(vgg19_features: nn.Sequential, tmp_path: Path) -> None:
    network = load_loss_network(through_file(with_keys_of_the_whole(vgg19_features), tmp_path))
    features = network(picture(64, 50))
    assert network.name == "torchvision VGG-19"
    ends = {"relu1_1": 2, "relu2_1": 7, "relu3_1": 12, "relu4_1": 21}
    assert network.layers.style == tuple(ends)
    for name, end in ends.items():
        expected = vgg19_features[:end](normalised(picture(64, 50)))
        torch.testing.assert_close(features[name], expected, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_every_layer_can_be_asked_for_and_none_is_computed_in_vain(vgg19_features: nn.Sequential) -> None:
    network = load_loss_network(with_keys_of_the_whole(vgg19_features))
    found = network(picture(), ("relu4_2", "relu1_2"))
    assert list(found) == ["relu1_2", "relu4_2"]
    torch.testing.assert_close(found["relu4_2"], vgg19_features[:23](normalised(picture())), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found["relu1_2"], vgg19_features[:4](normalised(picture())), rtol=1e-5, atol=1e-5)
    network.stages["relu5_1"] = nn.Linear(1, 1)  # fails if it is called
    assert list(network(picture())) == ["relu1_1", "relu2_1", "relu3_1", "relu4_1"]


@torch.no_grad()
def test_squeezenet_is_torchvisions(tmp_path: Path) -> None:
    torch.manual_seed(0)
    reference = torchvision.models.squeezenet1_1(weights=None).eval()
    network = load_loss_network(through_file(reference.state_dict(), tmp_path))
    features = network(picture(65, 83))
    assert network.name == "SqueezeNet 1.1"
    for name, end in {"features_1": 2, "features_4": 5, "features_7": 8}.items():
        expected = reference.features[:end](normalised(picture(65, 83)))
        assert expected.abs().max() > 0.01
        torch.testing.assert_close(features[name], expected, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_normalised_vgg19_reflects_at_the_border() -> None:
    state = {}
    for index, (inputs, outputs) in {0: (3, 4), 2: (4, 4), 5: (4, 6), 7: (6, 6), 10: (6, 8)}.items():
        state[f"features.{index}.weight"] = torch.rand(outputs, inputs, 3, 3)
        state[f"features.{index}.bias"] = torch.rand(outputs)
    network = load_loss_network(state)
    assert network.name == "normalised VGG-19"
    features = network(torch.full((1, 3, 31, 17), 0.5))
    assert features["relu3_1"].shape == (1, 8, 8, 5)
    for feature in features.values():
        torch.testing.assert_close(feature, feature[..., :1, :1].expand_as(feature))


def test_nothing_of_a_loss_network_learns_but_gradients_pass(vgg19_features: nn.Sequential) -> None:
    network = load_loss_network(with_keys_of_the_whole(vgg19_features))
    assert not any(parameter.requires_grad for parameter in network.parameters())
    pictures = picture(32, 32).requires_grad_()
    network(pictures)["relu3_1"].mean().backward()
    assert pictures.grad is not None
    assert pictures.grad.abs().sum() > 0


def test_unknown_weights_are_named_with_what_is_known() -> None:
    with pytest.raises(ValueError, match=r"VGG-19.*first keys: \['fc.weight'\]"):
        load_loss_network({"fc.weight": torch.zeros(2, 2)})


def test_lacking_weights_are_named(vgg19_features: nn.Sequential) -> None:
    state = with_keys_of_the_whole(vgg19_features)
    del state["features.5.bias"]
    with pytest.raises(ValueError, match=r"'features\.5\.bias'"):
        load_loss_network(state)


@pytest.mark.parametrize("key", ["features.5.weight", "features.5.bias"])
def test_layers_that_do_not_fit_together_are_refused_before_a_training_starts(
    vgg19_features: nn.Sequential, key: str
) -> None:
    state = with_keys_of_the_whole(vgg19_features)
    state[key] = state[key][:, :3] if key.endswith("weight") else state[key][:3]
    with pytest.raises(ValueError, match="do not fit together"):
        load_loss_network(state)


@pytest.mark.shared
@pytest.mark.skipif(not LOSS_FILES.is_dir(), reason=f"{LOSS_FILES} is not there")
@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("vgg19_normalised_to_relu3_1.pth", "normalised VGG-19"),
        ("vgg19_distilled16x_SE5.pth", "distilled VGG-19"),
        ("squeezenet1_1_caffe_tvnorm.pth", "SqueezeNet 1.1"),
    ],
)
@torch.no_grad()
def test_real_weights_tell_pictures_apart(file: str, name: str) -> None:
    network = load_loss_network(torch.load(LOSS_FILES / file, weights_only=True))
    assert network.name == name
    ramp = torch.linspace(0, 1, 96).expand(1, 3, 96, 96)
    features, of_noise = network(ramp), network(picture(96, 96))
    for layer in {*network.layers.style, *network.layers.content}:
        assert features[layer].isfinite().all()
        assert (features[layer] >= 0).all()
        assert 0.02 < (of_noise[layer] > 0).float().mean() < 0.98
        assert (features[layer] - of_noise[layer]).abs().mean() > 0.1 * of_noise[layer].mean()


@pytest.mark.shared
@pytest.mark.skipif(not LOSS_FILES.is_dir(), reason=f"{LOSS_FILES} is not there")
@torch.no_grad()
def test_channels_of_the_normalised_vgg19_are_balanced() -> None:
    network = load_loss_network(torch.load(LOSS_FILES / "vgg19_normalised_to_relu3_1.pth", weights_only=True))
    smooth = nn.functional.interpolate(torch.rand(1, 3, 12, 12), size=(96, 96), mode="bicubic").clamp(0, 1)
    for feature in network(smooth).values():
        assert 0.1 < feature.mean() < 10
