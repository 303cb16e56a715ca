"""The style predictor: from the description of a picture, and two dials, to the parameters of a style."""

import math
from collections.abc import Sequence
from itertools import accumulate, pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.network import Architecture, Style, StyleNetwork
from models.predictor.colors import COLOR_NUMBERS, color_map, color_moments, logits
from models.predictor.encoder import PictureEncoder
from models.registry import LoadedStyle, StyleMetadata

HIDDEN = 192
"""Width of the layers between the description and the style."""

DIRECTIONS = 32
"""Learned updates of rank one of each convolution, of which a style is a mixture."""

LARGEST_INPUT = 4.0
"""Deviations from the mean picture to which a description is limited: strange pictures stay near known ones."""

SMALLEST_SPREAD = 0.02
"""Of a number of the style vector, where the known styles agree; it could not be learned otherwise."""

PAINT_RANGE = STILLNESS_RANGE = (0.25, 4.0)
"""Of the dials; beyond, the predictor has seen nothing."""


class StylePredictor(nn.Module):
    """Predict the style of a picture; runs once for a picture.

    Ghiasi et al., "Exploring the structure of a real-time, arbitrary neural artistic stylization network", BMVC 2017,
    arXiv:1705.06830, predict scale and shift of conditional instance normalization (Dumoulin et al., ICLR 2017,
    arXiv:1610.07629). Here also: the last convolution, which `color_map` moves to the colors of the picture, and for
    all other convolutions a mixture of learned updates of rank one, folded into the weights once. The weights of the
    losses are inputs: Babaeizadeh & Ghiasi, "Adjustable Real-time Style Transfer", ICLR 2020, arXiv:1811.08560.

    Args:
        architecture: of the network to predict for.
        hidden: width of the layers between the description and the style.
        directions: updates of each convolution.

    Shape:
        a description ``(D,)`` of `describe` and dials ``(2,)`` in; a `Style` out, differentiable.

    Attributes:
        network: to predict for.
        encoder: describes pictures; frozen.
        trunk: convolutions that all styles share, before the updates.
        center: ``(V,)`` vectors of the style it starts from: scale, shift, weight and bias, flattened.
    """

    def __init__(
        self, architecture: Architecture | None = None, *, hidden: int = HIDDEN, directions: int = DIRECTIONS
    ) -> None:
        super().__init__()
        self.network = StyleNetwork(architecture or Architecture())
        self.hidden, self.directions = hidden, directions
        self.encoder = PictureEncoder()
        *kernels, self._scale, self._shift, self._weight, self._bias = self.network.shapes()
        self.trunk = nn.ParameterList(torch.zeros(shape) for shape in kernels)
        self.left = nn.ParameterList(torch.randn(directions, shape[0]) for shape in kernels)
        self.right = nn.ParameterList(torch.randn(directions, math.prod(shape[1:])) for shape in kernels)
        vectors = sum(math.prod(shape) for shape in self._vector_shapes)
        self.center = nn.Parameter(torch.zeros(vectors))
        self.register_buffer("spread", torch.ones(vectors))
        described = self.encoder.size + COLOR_NUMBERS
        self.register_buffer("input_mean", torch.zeros(described))
        self.register_buffer("input_deviation", torch.ones(described))
        self.register_buffer("colors", torch.cat((torch.zeros(3), torch.eye(3).flatten())))
        self.first, self.first_dials = nn.Linear(described, hidden), nn.Linear(2, hidden, bias=False)
        self.second, self.second_dials = nn.Linear(hidden, hidden), nn.Linear(2, hidden, bias=False)
        self.last = nn.Linear(hidden, vectors + directions * len(kernels))
        for parameter in self.last.parameters():
            nn.init.zeros_(parameter)  # starts at the center

    @property
    def _vector_shapes(self) -> tuple[tuple[int, ...], ...]:
        return self._scale, self._shift, self._weight, self._bias

    @torch.no_grad()
    def start_from(self, center: Style, styles: Sequence[Style]) -> None:
        """Start at a known style; the spread of others scales what is predicted, their differences the updates.

        Args:
            center: what is predicted before anything is learned.
            styles: related ones, see `models.blend.check_related`.
        """
        vectors = torch.stack([_vector(style) for style in styles])
        self.center.copy_(_vector(center))
        self.get_buffer("spread").copy_(vectors.std(dim=0, correction=0).clamp_min(SMALLEST_SPREAD))
        for index, (kernel, left, right) in enumerate(zip(self.trunk, self.left, self.right, strict=True)):
            kernels = torch.stack([style.convolutions[index] for style in styles]).flatten(2)
            kernel.copy_(center.convolutions[index])
            common = kernel.flatten(1)
            _start_directions(left, right, kernels - common, common)

    @torch.no_grad()
    def learn_inputs(self, descriptions: Tensor) -> None:
        """Take mean and deviation of ``(N, D)`` descriptions of many pictures, to which all others are compared."""
        deviation, mean = torch.std_mean(descriptions, dim=0, correction=0)
        self.get_buffer("input_mean").copy_(mean)
        self.get_buffer("input_deviation").copy_(deviation.clamp_min(1e-4))

    @torch.no_grad()
    def learn_colors(self, frames: Tensor) -> None:
        """Take the colors that the center gives ``(N, 3, H, W)`` frames in [0, 1]: where `color_map` starts."""
        center = Style(tuple(self.trunk), *self._split(self.center))
        stylized = torch.cat([self.network(frame, center)[0].float() for frame in torch.split(frames, 1)])
        self.get_buffer("colors").copy_(color_moments(logits(stylized)))

    @property
    def is_new(self) -> bool:
        """Whether it has neither learned nor been loaded."""
        return not bool(self.get_buffer("input_mean").any())

    def describe(self, pictures: Tensor) -> Tensor:
        """Return the description ``(D,)`` of ``(K, 3, H, W)`` pictures of one style in [0, 1]: colors come last."""
        return torch.cat((self.encoder(pictures), color_moments(logits(pictures))))

    def forward(self, description: Tensor, dials: Tensor) -> Style:
        """Return the style of a picture.

        Args:
            description: ``(D,)`` of `describe`.
            dials: ``(2,)``, log2 of paint and of stillness; see `predict`.
        """
        seen = (description - self.get_buffer("input_mean")) / self.get_buffer("input_deviation")
        x = F.gelu(self.first(seen.clamp(-LARGEST_INPUT, LARGEST_INPUT)) + self.first_dials(dials))
        x = F.gelu(self.second(x) + self.second_dials(dials)) + x
        predicted = self.last(x)
        vectors = len(self.center)
        flat = self.center + self.get_buffer("spread") * predicted[:vectors]
        mixtures = predicted[vectors:].view(len(self.trunk), self.directions)
        parts = zip(self.trunk, mixtures, self.left, self.right, strict=True)
        scale, shift, weight, bias = self._split(flat)
        matrix, offset = color_map(self.get_buffer("colors"), description[-COLOR_NUMBERS:])
        colored = (matrix @ weight.flatten(1)).view_as(weight), matrix @ bias + offset
        return Style(tuple(_updated(*part) for part in parts), scale, shift, *colored)

    def _split(self, flat: Tensor) -> list[Tensor]:
        shapes = self._vector_shapes
        ends = accumulate((math.prod(shape) for shape in shapes), initial=0)
        return [flat[a:b].view(shape) for (a, b), shape in zip(pairwise(ends), shapes, strict=True)]

    @torch.no_grad()
    def predict(self, pictures: Tensor, *, paint: float = 1.0, stillness: float = 1.0, name: str) -> LoadedStyle:
        """Return the style of pictures: one as any other, which can be stored, blended and faded.

        Args:
            pictures: ``(K, 3, H, W)`` in [0, 1], usually one, at the size that decides how large strokes are.
            paint: weight of the style in the losses, in `PAINT_RANGE`; 2 doubles it.
            stillness: weight of the stability in the losses, in `STILLNESS_RANGE`.
            name: of the style.

        Raises:
            ValueError: a dial is out of range.
        """
        for dial, value, (least, most) in (("paint", paint, PAINT_RANGE), ("stillness", stillness, STILLNESS_RANGE)):
            if not least <= value <= most:
                raise ValueError(f"{dial} must be from {least:g} to {most:g}, not {value}")
        dials = self.center.new_tensor((math.log2(paint), math.log2(stillness)))
        style: Style = self(self.describe(pictures.to(self.center.device)), dials)
        tensors = [tensor.detach().float().cpu().contiguous() for tensor in style.tensors()]
        return LoadedStyle(self.network, Style.of(tensors), StyleMetadata(name, licence="that of the picture"))


