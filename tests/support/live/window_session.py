"""A live window in a separate process: Qt ends the process whose display disappears.

Each style is a plain color, so that the screen shows which settings were used. Prints the result as JSON.
"""

import json
import sys
import time
from fractions import Fraction
from pathlib import Path

import numpy as np

from pipeline.live.controls import Controls
from pipeline.live.frames import LiveFrame
from pipeline.live.sinks.window import WindowSink

COLORS = np.array([[200, 30, 20], [20, 190, 40], [30, 40, 210]], np.float64)
ORIGINAL = np.array([120, 120, 120], np.float64)
SIZE = (180, 320, 3)


def stylized(snapshot) -> np.ndarray:
    """A plain color with a white column at the left, or at the right if mirrored."""
    color = snapshot.strength * (COLORS.T @ snapshot.weights) + (1 - snapshot.strength) * ORIGINAL
    pixels = np.broadcast_to(color.mean() if snapshot.keep_colors else color, SIZE).astype(np.uint8)
    pixels[:, :20] = 255
    return np.ascontiguousarray(pixels[:, ::-1] if snapshot.mirror else pixels)


def main(folder: str, seconds: float, clean: bool) -> None:
    controls, messages = Controls(["red", "green", "blue"]), []
    window = WindowSink(controls, messages.append, clean=clean, stills=Path(folder))
    window.open(SIZE[1], SIZE[0], Fraction(30))
    end, index = time.monotonic() + seconds, 0
    while not controls.quitting.is_set() and time.monotonic() < end:
        pixels = stylized(controls.snapshot())
        original = np.broadcast_to(ORIGINAL, SIZE).astype(np.uint8)
        window.write(LiveFrame(pixels, original, time.monotonic(), index))
        index += 1
        window.poll()
        time.sleep(0.01)
    window.close()
    print(json.dumps({"frames": index, "quit": controls.quitting.is_set(), "messages": messages}))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), sys.argv[3:] == ["clean"])
