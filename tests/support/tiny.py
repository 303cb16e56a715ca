"""Tiny inputs for training: a network, a loss network with random weights, synthetic images."""

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.models import vgg

from models.network import Architecture
from models.training.losses.loss_network import LossNetwork, load_loss_network

TINY = Architecture(widths=(4, 6, 8), blocks=1, kernel=3)


def loss_state() -> dict[str, Tensor]:
    """Random weights with the keys of the normalised VGG-19 and a few channels."""
    generator = torch.Generator().manual_seed(0)
    state = {}
    for index, (inputs, outputs) in {0: (3, 4), 2: (4, 4), 5: (4, 6), 7: (6, 6), 10: (6, 8)}.items():
        state[f"features.{index}.weight"] = torch.randn(outputs, inputs, 3, 3, generator=generator) * inputs**-0.5 / 2
        state[f"features.{index}.bias"] = 0.1 * torch.rand(outputs, generator=generator)
    return state


def torchvision_vgg19_state() -> dict[str, Tensor]:
    """Random weights with the keys of torchvision's VGG-19, and an eighth of its channels."""
    widths = [width if isinstance(width, str) else width // 8 for width in vgg.cfgs["E"]]
    generator = torch.Generator().manual_seed(0)
    state = {f"features.{name}": tensor for name, tensor in vgg.make_layers(widths).state_dict().items()}
    for tensor in state.values():
        deviation = (2 / tensor[0].numel()) ** 0.5 if tensor.dim() > 1 else 0.1
        tensor.copy_(torch.randn(tensor.shape, generator=generator) * deviation)
    return state


def loss_network() -> LossNetwork:
    """The loss network of `loss_state`; its deepest features count as the structure."""
    network = load_loss_network(loss_state())
    network.layers = replace(network.layers, structure=("relu3_1",))
    return network


def photos(count: int, *, height: int = 70, width: int = 90) -> list[Tensor]:
    """``(3, H, W)`` uint8 each: soft blobs of color; the red of the top left pixel is the number of the photo."""
    pixels = (blobs(count, height, width, seed=5) * 255).to(torch.uint8)
    pixels[:, 0, 0, 0] = torch.arange(count)
    return list(pixels)


def blobs(count: int, height: int, width: int, *, seed: int = 0) -> Tensor:
    """Soft blobs of color, ``(count, 3, height, width)`` float32 in [0, 1]: smooth enough to be warped exactly."""
    coarse = torch.rand(count, 3, 5, 6, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(coarse, size=(height, width), mode="bicubic").clamp(0, 1)


def stripes(height: int = 80, width: int = 96) -> Tensor:
    """A style image ``(3, H, W)`` uint8: diagonal stripes of red and yellow."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    stripe = ((rows + columns) // 5 % 2 * 255).to(torch.uint8)
    return torch.stack((torch.full_like(stripe, 250), stripe, torch.zeros_like(stripe)))
