"""Features or images of which only some rows are in memory at a time."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from models.frame_graph import resize_mode, with_details
from models.layers import Affine, normalize

Rows = Callable[[int, int], Tensor]
"""``(first, last) -> (1, C, last - first, W)``: some rows of features or of an image."""

RESAMPLING_MARGIN = 3
"""Rows on each side that bicubic sampling or area averaging may use beyond those it covers."""


@dataclass(frozen=True, slots=True)
class LazyFeatures:
    """An image, or the features after a layer, computed or read a few rows at a time.

    Attributes:
        rows: computes or reads some rows.
        height: in rows.
        width: in pixels.
        buffer: all rows in memory, before their normalization; None if they are computed on each access.
    """

    rows: Rows
    height: int
    width: int
    buffer: Tensor | None = None

    def with_border(self, first: int, last: int, mode: str) -> Tensor:
        """Return rows that may lie beyond the border, padded there as `torch.nn.functional.pad` does in ``mode``."""
        above, below = max(-first, 0), max(last - self.height, 0)
        rows = self.rows(first + above, last - below)
        return F.pad(rows, (0, 0, above, below), mode=mode) if above or below else rows


def buffered(buffer: Tensor, affine: Affine | None = None) -> LazyFeatures:
    """Return the features in ``buffer``; with ``affine``, normalization and ReLU are applied on each access."""

    def rows(first: int, last: int) -> Tensor:
        raw = buffer[:, :, first:last]
        return raw if affine is None else F.relu(normalize(raw, affine))

    return LazyFeatures(rows, buffer.shape[-2], buffer.shape[-1], buffer)


def cropped(image: LazyFeatures, height: int, width: int) -> LazyFeatures:
    """Return the upper left part of an image."""
    return LazyFeatures(lambda first, last: image.rows(first, last)[..., :width], height, width)


def resized(image: LazyFeatures, size: Sequence[int]) -> LazyFeatures:
    """Apply `models.frame_graph.resize`."""
    old = (image.height, image.width)
    if tuple(size) == old:
        return image
    mode = resize_mode(old, size)
    result = resampled(image, size, mode)
    if mode == "area":
        return result
    return LazyFeatures(lambda first, last: result.rows(first, last).clamp(0, 1), result.height, result.width)


def detailed(stylized: LazyFeatures, frame: LazyFeatures, smooth: LazyFeatures) -> LazyFeatures:
    """Apply `models.frame_graph.with_details`."""

    def rows(first: int, last: int) -> Tensor:
        return with_details(stylized.rows(first, last).float(), frame.rows(first, last), smooth.rows(first, last))

    return LazyFeatures(rows, stylized.height, stylized.width)


def resampled(image: LazyFeatures, size: Sequence[int], mode: str) -> LazyFeatures:
    """Apply `torch.nn.functional.interpolate`.

    The weights of the rows are measured by calling that function on single rows.
    """
    height, width = size

    def rows(first: int, last: int) -> Tensor:
        scale = image.height / height
        start = max(math.floor(first * scale) - RESAMPLING_MARGIN, 0)
        end = min(math.ceil(last * scale) + RESAMPLING_MARGIN, image.height)
        source = image.rows(start, end).float()
        single = source.new_zeros(1, 1, image.height, end - start)
        single[0, 0, start:end].fill_diagonal_(1)
        weights = _interpolate(single, (height, end - start), mode)[0, 0, first:last]
        wide = _interpolate(source, (end - start, width), mode)
        return torch.einsum("oi,nciw->ncow", weights, wide)

    return LazyFeatures(rows, height, width)


def _interpolate(image: Tensor, size: tuple[int, int], mode: str) -> Tensor:
    return F.interpolate(image, size, mode=mode, align_corners=None if mode == "area" else False)
