"""Stylize live frames with the core of `pipeline.stylize`; working size and style may change from frame to frame."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from pipeline.frames import Pixels
from pipeline.live.config import LiveConfig
from pipeline.live.controls import Snapshot
from pipeline.live.frames import CapturedFrame, LiveFrame
from pipeline.live.stylize.engine_builder import EngineBuilder, Size, fast_engines
from pipeline.live.stylize.engine_pool import EnginePool
from pipeline.live.stylize.style_mixer import StyleMixer
from pipeline.stylize.bounded_engine import BuildEngine
from pipeline.stylize.device import device_errors
from pipeline.stylize.frame_stylizer import FrameControls, FrameStylizer
from pipeline.stylize.opencv import cv
from pipeline.stylize.stabilizer import TemporalState

if TYPE_CHECKING:
    import torch


class LiveStylizer:
    """Stylizes one frame at a time with all cores; all methods but `close` are called in one thread.

    Args:
        config: style, device, engine and the rest of the settings.
        mixer: the styles.
        size: height and width of the output frames, in pixels.
        notify: called with each message for the user, one line; from any thread.
        build: builds an engine; `models.engines.build.build_engine` by default.

    Attributes:
        size: height and width of the output frames, in pixels.
        engines: the engines of each working size.
        engine: name of the engine that stylized the last frame.
        seconds: time that the last frame took.
        is_settled: whether ``seconds`` predicts the next frame; the first frame of a size or of an engine takes longer.

    Raises:
        DeviceError: the device, the precision or the engine is not available.
    """

    def __init__(
        self,
        config: LiveConfig,
        mixer: StyleMixer,
        size: Size,
        notify: Callable[[str], None],
        *,
        build: BuildEngine | None = None,
    ) -> None:
        self.size = size
        self.engine = "eager"
        self.seconds = 0.0
        self.is_settled = False
        self._mixer = mixer
        self._core = FrameStylizer(mixer.network, config.stylize, notify)
        fast = fast_engines(self._core.device, config.stylize.engine)
        self.engines = EnginePool(EngineBuilder(self._core, build), fast, notify)
        self._state = TemporalState()
        self._last: tuple[Size, bool, str] | None = None

    @property
    def device(self) -> "torch.device":
        """Where the network runs."""
        return self._core.device

    def use_this_thread(self) -> None:
        """Prepare the calling thread for `stylize`; torch's number of threads is a setting of each thread."""
        import torch

        torch.set_num_threads(self._core.cores)

    def stylize(self, captured: CapturedFrame, settings: Snapshot, working_size: Size) -> LiveFrame:
        """Stylize a frame of any size at ``working_size``, height and width in pixels; the output has `size`.

        Raises:
            OutOfMemoryError: the device has too little memory for this size; a smaller one may fit.
            DeviceError: the network cannot run.
        """
        start = time.perf_counter()
        with device_errors(self.device):
            original = self._original(captured.pixels, settings.mirror)
            name, engine = self.engines.get(working_size)
            self._note_changes(working_size, settings.mirror, name)
            controls = FrameControls(self._mixer.mix(settings.weights), settings.strength, settings.keep_colors)
            pixels = resized(original, working_size)
            stylized, self._state = self._core(pixels, self._state, controls, engine)
            stylized = resized(stylized, self.size)
        self.seconds = time.perf_counter() - start
        return LiveFrame(stylized, original, captured.captured_at, captured.index)

    def close(self) -> None:
        """Stop preparing engines in the background."""
        self.engines.close()

    def _original(self, pixels: Pixels, mirror: bool) -> Pixels:
        scaled = resized(pixels, self.size)
        return np.ascontiguousarray(scaled[:, ::-1]) if mirror else scaled

    def _note_changes(self, working_size: Size, mirror: bool, engine: str) -> None:
        """Start a new temporal state where the size or the direction changes."""
        now = (working_size, mirror, engine)
        self.is_settled = now == self._last
        if self._last and now[:2] != self._last[:2]:
            self._state = TemporalState()
        self._last, self.engine = now, engine


def resized(pixels: Pixels, size: Size) -> Pixels:
    """Return ``pixels`` at ``size``, height and width: by area where it shrinks, bicubic otherwise."""
    height, width = size
    if pixels.shape[:2] == size:
        return pixels
    if cv is None:
        from PIL import Image

        return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)).copy()
    shrinks = height * width < pixels.shape[0] * pixels.shape[1]
    scaled: Pixels = cv.resize(pixels, (width, height), interpolation=cv.INTER_AREA if shrinks else cv.INTER_CUBIC)
    return scaled
