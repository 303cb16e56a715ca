"""Networks compiled ahead of time by a process of their own, and loaded without tracing anything.

`torch.compile` traces in the process that paints: that takes Python's lock for seconds, and while torch's tracer is at
work it replaces `nn.Module.__call__` for all threads, so that an eager network which paints meanwhile breaks. Here the
graph is exported and compiled elsewhere; what is left to do is to load a shared library.
"""

import copy
import hashlib
import importlib
import inspect
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import models.engines.frame_graph
import models.engines.fused_kernels
import models.network
import models.temporal
from models.engines.engine import DTYPES, Engine, EngineError, Precision, can_compile, canvas_size
from models.engines.frame_graph import FrameGraph, no_statistics
from models.network import Style, StyleNetwork

GRAPH, INPUTS = "graph.bin", "inputs.json"


@dataclass(frozen=True)
class Ahead:
    """A network that is to run compiled, for pictures of one size; the arguments are those of `build_engine`.

    Attributes:
        network: float32, on the CPU.
        height: of the pictures, in pixels.
        width: of the pictures, in pixels.
        device: where to run.
        precision: of the convolutions.
        cache: folder in which compiled code is kept.
        end: what ``network`` turns into as ``share`` grows.
        stroke_size: see `build_engine`.
        threads: cores that one call uses on a CPU; they are part of the compiled code.
    """

    network: StyleNetwork
    height: int
    width: int
    device: torch.device
    precision: Precision
    cache: Path
    end: StyleNetwork | None = None
    stroke_size: float = 1.0
    threads: int = 1

    @property
    def folder(self) -> Path:
        """Where the compiled code is kept: by all that it depends on, which the weights are not."""
        canvas = canvas_size(self.height, self.width, self.stroke_size)
        facts = (
            f"{self.height}x{self.width} {canvas} {self.device} {self.precision} {self.threads} "
            f"{self.network.architecture} {self.end is not None} {torch.__version__} {_processor(self.device)}"
        )
        digest = hashlib.sha256(facts.encode())
        for module in (models.engines.frame_graph, models.network, models.engines.fused_kernels, models.temporal):
            digest.update(Path(inspect.getfile(module)).read_bytes())
        return self.cache / "ahead" / digest.hexdigest()[:32]

    @property
    def is_there(self) -> bool:
        """Whether it has been compiled before."""
        return (self.folder / GRAPH).exists()

    def compile(self) -> None:
        """Compile; takes 15 to 30 s the first time. Not in a process that paints, see the head of this module.

        Raises:
            EngineError: there is no compiler.
            OSError: the cache cannot be written.
        """
        from torch._inductor import standalone_compile

        if not can_compile(self.device):
            missing = "Triton" if self.device.type == "cuda" else "a C++ compiler and Python's headers"
            raise EngineError(f"torch.compile needs {missing}, not found here")
        self._use_cache()
        torch.set_num_threads(self.threads)
        stylize, example = self._stylize(), self._example()
        with torch.no_grad():
            exported = torch.export.export(stylize, example, strict=False)
            names = [spec.target for spec in exported.graph_signature.input_specs if spec.target is not None]
            # The whole graph called as one C++ function leaves Python's lock to other threads while it runs.
            options = {"config_patches": {"cpp_wrapper": self.device.type == "cpu"}}
            graph = standalone_compile(
                exported.graph_module,
                [*_named(stylize, names), *example],
                dynamic_shapes="from_example_inputs",
                options=options,
            )
        self._keep(graph, names)

    def get_ready(self) -> None:
        """Import what `load` needs: a second, in which Python's lock is often held; best done early."""
        importlib.import_module("torch._inductor.standalone_compile")

    def load(self) -> Engine:
        """The engine, from what `compile` left; takes a second, some of it with Python's lock.

        Raises:
            EngineError: it is not there, or another version of torch has left it.
        """
        from torch._inductor.standalone_compile import CompiledArtifact

        self._use_cache()
        try:
            names = json.loads((self.folder / INPUTS).read_text())
            graph: Callable[..., Any] = CompiledArtifact.load(path=str(self.folder / GRAPH), format="binary")
            weights = _named(self._stylize(), names)
        except Exception as error:  # whatever torch makes of a file that is damaged
            raise EngineError(f"what was compiled for {self.width}x{self.height} cannot be loaded ({error})") from error
        return self._engine(graph, weights)

    def forget(self) -> None:
        """Throw away what was compiled."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _engine(self, graph: Callable[..., Any], weights: list[Tensor]) -> Engine:
        device, dtype = self.device, DTYPES[self.precision]

        def engine(pixels: Tensor, style: Style, *controls: Tensor) -> tuple[Tensor, Tensor]:
            with torch.inference_mode():
                stylized, used = graph(*weights, pixels.to(device), *style.to(device, dtype).tensors(), *controls)
                return stylized.cpu(), used

        return engine

    def _stylize(self) -> FrameGraph:
        canvas = canvas_size(self.height, self.width, self.stroke_size)
        stylize = copy.deepcopy(FrameGraph(self.network, self.end, canvas)).to(self.device, DTYPES[self.precision])
        return stylize.to(memory_format=torch.channels_last).eval().requires_grad_(False)

    def _example(self) -> tuple[Tensor, ...]:
        pixels = torch.zeros(self.height, self.width, 3, dtype=torch.uint8, device=self.device)
        style = self.network.neutral_style().to(self.device, DTYPES[self.precision])
        scalars = (torch.zeros((), device=self.device) for _ in range(4))
        return (pixels, *style.tensors(), no_statistics(self.network, self.device), *scalars)

    def _use_cache(self) -> None:
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(self.cache / "inductor"))

    def _keep(self, graph: Any, names: list[str]) -> None:
        """Whole or not at all: another process may be about to load it."""
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.folder.parent, ignore_cleanup_errors=True) as part:
            whole = Path(part, "whole")
            whole.mkdir()
            (whole / INPUTS).write_text(json.dumps(names))
            graph.save(path=str(whole / GRAPH), format="binary")
            if not self.is_there:
                self._move(whole)

    def _move(self, whole: Path) -> None:
        """Give ``whole`` its name, unless another process has been quicker."""
        try:
            whole.rename(self.folder)
        except OSError:
            if not self.is_there:  # something is left of a folder that was deleted
                self.forget()
                whole.rename(self.folder)


def _named(stylize: FrameGraph, names: list[str]) -> list[Tensor]:
    """The weights in the order in which the compiled graph takes them."""
    tensors = dict(stylize.named_parameters(remove_duplicate=False)) | dict(
        stylize.named_buffers(remove_duplicate=False)
    )
    return [tensors[name] for name in names]


def _processor(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else torch.backends.cpu.get_cpu_capability()
