"""Two convolutions of the decoder, computed exactly but with fewer multiplications.

Both are rewritten on the weights alone, inside the graph, so that nothing differs in training or in weight files. On a
CPU they take a quarter off a frame: see docs/decisions/network.md.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

SHIFTS = tuple((vertical, horizontal) for vertical in (0, 1) for horizontal in (0, 1))


def reflect(x: Tensor, reach: int, *, rows: bool = True) -> Tensor:
    """Mirror ``reach`` pixels beyond each border of ``(N, C, H, W)``; without ``rows`` to the left and right alone."""
    above = reach if rows else 0
    return F.pad(x, (reach, reach, above, above), mode="reflect") if reach else x


def repeat_edge(x: Tensor, *, rows: bool = True) -> Tensor:
    """Repeat the outermost pixels of ``(N, C, H, W)`` once beyond each border; without ``rows`` left and right."""
    if not x.requires_grad:
        return F.pad(x, (1, 1, int(rows), int(rows)), mode="replicate")
    # The gradient of F.pad comes in another memory format than torch.compile has been told, and stops the run.
    wide = torch.cat((x[..., :1], x, x[..., -1:]), dim=3)
    return torch.cat((wide[..., :1, :], wide, wide[..., -1:, :]), dim=2)


def upsample_convolve(x: Tensor, weight: Tensor, *, rows: bool = True) -> Tensor:
    """``conv2d(reflect(interpolate(x, scale_factor=2, mode="nearest"), 1), weight)`` as one transposed convolution.

    Each output pixel sees only two by two different input pixels, so that taps that fall on the same one add up. The
    transposed kernel is the 3x3 kernel shifted to the four places of a pixel's copies and summed; its overlap is even,
    so that it can no more make checkerboards than what it equals. Mirroring the enlarged picture by one pixel repeats
    the edge of the small one.

    Args:
        x: ``(N, C, H, W)``.
        weight: ``(O, C, 3, 3)``.
        rows: whether to repeat the edges above and below; else ``x`` has one row more there, and H counts without them.

    Returns:
        ``(N, O, 2H, 2W)``.
    """
    shifted = [F.pad(weight, (h, 1 - h, v, 1 - v)) for v, h in SHIFTS]
    kernel = torch.stack(shifted).sum(dim=0).flip(2, 3).transpose(0, 1)
    return F.conv_transpose2d(repeat_edge(x, rows=rows), kernel, stride=2, padding=3)


def convolve_in_fours(x: Tensor, weight: Tensor, bias: Tensor, *, rows: bool = True) -> Tensor:
    """``conv2d(reflect(x, k // 2), weight, bias)`` for few outputs: four neighbouring pixels at a time.

    A CPU's convolution works on blocks of 16 outputs, of which three colours leave 13 idle. One kernel, shifted to four
    places, gives twelve outputs for every second pixel, and a pixel shuffle puts them into place.

    Args:
        x: ``(N, C, H, W)``, H and W even.
        weight: ``(O, C, k, k)``, k odd.
        bias: ``(O,)``.
        rows: whether to mirror above and below; else ``x`` has k // 2 rows more there, and H counts without them.

    Returns:
        ``(N, O, H, W)``.
    """
    outputs, inputs, side, _ = weight.shape
    shifted = [F.pad(weight, (h, 1 - h, v, 1 - v)) for v, h in SHIFTS]
    kernel = torch.stack(shifted, dim=1).reshape(outputs * 4, inputs, side + 1, side + 1)
    return F.pixel_shuffle(F.conv2d(reflect(x, side // 2, rows=rows), kernel, stride=2), 2) + bias[:, None, None]
