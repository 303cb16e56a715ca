"""Two convolutions of the decoder as fused kernels: exact, with fewer multiplications.

Both are reparameterized from the stored weights inside the graph, so training and weight files know nothing of them. On
a CPU they save a quarter of the time per frame: see docs/decisions/network.md.
"""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

OFFSETS = ((0, 0), (0, 1), (1, 0), (1, 1))
"""Row and column of each pixel in a block of two by two."""


def reflect(x: Tensor, margin: int, *, rows: bool = True) -> Tensor:
    """Mirror ``(N, C, H, W)`` by ``margin`` pixels at each border; at the left and right only if not ``rows``."""
    return _pad(x, margin, margin if rows else 0, "reflect") if margin else x


def repeat_edge(x: Tensor, *, rows: bool = True) -> Tensor:
    """Repeat the border pixels of ``(N, C, H, W)`` once on each side; at the left and right only if not ``rows``."""
    return _pad(x, 1, int(rows), "replicate")


def _pad(x: Tensor, columns: int, rows: int, mode: Literal["reflect", "replicate"]) -> Tensor:
    if not x.requires_grad:
        return F.pad(x, (columns, columns, rows, rows), mode=mode)
    # torch.compile's gradients of F.pad are wrong: those of "reflect" behind a normalization in bfloat16, and those of
    # "replicate" have a memory format that it does not expect.
    for dim, margin in ((3, columns), (2, rows)):
        x = _concatenate_border(x, dim, margin, is_mirrored=mode == "reflect")
    return x


def _concatenate_border(x: Tensor, dim: int, margin: int, *, is_mirrored: bool) -> Tensor:
    if not margin:
        return x
    size = x.shape[dim]
    before = range(margin, 0, -1) if is_mirrored else (0,) * margin
    after = range(size - 2, size - 2 - margin, -1) if is_mirrored else (size - 1,) * margin
    first, last = ([x.narrow(dim, index, 1) for index in indices] for indices in (before, after))
    return torch.cat((*first, x, *last), dim=dim)


def upsample_convolve(x: Tensor, weight: Tensor, *, rows: bool = True) -> Tensor:
    """Upsample by 2 and convolve, as one transposed convolution.

    Equals ``conv2d(reflect(interpolate(x, scale_factor=2, mode="nearest"), 1), weight)``. Each output pixel depends on
    two by two input pixels only, so kernel taps that fall on the same input pixel add up. The transposed kernel is the
    sum of the 3x3 kernel shifted to the four copies of a pixel. Its overlap is even, so it makes no checkerboards.
    Mirroring the enlarged image by one pixel is repeating the edge of the small one.

    Args:
        x: ``(N, C, H, W)``.
        weight: ``(O, C, 3, 3)``.
        rows: repeat the edge at the top and bottom too; else ``x`` has one extra row there, not counted in H.

    Returns:
        ``(N, O, 2H, 2W)``.
    """
    shifted = [F.pad(weight, (column, 1 - column, row, 1 - row)) for row, column in OFFSETS]
    kernel = torch.stack(shifted).sum(dim=0).flip(2, 3).transpose(0, 1)
    return F.conv_transpose2d(repeat_edge(x, rows=rows), kernel, stride=2, padding=3)


def convolve_blocks(x: Tensor, weight: Tensor, bias: Tensor, *, rows: bool = True) -> Tensor:
    """Return ``conv2d(reflect(x, k // 2), weight, bias)`` for few outputs, four neighboring pixels at a time.

    A CPU convolution works on blocks of 16 output channels; three colors leave 13 idle. One kernel, shifted to four
    positions, gives twelve outputs at every second pixel, and a pixel shuffle rearranges them.

    Args:
        x: ``(N, C, H, W)``, H and W even.
        weight: ``(O, C, k, k)``, k odd.
        bias: ``(O,)``.
        rows: mirror at the top and bottom too; else ``x`` has k // 2 extra rows there, not counted in H.

    Returns:
        ``(N, O, H, W)``.
    """
    outputs, inputs, side, _ = weight.shape
    shifted = [F.pad(weight, (column, 1 - column, row, 1 - row)) for row, column in OFFSETS]
    kernel = torch.stack(shifted, dim=1).reshape(outputs * 4, inputs, side + 1, side + 1)
    return F.pixel_shuffle(F.conv2d(reflect(x, side // 2, rows=rows), kernel, stride=2), 2) + bias[:, None, None]
