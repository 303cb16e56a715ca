"""What keeps the paint still beyond what the network does by itself; scene cuts end all memory.

none     the network alone
smooth   normalisation statistics smoothed over time; the noise of what does not move is filtered away before painting
flow     as smooth; and the last painted frame is carried along the optical flow and blended in where it is still true
"""

import threading
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.frames import Pixels, State

try:
    import cv2
except ImportError:  # no libGL, say
    cv: Any = None
else:
    cv = cv2  # as Any: its type stubs know neither float pictures nor scalars as operands

if TYPE_CHECKING:
    import torch

    from models.flow import Flow

Stability = Literal["none", "smooth", "flow"]

Wide = NDArray[np.float32]


def opencv_is_there() -> bool:
    """Whether anything but ``none`` can be had: OpenCV needs libraries of the system."""
    return cv is not None


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a frame is painted from.

    Attributes:
        index: of the frame.
        first: whether it begins a shot.
        pixels: ``(H, W, 3)``, as the network is to see it.
        before: the frame before as the network saw it; None where no flow is wanted, and at the beginning of a shot.
        past: normalisation statistics ``(1, 2, C + 1)`` of the frames before; None where there are none.
    """

    index: int
    first: bool
    pixels: Pixels
    before: Pixels | None = None
    past: "torch.Tensor | None" = None


class Stabilizer:
    """Carries what one frame leaves to the next, though several may be painted at a time.

    `prepare` and `finish` are called in the order of the frames and in one thread, `flow` in any. The statistics that a
    frame is given are those that the frame ``LAG`` before it left, whether later ones are done or not: so the result
    does not depend on how many are painted at a time.

    Args:
        mode: see the head of this module.
        state: of `prepared_state` and `finished_state` together: goes on from there as if nothing had been between.
        device: that statistics are kept on.
    """

    LAG = 6
    KEEP = 0.3
    """Share of a frame's statistics that comes from the frames before."""
    MEMORY = 0.8
    """Share of the average of these that stays with each new frame."""

    def __init__(self, mode: Stability, state: State | None = None, device: "torch.device | str" = "cpu") -> None:
        self._mode = mode
        self._begins_shot = CutDetector()
        self._calm = NoiseFilter()
        self._blend = FlowBlend()
        self._index = 0
        self._shot = 0
        self._before: Pixels | None = None
        self._averages: dict[int, torch.Tensor] = {}
        self._stylized: Pixels | None = None
        self._own = threading.local()
        if state:
            self._go_on(state, device)

    def prepared_state(self) -> State:
        """What `prepare` has kept of the frames that went through it; nothing is copied, as nothing is changed."""
        if self._mode == "none":
            return {}
        numbers = {"index": np.array(self._index), "shot": np.array(self._shot)}
        return numbers | dict(self._begins_shot.state()) | dict(self._calm.state())

    def finished_state(self) -> State:
        """What `finish` has kept of the frames that it has had."""
        if self._mode == "none":
            return {}
        oldest = max(self._averages, default=0) - self.LAG + 1
        state = {f"average.{key}": value.cpu().numpy() for key, value in self._averages.items() if key >= oldest}
        return state if self._stylized is None else state | {"painted": self._stylized}

    def _go_on(self, state: State, device: "torch.device | str") -> None:
        import torch

        self._index, self._shot = int(state["index"]), int(state["shot"])
        self._begins_shot.go_on(state)
        self._calm.go_on(state)
        self._before = state["calm"]
        self._stylized = state.get("painted")
        for name, value in state.items():
            if name.startswith("average."):
                self._averages[int(name.removeprefix("average."))] = torch.from_numpy(value).to(device)

    def prepare(self, pixels: Pixels) -> Prepared:
        """What the next frame ``(H, W, 3)``, uint8 or uint16, is to be painted from."""
        index, self._index = self._index, self._index + 1
        if self._mode == "none":
            return Prepared(index, False, pixels)
        first = self._begins_shot(pixels)
        if first:
            self._shot = index
        calm = self._calm(pixels, restart=first)
        before, self._before = None if first else self._before, calm
        past = self._averages.get(index - self.LAG)
        self._averages.pop(index - 2 * self.LAG, None)
        of_this_shot = index - self.LAG >= self._shot
        return Prepared(index, first, calm, before if self._mode == "flow" else None, past if of_this_shot else None)

    def flow(self, prepared: Prepared) -> "Flow | None":
        """Flow ``(H, W, 2)`` to the frame before, in pixels; None where it is not needed."""
        if prepared.before is None:
            return None
        if not hasattr(self._own, "find"):
            from models.flow import DisFlow

            self._own.find = DisFlow("fast")
        flow: Flow = self._own.find(_shallow(prepared.pixels), _shallow(prepared.before))
        return flow

    def finish(self, prepared: Prepared, stylized: Pixels, used: "torch.Tensor", flow: "Flow | None") -> Pixels:
        """The picture to show: ``painted``, or in mode ``flow`` its blend with the frame before.

        Args:
            prepared: what `prepare` returned for the frame.
            stylized: ``(H, W, 3)``, what the network made of it.
            used: the statistics ``(1, 2, C + 1)`` that the network used.
            flow: what `flow` returned for the frame.
        """
        if self._mode == "none":
            return stylized
        self._remember(prepared, used)
        if self._mode == "smooth":
            return stylized
        if flow is None or prepared.before is None or self._stylized is None:
            self._stylized = stylized
        else:
            self._stylized = self._blend(stylized, self._stylized, prepared.pixels, prepared.before, flow)
        return self._stylized

    def _remember(self, prepared: Prepared, used: "torch.Tensor") -> None:
        before = None if prepared.first else self._averages.get(prepared.index - 1)
        self._averages[prepared.index] = used if before is None else before.lerp(used, 1 - self.MEMORY)


