"""The stylize stage: takes frames and yields stylized frames."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from pipeline.config import StylizeConfig
from pipeline.errors import DeviceError
from pipeline.frames import Frame, Pixels, Samples, State
from pipeline.media.pixels.encoder_samples import EncoderFormat, EncoderSamples
from pipeline.stylize.engine.bounded_engine import BoundedEngine, BuildEngine
from pipeline.stylize.engine.compiler import build_engine
from pipeline.stylize.engine.successor import Successor
from pipeline.stylize.frame_stylizer import FrameControls, FrameStylizer, Notify
from pipeline.stylize.stabilizer import InputState, PreparedFrame, StylizedFrame, TemporalState, read_state
from pipeline.stylize.style import load_style_settings
from pipeline.threads import ordered_map

if TYPE_CHECKING:
    import torch

    from models.engines.engine import Precision
    from models.tiled.tiling import Tiling

Region: TypeAlias = NDArray[np.float32] | None
"""Where a frame has the style of the foreground, ``(H, W)`` in [0, 1]; None for a style without regions."""

# Frames prepared ahead of the workers; without one they would wait 2 ms of 29 for the next frame.
AHEAD = 2


class MaskBlend(Protocol):
    """Where a frame is stylized, as `pipeline.decode.masks.frame_mask.FrameMask` says it."""

    def amount(self, pixels: Pixels, seconds: Fraction) -> NDArray[np.float32]:
        """Return how much of each pixel of a frame is stylized, ``(height, width, 1)`` in [0, 1]."""

    def __call__(self, original: Pixels, stylized: Pixels, seconds: Fraction) -> Pixels:
        """Return the pixels to show."""


class Stylizer:
    """Stylizes the frames of a clip, all of one size.

    Making one loads the network and, where needed, compiles it: this takes from one second to half a minute. Compiled
    code is cached for the next time.

    On a CPU several frames are stylized at once, each by a few cores: cores that share a frame wait for each other at
    each of its 60 kernels, and wait long where the decoder or the encoder occupies one of them.

    Args:
        config: style, device, engine and the rest of the settings.
        height: of the frames, in pixels.
        width: of the frames, in pixels.
        is_16_bit: whether frames are uint16; uint8 otherwise.
        last_seconds: time of the last frame in seconds, where a fade ends; see `pipeline.stylize.style`.
        mask: blends the original and the stylized frame where only parts are stylized, or says which style is where if
            the style has regions; None stylizes everything.
        notify: called with each message for the user, one line.
        build: builds an engine; `pipeline.stylize.engine.compiler.build_engine` by default.
        turn: held while frames are stylized; None to wait for nobody. See `pipeline.stylize.engine.engine_cache`.
        is_single: whether this is for single pictures; see `BoundedEngine`.
        frame_count: how many frames are to be stylized, which decides whether compiling is worth the time; None if
            unknown.
        may_change: whether another engine may take over at the end of a segment, once it is compiled.
        encoder_format: what a GPU makes of stylized frames that nothing else needs; None for RGB.

    Attributes:
        style: the style at each moment; may be replaced by another one of the same network.
        device: where the network runs.
        precision: of the convolutions.
        workers: how many frames are stylized at once.

    Raises:
        StyleError: there is no such style, or its weights are unusable.
        DeviceError: the device, the precision or the engine is not available, or the memory is too small.
        ValueError: the style has regions, and there is no mask.
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
        notify: Notify = lambda line: None,
        build: BuildEngine | None = None,
        turn: AbstractContextManager[None] | None = None,
        is_single: bool = False,
        frame_count: int | None = None,
        may_change: bool = False,
        encoder_format: EncoderFormat | None = None,
    ) -> None:
        self.style = load_style_settings(config.style, config.style_end, last_seconds, config.dials)
        self._config = config if config.strength else replace(config, stability="none")
        self._mask = mask
        self._has_regions = self.style.has_regions
        if self._has_regions and mask is None:
            raise ValueError("styles of regions need a mask, which says where each is")
        self._turn = turn or nullcontext()
        self._core = FrameStylizer(self.style.network, self._config, notify, has_regions=self._has_regions)
        spec = self._core.spec(height, width, is_16_bit=is_16_bit)
        is_shown_alone = mask is None and not config.compare and not is_single
        self._encoder_format = encoder_format if is_shown_alone and self._core.takes_samples else None
        if self._encoder_format is not None:
            spec = replace(spec, samples=self._encoder_format.samples)
        self._engine = BoundedEngine(
            self._core,
            self._config,
            spec,
            notify,
            build or build_engine,
            is_single=is_single,
            frame_count=frame_count,
            may_change=may_change,
        )
        self._spec, self._notify, self._build = spec, notify, build or build_engine
        self.device, self.precision, self.workers = spec.device, spec.precision, self._engine.spec.workers

    @property
    def engine(self) -> str:
        """Name of the engine that runs the network."""
        return self._engine.name

    @property
    def code(self) -> str:
        """What computes the numbers of the engine, see `models.engines.build.code_of`."""
        return self._engine.code

    @property
    def tiling(self) -> "Tiling | None":
        """The strips that frames are stylized in; None for whole frames."""
        return self._engine.spec.tiling

    def __call__(self, frames: Iterable[Frame], state: State | None = None) -> Iterator[Frame]:
        """Yield ``frames`` stylized, in their order.

        Args:
            frames: in presentation order. Those that are observed only are not yielded; a `SegmentBoundary` is filled
                with the state after its frame.
            state: of the `SegmentBoundary` before the first of ``frames``; None at the start of a clip.
        """
        import torch

        stabilizer, start = self._core.stabilizer, read_state(state, self.device)
        inputs, outputs = start.inputs, start.outputs

        successor = started = self._start_successor()
        engine: Mapping[str, str] | None = None  # of the segment, once it is another one than at the start

        def prepare(frame: Frame) -> _Task | None:
            nonlocal inputs, successor, engine
            image = cast("Pixels | Samples", frame.image) if self._core.takes_samples else frame.pixels
            prepared, inputs = stabilizer.prepare(image, inputs, outputs)
            if frame.is_observed_only:
                return None
            region = self._region(frame.pixels, frame.seconds) if self._has_regions else None
            if frame.boundary is None:
                return _Task(frame, prepared, self._engine, region)
            task = _Task(frame, prepared, self._engine, region, inputs, engine)
            if successor is not None and (ended := self._try_to_change(successor)):
                engine = {"engine": self.engine, "code": self.code} if ended == "changed" else engine
                successor = None
            return task

        def stylize(task: _Task) -> tuple[_Task, StylizedFrame]:
            return task, self._stylize(task.prepared, task.frame.seconds, task.engine, task.region)

        work = ordered_map(
            stylize,
            frames,
            prepare=prepare,
            workers=self.workers,
            ahead=AHEAD,
            # The number of threads is a setting of each thread that calls torch.
            initializer=partial(torch.set_num_threads, self._engine.threads),
            name="stylize",
        )
        with ExitStack() as stack:
            if started is not None:
                stack.callback(started.close)
            stack.enter_context(self._turn)
            stack.enter_context(closing(work))  # nothing runs before the first item is asked for
            for task, stylized in work:
                pixels, outputs = stabilizer.finish(stylized, outputs)
                result = self._shown(task.frame, pixels)
                if task.inputs_after is not None:
                    state = TemporalState(task.inputs_after, outputs).arrays()
                    result = result.with_state(state, task.changed_engine)
                yield result

    def stylize(self, pixels: Pixels, seconds: Fraction | float = 0.0) -> Pixels:
        """Return a single frame ``(height, width, 3)`` RGB stylized; twice as wide for the comparison ``side``.

        Args:
            pixels: of the frame, uint8 or uint16.
            seconds: time of the frame in the clip, for a fade.

        Raises:
            DeviceError: the memory of the device is too small.
        """
        region = self._region(pixels, Fraction(seconds))
        stylized = self._stylize(PreparedFrame(pixels), seconds, self._engine, region).pixels
        return compose(pixels, stylized, self._config.compare) if self._config.compare else stylized

    def _shown(self, frame: Frame, pixels: Pixels) -> Frame:
        if self._encoder_format is not None and pixels.ndim == 1:
            size, is_16_bit = (self._spec.height, self._spec.width), self._spec.is_16_bit
            return replace(frame, image=EncoderSamples(pixels, *size, self._encoder_format, is_16_bit=is_16_bit))
        return shown(frame, pixels, self._config.compare, None if self._has_regions else self._mask)

    def _region(self, pixels: Pixels, seconds: Fraction) -> Region:
        """Return where the frame has the style of the foreground; None for a style without regions."""
        if not self._has_regions or self._mask is None:
            return None
        return np.ascontiguousarray(self._mask.amount(pixels, seconds)[..., 0])

    def _stylize(
        self, prepared: PreparedFrame, seconds: Fraction | float, engine: BoundedEngine, region: Region
    ) -> StylizedFrame:
        config = self._config
        style = self.style.style(float(seconds))
        controls = FrameControls(style, config.strength, config.keep_colors, region)
        return self._core.stylize(prepared, controls, engine)

    def _start_successor(self) -> Successor | None:
        found = self._engine.successor
        return None if found is None else Successor(*found)

    def _try_to_change(self, successor: Successor) -> Literal["changed", "failed"] | None:
        """Let ``successor`` stylize from now on; return None if it is not ready."""
        try:
            if not successor.is_ready:
                return None
            config = replace(self._config, engine=successor.name)
            self._engine = BoundedEngine(self._core, config, self._spec, self._notify, self._build)
        except DeviceError as error:
            self._notify(f"the engine {successor.name} does not work here ({error}); continuing with {self.engine}")
            return "failed"
        return "changed"


