"""Reduce the flicker of a stylized clip beyond what the network does. Each scene cut resets the state.

none     the network alone
smooth   average normalization statistics over time, and filter the noise of static pixels before stylizing
flow     as smooth, and blend in the previous stylized frame, warped along the optical flow
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from pipeline.config import Stability
from pipeline.frames import Pixels, Samples, State
from pipeline.stylize.device_filter import DeviceFrame, to_array
from pipeline.stylize.opencv import to_8_bits
from pipeline.stylize.scene_cuts import Thumbnail, is_cut, thumbnail
from pipeline.stylize.temporal_filters import FilteredFrame, blend_along_flow, filter_noise

if TYPE_CHECKING:
    import torch

    from models.temporal.flow import Flow


# A frame is normalized with the averaged statistics of this many frames earlier, even if newer ones are finished: the
# result must not depend on how many frames are stylized at once.
LAG = 6
NoiseFilter = Callable[[Any, Any], FilteredFrame | DeviceFrame]
"""Called with the next frame and what it returned for the one before, as `filter_noise`."""

# Weight of earlier frames in the statistics that normalize a frame, 0 to 1.
KEEP = 0.3
# Weight of the old average when a frame is added to the moving average of statistics, 0 to 1.
MEMORY = 0.8


@dataclass(frozen=True, slots=True)
class InputState:
    """Temporal state of the input frames, for the next frame.

    Attributes:
        index: number of frames so far.
        scene: index of the first frame of the scene.
        thumbnail: thumbnail of the last frame, to detect scene cuts; None at the start.
        filtered: the last frame after noise filtering, where the filter runs; None at the start.
    """

    index: int = 0
    scene: int = 0
    thumbnail: Thumbnail | None = None
    filtered: FilteredFrame | DeviceFrame | None = None


@dataclass(frozen=True, slots=True)
class OutputState:
    """Temporal state of the stylized frames, for the next frame.

    Attributes:
        statistics: averaged normalization statistics ``(1, 2, C + 1)`` of the last `LAG` frames, by index.
        stylized: the last stylized frame; None unless the mode is ``flow``.
    """

    statistics: "Mapping[int, torch.Tensor]" = field(default_factory=dict)
    stylized: Pixels | None = None


@dataclass(frozen=True, slots=True)
class TemporalState:
    """Temporal state after a frame; the default is the state at the start of a clip.

    Attributes:
        inputs: state that `Stabilizer.prepare` returned for the last frame.
        outputs: state that `Stabilizer.finish` returned for the last frame.
    """

    inputs: InputState = field(default_factory=InputState)
    outputs: OutputState = field(default_factory=OutputState)

    def arrays(self) -> State:
        """Return the state as named arrays, which `read_state` reads; empty at the start.

        No frame is copied that is in main memory.
        """
        thumbnail, filtered = self.inputs.thumbnail, self.inputs.filtered
        if thumbnail is None or filtered is None:
            return {}
        arrays = {
            "index": np.array(self.inputs.index),
            "shot": np.array(self.inputs.scene),
            "small": thumbnail.pixels,
            "colors": thumbnail.histogram,
            "average": to_array(filtered.average),
            "calm": to_array(filtered.pixels),
        }
        arrays |= {f"average.{index}": value.cpu().numpy() for index, value in self.outputs.statistics.items()}
        return arrays if self.outputs.stylized is None else arrays | {"painted": self.outputs.stylized}


def read_state(arrays: State | None, device: "torch.device | str") -> TemporalState:
    """Return the state that `TemporalState.arrays` returned, with its statistics on ``device``; a new one for None."""
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
    """The input of the network for one frame.

    Attributes:
        pixels: ``(H, W, 3)``, after noise filtering, where the filter runs; or samples that become them.
        index: zero-based index of the frame.
        starts_scene: whether the frame is the first of a scene.
        before: pixels of the previous frame, for the optical flow; None if no flow is needed.
        past: normalization statistics ``(1, 2, C + 1)`` of earlier frames; None at the start of a scene.
    """

    pixels: "Pixels | Samples | torch.Tensor"
    index: int = 0
    starts_scene: bool = False
    before: Pixels | None = None
    past: "torch.Tensor | None" = None


@dataclass(frozen=True, slots=True)
class StylizedFrame:
    """The output of the network for one frame.

    Attributes:
        prepared: the input of the network.
        pixels: ``(H, W, 3)``; or samples for the encoder, see `models.engines.engine.EngineSpec.samples`.
        statistics: normalization statistics ``(1, 2, C + 1)`` that the network used.
        flow: what `Stabilizer.flow` returned for the frame.
    """

    prepared: PreparedFrame
    pixels: Pixels
    statistics: "torch.Tensor"
    flow: "Flow | None" = None


class Stabilizer:
    """Carries temporal state from frame to frame, while several frames may be stylized at once.

    `prepare` and `finish` are called in the order of the frames, each with the state that it returned before; `flow`
    in any thread. `prepare` may be up to `LAG` frames ahead of `finish`.

    Args:
        mode: see the top of this module.
        noise_filter: `filter_noise`, or with ``smooth`` another one, whose frames may be on a device.
    """

    def __init__(self, mode: Stability, noise_filter: NoiseFilter = filter_noise) -> None:
        self._mode, self._filter_noise = mode, noise_filter
        self._own = threading.local()

    def prepare(
        self, image: Pixels | Samples, inputs: InputState, outputs: OutputState
    ) -> tuple[PreparedFrame, InputState]:
        """Filter the next frame; return the network's input and the new state.

        Args:
            image: ``(H, W, 3)``, uint8 or uint16; or samples, if the noise filter takes them, or there is none.
            inputs: that this returned for the frame before.
            outputs: that `finish` returned last.
        """
        if self._mode == "none":
            return PreparedFrame(image), inputs
        index, small = inputs.index, thumbnail(image)
        starts_scene = is_cut(inputs.thumbnail, small)
        last, scene = (None, index) if starts_scene else (inputs.filtered, inputs.scene)
        filtered = self._filter_noise(image, last)
        prepared = PreparedFrame(
            filtered.pixels,
            index,
            starts_scene,
            before=cast(Pixels, last.pixels) if last is not None and self._mode == "flow" else None,
            past=outputs.statistics.get(index - LAG) if index - LAG >= scene else None,
        )
        return prepared, InputState(index + 1, scene, small, filtered)

    def flow(self, prepared: PreparedFrame) -> "Flow | None":
        """Return the optical flow ``(H, W, 2)`` to the frame before, in pixels; None where it is not needed."""
        if prepared.before is None:
            return None
        pixels = cast(Pixels, prepared.pixels)
        size = pixels.shape[:2]
        if getattr(self._own, "size", None) != size:  # after a small frame, OpenCV never raises the finest scale again
            from models.temporal.flow import DisFlow

            self._own.size, self._own.find_flow = size, DisFlow("fast")
        flow: Flow = self._own.find_flow(to_8_bits(pixels), to_8_bits(prepared.before))
        return flow

    def finish(self, frame: StylizedFrame, outputs: OutputState) -> tuple[Pixels, OutputState]:
        """Blend in the previous frame if the mode is ``flow``; return the final pixels and the new state."""
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
            pixels = blend_along_flow(pixels, last, cast(Pixels, prepared.pixels), prepared.before, frame.flow)
        return pixels, OutputState(statistics, pixels)
