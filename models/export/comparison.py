"""What onnxruntime computes with an exported file, against PyTorch with the weights themselves."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from models.export.style_graph import INPUTS, ExportPrecision
from models.frame_graph import FrameGraph, zero_statistics
from models.registry import LoadedStyle

# Share of the past, strength, share of the frame's colors: a first frame, then one with every input between its ends.
CONTROLS = ((0.0, 1.0, 0.0), (0.3, 0.7, 0.4))


class ExportError(RuntimeError):
    """onnxruntime cannot run an exported file."""


@dataclass(frozen=True, slots=True)
class Difference:
    """How far two results are apart; or how far they may be.

    Attributes:
        levels: largest difference of a pixel, in levels of 255.
        mean_levels: mean difference of the pixels, in levels of 255.
        statistics: largest difference of the statistics, relative to the deviation of their channel.
    """

    levels: int
    mean_levels: float
    statistics: float

    def is_within(self, allowed: "Difference") -> bool:
        """Return whether no part is larger than that of ``allowed``."""
        return (
            self.levels <= allowed.levels
            and self.mean_levels <= allowed.mean_levels
            and self.statistics <= allowed.statistics
        )


TOLERANCE: dict[ExportPrecision, Difference] = {
    "fp32": Difference(1, 0.01, 1e-3),
    "fp16": Difference(3, 0.1, 2e-2),
}
"""Of an exported file, by the precision of its convolutions; PyTorch computes in float32."""


def compare(content: bytes, style: LoadedStyle, sizes: Sequence[tuple[int, int]]) -> Difference:
    """Return the difference of an ONNX file from PyTorch in float32, on random frames.

    Args:
        content: of the file.
        style: what it was made from.
        sizes: heights and widths of the frames, in pixels. Of each size there are two frames; the second takes the
            statistics of the first.

    Raises:
        ImportError: onnxruntime is missing.
        ExportError: onnxruntime cannot run the file.
    """
    graph, run = FrameGraph(style.network), _runner(content)
    generator = torch.Generator().manual_seed(0)
    differences = []
    for height, width in sizes:
        past = zero_statistics(style.network)
        for controls in CONTROLS:
            given = (random_frame(height, width, generator), past, *map(torch.tensor, controls))
            with torch.no_grad():
                expected, past = graph(given[0], style.style.tensors(), *given[1:])
            differences.append(_difference(run(given), (expected, past)))
    return Difference(*(max(part) for part in zip(*differences, strict=True)))


def random_frame(height: int, width: int, generator: torch.Generator) -> Tensor:
    """Return ``(H, W, 3)`` uint8: soft blobs of color with grain, and a black bar, as of a letterbox."""
    coarse = torch.rand(1, 3, 5, 7, generator=generator)
    blobs = F.interpolate(coarse, (height, width), mode="bicubic", align_corners=False)[0].permute(1, 2, 0)
    frame = (blobs + 0.1 * torch.randn(height, width, 3, generator=generator)).clamp(0, 1)
    frame[: height // 4] *= 0.04
    return (frame * 255).round().to(torch.uint8)


def _runner(content: bytes) -> Callable[[Sequence[Tensor]], list[Tensor]]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the classes of onnxruntime's errors have no common one
        raise ExportError(str(error)) from error

    def run(inputs: Sequence[Tensor]) -> list[Tensor]:
        try:
            found = session.run(None, {name: value.numpy() for name, value in zip(INPUTS, inputs, strict=True)})
        except Exception as error:
            raise ExportError(str(error)) from error
        return [torch.from_numpy(array) for array in found]

    return run


def _difference(found: Sequence[Tensor], expected: Sequence[Tensor]) -> tuple[int, float, float]:
    levels = (found[0].int() - expected[0].int()).abs()
    variance = expected[1][:, 1:].clamp_min(1e-6)
    of_statistics = (found[1] - expected[1]).abs() / torch.cat((variance.sqrt(), variance), dim=1)
    return int(levels.max()), float(levels.float().mean()), float(of_statistics.max())
