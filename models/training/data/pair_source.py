"""Pairs of frames to train on: photos that are moved, and crops of real clips."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from models.training.data.content import central_crops, random_crops, split
from models.training.data.pairs import ClipPair, FramePairs, clip_crops
from models.training.data.synthetic_motion import MARGIN_PX, MotionConfig, moved_pairs


class PairConfig(Protocol):
    """What a training says about its pairs.

    Attributes:
        crop_px: side of a crop, in pixels.
        batch: pairs to draw at once.
        clip_share: share of the draws that are of clips, 0 to 1.
    """

    @property
    def crop_px(self) -> int: ...  # noqa: D102 - see the class

    @property
    def batch(self) -> int: ...  # noqa: D102

    @property
    def clip_share(self) -> float: ...  # noqa: D102


class PairSource:
    """Draws pairs of frames, and holds out some photos for validation.

    Args:
        content: ``(3, H, W)`` uint8 images.
        clips: pairs of consecutive frames of real clips.
        config: of the training.
        generator: on the CPU; the only source of randomness. Decides which photos are held out, too.
        device: of the pairs.
        motion: how photos are moved.

    Attributes:
        held_out: photos that no pair is drawn from.

    Raises:
        ValueError: fewer than two photos.
    """

    def __init__(
        self,
        content: Sequence[Tensor],
        clips: Sequence[ClipPair],
        config: PairConfig,
        *,
        generator: torch.Generator,
        device: torch.device,
        motion: MotionConfig | None = None,
    ) -> None:
        train, self.held_out = split(content, generator)
        self._train = [image.to(device) for image in train]
        self._clips = list(clips)
        self._crop_px, self._batch, self._clip_share = config.crop_px, config.batch, config.clip_share
        self._generator, self._device = generator, device
        self._motion = motion or MotionConfig()
        self._source_px = config.crop_px + 2 * MARGIN_PX

    def draw(self) -> FramePairs:
        """Draw a batch."""
        if self._clips and float(torch.rand((), generator=self._generator)) < self._clip_share:
            pairs = clip_crops(self._clips, self._batch, self._crop_px, self._generator)
            return FramePairs(*(tensor.to(self._device) for tensor in pairs.tensors()))
        crops = random_crops(self._train, self._batch, self._source_px, self._generator)
        return self._moved(crops, int(torch.randint(2**31, (), generator=self._generator)))

    def validation(self, count: int, seed: int) -> FramePairs:
        """Return pairs of at most ``count`` held-out photos, moved as ``seed`` decides."""
        return self._moved(central_crops(self.held_out[:count], self._source_px), seed)

    def _moved(self, crops: Tensor, seed: int) -> FramePairs:
        """Move crops, the next one passing over each; random numbers are drawn on the device."""
        generator = torch.Generator(self._device).manual_seed(seed)
        crops = crops.to(self._device)
        return moved_pairs(crops, crops.roll(1, 0), generator, self._motion)
