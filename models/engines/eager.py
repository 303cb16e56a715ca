"""The eager engine: PyTorch without a compiler, on whole frames or in strips."""

from models.engines.engine import Engine, EngineSpec
from models.tiled.tiled_graph import TiledFrameGraph


def build(spec: EngineSpec) -> Engine:
    """Build the engine."""
    graph = spec.frame_graph()
    return spec.torch_engine(graph if spec.tiling is None else TiledFrameGraph(graph, spec.tiling))
