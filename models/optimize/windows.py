"""Parts of an image whose features are computed one after another, so that memory stays bounded."""

from dataclasses import dataclass

import torch
from torch import Tensor

from models.optimize.features import ALIGNMENT, stride_px

SMALLEST_WINDOW_PX = 64


@dataclass(frozen=True, slots=True)
class Span:
    """Rows or columns of an image.

    Attributes:
        start: first one that counts, a multiple of `ALIGNMENT`.
        stop: the one after the last that counts.
        before: how many more are seen before.
        after: how many more are seen after.
        is_last: whether the image ends here and does not continue.
    """

    start: int
    stop: int
    before: int
    after: int
    is_last: bool

    def indices(self, size: int, device: torch.device) -> Tensor:
        """Return the rows or columns that are seen; those beyond the image are those of the opposite side."""
        return torch.arange(self.start - self.before, self.stop + self.after, device=device) % size

    def counted(self, layer: str) -> slice:
        """Return which of the features count of what is seen."""
        stride = stride_px(layer)
        end = None if self.is_last else (self.before + self.stop - self.start) // stride
        return slice(self.before // stride, end)


@dataclass(frozen=True, slots=True)
class Window:
    """A part of an image, with the surroundings that its features see."""

    rows: Span
    columns: Span

    def cut(self, image: Tensor) -> Tensor:
        """Return what is seen of ``(N, C, H, W)``."""
        rows, columns = (
            span.indices(size, image.device)
            for span, size in zip((self.rows, self.columns), image.shape[-2:], strict=True)
        )
        return image.index_select(2, rows).index_select(3, columns)

    def add(self, part: Tensor, image: Tensor) -> None:
        """Add what is seen to ``image``; the inverse of `cut` for gradients."""
        rows = self.rows.indices(image.shape[2], image.device)
        columns = self.columns.indices(image.shape[3], image.device)
        wide = part.new_zeros((*part.shape[:3], image.shape[3])).index_add_(3, columns, part)
        image.index_add_(2, rows, wide)

    def counted(self, features: Tensor, layer: str) -> Tensor:
        """Return the features ``(N, C, h, w)`` of this window, without those of its surroundings."""
        return features[..., self.rows.counted(layer), self.columns.counted(layer)]


def plan_windows(height: int, width: int, *, halo_px: int, most_px: float, is_periodic: bool) -> list[Window]:
    """Return windows that cover an image, each with its surroundings of at most ``most_px`` pixels.

    Raises:
        ValueError: the smallest windows are larger.
    """
    if height * width <= most_px:
        whole = (Span(0, size, 0, 0, is_last=True) for size in (height, width))
        return [Window(*whole)]
    side = int(most_px**0.5) - 2 * halo_px
    if side < SMALLEST_WINDOW_PX:
        raise ValueError(f"{SMALLEST_WINDOW_PX + 2 * halo_px} px squared must fit, {most_px:.0f} pixels do")
    rows, columns = (_spans(size, side, halo_px, is_periodic) for size in (height, width))
    return [Window(row, column) for row in rows for column in columns]


def _spans(size: int, side: int, halo_px: int, is_periodic: bool) -> list[Span]:
    count = -(-size // (side // ALIGNMENT * ALIGNMENT))
    step = -(-size // (count * ALIGNMENT)) * ALIGNMENT
    spans = []
    for start in range(0, size, step):
        stop = min(start + step, size)
        before, after = (halo_px, halo_px) if is_periodic else (min(halo_px, start), min(halo_px, size - stop))
        spans.append(Span(start, stop, before, after, is_last=not is_periodic and stop == size))
    return spans
