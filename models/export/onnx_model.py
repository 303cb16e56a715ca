"""The content of an ONNX file."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch.export import Dim

from models.export.any_size import LARGEST_PX, SMALLEST_PX
from models.export.style_graph import INPUTS, OUTPUTS, ExportPrecision, StyleGraph
from models.registry import LoadedStyle

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET = 20
"""Of the operators: ONNX 1.15, onnxruntime 1.17."""

# Numbers in a tensor up to which the graph is evaluated at once. The kernels of the network are smaller; a matrix that
# averages over the blocks of a large frame is not, and would only make the file larger.
MOST_FOLDED = 100_000
# Height and width at which a graph for any size is traced; neither is a multiple of anything.
TRACED_PX = (37, 51)
SIDES = ("height", "width")


def to_onnx(
    style: LoadedStyle, precision: ExportPrecision, size: tuple[int, int] | None, metadata: Mapping[str, str]
) -> bytes:
    """Return the content of an ONNX file that stylizes in one style.

    Args:
        style: network and parameters.
        precision: of the convolutions.
        size: height and width of the frames, in pixels; None accepts any from `SMALLEST_PX` to `LARGEST_PX`.
        metadata: written into the file.

    Raises:
        ImportError: onnx or onnxscript is missing.
    """
    from onnxscript.optimizer import optimize

    graph = StyleGraph(style, precision).eval()
    example = graph.example(*(size or TRACED_PX))
    any_size = {dim: Dim(name, min=SMALLEST_PX, max=LARGEST_PX) for dim, name in enumerate(SIDES)}
    with torch.no_grad(), _quiet():
        exported = torch.export.export(
            graph,
            example,
            dynamic_shapes=({} if size else any_size, *[None] * (len(INPUTS) - 1)),
            strict=False,
            # torch cannot prove "1 % (height // 8) != 0" for heights of 16 and more, for instance.
            prefer_deferred_runtime_asserts_over_guards=True,
        )
        program: Any = torch.onnx.export(
            exported,
            dynamo=True,
            opset_version=OPSET,
            input_names=INPUTS,
            output_names=OUTPUTS,
            optimize=False,
            verbose=False,
        )
        optimize(program.model, input_size_limit=MOST_FOLDED, output_size_limit=MOST_FOLDED)
    model = program.model_proto
    _clean(model, metadata)
    content: bytes = model.SerializeToString()
    return content


def _clean(model: "ModelProto", metadata: Mapping[str, str]) -> None:
    """Name sides and program, and remove the notes of the exporter: they contain paths of this machine."""
    graph = model.graph
    for each in (model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        each.ClearField("metadata_props")
        each.ClearField("doc_string")
    del graph.value_info[:]  # the shapes inside, by the exporter's names
    for pixels in (graph.input[0], graph.output[0]):
        for side, name in zip(pixels.type.tensor_type.shape.dim, SIDES, strict=False):
            if side.dim_param:
                side.dim_param = name
    model.producer_name, model.producer_version = "flowbrush", ""
    for key, text in metadata.items():
        model.metadata_props.add(key=key, value=text)


@contextmanager
def _quiet() -> Iterator[None]:
    """Context in which the exporter logs errors only; it warns of each node that it leaves as it is."""
    loggers = [logging.getLogger(name) for name in ("onnxscript", "torch.onnx")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
