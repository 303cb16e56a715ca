"""Choose how the network runs: the fastest engine that works here, within a bound of memory."""

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import takewhile
from typing import TYPE_CHECKING

from pipeline.config import StylizeConfig
from pipeline.errors import DeviceError
from pipeline.stylize.device import OutOfMemoryError, device_errors, free_memory
from pipeline.stylize.engine.engine_choice import soonest_first
from pipeline.stylize.engine.memory_budget import default_bound, fit_to_memory, format_bytes, strip_tilings
from pipeline.stylize.engine.successor import can_succeed, split
from pipeline.stylize.frame_stylizer import FrameStylizer, Notify
from pipeline.system.folders import cache_folder
from pipeline.system.process import safe_path

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from models.engines.engine import Engine, EngineName, EngineSpec
    from models.network import Style

# On a CPU; each holds the features of a frame: 0.2 GB at 1920x1080.
MOST_WORKERS = 4

BuildEngine = Callable[["EngineName", "EngineSpec"], "Engine"]
"""Called as `models.engines.build.build_engine`."""


class BoundedEngine:
    """An engine, called as `models.engines.engine.Engine`, that goes on in strips when memory runs out.

    Making one builds the network and runs it once.

    Args:
        core: runs the engine.
        config: engine and bound of memory.
        spec: what to build, without tiling and workers, which are chosen here.
        notify: called with each message for the user, one line.
        build: builds an engine.
        is_single: whether one frame is stylized, or frames of many sizes: then nothing that takes long to prepare is
            chosen, and the network does not run before the frame.
        frame_count: of the clip, which decides whether compiling is worth the time; None if unknown.
        may_change: whether another engine may take over within the clip.

    Attributes:
        name: of the engine.
        spec: what the engine was built from, with its tiling and workers.
        code: what computes its numbers, see `models.engines.build.code_of`.
        threads: cores that each call uses on a CPU.
        successor: name and spec of the engine that should take over; None if none should.

    Raises:
        DeviceError: the engine does not work here, or not within the bound of memory.
    """

    def __init__(
        self,
        core: FrameStylizer,
        config: StylizeConfig,
        spec: "EngineSpec",
        notify: Notify,
        build: BuildEngine,
        *,
        is_single: bool = False,
        frame_count: int | None = None,
        may_change: bool = False,
    ) -> None:
        from models.engines.capabilities import available_engines

        self._core, self._notify, self._build, self._is_single = core, notify, build, is_single
        self._shrinking = threading.Lock()
        is_eager = is_single or spec.has_regions
        may_change = may_change and not is_eager
        automatic: Sequence[EngineName] = ["eager"] if is_eager else available_engines(spec.device)
        names = automatic if config.engine == "auto" else [config.engine]
        bound = default_bound(spec.device) if config.max_memory is None else config.max_memory
        workers = 1 if is_single else most_workers(spec.device, core.cores)
        usage = "picture" if is_single else core.stability
        choices = [self._fit(*fit_to_memory(name, spec, usage, workers, bound)) for name in names]
        self.successor: tuple[EngineName, EngineSpec] | None = None
        if config.engine == "auto":
            choices = soonest_first(choices, frame_count, core.cores)
            if may_change:
                self.successor, choices = split(choices)
        elif may_change:
            faster = takewhile(lambda name: name != config.engine, available_engines(spec.device))
            names_in_order = (*faster, config.engine)
            fitting = [self._fit(*fit_to_memory(name, spec, usage, workers, bound)) for name in names_in_order]
            best = soonest_first(fitting, frame_count, core.cores)[0]
            self.successor = best if best[0] != config.engine and can_succeed(best[1], choices[0][1]) else None
        is_chosen = len(choices) > 1 and choices[0][0] == "eager"  # a faster one is not worth its start
        for self.name, chosen in choices:
            try:
                self._load(chosen)
            except DeviceError as error:
                if chosen is choices[-1][1]:
                    raise
                notify(f"the engine {self.name} does not work here ({error}); trying the next")
            else:
                break
        if is_single:
            return
        if bound is not None and self.spec.tiling is not None:
            notify(f"stylizing in strips of {self.spec.tiling.rows} rows to stay within {format_bytes(bound)}")
        elif config.engine == "auto" and self.name == "eager" and spec.device.type != "mps" and not is_chosen:
            notify(slow_engine_notice(spec.device.type, names))

    def __call__(self, pixels: "Tensor", style: "Style", *controls: "Tensor") -> "tuple[Tensor, Tensor]":
        """Run the network; from as many threads at once as there are workers.

        Raises:
            DeviceError: the device failed, or has too little memory for the smallest strips.
        """
        while True:
            run = self._run
            try:
                with device_errors(self.spec.device):
                    return run(pixels, style, *controls)
            except OutOfMemoryError as error:
                reason = str(error)  # the error itself would keep the features of the frame in memory
            self._use_smaller_strips(run, reason)

    def _fit(self, name: "EngineName", spec: "EngineSpec") -> "tuple[EngineName, EngineSpec]":
        """Return an engine with the threads of its workers and, if it has one, its folder of compiled code."""
        spec = replace(spec, threads=max(self._core.cores // spec.workers, 1))
        with suppress(OSError):  # building the engine reports it
            spec = with_cache(name, spec)
        return name, spec

    def _load(self, spec: "EngineSpec") -> None:
        import torch

        self.threads = spec.threads
        torch.set_num_threads(self.threads)
        with device_errors(spec.device), safe_path:
            self._use(spec)
            # Eager works on every CPU, and its first call is hardly slower than the others.
            if self.name != "eager" or not (self._is_single or spec.device.type == "cpu"):
                self._core.warm_up(self, spec)

    def _use(self, spec: "EngineSpec") -> None:
        from models.engines.build import code_of

        self.spec = with_cache(self.name, spec)
        self._run = self._build(self.name, self.spec)
        self.code = code_of(self.name, self.spec)

    def _use_smaller_strips(self, run: "Engine", reason: str) -> None:
        """Replace ``run``, which ran out of memory, by strips or by smaller ones, unless another thread has done so.

        Raises:
            DeviceError: the strips are the smallest already.
        """
        with self._shrinking:
            if self._run is not run:
                return
            before, tilings = self.spec.tiling, strip_tilings(self.spec)
            tiling = next(iter(tilings[tilings.index(before) + 1 if before in tilings else 0 :]), None)
            if tiling is None:
                raise DeviceError(reason)
            free_memory(self.spec.device)
            self.name = "eager"
            self._use(replace(self.spec, tiling=tiling))
        less = " and fewer stored features" if before is not None and before.rows == tiling.rows else ""
        self._notify(f"{self.spec.device} ran out of memory: continuing in strips of {tiling.rows} rows{less}")


def most_workers(device: "torch.device", cores: int) -> int:
    """Return how many frames of a clip are stylized at once at most: on a GPU one is, while others are copied."""
    from models.engines.gpu.overlap import FRAMES_IN_FLIGHT

    return {"cpu": min(cores, MOST_WORKERS), "cuda": FRAMES_IN_FLIGHT}.get(device.type, 1)


def with_cache(name: "EngineName", spec: "EngineSpec") -> "EngineSpec":
    """Return ``spec`` with the user's private folder of compiled code, if the engine ``name`` needs one.

    Raises:
        OSError: the folder cannot be created, or is not private.
    """
    return spec if name == "eager" or spec.cache is not None else replace(spec, cache=cache_folder())


def slow_engine_notice(device: str, engines: Sequence[str]) -> str:
    """Return why eager runs although other engines are faster: which software is missing, given the available engines.

    Args:
        device: type of the device, ``cpu`` or ``cuda``.
        engines: that are available; those that are missing here are named with a remedy.
    """
    remedies = {"compile": ("C++ compiler", "install g++"), "openvino": ("OpenVINO", "pip install 'flowbrush[cpu]'")}
    if device != "cpu":
        remedies = {"compile": ("Triton", "pip install triton")}
    missing = [remedy for name, remedy in remedies.items() if name not in engines]
    if not missing:
        return "running eager, which is slower; `flowbrush doctor` reports what is missing"
    found = " and ".join(f"no {what}" for what, _ in missing)
    return f"{found} found: running eager, which is slower; {', or '.join(how for _, how in missing)}"
