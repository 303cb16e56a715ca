"""What the optimization of a frame takes from the frames before: their motion, and how they were stylized."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.frames import Pixels, State
from pipeline.stylize.opencv import to_8_bits
from pipeline.stylize.scene_cuts import is_cut, thumbnail

if TYPE_CHECKING:
    from models.metrics import Motion
    from models.temporal.flow import FlowEstimator

DISTANCES = (1, 10, 20, 40)
"""Frames between a frame and those that it is compared with: Ruder et al., GCPR 2016, section 4.2."""


@dataclass(frozen=True, slots=True)
class PastFrame:
    """A frame that was stylized before.

    Attributes:
        original: ``(H, W, 3)``.
        stylized: ``(H, W, 3)``, as it was optimized: without mask, strength and comparison.
    """

    original: Pixels
    stylized: Pixels


History = tuple[PastFrame, ...]
"""The frames of a scene so far, the newest first."""


def read_history(state: State | None) -> History:
    """Return the history that `history_arrays` stored; an empty one for None."""
    arrays = state or {}
    count = sum(name.startswith("frame.") for name in arrays)
    return tuple(PastFrame(arrays[f"frame.{index}"], arrays[f"optimized.{index}"]) for index in range(count))


def history_arrays(history: History) -> State:
    """Return the history as named arrays."""
    originals = {f"frame.{index}": past.original for index, past in enumerate(history)}
    return originals | {f"optimized.{index}": past.stylized for index, past in enumerate(history)}


def same_scene(history: History, pixels: Pixels) -> History:
    """Return the history if the frame continues its scene; an empty one after a cut."""
    if not history or is_cut(thumbnail(history[0].original), thumbnail(pixels)):
        return ()
    return history


def motions(
    history: History, pixels: Pixels, farthest: int, estimator: "FlowEstimator"
) -> "tuple[Sequence[PastFrame], list[Motion]]":
    """Return the frames to compare with, the nearest first, and the motion from the frame to each of them.

    Args:
        history: the frames before.
        pixels: ``(H, W, 3)`` of the frame.
        farthest: how many frames back the last one may be.
        estimator: of optical flow.
    """
    from models.metrics import estimate_motion

    chosen = [history[distance - 1] for distance in DISTANCES if distance <= min(farthest, len(history))]
    now = to_8_bits(pixels)
    return chosen, [estimate_motion(now, to_8_bits(past.original), estimator) for past in chosen]