@dataclass(frozen=True, slots=True)
class _Task:
    """A frame on its way through the network.

    Attributes:
        frame: as decoded.
        prepared: the same without noise.
        engine: stylizes it.
        region: where it has the style of the foreground; None for a style without regions.
        inputs_after: state after the frame, if a segment ends with it.
        changed_engine: name and code of the engine, if it is another one than at the start.
    """

    frame: Frame
    prepared: PreparedFrame
    engine: BoundedEngine
    region: Region = None
    inputs_after: InputState | None = None
    changed_engine: Mapping[str, str] | None = None


class StylizeStage(Protocol):
    """What stylizes the frames of a clip: `Stylizer`, or what optimizes them."""

    @property
    def engine(self) -> str:
        """Name of the engine."""
        ...

    @property
    def code(self) -> str:
        """What computes its numbers; empty if that is unknown."""
        ...

    @property
    def device(self) -> "torch.device":
        """Where it runs."""
        ...

    @property
    def precision(self) -> "Precision":
        """Number format."""
        ...

    @property
    def workers(self) -> int:
        """How many frames are stylized at once."""
        ...

    @property
    def tiling(self) -> "Tiling | None":
        """The strips of a frame; None for whole frames."""
        ...

    def __call__(self, frames: Iterable[Frame], state: State | None = None) -> Iterator[Frame]:
        """Yield ``frames`` stylized."""
        ...


