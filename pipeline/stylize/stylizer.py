"""The second stage: frames in, stylized frames out."""

import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import numpy as np

from pipeline.config import StylizeConfig
from pipeline.errors import DeviceError
from pipeline.frames import Frame, Pixels, State
from pipeline.stylize.device import OutOfMemoryError, device_errors, find_device, free_memory
from pipeline.stylize.memory_budget import (
    ExecutionMode,
    MemoryEstimate,
    choose_mode,
    default_bound,
    shown,
    strip_modes,
    too_little,
    whole_frame_modes,
)
from pipeline.stylize.stabilizer import Prepared, Stabilizer, opencv_is_there
from pipeline.stylize.style import load_style_settings
from pipeline.threads import ordered_map

if TYPE_CHECKING:
    import torch

    from models.engines.engine import Engine, EngineName, EngineSpec, Precision
    from models.tiled.tiling import Tiling


# Each holds a frame's features: 0.2 GB at 1920x1080.
MOST_WORKERS = 4
# Frames ready for a painter; with one alone painters wait while the next is prepared, 2 ms of 29.
AHEAD = 2

Notify = Callable[[str], None]
MaskBlend = Callable[[Pixels, Pixels, Fraction], Pixels]
"""Called as ``mask(original, stylized, seconds)``; returns the pixels to show, as `pipeline.decode.mask.Mask` does."""
Build = Callable[["EngineName", "EngineSpec"], "Engine"]
"""Called as `models.engines.build.build_engine`."""


