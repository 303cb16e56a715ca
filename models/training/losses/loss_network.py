"""Pretrained networks whose features the losses compare: VGG-19 and smaller networks.

The keys of a state dict tell which network it belongs to, so that a file is all a caller needs to give:

    torchvision VGG-19          features.{0,2,5,...,34}     ImageNet mean and deviation, zero padding
    normalised VGG-19           features.{0,2,5,7,10} only  preprocessing folded in, reflection padding
    distilled VGG-19            conv11.weight               a quarter of the channels (Wang et al., CVPR 2020)
    SqueezeNet 1.1              features.3.squeeze.weight   ImageNet mean and deviation
"""

from collections.abc import Collection, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)

VGG19_CONVOLUTIONS = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34)
VGG19_POOLS = (4, 9, 18, 27)
VGG19_LAYERS = dict(
    zip(
        VGG19_CONVOLUTIONS,
        (f"relu{depth}_{place}" for depth, count in enumerate((2, 2, 4, 4, 4), 1) for place in range(1, count + 1)),
        strict=True,
    )
)
"""Names of the features after each convolution, as in the papers."""

USUAL_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "features_1", "features_4", "features_7")
"""What training and evaluation compare; other features are computed only where they are asked for."""

PROBE_PX = 64
"""Side of the picture that a network is tried with."""

StateDict = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class Layers:
    """Names of the features to compare.

    Attributes:
        style: compared by their Gram matrices.
        content: compared position by position.
        strokes: compared by the Gram matrices of the luminance, at several sizes.
        structure: the same, at full size; deep enough to tell curls from hatching.
    """

    style: tuple[str, ...]
    content: tuple[str, ...]
    strokes: tuple[str, ...]
    structure: tuple[str, ...] = ()


class LossNetwork(nn.Module):
    """A frozen, pretrained network cut into stages; each stage ends in a named feature map.

    It runs in the precision of its weights. In eager bfloat16 a step takes less than half as long as compiled: its time
    goes into convolutions that a library has, and into memory.

    Shape:
        ``(N, 3, H, W)`` RGB in [0, 1] in; a dict from the name of each feature map to ``(N, C, h, w)`` out.

    Args:
        name: of the network.
        layers: what the losses compare.
        stages: by the names of their features, in order.
        imagenet: whether images are brought to the mean and deviation of ImageNet first.
        is_imitation: whether its features only resemble those of the network that gave them their names.

    Attributes:
        name: of the network, for recipes and reports.
        layers: what the losses compare.
        is_imitation: as above.
    """

    def __init__(
        self,
        name: str,
        layers: Layers,
        stages: Mapping[str, nn.Module],
        *,
        imagenet: bool,
        is_imitation: bool = False,
    ) -> None:
        super().__init__()
        self.name = name
        self.layers = layers
        self.is_imitation = is_imitation
        self.stages = nn.ModuleDict(stages)
        mean, deviation = (IMAGENET_MEAN, IMAGENET_DEVIATION) if imagenet else ((0.0,) * 3, (1.0,) * 3)
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("deviation", torch.tensor(deviation).view(1, 3, 1, 1))
        self.eval().requires_grad_(False)

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the weights and the features."""
        return next(self.parameters()).dtype

    def forward(self, images: Tensor, layers: Collection[str] = USUAL_LAYERS) -> dict[str, Tensor]:
        """Return the features ``layers`` by name; computes nothing beyond the last of them that it has."""
        x = ((images - self.get_buffer("mean")) / self.get_buffer("deviation")).to(self.dtype)
        wanted = [name for name in self.stages if name in layers]
        features: dict[str, Tensor] = {}
        for name, stage in self.stages.items():
            if len(features) == len(wanted):
                break
            x = stage(x)
            if name in wanted:
                features[name] = x
        return features

    def circular(self) -> "LossNetwork":
        """Return a copy that sees images as periodic: what leaves at one side comes in at the other."""
        other = deepcopy(self)
        for module in other.modules():
            if isinstance(module, nn.Conv2d) and any(module.padding):
                module.padding_mode = "circular"
        return other


def load_loss_network(state: StateDict) -> LossNetwork:
    """Build the network of a state dict; see the table at the head of this module.

    Raises:
        ValueError: the keys match no known network, or its layers do not fit together.
    """
    try:
        network = _build(state)
        with torch.no_grad():
            network(torch.zeros(1, 3, PROBE_PX, PROBE_PX))  # otherwise the first step of a training would fail
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"the layers of the loss network do not fit together ({reason})") from error
    return network


def _build(state: StateDict) -> LossNetwork:
    if "features.3.squeeze.weight" in state:
        return _squeezenet(state)
    if "conv11.weight" in state:
        return _distilled(state)
    if "features.10.weight" in state and "features.34.weight" in state:
        return vgg19(state)
    if "features.10.weight" in state and "features.12.weight" not in state:
        return _normalised(state)
    known = "torchvision VGG-19, normalised or distilled VGG-19, SqueezeNet 1.1"
    raise ValueError(f"not the weights of a known loss network ({known}); first keys: {sorted(state)[:3]}")


def vgg19(state: StateDict) -> LossNetwork:
    """Build VGG-19 (Simonyan & Zisserman 2015) with torchvision's keys, up to relu5_1."""
    layers = Layers(
        style=("relu1_1", "relu2_1", "relu3_1", "relu4_1"),
        content=("relu3_1",),
        strokes=("relu2_1", "relu3_1"),
        structure=("relu4_1",),
    )
    stages = _vgg_stages(state, VGG19_CONVOLUTIONS[:13], reflection=False)
    return LossNetwork("torchvision VGG-19", layers, stages, imagenet=True)


