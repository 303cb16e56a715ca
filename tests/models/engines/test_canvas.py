"""A smaller canvas on a CPU: made and enlarged by OpenCV, as the graph of the network would."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from models.engines.build import build_engine
from models.engines.canvas import canvas_spec, on_canvas
from models.engines.engine import EngineSpec
from models.frame_graph import FrameGraph, zero_statistics
from models.network import Architecture, Style, StyleNetwork
from models.tiled.tiling import Tiling

pytest.importorskip("cv2")

NETWORK = StyleNetwork(Architecture(widths=(16, 16, 32), blocks=1, kernel=5))
SPEC = EngineSpec(
    network=NETWORK, height=90, width=160, device=torch.device("cpu"), precision="fp32", cache=Path(), stroke_size=2.0
)


def frame(dtype: torch.dtype = torch.uint8) -> Tensor:
    """Smooth shades with thin lines, which are smaller than a pixel of the canvas."""
    torch.manual_seed(4)
    small = torch.rand(1, 3, 8, 12)
    image = torch.nn.functional.interpolate(small, (SPEC.height, SPEC.width), mode="bicubic").clamp(0, 1)[0]
    image[:, ::9] *= 0.85
    image[:, :, 5::11] *= 0.8
    largest = 255 if dtype == torch.uint8 else 65535
    return (image.permute(1, 2, 0) * largest).round().to(dtype).contiguous()


def controls(strength: float, keep_colors: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return zero_statistics(NETWORK), torch.tensor(0.0), torch.tensor(strength), torch.tensor(keep_colors)


def style() -> Style:
    torch.manual_seed(7)
    plain = NETWORK.initial_style()
    return replace(plain, bias=torch.tensor([0.4, -0.2, 0.1]))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16])
@pytest.mark.parametrize("stroke_size", [2.0, 1.5])
@pytest.mark.parametrize(("strength", "keep_colors"), [(1.0, 0.0), (0.6, 0.0), (0.8, 0.5)])
def test_frames_are_those_of_the_graph(
    dtype: torch.dtype, stroke_size: float, strength: float, keep_colors: float
) -> None:
    """But for the rounding of the canvas and of what is stylized there."""
    spec = replace(SPEC, is_16_bit=dtype == torch.uint16, stroke_size=stroke_size)
    with torch.inference_mode():
        ours, _ = build_engine("eager", spec)(frame(dtype), style(), *controls(strength, keep_colors))
        theirs, _ = FrameGraph(NETWORK, spec.canvas).eval()(
            frame(dtype), style().tensors(), *controls(strength, keep_colors)
        )
    level = 1 if dtype == torch.uint8 else 257
    difference = (ours.int() - theirs.int()).abs().float() / level
    assert ours.dtype == dtype
    assert difference.mean() < 1
    assert difference.quantile(0.99) < 6


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16])
def test_a_frame_that_is_not_stylized_stays_as_it_is(dtype: torch.dtype) -> None:
    """All that the canvas is too small for comes back."""
    engine = build_engine("eager", replace(SPEC, is_16_bit=dtype == torch.uint16))
    stylized, _ = engine(frame(dtype), style(), *controls(0.0, 0.0))
    assert torch.equal(stylized, frame(dtype))


def test_only_whole_frames_on_a_smaller_canvas_are_made_smaller() -> None:
    small = canvas_spec(SPEC)
    assert (small.height, small.width, small.stroke_size) == (*(SPEC.canvas or ()), 1.0)
    tiling = Tiling(rows=32)
    for other in (replace(SPEC, stroke_size=0.5), replace(SPEC, has_regions=True), replace(SPEC, tiling=tiling)):
        assert canvas_spec(other) is other
        assert on_canvas(engine := build_engine("eager", SPEC), other) is engine


def test_without_opencv_the_graph_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.engines.canvas._opencv", lambda: None)
    assert canvas_spec(SPEC) is SPEC
