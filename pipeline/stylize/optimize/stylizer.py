"""The stylize stage that optimizes each frame; takes the place of `pipeline.stylize.stylizer.Stylizer`."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.config import StylizeConfig
from pipeline.errors import TooLittleMemoryError
from pipeline.frames import Frame, Pixels, State, in_8_bits
from pipeline.media.stills import check_image_target, write_image
from pipeline.notices import Notify
from pipeline.stylize.device import device_errors
from pipeline.stylize.opencv import opencv_available
from pipeline.stylize.optimize.history import History, PastFrame, history_arrays, motions, read_history, same_scene
from pipeline.stylize.optimize.setup import build_optimizer
from pipeline.stylize.stylizer import MaskBlend, Stylizer, shown

if TYPE_CHECKING:
    from torch import Tensor

    from models.metrics import Motion
    from models.optimize.loss import PixelLoss
    from models.optimize.picture import Report, Start

FOLLOWING = 0.5
"""Steps of a frame that starts from the one before, as a share: Ruder et al. 2016 take half."""

PREVIEW_SECONDS = 3.0

ReportStep = Callable[["Report"], None]


class OptimizingStylizer:
    """Optimizes frames one after another; each starts from the one before, carried along the flow.

    Gatys et al., CVPR 2016, for pictures; Ruder et al., GCPR 2016, for clips. With ``--stability none`` frames know
    nothing of each other.

    Args:
        config: paintings, losses, device and the rest of the settings.
        height: of the frames, in pixels.
        width: of the frames, in pixels.
        is_16_bit: whether frames are uint16; uint8 otherwise.
        last_seconds: not used; there are no fades.
        mask: blends the original and the stylized frame where only parts are stylized; None stylizes everything.
        notify: called with each message for the user, one line.
        report: called after each step of the optimizer.
        turn: held while frames are stylized; None to wait for nobody.
        is_single: whether this is for single pictures: how each ended is a notice then.

    Attributes:
        device: where the loss networks run.
        precision: of their convolutions.
        workers: how many frames are optimized at once.
        engine: how the loss networks run.
        code: what computes their numbers, see `models.engines.build.code_of`.
        tiling: None; the memory bound chooses windows.

    Raises:
        InputError: a painting or a loss network cannot be read.
        OutputError: the preview cannot be written.
        DeviceError: the device is not available.
    """

    engine, tiling, workers = "eager", None, 1

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
        report: ReportStep = lambda report: None,
        turn: AbstractContextManager[None] | None = None,
        is_single: bool = False,
    ) -> None:
        from models.engines.capabilities import instructions

        self._preview = Preview(config.optimize.preview)
        self._optimizer, self.device, self.precision = build_optimizer(config, notify)
        self._config, self._size, self._is_16_bit = config, (height, width), is_16_bit
        self._mask, self._notify, self._report, self._is_single = mask, notify, report, is_single
        self._turn = turn or nullcontext()
        self.code = instructions() if self.device.type == "cpu" else ""
        self._has_history = config.stability != "none" and not is_single and opencv_available()
        self._network: Stylizer | None = None

    def __call__(self, frames: Iterable[Frame], state: State | None = None) -> Iterator[Frame]:
        """Yield ``frames`` stylized, in their order; see `Stylizer`."""
        history = read_history(state)
        with self._turn:
            for frame in frames:
                if frame.is_observed_only:
                    continue
                history = same_scene(history, frame.pixels) if self._has_history else ()
                optimized = self._optimize(frame.pixels, history)
                if self._has_history:
                    history = (PastFrame(frame.pixels, optimized), *history)[: self._config.optimize.memory_frames]
                stylized = self._mixed(frame.pixels, optimized)
                result = shown(frame, stylized, self._config.compare, self._mask)
                yield result if frame.boundary is None else result.with_state(history_arrays(history))

    def stylize(self, pixels: Pixels, seconds: Fraction | float = 0.0) -> Pixels:
        """Return a single frame ``(height, width, 3)`` RGB stylized; see `Stylizer`."""
        (frame,) = self([Frame(pixels, 0, Fraction(1))])
        return frame.pixels

    def _optimize(self, pixels: Pixels, history: History) -> Pixels:
        from models.optimize.picture import between
        from models.optimize.temporal import first_guess

        content, config = self._image(pixels), self._config.optimize
        start: Tensor | Start = "noise" if config.init == "noise" else "content"
        if config.init == "style":
            start = between(content, self._image(self._stylized_by_network(pixels)))
        losses: dict[str, PixelLoss] = {}
        steps = None
        if history:
            past, losses, motion = self._temporal(pixels, history)
            start = first_guess(past, motion, content if isinstance(start, str) else start)
            steps = max(round(config.steps * FOLLOWING), 1)
        with device_errors(self.device):
            try:
                result = self._optimizer.run(content, start, self._step, pixel_losses=losses, steps=steps)
            except ValueError as error:
                reason = f"the memory is too small for this picture ({error}); choose a larger --max-memory"
                raise TooLittleMemoryError(reason) from error
        if self._is_single:
            losses_text = ", ".join(f"{name} {value:.3f}" for name, value in result.losses.items())
            self._notify(f"{result.steps} steps: {result.reason}; loss {result.total:.3f}: {losses_text}")
        return to_pixels(result.image, pixels.dtype)

    def _temporal(self, pixels: Pixels, history: History) -> "tuple[Tensor, dict[str, PixelLoss], Motion]":
        """Return the stylized frame before, the temporal loss, and the motion to the frame before."""
        from models.metrics import Motion
        from models.optimize.temporal import temporal_loss
        from models.temporal.flow import DisFlow

        config = self._config.optimize
        past, found = motions(history, pixels, config.memory_frames, DisFlow("medium"))
        found = [Motion(motion.flow.to(self.device), motion.mask.to(self.device)) for motion in found]
        stylized = [self._image(each.stylized) for each in past]
        return stylized[0], {"temporal": temporal_loss(stylized, found, config.temporal_weight)}, found[0]

    def _stylized_by_network(self, pixels: Pixels) -> Pixels:
        if self._network is None:
            config = replace(
                self._config,
                method="network",
                paintings=(),
                stability="none",
                compare=None,
                keep_colors=False,
                strength=1.0,
            )
            height, width = self._size
            self._network = Stylizer(
                config, height=height, width=width, is_16_bit=self._is_16_bit, notify=self._notify, is_single=True
            )
        return self._network.stylize(pixels)

    def _mixed(self, pixels: Pixels, optimized: Pixels) -> Pixels:
        """Apply ``--strength`` and ``--keep-colors``, as the graph of the network does."""
        import torch

        from models.frame_graph import composite, unit_to_pixels

        config = self._config
        if config.strength == 1 and not config.keep_colors:
            return optimized
        amount, keep = torch.tensor(config.strength), torch.tensor(float(config.keep_colors))
        mixed = composite(to_image(pixels), to_image(optimized), amount, keep)
        return np.asarray(unit_to_pixels(mixed, torch.from_numpy(optimized).dtype).numpy())

    def _image(self, pixels: Pixels) -> "Tensor":
        return to_image(pixels).to(self.device)

    def _step(self, report: "Report") -> None:
        self._report(report)
        self._preview(report)


class Preview:
    """An image of the picture so far, rewritten every `PREVIEW_SECONDS`.

    Args:
        path: of the image; None for no preview.

    Raises:
        OutputError: it cannot be written.
    """

    def __init__(self, path: Path | None) -> None:
        if path is not None:
            check_image_target(path, overwrite=True, what="preview")
        self._path, self._next_at = path, 0.0

    def __call__(self, report: "Report") -> None:
        """Show a step of the optimizer, if it is time."""
        if self._path is not None and time.monotonic() >= self._next_at:
            write_image(self._path, in_8_bits(to_pixels(report.image, np.dtype(np.uint8))))
            self._next_at = time.monotonic() + PREVIEW_SECONDS


def to_image(pixels: Pixels) -> "Tensor":
    """Convert ``(H, W, 3)`` pixels to ``(1, 3, H, W)`` float32 in [0, 1]."""
    import torch

    from models.frame_graph import pixels_to_unit

    return pixels_to_unit(torch.from_numpy(pixels if pixels.flags.writeable else pixels.copy()))


def to_pixels(image: "Tensor", dtype: np.dtype[Any]) -> Pixels:
    """Convert ``(1, 3, H, W)`` in [0, 1] to pixels ``(H, W, 3)``, uint8 or uint16."""
    levels = np.iinfo(dtype).max
    return np.ascontiguousarray((image[0].permute(1, 2, 0).cpu().numpy() * levels).round().astype(dtype))
