"""Optimize a picture from coarse to fine, towards one or several paintings."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor

from models.optimize.descent import HISTORY, Step, descend
from models.optimize.features import ALIGNMENT, Features
from models.optimize.loss import PictureLoss, PixelLoss, image_grams
from models.optimize.settings import OptimizeSettings, octave_sizes, octave_steps
from models.optimize.sizes import extended, full_size, resampled, resized
from models.training.data.content import style_image_at
from models.training.losses.loss_network import LossNetwork

SMALLEST_PX = 64
"""Short side up to which pictures are extended, as the deepest features need some pixels."""

NOISE_MEAN, NOISE_DEVIATION = 0.5, 0.15

PIXEL_COPIES = 12
"""Images in float32 that the losses of pixels and the optimizer take besides its history."""

FEWEST_REMEMBERED = 4
"""Steps that L-BFGS remembers however little memory there is."""

Start = Literal["content", "noise"]


@dataclass(frozen=True, slots=True)
class Painting:
    """A style image.

    Attributes:
        image: ``(3, H, W)`` uint8 RGB, any size.
        weight: how much its Gram matrices count beside those of other paintings.
    """

    image: Tensor
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Report:
    """A step of the optimization.

    Attributes:
        size: height and width at this moment.
        step: counted from 1 within this size.
        progress: of the whole, in [0, 1].
        losses: weighted, by name.
        image: ``(1, 3, h, w)`` in [0, 1], at this size.
        reason: why this size ends here; empty before its last step.
    """

    size: tuple[int, int]
    step: int
    progress: float
    losses: Mapping[str, float]
    image: Tensor
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Optimized:
    """The result.

    Attributes:
        image: ``(1, 3, H, W)`` float32 in [0, 1].
        losses: weighted, by name, at the final size.
        steps: of all sizes.
        reason: why the final size ended.
    """

    image: Tensor
    losses: Mapping[str, float]
    steps: int
    reason: str

    @property
    def total(self) -> float:
        """The sum of the losses."""
        return sum(self.losses.values())


class PictureOptimizer:
    """Optimizes pictures towards the same paintings.

    Args:
        networks: compute the features; an imitation stands in for layers that the others lack.
        paintings: at least one.
        settings: losses and optimizer.
        device: where the networks are.
        bound_bytes: memory that may be taken; None for any.
        is_periodic: whether pictures continue at the opposite side; their sides must be multiples of
            `models.optimize.features.ALIGNMENT` at each size then.

    Attributes:
        features: computes the features.
        settings: as above.

    Raises:
        ValueError: there is no painting, or no network has one of the layers.
    """

    def __init__(
        self,
        networks: Sequence[LossNetwork],
        paintings: Sequence[Painting],
        settings: OptimizeSettings,
        *,
        device: torch.device | str = "cpu",
        bound_bytes: float | None = None,
        is_periodic: bool = False,
    ) -> None:
        if not paintings or not sum(painting.weight for painting in paintings) > 0:
            raise ValueError("at least one painting with a weight above 0 is needed")
        layers = {*settings.style_layers, *(settings.content_layers if settings.content_weight else ())}
        self.settings, self.features = settings, Features(networks, sorted(layers), is_periodic=is_periodic)
        # At the border of a painting nothing continues.
        self._of_paintings = Features(networks, list(settings.style_layers))
        self._paintings, self._device, self._bound = list(paintings), torch.device(device), bound_bytes
        self._remembered_grams = lru_cache(maxsize=4)(self.target_grams)

    def run(
        self,
        content: Tensor,
        start: Tensor | Start = "content",
        report: Callable[[Report], None] = lambda report: None,
        *,
        pixel_losses: Mapping[str, PixelLoss] | None = None,
        steps: int | None = None,
    ) -> Optimized:
        """Optimize a picture.

        Args:
            content: the picture to keep, ``(1, 3, H, W)`` in [0, 1].
            start: where to start; an image ``(1, 3, H, W)`` in [0, 1] is optimized at the final size alone.
            report: called after each step.
            pixel_losses: further losses by name, for ``start`` as an image.
            steps: most steps at the first size; None for those of the settings.

        Raises:
            ValueError: the memory bound is too small.
        """
        height, width = content.shape[-2:]
        content = extended(content.to(self._device, torch.float32), SMALLEST_PX)
        if isinstance(start, Tensor):
            sizes, image = [full_size(content)], extended(start.to(self._device, torch.float32), SMALLEST_PX)
        else:
            multiple = ALIGNMENT if self.features.is_periodic else 1
            sizes = octave_sizes(*full_size(content), self.settings, multiple=multiple)
            image = content if start == "content" else self.noise(*sizes[0])
        cropped = {name: _cropped(loss, height, width) for name, loss in (pixel_losses or {}).items()}
        budgets, count, done = octave_steps(steps or self.settings.steps, len(sizes)), 0, 0.0
        shares = _shares_of_work(sizes, budgets)
        scaled = resampled if self.features.is_periodic else resized
        for size, budget, share in zip(sizes, budgets, shares, strict=True):
            loss = self.loss(scaled(content, size), cropped)
            for step in self.descend(scaled(image, size), loss, budget):
                progress = done + share * (1.0 if step.reason else step.number / budget)
                report(Report(size, step.number, min(progress, 1.0), step.losses, step.image, step.reason))
            image, count, done = step.image, count + step.number, done + share
        return Optimized(image[..., :height, :width], step.losses, count, step.reason)

    def loss(self, content: Tensor, pixel_losses: Mapping[str, PixelLoss] | None = None) -> PictureLoss:
        """Return the losses of a picture.

        Args:
            content: the picture to keep, ``(1, 3, H, W)`` in [0, 1], at least `SMALLEST_PX` high and wide.
            pixel_losses: further losses by name.

        Raises:
            ValueError: the memory bound is too small.
        """
        most_px, grams = self._most_px(content), self._remembered_grams(min(content.shape[-2:]))
        return PictureLoss(self.features, grams, content, self.settings, most_px=most_px, pixel_losses=pixel_losses)

    def descend(self, image: Tensor, loss: PictureLoss, steps: int) -> Iterator[Step]:
        """Yield the steps of the optimization of ``image`` ``(1, 3, H, W)`` at its size; see `descend`."""
        settings, history = self.settings, self._history(image)
        return descend(image, loss, method=settings.method, steps=steps, tolerance=settings.tolerance, history=history)

    def noise(self, height: int, width: int) -> Tensor:
        """Return ``(1, 3, height, width)`` of noise, the same for the same seed."""
        generator = torch.Generator().manual_seed(self.settings.seed)
        noise = NOISE_MEAN + NOISE_DEVIATION * torch.randn(1, 3, height, width, generator=generator)
        return noise.clamp(0, 1).to(self._device)

    def target_grams(self, short_px: int) -> dict[str, Tensor]:
        """Return the weighted mean of the Gram matrices of the paintings, for pictures with this short side."""
        total = sum(painting.weight for painting in self._paintings)
        means: dict[str, Tensor] = {}
        for painting in self._paintings:
            seen_px = max(round(short_px * self.settings.stroke_size), SMALLEST_PX)
            image = style_image_at(painting.image, seen_px).to(self._device)
            for name, gram in image_grams(self._of_paintings, image, self._most_px(image)).items():
                share = gram * (painting.weight / total)
                means[name] = means[name] + share if name in means else share
        return means

    def _most_px(self, image: Tensor) -> float:
        if self._bound is None:
            return float("inf")
        taken = (PIXEL_COPIES + 2 * self._history(image)) * image.numel() * image.element_size()
        return max(self._bound - taken, 0.0) / self.features.bytes_per_px

    def _history(self, image: Tensor) -> int:
        """Return how many steps L-BFGS may remember: two images each, within a third of the memory."""
        if self._bound is None:
            return HISTORY
        affordable = int(self._bound / 3 / (2 * image.numel() * image.element_size()))
        return max(min(affordable, HISTORY), FEWEST_REMEMBERED)


def optimize_image(
    content: Tensor,
    paintings: Sequence[Painting],
    networks: Sequence[LossNetwork],
    settings: OptimizeSettings | None = None,
    *,
    start: Tensor | Start = "content",
    bound_bytes: float | None = None,
    report: Callable[[Report], None] = lambda report: None,
) -> Optimized:
    """Optimize a picture towards paintings; see `PictureOptimizer`, and its method ``run``.

    Raises:
        ValueError: no network has one of the layers, there is no painting, or the memory bound is too small.
    """
    device = next(networks[0].parameters()).device
    optimizer = PictureOptimizer(
        networks, paintings, settings or OptimizeSettings(), device=device, bound_bytes=bound_bytes
    )
    return optimizer.run(content, start, report)


def between(photo: Tensor, stylized: Tensor) -> Tensor:
    """Return the mean of a photo and a network's result, ``(1, 3, H, W)`` each.

    The descent from it has the photo's detail and a part of the strokes. From the network's result alone it is slower
    after some 25 steps, as a network's artifacts are harder to remove than strokes are to add.
    """
    return (photo + stylized) / 2


def _cropped(loss: PixelLoss, height: int, width: int) -> PixelLoss:
    return lambda image: loss(image[..., :height, :width])


def _shares_of_work(sizes: Sequence[tuple[int, int]], steps: Sequence[int]) -> list[float]:
    work = [height * width * count for (height, width), count in zip(sizes, steps, strict=True)]
    return [each / sum(work) for each in work]
