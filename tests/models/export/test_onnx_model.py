"""Exported files in onnxruntime, against the network itself; tiny networks, small frames."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from models.export.any_size import AnySizeFrameGraph, block_means
from models.export.comparison import TOLERANCE, Difference, compare, random_frame
from models.export.onnx_model import to_onnx
from models.export.style_graph import INPUTS, ExportPrecision
from models.frame_graph import FrameGraph, zero_statistics
from models.registry import LoadedStyle, load

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

pytestmark = pytest.mark.usefixtures("one_thread")

SIZES = ((16, 16), (64, 96), (100, 132), (37, 51), (122, 17))
Export = Callable[[ExportPrecision, tuple[int, int] | None], bytes]


@pytest.fixture(scope="module")
def style(tiny_style: Path) -> LoadedStyle:
    return load(str(tiny_style))


@pytest.fixture(scope="module")
def export(style: LoadedStyle) -> Export:
    return cache(lambda precision, size: to_onnx(style, precision, size, {"name": "tiny", "past_weight": "0.3"}))


def run(content: bytes, *inputs: Tensor) -> tuple[Tensor, Tensor]:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    stylized, statistics = session.run(None, {name: x.numpy() for name, x in zip(INPUTS, inputs, strict=True)})
    return torch.from_numpy(stylized), torch.from_numpy(statistics)


def scalars(*values: float) -> list[Tensor]:
    return [torch.tensor(float(value)) for value in values]


def frame(height: int, width: int) -> Tensor:
    return random_frame(height, width, torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("size", "count"), [(16, 2), (17, 2), (23, 2), (100, 12), (123, 15)])
def test_blocks_are_those_of_the_frame_graph(size: int, count: int) -> None:
    values = torch.rand(size, generator=torch.Generator().manual_seed(0))
    expected = F.interpolate(values.view(1, 1, 1, size), (1, count), mode="area").flatten()
    torch.testing.assert_close(block_means(size, count) @ values, expected)


@pytest.mark.parametrize("size", SIZES)
def test_the_graph_for_any_size_is_the_frame_graph(size: tuple[int, int], style: LoadedStyle) -> None:
    inputs = (frame(*size), style.style.tensors(), zero_statistics(style.network), *scalars(0, 1, 0))
    stylized, statistics = AnySizeFrameGraph(style.network)(*inputs)
    expected, of_expected = FrameGraph(style.network)(*inputs)
    assert (stylized.int() - expected.int()).abs().max() <= 1
    torch.testing.assert_close(statistics, of_expected, rtol=1e-4, atol=1e-4)
    assert (stylized.float() - inputs[0].float()).abs().mean() > 5


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_one_file_serves_frames_of_any_size(precision: ExportPrecision, export: Export, style: LoadedStyle) -> None:
    difference = compare(export(precision, None), style, SIZES)
    assert difference.is_within(TOLERANCE[precision]), difference


def test_half_precision_halves_the_numbers(export: Export, style: LoadedStyle) -> None:
    kernels = 2 * sum(tensor.numel() for tensor in style.style.convolutions)
    assert len(export("fp32", None)) - len(export("fp16", None)) > kernels


def test_a_file_for_one_size_takes_no_other(export: Export, style: LoadedStyle) -> None:
    content = export("fp32", (45, 64))
    assert compare(content, style, [(45, 64)]).is_within(TOLERANCE["fp32"])
    with pytest.raises(onnxruntime.capi.onnxruntime_pybind11_state.InvalidArgument):
        run(content, frame(64, 64), zero_statistics(style.network), *scalars(0, 1, 0))


def test_statistics_and_controls_are_inputs(export: Export, style: LoadedStyle) -> None:
    content, scene = export("fp32", None), frame(64, 96)
    zeros = zero_statistics(style.network)
    assert torch.equal(run(content, scene, zeros, *scalars(0, 0, 0))[0], scene)
    stylized, _ = run(content, scene, zeros, *scalars(0, 1, 0))
    _, of_dark = run(content, scene // 4, zeros, *scalars(0, 1, 0))
    carried, used = run(content, scene, of_dark, *scalars(1, 1, 0))
    torch.testing.assert_close(used, of_dark)
    toned, _ = run(content, scene, zeros, *scalars(0, 1, 1))
    for other in (carried, toned):
        assert (stylized.float() - other.float()).abs().mean() > 1


def test_another_style_is_noticed(export: Export, style: LoadedStyle) -> None:
    near = LoadedStyle(style.network, style.style.lerp(style.network.initial_style(), 0.02), style.metadata)
    assert not compare(export("fp32", None), near, [(64, 96)]).is_within(TOLERANCE["fp32"])


def test_each_part_of_a_difference_counts() -> None:
    allowed = Difference(1, 0.01, 1e-3)
    assert Difference(1, 0.01, 1e-3).is_within(allowed)
    for other in (Difference(2, 0, 0), Difference(0, 0.02, 0), Difference(0, 0, 2e-3), Difference(0, 0, np.nan)):
        assert not other.is_within(allowed)


def test_a_file_names_its_style_and_nothing_of_the_machine(export: Export) -> None:
    content = export("fp32", None)
    model: Any = onnx.load_from_string(content)
    onnx.checker.check_model(model, full_check=True)
    assert {each.key: each.value for each in model.metadata_props} == {"name": "tiny", "past_weight": "0.3"}
    for value in (model.graph.input[0], model.graph.output[0]):
        assert [side.dim_param for side in value.type.tensor_type.shape.dim] == ["height", "width", ""]
    for trace in (b".py", b"/site-packages", str(Path.cwd()).encode()):
        assert trace not in content
