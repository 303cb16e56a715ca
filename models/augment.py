"""Random styles as data augmentation, for people who train vision models.

    transforms = v2.Compose([v2.ToImage(), StyleAugment(p=0.5, stroke_size=0.5), v2.ToDtype(torch.float32, scale=True)])

A network that learns from images in many textures relies on them less: Geirhos et al., "ImageNet-trained CNNs are
biased towards texture", ICLR 2019, arXiv:1811.12231; Jackson et al., "Style Augmentation: Data Augmentation via Style
Randomization", CVPR Workshops 2019, arXiv:1809.05375.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from models.engines.engine import canvas_size
from models.frame_graph import FrameGraph, black_mask, contrast_gain, frame_statistics
from models.network import Style
from models.registry import LoadedStyle, bundled, load


@dataclass(frozen=True, slots=True)
class Draw:
    """What happens to one image.

    Attributes:
        style: index of its style; None leaves the image as it is.
        strength: in [0, 1]; 1 stylizes it fully.
    """

    style: int | None
    strength: float


class StyleAugment(v2.Transform):  # type: ignore[misc]  # torchvision has no types
    """Stylize images at random, as a transform of torchvision's v2.

    Each image of a batch has a style and a strength of its own; all frames of a video, and all images that a sample
    has beside each other, have the same. Boxes, masks and labels pass untouched: no pixel moves. Random numbers are
    those of ``torch.rand``, so ``torch.manual_seed`` and the seeds of data loader workers decide them. Runs on the
    device of the image, without gradients.

    Args:
        styles: names of bundled styles, paths of weight files, or loaded styles; None takes all bundled styles.
        p: probability in [0, 1] that an image is stylized.
        strength: least and largest strength, in [0, 1]; a number is both.
        stroke_size: above 0; 2 makes strokes twice as large. Strokes are about 10 pixels wide, so images of less than
            200 pixels need 0.5 or less, which takes four times as long.

    Raises:
        ValueError: a number is out of range, or there is no style.
        WeightsError: there is no such style.

    Shape:
        ``(..., 3, H, W)`` tensors and `tv_tensors.Image`, ``(..., T, 3, H, W)`` `tv_tensors.Video`; uint8 or another
        type of whole numbers in its full range, or floating point in [0, 1]. Type, shape and device stay the same.
    """

    _transformed_types = (F.is_pure_tensor, tv_tensors.Image, tv_tensors.Video)

    def __init__(
        self,
        styles: Sequence[str | LoadedStyle] | None = None,
        *,
        p: float = 0.5,
        strength: float | tuple[float, float] = (0.4, 1.0),
        stroke_size: float = 1.0,
    ) -> None:
        super().__init__()
        least, most = (strength, strength) if isinstance(strength, int | float) else strength
        if not 0 <= p <= 1:
            raise ValueError(f"p must be between 0 and 1, not {p}")
        if not 0 <= least <= most <= 1:
            raise ValueError(f"strength must be one or two numbers from 0 to 1, the smaller first, not {strength}")
        if not stroke_size > 0:
            raise ValueError(f"stroke_size must be above 0, not {stroke_size}")
        self.p, self.strength, self.stroke_size = p, (least, most), stroke_size
        self._styles = [
            load(each) if isinstance(each, str) else each for each in (bundled() if styles is None else styles)
        ]
        if not self._styles:
            raise ValueError("at least one style is needed")
        self.styles = tuple(each.metadata.name for each in self._styles)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw a style and a strength for each image of the largest batch."""
        if not flat_inputs:
            raise TypeError("StyleAugment needs a tensor or an Image; put v2.ToImage() before it")
        return {"draws": [self._draw() for _ in range(max(map(_count, flat_inputs)))]}

    def _draw(self) -> Draw:
        """Take three random numbers, whatever comes of them: one image must not change the draws of the next."""
        happens, which, how_much = torch.rand(3).tolist()
        least, most = self.strength
        style = min(int(which * len(self._styles)), len(self._styles) - 1) if happens < self.p else None
        return Draw(style, least + how_much * (most - least))

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Return the images ``inpt`` stylized as drawn."""
        _check(inpt)
        images = inpt.as_subclass(Tensor)
        items = images.reshape(_count(inpt), -1, *images.shape[-3:])
        chosen = [
            (draw.style, index) for index, draw in enumerate(params["draws"][: len(items)]) if draw.style is not None
        ]
        if not chosen:
            return inpt
        result = list(items)
        for style, same in groupby(sorted(chosen), key=lambda each: each[0]):
            indices = [index for _, index in same]
            strengths = [params["draws"][index].strength for index in indices]
            stylized = self._stylized(items[indices], self._styles[style], strengths)
            for index, item in zip(indices, stylized, strict=True):
                result[index] = item
        output = torch.stack(result).view_as(images)
        return output if F.is_pure_tensor(inpt) else tv_tensors.wrap(output, like=inpt)

    @torch.no_grad()
    def _stylized(self, items: Tensor, style: LoadedStyle, strengths: Sequence[float]) -> Tensor:
        """Stylize ``(N, T, 3, H, W)`` in one style, with a strength for each of the N."""
        frames = F.to_dtype(items.flatten(0, 1), torch.float32, scale=True)
        height, width = frames.shape[-2:]
        graph = FrameGraph(style.network, canvas_size(height, width, self.stroke_size))
        parameters = Style.of([tensor.to(frames.device) for tensor in style.style.tensors()])
        stylized, _ = graph.run_network(frames, parameters)
        strength = frames.new_tensor(strengths).repeat_interleave(items.shape[1])
        contrast = contrast_gain(frame_statistics(frames.mean(dim=(2, 3)), frames.square().mean(dim=(2, 3))))
        amount = (strength[:, None] * contrast)[..., None, None] * black_mask(
            graph.block_light(frames), (height, width)
        )[:, None]
        result: Tensor = F.to_dtype(torch.lerp(frames, stylized, amount), items.dtype, scale=True).view_as(items)
        return result


def _count(images: Tensor) -> int:
    """Return how many draws the images need: one for each image of a batch, one for a video."""
    leading = images.shape[:-4] if isinstance(images, tv_tensors.Video) else images.shape[:-3]
    return leading.numel()


def _check(images: Tensor) -> None:
    if images.dim() < 3 or images.shape[-3] != 3:
        raise ValueError(
            f"images must be (..., 3, height, width), not {tuple(images.shape)}; v2.RGB() makes three channels"
        )
    if images.is_floating_point() and images.numel() and not (images.amin() >= 0 and images.amax() <= 1):
        raise ValueError("images must be in [0, 1]; put StyleAugment before v2.Normalize()")
