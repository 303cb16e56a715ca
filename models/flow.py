"""Optical flow: found between two frames, followed backwards, and trusted only where it can be.

Flow is always *backward*: it tells of each pixel of frame t where in frame t - 1 it came from, (dx, dy) in pixels.
"""

from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

Picture = NDArray[np.uint8]
Field = NDArray[np.float32]
Preset = Literal["ultrafast", "fast", "medium"]

OCCLUSION_SHARE, OCCLUSION_PX2 = 0.01, 0.5
BOUNDARY_SHARE, BOUNDARY_PX2 = 0.01, 0.002


class FlowFinder(Protocol):
    """Finds flow between two pictures."""

    def __call__(self, source: Picture, target: Picture) -> Field:
        """Where each pixel of ``source`` lies in ``target``: ``(H, W, 2)`` float32, dx and dy in pixels."""
        ...


class DisFlow:
    """Dense inverse search (Kroeger et al., ECCV 2016, arXiv:1603.03590) by OpenCV; for use in one thread.

    Args:
        preset: ``ultrafast`` to ``medium``, the slower the finer.
    """

    SMALLEST = 32
    """OpenCV refuses pictures with a shorter side, or reads beyond them and takes the process down (5.0: 24 x 100)."""

    def __init__(self, preset: Preset = "medium") -> None:
        import cv2

        presets = {
            "ultrafast": cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
            "fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
            "medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
        }
        self._dis: Any = cv2.DISOpticalFlow.create(presets[preset])

    def __call__(self, source: Picture, target: Picture) -> Field:
        """Flow between pictures ``(H, W, 3)`` RGB or ``(H, W)`` grey, uint8; see `FlowFinder`."""
        height, width = source.shape[:2]
        flow = self._dis.calc(self._enlarged(grey(source)), self._enlarged(grey(target)), None)
        return np.asarray(flow[:height, :width], np.float32)

    def _enlarged(self, picture: Picture) -> Picture:
        below, right = (max(self.SMALLEST - side, 0) for side in picture.shape)
        return np.pad(picture, ((0, below), (0, right)), mode="edge") if below or right else picture


def grey(picture: Picture) -> Picture:
    """Luma ``(H, W)`` of ``(H, W, 3)`` RGB; a grey picture as it is."""
    import cv2

    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8) if picture.ndim == 3 else picture


class RaftFlow:
    """RAFT (Teed & Deng, ECCV 2020, arXiv:2003.12039), torchvision's large model: finer than DIS, for a GPU.

    Args:
        state: its weights, as torchvision's ``Raft_Large_Weights`` hold them.
        device: where to run it.
    """

    SMALLEST = 128
    MULTIPLE = 8

    def __init__(self, state: dict[str, Tensor], device: torch.device | str = "cpu") -> None:
        from torchvision.models.optical_flow import raft_large

        self._device = torch.device(device)
        self._network = raft_large()
        self._network.load_state_dict(state)
        self._network.eval().requires_grad_(False).to(self._device)

    @torch.no_grad()
    def __call__(self, source: Picture, target: Picture) -> Field:
        """Flow between pictures ``(H, W, 3)`` uint8 RGB; see `FlowFinder`."""
        pair = torch.from_numpy(np.stack((source, target))).permute(0, 3, 1, 2).to(self._device)
        height, width = pair.shape[-2:]
        tall, wide = (max(-(-side // self.MULTIPLE) * self.MULTIPLE, self.SMALLEST) for side in (height, width))
        padded = F.pad(pair.float() / 127.5 - 1, (0, wide - width, 0, tall - height), mode="replicate")
        flow = self._network(padded[:1], padded[1:])[-1]
        return np.asarray(flow[0, :, :height, :width].permute(1, 2, 0).cpu().numpy(), np.float32)


def warp(picture: Tensor, flow: Tensor) -> Tensor:
    """Follow ``flow`` back: each pixel is taken, bilinearly, from where it came from, at most from the border.

    Args:
        picture: ``(N, C, H, W)``, of frame t - 1.
        flow: ``(N, 2, H, W)`` from t to t - 1, in pixels.

    Returns:
        ``(N, C, H, W)`` float32: frame t - 1 as it looks from t.
    """
    height, width = flow.shape[-2:]
    columns, rows = _places(height, width, flow.device)
    x = (columns + flow[:, 0]) * (2 / max(width - 1, 1)) - 1
    y = (rows + flow[:, 1]) * (2 / max(height - 1, 1)) - 1
    grid = torch.stack((x, y), dim=-1)
    return F.grid_sample(picture.float(), grid, mode="bilinear", padding_mode="border", align_corners=True)


def _places(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    rows = torch.arange(height, dtype=torch.float32, device=device)
    return torch.arange(width, dtype=torch.float32, device=device)[None, :], rows[:, None]


def inside(flow: Tensor) -> Tensor:
    """Where the flow ``(N, 2, H, W)`` stays within the picture: ``(N, 1, H, W)`` bool."""
    height, width = flow.shape[-2:]
    columns, rows = _places(height, width, flow.device)
    x, y = columns + flow[:, 0], rows + flow[:, 1]
    return ((x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1))[:, None]


def visible(backward: Tensor, forward: Tensor) -> Tensor:
    """Where frame t can be compared with frame t - 1 warped to it.

    Not so where forward and backward flow disagree (occluded), at motion boundaries, and beyond the border: Ruder et
    al., GCPR 2016, equations 5 and 6, as used by Lai et al., ECCV 2018.

    Args:
        backward: ``(N, 2, H, W)`` from t to t - 1, in pixels.
        forward: ``(N, 2, H, W)`` from t - 1 to t.

    Returns:
        ``(N, 1, H, W)`` bool.
    """
    back_again = warp(forward, backward)
    apart = (back_again + backward).square().sum(1)
    occluded = apart > OCCLUSION_SHARE * (back_again.square().sum(1) + backward.square().sum(1)) + OCCLUSION_PX2
    return ~(occluded | motion_boundary(backward))[:, None] & inside(backward)


def motion_boundary(flow: Tensor) -> Tensor:
    """Where the flow ``(N, 2, H, W)`` bends so fast that it is the seam of two motions: ``(N, H, W)`` bool."""
    down, right = torch.gradient(flow.float(), dim=(2, 3))
    bend = (down.square() + right.square()).sum(1)
    return bend > BOUNDARY_SHARE * flow.square().sum(1) + BOUNDARY_PX2


def to_tensor(flow: Field) -> Tensor:
    """``(H, W, 2)`` as ``(1, 2, H, W)``."""
    return torch.from_numpy(np.ascontiguousarray(flow.transpose(2, 0, 1)))[None]
