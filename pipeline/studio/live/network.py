"""The network that all viewers share: its styles, the sizes at which it runs, and how many viewers it can serve."""

import math
import os
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from pipeline.config import StylizeConfig
from pipeline.errors import StyleError
from pipeline.frames import Pixels
from pipeline.live.controls import Snapshot
from pipeline.live.frames import CapturedFrame
from pipeline.live.stylize.live_network import LiveNetwork
from pipeline.live.stylize.live_stylizer import LiveStylizer
from pipeline.live.stylize.modes import Mode, Size
from pipeline.live.stylize.style_mixer import load_style_mixer
from pipeline.studio.settings import ViewerSettings
from pipeline.stylize.engine.bounded_engine import BuildEngine

# Each size has an engine of its own, so there are few: whatever cameras and strangers send is scaled to one of these.
ASPECTS = ((21, 9), (16, 9), (4, 3), (1, 1), (3, 4), (9, 16), (9, 21))
SHORT_SIDES_PX = (720, 540, 480, 360, 300, 240, 180, 144)
LARGEST_PIXELS = 1280 * 720
"""Most pixels of a frame that is sent back; a larger one is scaled down."""
FIRST_SIZE: Size = (360, 640)
"""Height and width for which a fast engine is prepared before anybody has come."""
# A frame this much smaller than a size is still stylized at it.
TOLERANCE = 0.97

SMALLEST_FPS = 8.0
"""Frames per second that each viewer gets at least, at the smallest size."""
# Share of the machine that viewers may take; the rest is for renders, and for what is not measured.
MOST_LOAD = 0.8
# Python's part of sending and receiving a frame in packets, in seconds; other viewers wait meanwhile.
PACKETS_SECONDS = 0.002
MOST_VIEWERS = 100


def load_network(
    config: StylizeConfig, names: Sequence[str], notify: Callable[[str], None], build: BuildEngine | None = None
) -> LiveNetwork:
    """Load the network with those of the styles ``names`` that can be mixed with the first.

    Raises:
        StyleError: the weights are unusable.
        DeviceError: the device, the precision or the engine is not available.
    """

    def leave_out(name: str, error: StyleError) -> None:
        notify(f"{error}; the studio leaves {name} out")

    return LiveNetwork(config, load_style_mixer(names, leave_out), notify, build=build)


def output_size(height: int, width: int) -> Size:
    """Return height and width of what is sent back for frames of this size: even, and not too large."""
    scale = min(1.0, math.sqrt(LARGEST_PIXELS / (height * width)))
    return max(round(height * scale / 2) * 2, 16), max(round(width * scale / 2) * 2, 16)


def shared_sizes(height: int, width: int) -> tuple[Size, ...]:
    """Return heights and widths at which frames of this size may be stylized, the largest first.

    The sizes have the nearest of the `ASPECTS`: a frame of another shape is stretched before it is stylized and
    shrunk after it, by 15 % at most where it is no strip.
    """
    aspect = width / height
    across, down = min(ASPECTS, key=lambda ratio: abs(math.log(aspect * ratio[1] / ratio[0])))
    sizes = [_size(short, across, down) for short in SHORT_SIDES_PX]
    fitting = [size for size in sizes if size[0] * size[1] * TOLERANCE**2 <= height * width]
    return tuple(fitting or sizes[-1:])


def _size(short_px: int, across: int, down: int) -> Size:
    long_px = round(short_px * max(across, down) / min(across, down) / 4) * 4
    return (short_px, long_px) if across >= down else (long_px, short_px)


def goal_of(settings: ViewerSettings, names: Sequence[str]) -> dict[str, float]:
    """Return the weights of those of the styles of the settings that are among ``names``; of the first if none is."""
    goal = {name: weight for name, weight in settings.weights.items() if name in names}
    return goal or {names[0]: 1.0}


def snapshot(settings: ViewerSettings, weights: Mapping[str, float], names: Sequence[str]) -> Snapshot:
    """Return the controls of one frame.

    Args:
        settings: all but the weights.
        weights: of the styles by name; those of other styles than ``names``, which were removed, do not count.
        names: of all styles of the network.
    """
    shares = tuple(weights.get(name, 0.0) for name in names)
    if not any(shares):  # all that is shown was removed
        goal = goal_of(settings, names)
        shares = tuple(goal.get(name, 0.0) for name in names)
    return Snapshot(shares, 0, settings.strength, settings.keep_colors, settings.mirror, show_original=False)


def measure_capacity(
    network: LiveNetwork, encode_and_decode: Callable[[Pixels], object], check: Callable[[], None]
) -> int:
    """Return how many viewers get `SMALLEST_FPS` each when all are stylized at the smallest size; at least 1.

    Args:
        network: whose thread this is.
        encode_and_decode: does what a frame ``(H, W, 3)`` costs besides the network, on one core.
        check: called before each frame; what it raises ends the measurement.
    """
    coarse = np.random.default_rng(0).integers(0, 256, (FIRST_SIZE[0] // 20, FIRST_SIZE[1] // 20, 3), np.uint8)
    picture = coarse.repeat(20, axis=0).repeat(20, axis=1)
    stylizer = LiveStylizer(network, FIRST_SIZE, "smooth")
    weights = [1.0, *[0.0] * (len(network.mixer.names) - 1)]
    controls = Snapshot(tuple(weights), 0, 1.0, False, False, False)
    smallest = Mode(shared_sizes(*FIRST_SIZE)[-1], "eager")
    stylizing = _seconds(lambda: stylizer.stylize(CapturedFrame(picture, 0.0), controls, smallest), network, check)
    codecs = _seconds(lambda: encode_and_decode(picture), network, check)
    return capacity(stylizing + codecs + PACKETS_SECONDS)


def capacity(frame_seconds: float) -> int:
    """Return how many viewers can be served if a frame takes the whole machine so long."""
    return min(max(int(MOST_LOAD / (SMALLEST_FPS * frame_seconds)), 1), MOST_VIEWERS)


def _seconds(run: Callable[[], object], network: LiveNetwork, check: Callable[[], None], times: int = 5) -> float:
    """Return how long ``run`` takes the whole machine: the shortest time counts, the first does not.

    On a CPU this is the time of the processors over their number: what else runs at the start does not count.
    """
    cores = os.cpu_count() or 1
    clock = time.process_time if network.device.type == "cpu" else time.perf_counter
    run()
    measured = []
    for _ in range(times):
        check()
        start = clock()
        run()
        measured.append(clock() - start)
    return min(measured) / (cores if network.device.type == "cpu" else 1)