MakeStylizer = Callable[..., StylizeStage]
"""Called as `Stylizer`."""


def shown(frame: Frame, pixels: Pixels, compare: str | None, mask: MaskBlend | None) -> Frame:
    """Return the frame with its stylized pixels, masked, and compared as ``--compare`` asks for."""
    if mask is not None:
        pixels = mask(frame.pixels, pixels, frame.seconds)
    if not compare:
        return frame.with_pixels(pixels)
    alpha = frame.alpha
    if alpha is not None and compare == "side":
        alpha = np.concatenate((alpha, alpha), axis=1)
    return replace(frame, image=compose(frame.pixels, pixels, compare), alpha=alpha)


def stylized_width_px(width_px: int, compare: str | None) -> int:
    """Return the width of the stylized frames; their height is that of the original."""
    return 2 * width_px if compare == "side" else width_px


def compose(original: Pixels, stylized: Pixels, compare: str) -> Pixels:
    """Show both frames: ``side`` by side, or ``split``, the left half of one and the right half of the other."""
    if compare == "side":
        return np.concatenate((original, stylized), axis=1)
    middle = original.shape[1] // 2
    split = stylized.copy()
    split[:, :middle] = original[:, :middle]
    split[:, max(middle - 1, 0) : middle + 1] = np.iinfo(split.dtype).max
    return split
