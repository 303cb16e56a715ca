"""The eager engine: PyTorch without a compiler, on whole frames or in strips."""

from models.engines.engine import Engine, EngineSpec
from models.regions import RegionGraph
from models.tiled.tiled_graph import TiledFrameGraph


def build(spec: EngineSpec) -> Engine:
    """Build the engine."""
    whole = spec.frame_graph()
    graph = whole if spec.tiling is None else TiledFrameGraph(whole, spec.tiling)
    return spec.torch_engine(RegionGraph(graph) if spec.has_regions else graph)
