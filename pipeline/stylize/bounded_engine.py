"""Choose how the network runs: the fastest engine that works here, within a bound of memory."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from pipeline.config import StylizeConfig
from pipeline.errors import DeviceError
from pipeline.stylize.device import OutOfMemoryError, cache_folder, device_errors, free_memory
from pipeline.stylize.frame_stylizer import FrameStylizer, Notify
from pipeline.stylize.memory_budget import (
    ExecutionMode,
    MemoryEstimate,
    choose_mode,
    default_bound,
    format_bytes,
    strip_modes,
    too_little_memory,
    whole_frame_modes,
)
from pipeline.stylize.style import StyleSettings

if TYPE_CHECKING:
    from torch import Tensor

    from models.engines.engine import Engine, EngineName, EngineSpec
    from models.network import Style
    from models.tiled.tiling import Tiling

# Each holds the features of a frame: 0.2 GB at 1920x1080.
MOST_WORKERS = 4

BuildEngine = Callable[["EngineName", "EngineSpec"], "Engine"]
"""Called as `models.engines.build.build_engine`."""


class BoundedEngine:
    """An engine, called as `models.engines.engine.Engine`, that goes on in strips when memory runs out.

    Making it builds the network and runs it once.

    Args:
        style: of the clip; an engine runs the networks of its start and its end.
        core: device, precision and cores.
        config: engine, memory bound and stroke size.
        height: of the frames, in pixels.
        width: of the frames, in pixels.
        is_16_bit: whether frames are uint16; uint8 otherwise.
        notify: called with each message for the user, one line.
        build: builds an engine.

    Attributes:
        name: of the engine.
        tiling: the strips that frames are stylized in; None for whole frames.
        workers: how many threads may call the engine at once.
        threads: cores that each call uses on a CPU.

    Raises:
        DeviceError: the engine does not work here, or not within the bound of memory.
    """

    def __init__(
        self,
        style: StyleSettings,
        core: FrameStylizer,
        config: StylizeConfig,
        *,
        height: int,
        width: int,
        is_16_bit: bool,
        notify: Notify,
        build: BuildEngine,
    ) -> None:
        from models.engines.engine import EngineSpec

        self._style, self._core, self._config = style, core, config
        self._notify, self._build = notify, build
        self._spec = EngineSpec(
            network=style.network,
            end_network=style.end_network,
            height=height,
            width=width,
            is_16_bit=is_16_bit,
            device=core.device,
            precision=core.precision,
            cache=cache_folder(),
            stroke_size=config.stroke_size,
        )
        self._on_gpu = core.device.type != "cpu"
        self._shrinking = threading.Lock()
        self._start(1 if self._on_gpu else min(core.cores, MOST_WORKERS))

    def __call__(self, pixels: "Tensor", style: "Style", *controls: "Tensor") -> "tuple[Tensor, Tensor]":
        """Run the network; from several threads at once.

        Raises:
            DeviceError: the device failed, or has too little memory for the smallest strips.
        """
        while True:
            run = self._run
            try:
                with device_errors(self._core.device):
                    return run(pixels, style, *controls)
            except OutOfMemoryError as error:
                reason = str(error)  # the error itself would keep the features of the frame in memory
            self._use_smaller_strips(run, reason)

    def _start(self, workers: int) -> None:
        """Build the engine of the config, or the fastest that works."""
        from models.engines.capabilities import available_engines

        device, config = self._core.device, self._config
        names = available_engines(device) if config.engine == "auto" else [config.engine]
        bound = default_bound(device) if config.max_memory is None else config.max_memory
        for name in names:
            self.name, mode = self._choose(name, workers, bound)
            try:
                self._load(mode)
            except DeviceError as error:
                if name == names[-1]:
                    raise
                self._notify(f"the engine {name} does not work here ({error}); trying the next")
                continue
            if bound is not None and mode.tiling is not None:
                self._notify(f"stylizing in strips of {mode.tiling.rows} rows to stay within {format_bytes(bound)}")
            elif config.engine == "auto" and name == "eager" and device.type != "mps":
                self._notify(slow_engine_notice(device.type, names))
            return

    def _choose(self, name: "EngineName", workers: int, bound: int | None) -> "tuple[EngineName, ExecutionMode]":
        """Return engine and mode within the bound: fewer frames at once, or strips, which eager alone supports."""
        if bound is None:
            return name, ExecutionMode(workers)
        estimate = self._estimate()
        mode = choose_mode(whole_frame_modes(workers), partial(estimate.bytes, name), bound)
        if mode is not None:
            return name, mode
        strips = strip_modes(workers, estimate.canvas[0], on_gpu=self._on_gpu)
        mode = choose_mode(strips, partial(estimate.bytes, "eager"), bound)
        if mode is None:
            raise too_little_memory(bound, estimate.bytes("eager", strips[-1]))
        return "eager", mode

    def _estimate(self) -> MemoryEstimate:
        spec = self._spec
        return MemoryEstimate(
            pixels=spec.height * spec.width,
            canvas=spec.canvas or (spec.height, spec.width),
            architecture=spec.network.architecture,
            precision=spec.precision,
            stability=self._core.stability,
            on_gpu=self._on_gpu,
            is_16_bit=spec.is_16_bit,
        )

    def _load(self, mode: ExecutionMode) -> None:
        import torch

        self.workers = mode.workers
        self.threads = max(self._core.cores // mode.workers, 1)
        torch.set_num_threads(self.threads)
        with device_errors(self._core.device):
            self._use(mode.tiling)
            self._core.warm_up(self, self._spec, self._style.start.style)

    def _use(self, tiling: "Tiling | None") -> None:
        self.tiling = tiling
        self._run = self._build(self.name, replace(self._spec, tiling=tiling, workers=self.workers))

    def _use_smaller_strips(self, run: "Engine", reason: str) -> None:
        """Replace ``run``, which ran out of memory, by strips or by smaller ones, unless another thread has done so.

        Raises:
            DeviceError: the strips are the smallest already.
        """
        with self._shrinking:
            if self._run is not run:
                return
            tilings = [mode.tiling for mode in strip_modes(1, self._estimate().canvas[0], on_gpu=self._on_gpu)]
            before, smaller = self.tiling, tilings[tilings.index(self.tiling) + 1 if self.tiling in tilings else 0 :]
            tiling = next(iter(smaller), None)
            if tiling is None:
                raise DeviceError(reason)
            free_memory(self._core.device)
            self.name = "eager"
            self._use(tiling)
        less = " and fewer stored features" if before is not None and before.rows == tiling.rows else ""
        self._notify(f"{self._core.device} ran out of memory: going on in strips of {tiling.rows} rows{less}")


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
