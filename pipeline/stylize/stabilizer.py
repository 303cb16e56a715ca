"""Keep a stylized clip stable beyond what the network does by itself; each scene cut starts again.

none     the network alone
smooth   normalization statistics are averaged over time, and the noise of static pixels is filtered before stylizing
flow     as smooth, and the stylized frame before is warped along the optical flow and blended in
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from pipeline.frames import Pixels, State
from pipeline.stylize.opencv import to_8_bits
from pipeline.stylize.scene_cuts import Thumbnail, is_cut, thumbnail
from pipeline.stylize.temporal_filters import FilteredFrame, blend_along_flow, filter_noise

if TYPE_CHECKING:
    import torch

    from models.flow import Flow

Stability = Literal["none", "smooth", "flow"]

# A frame is normalized with the statistics that this many frames before it left, whether later ones are finished or
# not: so the result does not depend on how many frames are stylized at once.
LAG = 6
# Share of a frame's statistics that comes from the frames before.
KEEP = 0.3
# Share of the averaged statistics that stays with each new frame.
MEMORY = 0.8


@dataclass(frozen=True, slots=True)
class InputState:
    """What the input frames leave to the frames after them.

    Attributes:
        index: number of frames so far.
        scene: index of the first frame of the scene.
        thumbnail: of the last frame, to find cuts; None at the start.
        filtered: the last frame without noise; None at the start.
    """

    index: int = 0
    scene: int = 0
    thumbnail: Thumbnail | None = None
    filtered: FilteredFrame | None = None


@dataclass(frozen=True, slots=True)
class OutputState:
    """What the stylized frames leave to the frames after them.

    Attributes:
        statistics: averaged normalization statistics ``(1, 2, C + 1)`` of the last `LAG` frames, by index.
        stylized: the last stylized frame, where it is blended into the next; None otherwise.
    """

    statistics: "Mapping[int, torch.Tensor]" = field(default_factory=dict)
    stylized: Pixels | None = None


@dataclass(frozen=True, slots=True)
class TemporalState:
    """What the frames so far leave to the next one; made without arguments at the start.

    Attributes:
        inputs: what `Stabilizer.prepare` returned for the last frame.
        outputs: what `Stabilizer.finish` returned for the last frame.
    """

    inputs: InputState = field(default_factory=InputState)
    outputs: OutputState = field(default_factory=OutputState)

    def arrays(self) -> State:
        """Return the state as named arrays, which `read_state` reads; empty at the start. No frame is copied."""
        thumbnail, filtered = self.inputs.thumbnail, self.inputs.filtered
        if thumbnail is None or filtered is None:
            return {}
        arrays = {
            "index": np.array(self.inputs.index),
            "shot": np.array(self.inputs.scene),
            "small": thumbnail.pixels,
            "colors": thumbnail.histogram,
            "average": filtered.average,
            "calm": filtered.pixels,
        }
        arrays |= {f"average.{index}": value.cpu().numpy() for index, value in self.outputs.statistics.items()}
        return arrays if self.outputs.stylized is None else arrays | {"painted": self.outputs.stylized}


def read_state(arrays: State | None, device: "torch.device | str") -> TemporalState:
    """Return the state that `TemporalState.arrays` returned, with its tensors on ``device``; a new one for None."""
    if not arrays:
        return TemporalState()
    import torch

    inputs = InputState(
        int(arrays["index"]),
        int(arrays["shot"]),
        Thumbnail(arrays["small"], arrays["colors"]),
        FilteredFrame(arrays["calm"], arrays["average"]),
    )
    statistics = {
        int(name.removeprefix("average.")): torch.from_numpy(value).to(device)
        for name, value in arrays.items()
        if name.startswith("average.")
    }
    return TemporalState(inputs, OutputState(statistics, arrays.get("painted")))


@dataclass(frozen=True, slots=True)
class PreparedFrame:
    """What the network stylizes a frame from.

    Attributes:
        pixels: ``(H, W, 3)``, without noise.
        index: of the frame.
        starts_scene: whether the frame is the first of a scene.
        before: the pixels before, where their flow to this frame is needed; None otherwise.
        past: normalization statistics ``(1, 2, C + 1)`` of frames before; None at the start of a scene.
    """

    pixels: Pixels
    index: int = 0
    starts_scene: bool = False
    before: Pixels | None = None
    past: "torch.Tensor | None" = None


@dataclass(frozen=True, slots=True)
class StylizedFrame:
    """A frame as the network stylized it.

    Attributes:
        prepared: what it was stylized from.
        pixels: ``(H, W, 3)``.
        statistics: ``(1, 2, C + 1)``, which the network normalized the frame with.
        flow: what `Stabilizer.flow` returned for the frame.
    """

    prepared: PreparedFrame
    pixels: Pixels
    statistics: "torch.Tensor"
    flow: "Flow | None" = None


class Stabilizer:
    """Passes on what each frame leaves to the next, though several may be stylized at once.

    `prepare` and `finish` are called in the order of the frames, each with the state that it returned before; `flow`
    in any thread. `prepare` may be up to `LAG` frames ahead of `finish`.

    Args:
        mode: see the top of this module.
    """

    def __init__(self, mode: Stability) -> None:
        self._mode = mode
        self._own = threading.local()

    def prepare(self, pixels: Pixels, inputs: InputState, outputs: OutputState) -> tuple[PreparedFrame, InputState]:
        """Return what the next frame ``(H, W, 3)``, uint8 or uint16, is stylized from, and the new state."""
        if self._mode == "none":
            return PreparedFrame(pixels), inputs
        index, small = inputs.index, thumbnail(pixels)
        starts_scene = is_cut(inputs.thumbnail, small)
        last, scene = (None, index) if starts_scene else (inputs.filtered, inputs.scene)
        filtered = filter_noise(pixels, last)
        prepared = PreparedFrame(
            filtered.pixels,
            index,
            starts_scene,
            before=last.pixels if last is not None and self._mode == "flow" else None,
            past=outputs.statistics.get(index - LAG) if index - LAG >= scene else None,
        )
        return prepared, InputState(index + 1, scene, small, filtered)

    def flow(self, prepared: PreparedFrame) -> "Flow | None":
        """Return the optical flow ``(H, W, 2)`` to the frame before, in pixels; None where it is not needed."""
        if prepared.before is None:
            return None
        size = prepared.pixels.shape[:2]
        if getattr(self._own, "size", None) != size:  # OpenCV lowers a finder's finest scale for small frames for good
            from models.flow import DisFlow

            self._own.size, self._own.find_flow = size, DisFlow("fast")
        flow: Flow = self._own.find_flow(to_8_bits(prepared.pixels), to_8_bits(prepared.before))
        return flow

    def finish(self, frame: StylizedFrame, outputs: OutputState) -> tuple[Pixels, OutputState]:
        """Return the final pixels of the next frame, and the new state."""
        if self._mode == "none":
            return frame.pixels, outputs
        prepared, index = frame.prepared, frame.prepared.index
        before = None if prepared.starts_scene else outputs.statistics.get(index - 1)
        average = frame.statistics if before is None else before.lerp(frame.statistics, 1 - MEMORY)
        statistics = {key: value for key, value in outputs.statistics.items() if key > index - LAG} | {index: average}
        if self._mode == "smooth":
            return frame.pixels, OutputState(statistics)
        pixels, last = frame.pixels, outputs.stylized
        if frame.flow is not None and prepared.before is not None and last is not None:
            pixels = blend_along_flow(pixels, last, prepared.pixels, prepared.before, frame.flow)
        return pixels, OutputState(statistics, pixels)
