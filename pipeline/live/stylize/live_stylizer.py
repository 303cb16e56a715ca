"""Stylize live frames with the core of `pipeline.stylize`; working size and style may change from frame to frame."""

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from pipeline.config import Stability
from pipeline.frames import Pixels
from pipeline.live.controls import Snapshot
from pipeline.live.frames import CapturedFrame, LiveFrame
from pipeline.live.stylize.live_network import LiveNetwork
from pipeline.live.stylize.modes import Mode, Size
from pipeline.stylize.device import device_errors
from pipeline.stylize.frame_stylizer import FrameControls
from pipeline.stylize.opencv import cv
from pipeline.stylize.stabilizer import InputState, OutputState, PreparedFrame, StylizedFrame

if TYPE_CHECKING:
    from models.engines.engine import Engine, EngineName


@dataclass(slots=True)
class _Scene:
    """What frames of one size and direction leave for the next ones."""

    inputs: InputState = field(default_factory=InputState)
    outputs: OutputState = field(default_factory=OutputState)


@dataclass(slots=True)
class LiveJob:
    """A frame that is being stylized.

    Attributes:
        captured: the frame.
        mode: in which it is stylized.
        is_settled: whether the time that it takes predicts that of later frames; the first ones in a mode take longer.
        seconds: time that it has taken so far, without waiting for other frames.
    """

    captured: CapturedFrame
    mode: Mode
    is_settled: bool
    _original: Pixels
    _prepared: PreparedFrame
    _controls: FrameControls
    _engine: "Engine"
    _scene: _Scene
    seconds: float = 0.0
    _stylized: StylizedFrame | None = None


class LiveStylizer:
    """Stylizes the frames of one source.

    `stylize` does it for one frame at a time, in the thread of the network. For frames side by side there are its three
    steps: `begin` and `finish` are called in the order of the frames, one call at a time each; `run` in any thread.

    Args:
        network: that may be shared with other sources.
        size: height and width of the output frames, in pixels.
        stability: how to reduce flicker; None takes that of the network.

    Attributes:
        size: height and width of the output frames, in pixels.
        network: that runs.
        engine: name of the engine that stylized the last frame.
    """

    def __init__(self, network: LiveNetwork, size: Size, stability: Stability | None = None) -> None:
        self.size, self.network = size, network
        self.engine: EngineName = "eager"
        self._core = network.core(stability)
        self._scene = _Scene()
        self._last: tuple[Mode, bool] | None = None
        self._settling = 0

    def stylize(self, captured: CapturedFrame, settings: Snapshot, mode: Mode) -> tuple[LiveFrame, LiveJob]:
        """Stylize a frame of any size in ``mode``; return it at `size`, and the job for its time.

        Raises:
            OutOfMemoryError: the device has too little memory for this size; a smaller one may fit.
            DeviceError: the network cannot run.
        """
        job = self.begin(captured, settings, mode)
        self.run(job)
        return self.finish(job), job

    def begin(self, captured: CapturedFrame, settings: Snapshot, mode: Mode) -> LiveJob:
        """Do what comes before the network; for errors see `stylize`."""
        start = time.perf_counter()
        with device_errors(self.network.device):
            original = self._original(captured.pixels, settings.mirror)
            engine = self.network.engines.get(mode)
            is_settled = self._note_changes(mode, settings.mirror)
            controls = FrameControls(self.network.mixer.mix(settings.weights), settings.strength, settings.keep_colors)
            scene = self._scene
            pixels = resized(original, mode.size)
            prepared, scene.inputs = self._core.stabilizer.prepare(pixels, scene.inputs, scene.outputs)
        seconds = time.perf_counter() - start
        return LiveJob(captured, mode, is_settled, original, prepared, controls, engine, scene, seconds)

    def run(self, job: LiveJob) -> None:
        """Run the network; for errors see `stylize`."""
        start = time.perf_counter()
        with device_errors(self.network.device):
            job._stylized = self._core.stylize(job._prepared, job._controls, job._engine)
        job.seconds += time.perf_counter() - start

    def finish(self, job: LiveJob) -> LiveFrame:
        """Do what comes after the network; for errors see `stylize`."""
        if job._stylized is None:
            raise ValueError("the network has not run on this frame")
        start = time.perf_counter()
        with device_errors(self.network.device):
            stylized, job._scene.outputs = self._core.stabilizer.finish(job._stylized, job._scene.outputs)
            stylized = resized(stylized, self.size)
        job.seconds += time.perf_counter() - start
        self.engine = job.mode.engine
        return LiveFrame(stylized, job._original, job.captured.captured_at, job.captured.index)

    def _original(self, pixels: Pixels, mirror: bool) -> Pixels:
        scaled = resized(pixels, self.size)
        return np.ascontiguousarray(scaled[:, ::-1]) if mirror else scaled

    def _note_changes(self, mode: Mode, mirror: bool) -> bool:
        """Start a new temporal state where the size or the direction changes; return whether the mode is settled."""
        last, self._last = self._last, (mode, mirror)
        if last is None or last[0] != mode:
            self._settling = mode.workers  # each of its threads begins with a frame that takes longer
        if last and (last[0].size, last[1]) != (mode.size, mirror):
            self._scene = _Scene()
        self._settling -= 1
        return self._settling < 0


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
