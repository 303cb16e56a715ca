"""The features that the losses of a picture compare, from one or several loss networks."""

from collections.abc import Collection, Sequence

from torch import Tensor, nn

from models.training.losses.loss_network import LossNetwork

CONVOLUTIONS = (2, 2, 4, 4, 4)
"""Convolutions of VGG-19 before each pooling."""

ALIGNMENT = 16
"""Images are cut at multiples of this: the distance in pixels of neighboring features at the deepest layers."""

COPIES = 3.2
"""Tensors for each feature map while its gradient is computed, measured: itself, its padded input, the gradient."""


class Features:
    """Computes named features, each by the first network that has it; imitations come last.

    Args:
        networks: at least one.
        layers: names of VGG-19's features, such as ``relu4_2``.
        is_periodic: whether images continue at the opposite side; their sides must be multiples of `ALIGNMENT`.

    Attributes:
        stand_ins: names of the layers that an imitation computes, by its name.
        halo_px: how far features see beyond a cut through the image, a multiple of `ALIGNMENT`.

    Raises:
        ValueError: no network has one of the layers.
    """

    def __init__(self, networks: Sequence[LossNetwork], layers: Collection[str], *, is_periodic: bool = False) -> None:
        ordered = sorted(networks, key=lambda network: network.is_imitation)
        missing, self._parts = list(layers), []
        self.stand_ins: dict[str, list[str]] = {}
        for network in ordered:
            found = [layer for layer in missing if layer in network.stages]
            missing = [layer for layer in missing if layer not in found]
            if found:
                self._parts.append((network.circular() if is_periodic else network, found))
                if network.is_imitation:
                    self.stand_ins[network.name] = found
        if missing:
            known = sorted({name for network in networks for name in network.stages})
            raise ValueError(f"no loss network has {', '.join(missing)}; there are {', '.join(known)}")
        self.is_periodic = is_periodic
        self.halo_px = -(-max(map(_reach_px, layers)) // ALIGNMENT) * ALIGNMENT

    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        """Return the features ``(N, C, h, w)`` of ``(N, 3, H, W)`` RGB in [0, 1] by layer."""
        return {name: value for network, names in self._parts for name, value in network(images, names).items()}

    @property
    def bytes_per_px(self) -> float:
        """Memory that the gradient of an image takes at most, for each of its pixels."""
        return COPIES * sum(_bytes_per_px(network, names) for network, names in self._parts)


def stride_px(layer: str) -> int:
    """Return the distance of neighboring features of a layer, in pixels of the image."""
    return 1 << (_place(layer)[0] - 1)


def _place(layer: str) -> tuple[int, int]:
    depth, _, place = layer.removeprefix("relu").partition("_")
    return int(depth), int(place)


def _reach_px(layer: str) -> int:
    """Return the radius of what a feature sees: each 3x3 kernel adds a stride, each pooling less than one."""
    depth, place = _place(layer)
    counts = (*CONVOLUTIONS[: depth - 1], place)
    return sum(count << level for level, count in enumerate(counts)) + (1 << (depth - 1)) - 1


def _bytes_per_px(network: LossNetwork, names: Collection[str]) -> float:
    last = max(list(network.stages).index(name) for name in names)
    total = 0.0
    for name in list(network.stages)[: last + 1]:
        convolutions = [m for m in network.stages[name].modules() if isinstance(m, nn.Conv2d)]
        total += sum(m.out_channels for m in convolutions) * network.dtype.itemsize / stride_px(name) ** 2
    return total