class CutDetector:
    """Tells where one shot ends and the next begins.

    A cut changes the picture and its colours at once. A pan, however fast, changes the picture but hardly how much
    there is of each colour; a fade changes both, little by little.
    """

    SIZE = (64, 36)
    BINS = 16
    LEVELS = 16.0
    """Mean difference of a small picture's pixels that a cut exceeds."""
    SHARE = 0.25
    """Share of the pixels that have another colour, wherever they are, that a cut exceeds."""
    ALL_NEW = 48.0
    """Mean difference that is a cut whatever the colours."""

    def __init__(self) -> None:
        self._last: tuple[Wide, Wide] | None = None

    def state(self) -> State:
        """What it remembers of the last frame."""
        return {} if self._last is None else {"small": self._last[0], "colors": self._last[1]}

    def go_on(self, state: State) -> None:
        """Remember what `state` gave."""
        self._last = (state["small"], state["colors"])

    def __call__(self, pixels: Pixels) -> bool:
        """Whether ``pixels`` ``(H, W, 3)`` begin a shot; True for the first frame."""
        last, self._last = self._last, self._seen(pixels)
        if last is None:
            return True
        (small, colors), (last_small, last_colors) = self._last, last
        moved = float(np.abs(small - last_small).mean())
        recolored = float(np.abs(colors - last_colors).sum()) / 2
        return moved > self.ALL_NEW or (moved > self.LEVELS and recolored > self.SHARE)

    def _seen(self, pixels: Pixels) -> tuple[Wide, Wide]:
        """A small picture, and the share of each of its levels, mean over the channels."""
        small = _shallow(cv.resize(pixels, self.SIZE, interpolation=cv.INTER_AREA))
        levels = [np.bincount(small[..., c].ravel() // (256 // self.BINS), minlength=self.BINS) for c in range(3)]
        return small.astype(np.float32), np.concatenate(levels).astype(np.float32) / np.float32(small.size)


class NoiseFilter:
    """Average what does not move over time, pixel by pixel, so that sensor noise does not make the paint boil.

    A recursive filter whose gain rises from `GAIN` to 1 with the difference to the average. That difference is taken
    over `REACH` pixels, so that noise cancels out in it and motion does not, and the largest within `AROUND` pixels
    counts: the faint parts of what moves move too. What moves is taken as it is, and leaves no ghost.
    """

    GAIN = 0.15
    REACH = 9
    AROUND = 25
    STILL, MOVING = 3, 6
    """Levels of the difference at which the gain begins to rise, and is 1."""

    def __init__(self) -> None:
        self._average: Wide | None = None
        self._calm: Pixels | None = None
        self._gain = self.GAIN + (1 - self.GAIN) * _ramp(self.STILL, self.MOVING)
        self._around = np.ones((self.AROUND, self.AROUND), np.uint8)

    def state(self) -> State:
        """What it remembers of the frames before."""
        if self._average is None or self._calm is None:
            return {}
        return {"average": self._average, "calm": self._calm}

    def go_on(self, state: State) -> None:
        """Remember what `state` gave."""
        self._average, self._calm = state["average"], state["calm"]

    def __call__(self, pixels: Pixels, *, restart: bool) -> Pixels:
        """``pixels`` ``(H, W, 3)`` with less noise; ``restart`` forgets the frames before."""
        if self._average is None or self._calm is None or restart:
            self._average, self._calm = pixels.astype(np.float32), pixels
            return pixels
        reach = (self.REACH, self.REACH)
        change = _strongest(cv.absdiff(cv.blur(_shallow(pixels), reach), cv.blur(_shallow(self._calm), reach)))
        gain = cv.LUT(cv.blur(cv.dilate(change, self._around), reach), self._gain)
        self._average = cv.blendLinear(pixels.astype(np.float32), self._average, gain, 1 - gain)
        self._calm = _rounded(self._average, pixels.dtype)
        return self._calm


class FlowBlend:
    """Blend the last painted frame, carried along the flow, into the next one where both show the same.

    Ruder et al. (GCPR 2016) begin the optimisation of a frame from the last one warped; here one blend has to do.
    Bicubic, as bilinear sampling, frame after frame, washes the strokes out.
    """

    SHARE = 0.5
    REACH = 5
    AGREE, DIFFER = 6, 20
    """Levels of the input's difference along the flow at which blending begins to end, and has ended."""

    def __init__(self) -> None:
        self._share = self.SHARE * (1 - _ramp(self.AGREE, self.DIFFER))

    def __call__(self, stylized: Pixels, past: Pixels, frame: Pixels, past_frame: Pixels, flow: "Flow") -> Pixels:
        """Blend.

        Args:
            stylized: ``(H, W, 3)``, frame t as the network painted it.
            past: ``(H, W, 3)``, frame t - 1 as this returned it.
            frame: ``(H, W, 3)``, frame t of the input.
            past_frame: ``(H, W, 3)``, frame t - 1 of the input.
            flow: ``(H, W, 2)`` from t to t - 1, in pixels.

        Returns:
            ``(H, W, 3)`` in the dtype of ``painted``.
        """
        height, width = flow.shape[:2]
        places = flow + _places(height, width)
        carried = cv.remap(past, places, None, cv.INTER_CUBIC, borderMode=cv.BORDER_REPLICATE)
        was = cv.remap(_shallow(past_frame), places, None, cv.INTER_LINEAR, borderMode=cv.BORDER_REPLICATE)
        apart = cv.blur(_strongest(cv.absdiff(_shallow(frame), was)), (self.REACH, self.REACH))
        outside = cv.bitwise_not(cv.inRange(places, (0, 0), (width - 1, height - 1)))
        share = cv.LUT(cv.max(apart, outside), self._share)
        if stylized.dtype == np.uint8:
            return np.asarray(cv.blendLinear(carried, stylized, share, 1 - share), np.uint8)
        wide = cv.blendLinear(carried.astype(np.float32), stylized.astype(np.float32), share, 1 - share)
        return _rounded(wide, stylized.dtype)


def _ramp(low: int, high: int) -> Wide:
    """For each level 0 to 255: 0 up to ``low``, 1 from ``high`` on."""
    return np.clip((np.arange(256, dtype=np.float32) - low) / (high - low), 0, 1)


def _shallow(pixels: Pixels) -> NDArray[np.uint8]:
    """``pixels`` in 8 bits, to compare them by; OpenCV is ten times as fast as numpy."""
    return np.asarray(pixels if pixels.dtype == np.uint8 else cv.convertScaleAbs(pixels, alpha=1 / 257), np.uint8)


def _rounded(wide: Wide, kind: "np.dtype[np.unsignedinteger[Any]]") -> Pixels:
    """``wide``, which is not negative, in whole levels."""
    if kind == np.uint8:
        return np.asarray(cv.convertScaleAbs(wide), np.uint8)
    return np.asarray(np.minimum(wide + 0.5, 65535), np.uint16)


def _strongest(difference: Pixels) -> Pixels:
    """The largest of the three channels, ``(H, W)``; three times as fast as numpy's."""
    red, green, blue = cv.split(difference)
    strongest: Pixels = cv.max(cv.max(red, green), blue)
    return strongest


@lru_cache(maxsize=2)
def _places(height: int, width: int) -> Wide:
    """The place of each pixel, ``(H, W, 2)``: x, y."""
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    return np.dstack((columns, rows))
