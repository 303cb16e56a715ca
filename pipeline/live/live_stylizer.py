"""Paints live pictures: the working resolution, the style and its strength may change from one to the next."""

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from pipeline.frames import Pixels
from pipeline.live.config import LiveConfig
from pipeline.live.controls import Snapshot
from pipeline.live.engine_pool import EnginePool, Place, Size
from pipeline.live.frames import Captured, LiveFrame
from pipeline.live.style_mixer import StyleMixer
from pipeline.stylize.device import device_errors, find_device
from pipeline.stylize.stabilizer import Stabilizer, cv, opencv_is_there
from pipeline.stylize.stylizer import cache_folder

if TYPE_CHECKING:
    import torch

    from models.engines.engine import Precision


class LiveStylizer:
    """Paints one picture at a time with all cores; all methods are called in one thread.

    What a picture leaves to the next lives in a `pipeline.stylize.stabilizer.Stabilizer`, which is begun anew
    where the working
    resolution changes.

    Args:
        config: what to paint like, and on what.
        mixer: the styles.
        size: height and width of the pictures that come out, in pixels.
        notify: called with what the user should know, a line each; from any thread.

    Attributes:
        size: height and width of the pictures that come out.
        engines: how the network runs, at each size.
        engine: that painted the last picture.
        seconds: that the last picture took.
        is_settled: whether these say what the next will take: the first of a size, or of an engine, takes longer.

    Raises:
        DeviceError: the device, the precision or the engine is not to be had.
    """

    def __init__(self, config: LiveConfig, mixer: StyleMixer, size: Size, notify: Callable[[str], None]) -> None:
        import torch

        from models.engines.capabilities import native_precision
        from models.frame_graph import zero_statistics

        wanted = config.stylize
        self.size = size
        self.engine = "eager"
        self.seconds = 0.0
        self.is_settled = False
        self.device = find_device(wanted.device)
        automatic = wanted.precision == "auto"
        precision = native_precision(self.device) if automatic else cast("Precision", wanted.precision)
        threads = wanted.threads or (os.cpu_count() or 1)
        place = Place(self.device, precision, cache_folder(), threads, wanted.stroke_size)
        self._threads = threads
        self.engines = EnginePool(mixer, place, wanted.engine, notify)
        self._mixer = mixer
        self._stability = wanted.stability
        if self._stability != "none" and not opencv_is_there():
            notify("OpenCV cannot be loaded: painting with --stability none; `flowbrush doctor` tells what is missing")
            self._stability = "none"
        self._stabilizer = Stabilizer(self._stability)
        self._no_past = zero_statistics(mixer.network, self.device)
        self._forget = torch.zeros((), device=self.device)
        self._keep = torch.tensor(Stabilizer.KEEP, device=self.device)
        self._last: tuple[Any, ...] = ()

    def begin(self) -> None:
        """Settle in the thread that is going to paint; torch's number of threads is a setting of each thread."""
        import torch

        torch.set_num_threads(self._threads)

    def stylize(self, captured: Captured, look: Snapshot, working: Size) -> LiveFrame:
        """Paint a picture of any size at ``working`` height and width.

        Raises:
            OutOfMemoryError: the memory of the device does not suffice for this size; smaller ones may be painted.
            DeviceError: the network cannot run.
        """
        with device_errors(self.device):
            return self._stylize(captured, look, working)

    def _stylize(self, captured: Captured, look: Snapshot, working: Size) -> LiveFrame:
        begun = time.perf_counter()
        original = self._original(captured.pixels, look.mirror)
        kind, engine = self.engines.get(working)
        now = (working, kind, look.mirror)
        self.is_settled = now == self._last
        if self._last and (working, look.mirror) != (self._last[0], self._last[2]):
            self._stabilizer = Stabilizer(self._stability)
        self._last, self.engine = now, kind
        stylized = self._stylized(_resized(original, working), look, engine)
        picture = _resized(stylized, self.size)
        self.seconds = time.perf_counter() - begun
        return LiveFrame(picture, original, captured.captured_at, captured.index)

    def close(self) -> None:
        """End what is being prepared in the background."""
        self.engines.close()

    def _original(self, pixels: Pixels, mirror: bool) -> Pixels:
        """What is compared with the painting: at the same size, turned the same way."""
        scaled = _resized(pixels, self.size)
        return np.ascontiguousarray(scaled[:, ::-1]) if mirror else scaled

    def _stylized(self, pixels: Pixels, look: Snapshot, engine: Any) -> Pixels:
        import torch

        style, share = self._mixer.mix(look.weights)
        ready = self._stabilizer.prepare(pixels)
        memory = (self._no_past, self._forget) if ready.past is None else (ready.past, self._keep)
        scalars = (self._scalar(value) for value in (look.strength, float(look.keep_colors), share))
        picture, used = engine(torch.from_numpy(ready.pixels), style, *memory, *scalars)
        return self._stabilizer.finish(ready, picture.numpy(), used, self._stabilizer.flow(ready))

    def _scalar(self, value: float) -> "torch.Tensor":
        import torch

        return torch.tensor(value, device=self.device)


def _resized(pixels: Pixels, size: Size) -> Pixels:
    """``pixels`` at ``size``, height and width: averaged where it shrinks, else interpolated."""
    height, width = size
    if pixels.shape[:2] == size:
        return pixels
    if cv is None:
        return _resized_by_pillow(pixels, size)
    shrinks = height * width < pixels.shape[0] * pixels.shape[1]
    scaled: Pixels = cv.resize(pixels, (width, height), interpolation=cv.INTER_AREA if shrinks else cv.INTER_CUBIC)
    return scaled


def _resized_by_pillow(pixels: Pixels, size: Size) -> Pixels:
    from PIL import Image

    return np.asarray(Image.fromarray(pixels).resize((size[1], size[0]), Image.Resampling.BICUBIC)).copy()
