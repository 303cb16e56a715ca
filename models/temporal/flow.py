"""Optical flow: estimate it between two frames, warp along it, and find where it can be trusted.

Flow is always *backward*: for each pixel of frame t, its displacement (dx, dy) in pixels to frame t - 1.
"""

from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

Pixels = NDArray[np.uint8]
Flow = NDArray[np.float32]
Preset = Literal["ultrafast", "fast", "medium"]

OCCLUSION_SHARE, OCCLUSION_PX2 = 0.01, 0.5
BOUNDARY_SHARE, BOUNDARY_PX2 = 0.01, 0.002


class FlowEstimator(Protocol):
    """Estimates optical flow between two frames."""

    def __call__(self, source: Pixels, target: Pixels) -> Flow:
        """Return where each pixel of ``source`` lies in ``target``: ``(H, W, 2)`` float32, dx and dy in pixels."""
        ...


class DisFlow:
    """Dense inverse search (Kroeger et al., ECCV 2016, arXiv:1603.03590) by OpenCV; not thread-safe.

    Args:
        preset: ``ultrafast`` to ``medium``; slower is more exact.
    """

    SMALLEST = 32
    """OpenCV rejects images with a shorter side, or reads past their end and crashes (5.0: 24 x 100)."""

    def __init__(self, preset: Preset = "medium") -> None:
        import cv2

        presets = {
            "ultrafast": cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
            "fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
            "medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
        }
        self._dis: Any = cv2.DISOpticalFlow.create(presets[preset])

    def __call__(self, source: Pixels, target: Pixels) -> Flow:
        """Estimate flow between frames ``(H, W, 3)`` RGB or ``(H, W)`` grey, uint8; see `FlowEstimator`."""
        height, width = source.shape[:2]
        flow = self._dis.calc(self._padded(to_grey(source)), self._padded(to_grey(target)), None)
        return np.asarray(flow[:height, :width], np.float32)

    def _padded(self, frame: Pixels) -> Pixels:
        bottom, right = (max(self.SMALLEST - side, 0) for side in frame.shape)
        return np.pad(frame, ((0, bottom), (0, right)), mode="edge") if bottom or right else frame


def to_grey(frame: Pixels) -> Pixels:
    """Return the luma ``(H, W)`` of ``(H, W, 3)`` RGB; a grey frame unchanged."""
    import cv2

    return np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.uint8) if frame.ndim == 3 else frame


class RaftFlow:
    """RAFT (Teed & Deng, ECCV 2020, arXiv:2003.12039), torchvision's large model: more exact than DIS, for a GPU.

    Args:
        state: its weights, in the format of torchvision's ``Raft_Large_Weights``.
        device: where to run.
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
    def __call__(self, source: Pixels, target: Pixels) -> Flow:
        """Estimate flow between frames ``(H, W, 3)`` uint8 RGB; see `FlowEstimator`."""
        pair = torch.from_numpy(np.stack((source, target))).permute(0, 3, 1, 2).to(self._device)
        height, width = pair.shape[-2:]
        tall, wide = (max(-(-side // self.MULTIPLE) * self.MULTIPLE, self.SMALLEST) for side in (height, width))
        padded = F.pad(pair.float() / 127.5 - 1, (0, wide - width, 0, tall - height), mode="replicate")
        flow = self._network(padded[:1], padded[1:])[-1]
        return np.asarray(flow[0, :, :height, :width].permute(1, 2, 0).cpu().numpy(), np.float32)


def warp(image: Tensor, flow: Tensor) -> Tensor:
    """Warp an image along the flow, with bilinear sampling; beyond the border the edge is repeated.

    Args:
        image: ``(N, C, H, W)`` of frame t - 1.
        flow: ``(N, 2, H, W)`` from t to t - 1, in pixels.

    Returns:
        ``(N, C, H, W)`` float32: frame t - 1 warped to frame t.
    """
    height, width = flow.shape[-2:]
    x, y = _sources(flow)
    grid = torch.stack((x * (2 / max(width - 1, 1)) - 1, y * (2 / max(height - 1, 1)) - 1), dim=-1)
    return F.grid_sample(image.float(), grid, mode="bilinear", padding_mode="border", align_corners=True)


def _sources(flow: Tensor) -> tuple[Tensor, Tensor]:
    """Return column and row ``(N, H, W)`` in frame t - 1 of each pixel of frame t."""
    height, width = flow.shape[-2:]
    rows = torch.arange(height, dtype=torch.float32, device=flow.device)[:, None]
    columns = torch.arange(width, dtype=torch.float32, device=flow.device)[None, :]
    return columns + flow[:, 0], rows + flow[:, 1]


def inside(flow: Tensor) -> Tensor:
    """Return where the flow ``(N, 2, H, W)`` stays within the frame: ``(N, 1, H, W)`` bool."""
    height, width = flow.shape[-2:]
    x, y = _sources(flow)
    return ((x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1))[:, None]


def visible(backward: Tensor, forward: Tensor) -> Tensor:
    """Return where frame t can be compared with the warped frame t - 1.

    Excluded are pixels where forward and backward flow disagree (occlusions), motion boundaries, and what comes from
    beyond the border: Ruder et al., GCPR 2016, equations 5 and 6, as used by Lai et al., ECCV 2018.

    Args:
        backward: ``(N, 2, H, W)`` from t to t - 1, in pixels.
        forward: ``(N, 2, H, W)`` from t - 1 to t.

    Returns:
        ``(N, 1, H, W)`` bool.
    """
    warped = warp(forward, backward)
    disagreement = (warped + backward).square().sum(1)
    occluded = disagreement > OCCLUSION_SHARE * (warped.square().sum(1) + backward.square().sum(1)) + OCCLUSION_PX2
    return ~(occluded | motion_boundary(backward))[:, None] & inside(backward)


def motion_boundary(flow: Tensor) -> Tensor:
    """Return where the flow ``(N, 2, H, W)`` changes so fast that two motions meet: ``(N, H, W)`` bool."""
    down, right = torch.gradient(flow.float(), dim=(2, 3))
    gradient = (down.square() + right.square()).sum(1)
    return gradient > BOUNDARY_SHARE * flow.square().sum(1) + BOUNDARY_PX2


def flow_to_tensor(flow: Flow) -> Tensor:
    """Convert ``(H, W, 2)`` to ``(1, 2, H, W)``."""
    return torch.from_numpy(np.ascontiguousarray(flow.transpose(2, 0, 1)))[None]
