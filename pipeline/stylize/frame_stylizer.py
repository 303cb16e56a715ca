"""The core that clips and live sessions share: stylize one frame with what the frames before have left.

    frame, state = stylizer(frame, state, controls, engine)

The temporal state is an argument and a result; a `FrameStylizer` remembers no frame. The call runs three steps, which a
clip spreads over threads:

    stabilizer.prepare    in the order of the frames: find cuts, filter noise
    stylize               in any thread, several frames at once: run the network, find the optical flow
    stabilizer.finish     in the order of the frames: blend in the frame before
"""

import os
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.config import Stability, StylizeConfig
from pipeline.frames import Pixels, Samples
from pipeline.stylize.device import find_device
from pipeline.stylize.device_filter import DeviceNoiseFilter, rgb_on_device, to_tensor
from pipeline.stylize.opencv import opencv_available
from pipeline.stylize.stabilizer import KEEP, PreparedFrame, Stabilizer, StylizedFrame, TemporalState

if TYPE_CHECKING:
    import torch

    from models.engines.engine import Engine, EngineSpec, Precision
    from models.network import Style, StyleNetwork

Notify = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class FrameControls:
    """How one frame is stylized.

    Attributes:
        style: all parameters of the style.
        strength: in [0, 1]; 0 returns the frame as it is.
        keep_colors: whether the frame keeps its colors and takes only the lightness of the stylized one.
        region: ``(H, W)`` float32 in [0, 1], where a `RegionStyle` has its foreground; None for other styles.
    """

    style: "Style"
    strength: float = 1.0
    keep_colors: bool = False
    region: NDArray[np.float32] | None = None


class FrameStylizer:
    """Stylizes frames of any size with an engine that the caller hands in.

    Args:
        network: what to run.
        config: device, precision, number of threads, stroke size and stability.
        notify: called with each message for the user, one line.
        has_regions: whether frames have two styles, for two regions.

    Attributes:
        device: where the network runs.
        precision: of its convolutions.
        cores: that the network may use on a CPU.
        stability: as in the config, or ``none`` if OpenCV does not load.
        stabilizer: passes on what a frame leaves to the next; the state is kept by the caller.

    Raises:
        DeviceError: the device is not available.
    """

    def __init__(
        self, network: "StyleNetwork", config: StylizeConfig, notify: Notify, *, has_regions: bool = False
    ) -> None:
        import torch

        from models.engines.capabilities import native_precision
        from models.frame_graph import zero_statistics

        self.device = find_device(config.device)
        self.precision: Precision = native_precision(self.device) if config.precision == "auto" else config.precision
        self.cores = config.threads or os.cpu_count() or 1
        self.stability: Stability = config.stability
        if self.stability != "none" and not opencv_available():
            notify("OpenCV does not load: stylizing with --stability none; `flowbrush doctor` reports what is missing")
            self.stability = "none"
        self.stabilizer = make_stabilizer(self.stability, self.device)
        self._network, self._stroke_size = network, config.stroke_size
        self._has_regions = has_regions
        zeros = zero_statistics(network, self.device)
        self._zero_statistics = torch.cat((zeros, zeros), dim=2) if has_regions else zeros
        # A tensor for each argument: torch.compile compiles again where two arguments are the same tensor.
        self._scalar = lru_cache(maxsize=16)(lambda place, value: torch.tensor(value, device=self.device))

    def with_stability(self, stability: Stability) -> "FrameStylizer":
        """Return a stylizer of the same network and device with another stability; ``none`` if OpenCV does not load."""
        other = copy(self)
        other.stability = stability if opencv_available() else "none"
        other.stabilizer = make_stabilizer(other.stability, other.device)
        return other

    def __call__(
        self, pixels: Pixels, state: TemporalState, controls: FrameControls, engine: "Engine"
    ) -> tuple[Pixels, TemporalState]:
        """Return the stylized frame ``(H, W, 3)``, and the state for the next one.

        Args:
            pixels: ``(H, W, 3)`` RGB, uint8 or uint16, of the size and type that ``engine`` was built for.
            state: that the frame before returned; a new one at the start, and where the size changes.
            controls: how the frame is stylized.
            engine: runs the network.
        """
        prepared, inputs = self.stabilizer.prepare(pixels, state.inputs, state.outputs)
        stylized, outputs = self.stabilizer.finish(self.stylize(prepared, controls, engine), state.outputs)
        return stylized, TemporalState(inputs, outputs)

    def stylize(self, prepared: PreparedFrame, controls: FrameControls, engine: "Engine") -> StylizedFrame:
        """Run the network, and find the optical flow where it is needed; in any thread."""
        import torch

        past, keep = (self._zero_statistics, 0.0) if prepared.past is None else (prepared.past, KEEP)
        scalars = (keep, controls.strength, controls.keep_colors)
        regions = [] if controls.region is None else [torch.from_numpy(controls.region).to(self.device)]
        stylized, statistics = engine(
            self._tensor(prepared.pixels),
            controls.style,
            past,
            *(self._scalar(place, float(value)) for place, value in enumerate(scalars)),
            *regions,
        )
        pixels = stylized.numpy()
        if pixels.dtype == np.int16:  # samples of more than 8 bits, which not every device has as uint16
            pixels = pixels.view(np.uint16)
        return StylizedFrame(prepared, pixels, statistics, self.stabilizer.flow(prepared))

    @property
    def takes_samples(self) -> bool:
        """Whether frames may be `pipeline.frames.Samples`: on an NVIDIA GPU, unless their pixels are needed here."""
        from models.engines.gpu.transfers import transfers_of

        return transfers_of(self.device) is not None and self.stability != "flow"

    def _tensor(self, image: "Pixels | Samples | torch.Tensor") -> "torch.Tensor":
        import torch

        if isinstance(image, (np.ndarray, torch.Tensor)):
            return to_tensor(image)
        from models.engines.gpu.transfers import transfers_of

        transfers = transfers_of(self.device)
        return to_tensor(image.rgb()) if transfers is None else rgb_on_device(image, transfers)

    def spec(self, height: int, width: int, *, is_16_bit: bool = False) -> "EngineSpec":
        """Return what an engine for frames of this size, in pixels, is built from; without a cache folder."""
        from models.engines.engine import EngineSpec

        return EngineSpec(
            network=self._network,
            height=height,
            width=width,
            is_16_bit=is_16_bit,
            device=self.device,
            precision=self.precision,
            stroke_size=self._stroke_size,
            threads=self.cores,
            has_regions=self._has_regions,
        )

    def warm_up(self, engine: "Engine", spec: "EngineSpec") -> None:
        """Run an engine once on a black frame: its first call is slow, and shows whether it works."""
        black = np.zeros((spec.height, spec.width, 3), np.uint16 if spec.is_16_bit else np.uint8)
        style, region = self._network.initial_style(), None
        if self._has_regions:
            from models.network import RegionStyle

            style, region = RegionStyle.of_regions(style, style), np.ones(black.shape[:2], np.float32)
        self.stylize(PreparedFrame(black), FrameControls(style, region=region), engine)


def make_stabilizer(stability: Stability, device: "torch.device") -> Stabilizer:
    """Return the stabilizer of a clip; on an NVIDIA GPU the noise filter of ``smooth`` runs there too."""
    from models.engines.gpu.transfers import transfers_of

    transfers = transfers_of(device)
    if transfers is None or stability != "smooth":  # the optical flow of ``flow`` needs the frames in main memory
        return Stabilizer(stability)
    return Stabilizer(stability, DeviceNoiseFilter(device, transfers))
