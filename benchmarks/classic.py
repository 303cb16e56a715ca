"""The loop that most style-transfer projects ship: OpenCV reads, a large network stylizes in float32, OpenCV writes."""

import time
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn


class TransformerNet(nn.Module):
    """The network of pytorch/examples ``fast_neural_style``, at a width of one's choice, with random weights.

    Johnson, Alahi & Fei-Fei, "Perceptual Losses for Real-Time Style Transfer and Super-Resolution", ECCV 2016, with
    instance normalisation. Random weights take as long as trained ones.

    Args:
        width: channels at full resolution; 32 as published.

    Shape:
        ``(N, 3, H, W)`` in [0, 255] to the same; H and W multiples of 4.
    """

    PARAMETERS = 1_679_235

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_conv(3, width, 9),
            nn.ReLU(),
            *_conv(width, 2 * width, 3, stride=2),
            nn.ReLU(),
            *_conv(2 * width, 4 * width, 3, stride=2),
            nn.ReLU(),
            *(_Residual(4 * width) for _ in range(5)),
            nn.Upsample(scale_factor=2.0, mode="nearest"),
            *_conv(4 * width, 2 * width, 3),
            nn.ReLU(),
            nn.Upsample(scale_factor=2.0, mode="nearest"),
            *_conv(2 * width, width, 3),
            nn.ReLU(),
            nn.ReflectionPad2d(4),
            nn.Conv2d(width, 3, 9),
        )
        if width == 32 and self.size != self.PARAMETERS:
            raise RuntimeError(f"{self.size} parameters, not the {self.PARAMETERS} of the published network")

    @property
    def size(self) -> int:
        """Number of parameters."""
        return sum(parameter.numel() for parameter in self.parameters())

    def forward(self, x: Tensor) -> Tensor:
        """See the shape above."""
        return self.layers(x)


def _conv(inputs: int, outputs: int, kernel: int, *, stride: int = 1) -> tuple[nn.Module, ...]:
    return (
        nn.ReflectionPad2d(kernel // 2),
        nn.Conv2d(inputs, outputs, kernel, stride),
        nn.InstanceNorm2d(outputs, affine=True),
    )


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*_conv(channels, channels, 3), nn.ReLU(), *_conv(channels, channels, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x) + x


def classic_loop(network: TransformerNet, clip: Path, target: Path, *, frames: int, warm_up: int) -> float:
    """Stylize the first frames of ``clip``; returns milliseconds a frame, after ``warm_up`` frames."""
    capture = cv2.VideoCapture(str(clip))
    size = (int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)))
    writer = cv2.VideoWriter(str(target), cv2.VideoWriter_fourcc(*"mp4v"), capture.get(cv2.CAP_PROP_FPS), size)
    begun = time.perf_counter()
    for index in range(warm_up + frames):
        if index == warm_up:
            begun = time.perf_counter()
        has_frame, frame = capture.read()
        if not has_frame:
            raise RuntimeError(f"{clip} ends after {index} frames, {warm_up + frames} are needed")
        stylized = _stylized(network, frame)
        if stylized.shape != frame.shape:  # the writer would only warn
            raise ValueError(f"width and height must be multiples of 4, not {size[0]}x{size[1]}")
        writer.write(stylized)
    writer.release()
    seconds = time.perf_counter() - begun
    capture.release()
    return 1000 * seconds / frames


@torch.no_grad()
def _stylized(network: TransformerNet, frame: np.ndarray) -> np.ndarray:
    rgb = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
    result = network(torch.from_numpy(rgb.transpose(2, 0, 1)).float()[None])
    stylized = result[0].clamp(0, 255).numpy().transpose(1, 2, 0).astype(np.uint8)
    return cv2.cvtColor(np.ascontiguousarray(stylized), cv2.COLOR_RGB2BGR)
