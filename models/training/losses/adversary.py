"""Adversarial loss: a network learns to tell crops of the style image from stylized frames, and styles to deceive it.

Li & Wand, "Precomputed Real-Time Texture Synthesis with Markovian Generative Adversarial Networks", ECCV 2016,
arXiv:1604.04382; the scores of patches as in Isola et al., "Image-to-Image Translation with Conditional Adversarial
Networks", CVPR 2017, arXiv:1611.07004; spectral normalization and the hinge loss as in Miyato et al., ICLR 2018,
arXiv:1802.05957.

Gram matrices of fixed features forget where things are; a patch is judged as a whole, by features that look for
whatever still differs.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from models.training.optimizer_state import below, load_optimizer, optimizer_tensors

WIDTHS = (3, 32, 64, 128)
PATCH_PX = 46
"""Side of what a score sees: strokes, but no composition."""

LEARNING_RATE = 4e-4
"""Constant, and larger than that of the styles near the end, so that the discriminator keeps up: Heusel et al., "GANs
Trained by a Two Time-Scale Update Rule", NIPS 2017, arXiv:1706.08500."""

_WEIGHTS, _OPTIMIZER = "adversary.weights.", "adversary."


class PatchDiscriminator(nn.Module):
    """Scores overlapping patches of an image: above 0 for parts of the style image, below 0 for stylized frames.

    Shape:
        ``(N, 3, H, W)`` in [0, 1], H and W at least `PATCH_PX`, to ``(N, 1, h, w)``.
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(WIDTHS):
            layers += [spectral_norm(nn.Conv2d(inputs, outputs, 4, 2, 1)), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, spectral_norm(nn.Conv2d(WIDTHS[-1], 1, 4, 1, 1)))

    def forward(self, images: Tensor) -> Tensor:
        """Return the scores of the patches."""
        scores: Tensor = self.layers(2 * images - 1)
        return scores


class Adversary:
    """A discriminator for each style, and its training.

    Args:
        style_images: ``(K, 3, H, W)`` float32 in [0, 1] each: K images of one style.
        device: where to train.
        generator: on the CPU; draws the crops of the style images.
        seed: of the initial weights.
        uses_autocast: whether to run in bfloat16.

    Raises:
        ValueError: a style image is smaller than a patch.
    """

    def __init__(
        self,
        style_images: Sequence[Tensor],
        device: torch.device,
        generator: torch.Generator,
        *,
        seed: int,
        uses_autocast: bool,
    ) -> None:
        for image in style_images:
            if min(image.shape[-2:]) < PATCH_PX:
                raise ValueError(
                    f"a style image of {image.shape[-1]}x{image.shape[-2]} px is smaller than {PATCH_PX} px"
                )
        self._images = [image.to(device) for image in style_images]
        self._generator, self._device, self._uses_autocast = generator, device, uses_autocast
        with torch.random.fork_rng([]):
            torch.manual_seed(seed)
            self.discriminators = nn.ModuleList(PatchDiscriminator() for _ in style_images).to(device)
        self._optimizer = torch.optim.Adam(self.discriminators.parameters(), LEARNING_RATE, betas=(0.5, 0.99))

    def loss(self, stylized: Tensor, index: int) -> Tensor:
        """Return how far the discriminator is from taking frames ``(N, 3, H, W)`` for the style at ``index``.

        A scalar: minus the mean score. Its gradients reach the frames alone, and nothing of the adversary changes.
        """
        self.discriminators.eval().requires_grad_(False)
        return -self._scores(stylized, index).mean()

    def learn(self, stylized: Tensor, index: int) -> float:
        """Take one step: crops of the style image against stylized frames; return the hinge loss before it."""
        self.discriminators.train().requires_grad_(True)
        ours, theirs = self._scores(self._crops(index, stylized), index), self._scores(stylized.detach(), index)
        loss = F.relu(1 - ours).mean() + F.relu(1 + theirs).mean()
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        return float(loss.detach())

    def _scores(self, images: Tensor, index: int) -> Tensor:
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._uses_autocast):
            scores: Tensor = self.discriminators[index](images)
        return scores.float()

    def _crops(self, index: int, frames: Tensor) -> Tensor:
        """Return as many crops of the style image as there are frames, of their size, or of the image's if smaller."""
        images = self._images[index]
        height, width = (min(sides) for sides in zip(images.shape[-2:], frames.shape[-2:], strict=True))
        crops = []
        for _ in range(len(frames)):
            image = images[self._draw(len(images))]
            top, left = self._draw(image.shape[-2] - height + 1), self._draw(image.shape[-1] - width + 1)
            crops.append(image[:, top : top + height, left : left + width])
        return torch.stack(crops)

    def _draw(self, count: int) -> int:
        return int(torch.randint(count, (), generator=self._generator))

    def tensors(self) -> dict[str, Tensor]:
        """Return what a checkpoint stores, by name."""
        weights = {f"{_WEIGHTS}{name}": tensor for name, tensor in self.discriminators.state_dict().items()}
        return weights | {f"{_OPTIMIZER}{name}": tensor for name, tensor in optimizer_tensors(self._optimizer).items()}

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore `tensors`; others do not count.

        Raises:
            ValueError: they do not fit, or some are missing.
            RuntimeError: the same, of the weights.
        """
        self.discriminators.load_state_dict(below(_WEIGHTS, tensors))
        load_optimizer(self._optimizer, below(_OPTIMIZER, tensors))