class Stylizer:
    """Paints frames of one size; ready to go when it has been made.

    Making it loads and, where needed, compiles the network, so that it takes from one second to half a minute;
    compiled code is kept in `cache_folder` for the next time.

    On a CPU several frames are painted at once, by few cores each: cores that share one frame wait for each other at
    each of its 60 kernels, and wait long where the decoder or the encoder has taken one of them.

    Args:
        config: what to paint like, and on what.
        height: of the frames, in pixels.
        width: of the frames, in pixels.
        is_16_bit: whether frames are uint16; uint8 otherwise.
        last_seconds: time of the last frame, at which a fade ends; see `pipeline.stylize.style.last_frame_seconds`.
        mask: blends the original and the stylized frame where only parts are stylized; None stylizes everything.
        notify: called with what the user should know, a line each.
        build: makes the engine as `models.engines.build.build_engine` does, which it is where None is given;
            several clips
            may share what it keeps.

    Attributes:
        look: the network and the style, at each moment.
        device: where the network runs.
        engine: how it runs.
        precision: of its convolutions.
        tiling: the strips that frames are painted in; None where they are painted whole.
        workers: how many frames are painted at once.

    Raises:
        StyleError: no such style, or its weights cannot be used.
        DeviceError: the device, the precision or the engine is not to be had, or the memory does not suffice.
    """

    def __init__(
        self,
        config: StylizeConfig,
        *,
        height: int,
        width: int,
        is_16_bit: bool = False,
        last_seconds: float | None = None,
        mask: MaskBlend | None = None,
        notify: Notify = lambda notice: None,
        build: "Build | None" = None,
    ) -> None:
        import torch

        from models.engines.build import build_engine
        from models.engines.capabilities import native_precision
        from models.frame_graph import zero_statistics

        self.look = load_style_settings(config.style, config.style_end, last_seconds)
        self.device = find_device(config.device)
        self._cores = config.threads or (os.cpu_count() or 1)
        self.workers = min(self._cores, MOST_WORKERS) if self.device.type == "cpu" else 1
        automatic = config.precision == "auto"
        self.precision: Precision = native_precision(self.device) if automatic else cast("Precision", config.precision)
        self._size = (height, width)
        self._build_engine: Build = build or build_engine
        self._is_16_bit = is_16_bit
        self._compare = config.compare
        self._mask = mask
        self._stroke_size = config.stroke_size
        self._stability = config.stability if config.strength else "none"
        if self._stability != "none" and not opencv_is_there():
            notify("OpenCV cannot be loaded: painting with --stability none; `flowbrush doctor` tells what is missing")
            self._stability = "none"
        self._no_past = zero_statistics(self.look.network, self.device)
        self._forget = torch.zeros((), device=self.device)
        self._keep = torch.tensor(Stabilizer.KEEP, device=self.device)
        self._strength = torch.tensor(float(config.strength), device=self.device)
        self._colors = torch.tensor(float(config.keep_colors), device=self.device)
        self._notify = notify
        self._shrinking = threading.Lock()
        self._start(config.engine, config.max_memory)

    def __call__(self, frames: Iterable[Frame], state: State | None = None) -> Iterator[Frame]:
        """Yield ``frames`` stylized, in their order.

        Args:
            frames: in presentation order. Those that are observed only are not yielded; a `SegmentBoundary` is filled
                with the state after its frame.
            state: of the `SegmentBoundary` before the first of ``frames``; None at the start of a clip.
        """
        import torch

        stabilizer = Stabilizer(self._stability, state, self.device)

        def prepare(frame: Frame) -> tuple[Frame, Prepared] | None:
            prepared = stabilizer.prepare(frame.pixels)
            if frame.is_observed_only:
                return None
            if frame.boundary is not None:  # taken now, as the next frames are prepared before this one is finished
                frame = frame.with_state(stabilizer.prepared_state())
            return frame, prepared

        def stylize(task: tuple[Frame, Prepared]) -> tuple[Frame, Callable[[], Pixels]]:
            frame, prepared = task
            stylized, used = self._stylize(prepared.pixels, frame.seconds, prepared.past)
            return frame, partial(stabilizer.finish, prepared, stylized, used, stabilizer.flow(prepared))

        # The number of threads is a setting of each thread that calls torch.
        own_threads = partial(torch.set_num_threads, self._threads)
        work = ordered_map(
            stylize,
            frames,
            prepare=prepare,
            workers=self.workers,
            ahead=AHEAD,
            initializer=own_threads,
            name="stylize",
        )
        with closing(work):
            for frame, finish in work:
                stylized = self._shown(frame, finish())
                yield stylized.with_state(stabilizer.finished_state()) if stylized.boundary is not None else stylized

    def stylize(self, pixels: Pixels, seconds: Fraction | float = 0.0) -> Pixels:
        """Paint a single picture ``(height, width, 3)`` RGB; twice as wide for the comparison ``side``.

        Args:
            pixels: of the frame.
            seconds: its time in the clip, which a fade goes by.

        Raises:
            DeviceError: the memory of the device does not suffice.
        """
        picture, _ = self._stylize(pixels, seconds, None)
        return compose(pixels, picture, self._compare) if self._compare else picture

    def _shown(self, frame: Frame, picture: Pixels) -> Frame:
        if self._mask is not None:
            picture = self._mask(frame.pixels, picture, frame.seconds)
        if not self._compare:
            return frame.with_pixels(picture)
        alpha = frame.alpha
        if alpha is not None and self._compare == "side":
            alpha = np.concatenate((alpha, alpha), axis=1)
        return replace(frame, pixels=compose(frame.pixels, picture, self._compare), alpha=alpha)

    def _stylize(
        self, pixels: Pixels, seconds: Fraction | float, past: "torch.Tensor | None"
    ) -> "tuple[Pixels, torch.Tensor]":
        """The painting, and the statistics that were used: the picture's own, or in part those of the ``past``."""
        import torch

        if not pixels.flags.writeable:  # torch warns of tensors over memory that must not be written
            pixels = pixels.copy()
        share = self.look.end_share(float(seconds))
        memory = (self._no_past, self._forget) if past is None else (past, self._keep)
        of_network = torch.tensor(share, device=self.device)
        while True:
            run = self._run
            try:
                with device_errors(self.device):
                    stylized, used = run(
                        torch.from_numpy(pixels),
                        self.look.style(share),
                        *memory,
                        self._strength,
                        self._colors,
                        of_network,
                    )
                return stylized.numpy(), used
            except OutOfMemoryError as error:
                reason = str(error)  # the error itself would hold the features until the frame is painted
            self._shrink(run, reason)

    def _start(self, wanted: str, max_memory: int | None) -> None:
        """Build the engine that was asked for, or the fastest that works, and run it once."""
        from models.engines.capabilities import available_engines

        candidates = available_engines(self.device) if wanted == "auto" else [cast("EngineName", wanted)]
        bound = default_bound(self.device) if max_memory is None else max_memory
        for name in candidates:
            engine, way = self._choose(name, bound)
            try:
                self._build(engine, way)
            except DeviceError as error:
                if name == candidates[-1]:
                    raise
                self._notify(f"the engine {name} does not work here ({error}); trying the next")
                continue
            if bound is not None and way.tiling is not None:
                self._notify(f"painting in strips of {way.tiling.rows} rows, to stay within {shown(bound)} of memory")
            elif wanted == "auto" and name == "eager" and self.device.type != "mps":
                self._notify(_slower(self.device.type, candidates))
            return

    def _choose(self, name: "EngineName", bound: int | None) -> "tuple[EngineName, ExecutionMode]":
        """The engine, and how it stays within the bound: fewer frames at once, then strips, which eager alone paints.

        Raises:
            DeviceError: the bound is too small for the smallest strips.
        """
        if bound is None:
            return name, ExecutionMode(self.workers)
        need = self._need()
        way = choose_mode(whole_frame_modes(self.workers), partial(need.bytes, name), bound)
        if way is not None:
            return name, way
        strips = strip_modes(self.workers, need.canvas[0], on_gpu=need.on_gpu)
        way = choose_mode(strips, partial(need.bytes, "eager"), bound)
        if way is None:
            raise too_little(bound, need.bytes("eager", strips[-1]))
        return "eager", way

    def _need(self) -> MemoryEstimate:
        from models.engines.engine import canvas_size

        height, width = self._size
        canvas = canvas_size(height, width, self._stroke_size) or (height, width)
        architecture, on_gpu = self.look.network.architecture, self.device.type != "cpu"
        return MemoryEstimate(
            height * width, canvas, architecture, self.precision, self._stability, on_gpu, self._is_16_bit
        )

    def _build(self, name: "EngineName", way: ExecutionMode) -> None:
        import torch

        self.engine, self.tiling, self.workers = name, way.tiling, way.workers
        self._threads = max(self._cores // way.workers, 1)
        torch.set_num_threads(self._threads)
        with device_errors(self.device):
            self._run = self._built(name, way.tiling)
            self._warm_up()

    def _built(self, name: "EngineName", tiling: "Tiling | None") -> "Engine":
        from models.engines.engine import EngineSpec

        height, width = self._size
        spec = EngineSpec(
            network=self.look.network,
            height=height,
            width=width,
            device=self.device,
            precision=self.precision,
            cache=cache_folder(),
            end_network=self.look.end_network,
            stroke_size=self._stroke_size,
            is_16_bit=self._is_16_bit,
            tiling=tiling,
            workers=self.workers,
        )
        return self._build_engine(name, spec)

    def _shrink(self, run: "Engine", reason: str) -> None:
        """Go on in strips, or in smaller ones, where ``run`` is what ran out of memory and is still in use.

        Raises:
            DeviceError: they are the smallest already.
        """
        with self._shrinking:
            if self._run is not run:  # another frame ran out before this one
                return
            strips = strip_modes(1, self._need().canvas[0], on_gpu=self.device.type != "cpu")
            tilings = [way.tiling for way in strips]
            left = strips[tilings.index(self.tiling) + 1 :] if self.tiling in tilings else strips
            if not left or left[0].tiling is None:
                raise DeviceError(reason)
            free_memory(self.device)
            before, self.tiling, self.engine = self.tiling, left[0].tiling, "eager"
            self._run = self._built("eager", self.tiling)
        less = ", and keeping less between them" if before is not None and before.rows == self.tiling.rows else ""
        self._notify(f"{self.device} ran out of memory: going on in strips of {self.tiling.rows} rows{less}")

    def _warm_up(self) -> None:
        self._stylize(np.zeros((*self._size, 3), np.uint16 if self._is_16_bit else np.uint8), 0.0, None)


MakeStylizer = Callable[..., Stylizer]
"""Called as `Stylizer`."""


def _slower(device: str, tried: Sequence[str]) -> str:
    """Why the slow engine runs where a faster one would: what is not there, after what was tried and failed."""
    remedies = {"compile": ("C++ compiler", "install g++"), "openvino": ("OpenVINO", "pip install 'flowbrush[cpu]'")}
    if device != "cpu":
        remedies = {"compile": ("Triton", "pip install triton")}
    missing = [remedy for name, remedy in remedies.items() if name not in tried]
    if not missing:
        return "running eager, which is slower; `flowbrush doctor` tells what is missing"
    found = " and ".join(f"no {what}" for what, _ in missing)
    return f"{found} found: running eager, which is slower; {', or '.join(how for _, how in missing)}"


def stylized_width_px(width_px: int, compare: str | None) -> int:
    """Return the width of the stylized frames; their height is that of the original."""
    return 2 * width_px if compare == "side" else width_px


def compose(original: Pixels, stylized: Pixels, compare: Literal["side", "split"] | str) -> Pixels:
    """Show both: side by side, or the left half of the one and the right half of the other with a line between."""
    if compare == "side":
        return np.concatenate((original, stylized), axis=1)
    middle = original.shape[1] // 2
    split = stylized.copy()
    split[:, :middle] = original[:, :middle]
    split[:, max(middle - 1, 0) : middle + 1] = np.iinfo(split.dtype).max
    return split


def cache_folder() -> Path:
    """Where compiled networks are kept: ``FLOWBRUSH_CACHE``, or the user's cache folder of this system."""
    if chosen := os.environ.get("FLOWBRUSH_CACHE"):
        return Path(chosen)
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "flowbrush"