def _vector(style: Style) -> Tensor:
    return torch.cat([values.flatten() for values in style.tensors()[-4:]])


def _updated(kernel: Tensor, mixture: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """Return a kernel ``(O, I, k, k)`` plus updates ``left[r] right[r]^T``, each times ``mixture[r]``."""
    update = (left * mixture[:, None]).T @ right
    return (kernel + update.view(kernel.shape)).contiguous(memory_format=torch.channels_last)


def _start_directions(left: Tensor, right: Tensor, differences: Tensor, common: Tensor) -> None:
    """Fill ``left`` and ``right`` with the main directions in which known kernels differ, then with random ones.

    Args:
        left: ``(R, O)``.
        right: ``(R, I k k)``.
        differences: ``(S, O, I k k)`` of S kernels from the common one.
        common: ``(O, I k k)``.
    """
    size = common.norm()
    apart = [each for each in differences if each.norm() > 0.02 * size]
    for each in (left, right):  # a mixture of 1 changes the kernel by a tenth
        each.copy_(F.normalize(torch.randn_like(each), dim=1) * (0.1 * size).sqrt())
    share = min(len(left) // (2 * max(len(apart), 1)), *common.shape)
    for index, each in enumerate(apart[: len(left) // 2]):
        u, s, v = torch.linalg.svd(each, full_matrices=False)
        rows = slice(index * max(share, 1), (index + 1) * max(share, 1))
        count = max(share, 1)
        left[rows], right[rows] = (u[:, :count] * s[:count].sqrt()).T, v[:count] * s[:count].sqrt()[:, None]