def _normalised(state: StateDict) -> LossNetwork:
    """Build VGG-19 up to relu3_1 with a mean activation of about 1 per channel, which balances its layers."""
    layers = Layers(style=("relu1_1", "relu2_1", "relu3_1"), content=("relu3_1",), strokes=("relu2_1", "relu3_1"))
    stages = _vgg_stages(state, VGG19_CONVOLUTIONS[:5], reflection=True)
    return LossNetwork("normalised VGG-19", layers, stages, imagenet=False)


def _vgg_stages(state: StateDict, convolutions: tuple[int, ...], *, reflection: bool) -> dict[str, nn.Module]:
    stages: dict[str, nn.Module] = {}
    modules: list[nn.Module] = []
    for index in convolutions:
        if index - 1 in VGG19_POOLS:
            modules.append(nn.MaxPool2d(2, ceil_mode=reflection))
        modules += [_convolution(state, f"features.{index}", padding=1, reflection=reflection), nn.ReLU()]
        stages[VGG19_LAYERS[index]] = nn.Sequential(*modules)
        modules = []
    return stages


def _distilled(state: StateDict) -> LossNetwork:
    """Build VGG-19 distilled to a sixteenth (Wang et al., "Collaborative Distillation", CVPR 2020).

    Up to relu5_1, or relu4_1 if that is all that the file has.
    """
    counts = {1: 2, 2: 2, 3: 4} | ({4: 4, 5: 1} if "conv51.weight" in state else {4: 1})
    stages: dict[str, nn.Module] = {}
    modules: list[nn.Module] = [_convolution(state, "conv0", padding=0)]
    for depth, count in counts.items():
        for place in range(1, count + 1):
            modules += [_convolution(state, f"conv{depth}{place}", padding=1, reflection=True), nn.ReLU()]
            stages[f"relu{depth}_{place}"] = nn.Sequential(*modules)
            modules = []
        modules = [nn.MaxPool2d(2)]
    layers = Layers(style=("relu3_1", "relu4_1"), content=("relu4_1",), strokes=("relu3_1",), structure=("relu4_1",))
    return LossNetwork("distilled VGG-19", layers, stages, imagenet=False, is_imitation=True)


class _Fire(nn.Module):
    """The building block of SqueezeNet: squeeze by 1x1, then expand by 1x1 and 3x3 side by side."""

    def __init__(self, state: StateDict, key: str) -> None:
        super().__init__()
        self.squeeze = _convolution(state, f"{key}.squeeze", padding=0)
        self.expand1x1 = _convolution(state, f"{key}.expand1x1", padding=0)
        self.expand3x3 = _convolution(state, f"{key}.expand3x3", padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.squeeze(x))
        return torch.cat((F.relu(self.expand1x1(x)), F.relu(self.expand3x3(x))), dim=1)


def _squeezenet(state: StateDict) -> LossNetwork:
    """Build SqueezeNet 1.1 (Iandola et al. 2016) with torchvision's keys, up to features.7."""

    def pool() -> nn.Module:
        return nn.MaxPool2d(3, 2, ceil_mode=True)

    stages = {
        "features_1": nn.Sequential(_convolution(state, "features.0", padding=0, stride=2), nn.ReLU()),
        "features_4": nn.Sequential(pool(), _Fire(state, "features.3"), _Fire(state, "features.4")),
        "features_7": nn.Sequential(pool(), _Fire(state, "features.6"), _Fire(state, "features.7")),
    }
    layers = Layers(
        style=("features_4", "features_7"), content=("features_7",), strokes=("features_4",), structure=("features_7",)
    )
    return LossNetwork("SqueezeNet 1.1", layers, stages, imagenet=True)


def _convolution(state: StateDict, key: str, *, padding: int, stride: int = 1, reflection: bool = False) -> nn.Conv2d:
    try:
        weight, bias = state[f"{key}.weight"].float(), state[f"{key}.bias"].float()
    except KeyError as error:
        raise ValueError(f"{error} is missing in the weights of the loss network") from None
    outputs, inputs, kernel, _ = weight.shape
    mode: Literal["reflect", "zeros"] = "reflect" if reflection else "zeros"
    layer = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=padding, padding_mode=mode)
    layer.load_state_dict({"weight": weight, "bias": bias})
    return layer
