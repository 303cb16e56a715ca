"""Runs of `flowbrush video` that are killed at random moments, and resumed by the same command."""

import json
import random
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np

import cli
from pipeline.resume.work_folder.manifest import work_dir_path

CLI = Path(cli.__file__)


@dataclass(frozen=True)
class Outcome:
    """What came of one killed run.

    Attributes:
        seconds: from its first finished segment to the kill.
        reused: frames that the second run did not stylize again.
        frames: of the output.
        different: decoded frames that are not those of a run that was never killed, or not at their time.
    """

    seconds: float
    reused: int
    frames: int
    different: int

    def __str__(self) -> str:
        verdict = "identical" if not self.different else f"{self.different} DIFFERENT"
        return (
            f"killed {self.seconds:5.2f} s after a segment, {self.reused:4} of {self.frames} frames reused, {verdict}"
        )


class Killer:
    """Stylizes ``source`` once without a kill, then repeatedly with one.

    Args:
        source: a clip of at least two segments.
        folder: for the outputs.
        options: of `flowbrush video`.
    """

    def __init__(self, source: Path, folder: Path, options: list[str]) -> None:
        self._command = [sys.executable, str(CLI), "video", str(source)]
        self._options = [*options, "--quiet", "--json"]
        self._whole = folder / "whole.mp4"
        self._target = folder / "out.mp4"
        started = time.monotonic()
        self._stylize(self._whole)
        self._seconds = time.monotonic() - started

    def kill(self, draw: random.Random) -> Outcome:
        """Kill a run at a random moment after its first finished segment, and resume it with the same command."""
        waited = None
        while waited is None:  # a run that ends before it is killed is repeated
            self._target.unlink(missing_ok=True)
            waited = self._killed(draw.uniform(0, 0.7 * self._seconds))
        summary = self._stylize(self._target)
        whole, found = _frames(self._whole), _frames(self._target)
        same = sum(a[0] == b[0] and np.array_equal(a[1], b[1]) for a, b in zip(whole, found, strict=False))
        return Outcome(
            waited, int(summary["frames_reused"]), int(summary["frames"]), max(len(whole), len(found)) - same
        )

    def _killed(self, seconds: float) -> float | None:
        process = subprocess.Popen([*self._command, str(self._target), *self._options], stdout=subprocess.DEVNULL)
        manifest = Path(work_dir_path(str(self._target))) / "manifest.jsonl"
        while not manifest.exists() and process.poll() is None:
            time.sleep(0.002)
        started = time.monotonic()
        while time.monotonic() - started < seconds and process.poll() is None:
            time.sleep(0.002)
        process.kill()
        process.wait()
        return time.monotonic() - started if manifest.exists() else None

    def _stylize(self, target: Path) -> dict[str, Any]:
        done = subprocess.run([*self._command, str(target), *self._options], capture_output=True, text=True, check=True)
        summary: dict[str, Any] = json.loads(done.stdout)
        return summary


def _frames(path: Path) -> list[tuple[int | None, np.ndarray]]:
    with av.open(str(path)) as container:
        return [(frame.pts, frame.to_ndarray(format="yuv420p")) for frame in container.decode(video=0)]
