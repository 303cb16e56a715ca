"""Stylize live frames with the core of `pipeline.stylize`; working size and style may change from frame to frame."""

import time

import numpy as np

from pipeline.config import Stability
from pipeline.frames import Pixels
from pipeline.live.controls import Snapshot
from pipeline.live.frames import CapturedFrame, LiveFrame
from pipeline.live.stylize.engine_builder import Size
from pipeline.live.stylize.live_network import LiveNetwork
from pipeline.stylize.device import device_errors
from pipeline.stylize.frame_stylizer import FrameControls
from pipeline.stylize.opencv import cv
from pipeline.stylize.stabilizer import TemporalState


class LiveStylizer:
    """Stylizes the frames of one source, one at a time; called in the thread of its network.

    Args:
        network: that may be shared with other sources.
        size: height and width of the output frames, in pixels.
        stability: how to reduce flicker; None takes that of the network.

    Attributes:
        size: height and width of the output frames, in pixels.
        network: that runs.
        engine: name of the engine that stylized the last frame.
        seconds: time that the last frame took.
        is_settled: whether ``seconds`` predicts the next frame; the first frame of a size or of an engine takes longer.
    """

    def __init__(self, network: LiveNetwork, size: Size, stability: Stability | None = None) -> None:
        self.size, self.network = size, network
        self.engine = "eager"
        self.seconds = 0.0
        self.is_settled = False
        self._core = network.core(stability)
        self._state = TemporalState()
        self._last: tuple[Size, bool, str] | None = None

    def stylize(self, captured: CapturedFrame, settings: Snapshot, working_size: Size) -> LiveFrame:
        """Stylize a frame of any size at ``working_size``, height and width in pixels; the output has `size`.

        Raises:
            OutOfMemoryError: the device has too little memory for this size; a smaller one may fit.
            DeviceError: the network cannot run.
        """
        start = time.perf_counter()
        with device_errors(self.network.device):
            original = self._original(captured.pixels, settings.mirror)
            name, engine = self.network.engines.get(working_size)
            self._note_changes(working_size, settings.mirror, name)
            controls = FrameControls(self.network.mixer.mix(settings.weights), settings.strength, settings.keep_colors)
            pixels = resized(original, working_size)
            stylized, self._state = self._core(pixels, self._state, controls, engine)
            stylized = resized(stylized, self.size)
        self.seconds = time.perf_counter() - start
        return LiveFrame(stylized, original, captured.captured_at, captured.index)

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
