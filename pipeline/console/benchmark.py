"""How fast is this machine? Runs what `flowbrush video` runs, on a sample clip at the usual sizes."""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import sample_videos
from pipeline.config import DecodeConfig, EncodeConfig, StylizeConfig, VideoConfig
from pipeline.console.config import BenchmarkConfig
from pipeline.console.doctor import own_version
from pipeline.progress import Progress
from pipeline.run import stylize_video
from pipeline.system.files.atomic import write_atomically
from pipeline.system.folders import cache_folder, scratch_folder

if TYPE_CHECKING:
    from models.engines.engine import EngineName

ASPECT = Fraction(16, 9)
STYLE = "great-wave"
SECONDS = {360: Fraction(1), 720: Fraction(2, 5), 1080: Fraction(1, 5)}
"""Length of the clip by height in pixels: a few seconds for each on an ordinary processor."""

RESULT = "benchmark.json"


@dataclass(frozen=True, slots=True)
class Measurement:
    """The speed at one size.

    Attributes:
        engine: that ran the network.
        precision: of the network.
        device: where it ran.
        width: of the frames in pixels.
        height: of the frames in pixels.
        fps: frames per second of the whole command, without its start.
        first_frame_seconds: time to the first stylized frame, in a process that has loaded torch.
    """

    engine: str
    precision: str
    device: str
    width: int
    height: int
    fps: float
    first_frame_seconds: float


def measure(config: BenchmarkConfig, advance: Callable[[int, int], None]) -> Iterator[Measurement]:
    """Yield the speed of each engine at each size.

    Args:
        config: what to measure.
        advance: called with the number of finished measurements and that of all.

    Raises:
        DeviceError: the device or the engine is not available.
        OSError: the temporary folder cannot be used.
    """
    engines = engines_to_measure(config)
    total = len(engines) * len(SECONDS)
    done = 0
    with scratch_folder() as folder:
        for engine in engines:
            for height, seconds in SECONDS.items():
                yield _measure(config, engine, height, seconds, folder / f"{engine}-{height}.mp4")
                done += 1
                advance(done, total)


def engines_to_measure(config: BenchmarkConfig) -> "Sequence[EngineName]":
    """Return the chosen engine, or all that need not compile for long: in float32 on a CPU that takes 3 s."""
    from models.engines.capabilities import available_engines, native_precision
    from pipeline.stylize.device import find_device

    if config.engine != "auto":
        return [config.engine]
    device = find_device(config.device)
    starts_soon = device.type == "cpu" and native_precision(device) == "fp32"
    return [engine for engine in available_engines(device) if engine != "compile" or starts_soon]


def _measure(
    config: BenchmarkConfig, engine: "EngineName", height: int, seconds: Fraction, target: Path
) -> Measurement:
    finished: list[tuple[int, float]] = []

    def note(progress: Progress) -> None:
        finished.append((progress.frames, time.perf_counter()))

    started = time.perf_counter()
    summary = stylize_video(
        VideoConfig(
            source=str(sample_videos.clip(sample_videos.SAMPLE)),
            target=str(target),
            stylize=StylizeConfig(style=STYLE, device=config.device, engine=engine),
            decode=DecodeConfig(height=height, duration_seconds=seconds),
            encode=EncodeConfig(streams="none"),
            in_segments=False,
        ),
        progress=note,
    )
    return Measurement(
        engine=summary.engine,
        precision=summary.precision,
        device=summary.device,
        width=round(height * ASPECT),
        height=height,
        fps=round(rate(finished), 2),
        first_frame_seconds=round(finished[0][1] - started, 2),
    )


def rate(finished: Sequence[tuple[int, float]]) -> float:
    """Return frames per second, given the time at which each number of frames was finished.

    The first frames come at once, as many as are stylized side by side; so it counts from the middle of the first half.
    """
    first, last = finished[len(finished) // 4], finished[-1]
    return (last[0] - first[0]) / max(last[1] - first[1], 1e-9)


def store(measured: Iterable[Measurement]) -> None:
    """Keep the result for `flowbrush doctor`.

    Raises:
        OSError: the cache cannot be written.
    """
    content = {"version": own_version(), "measurements": [asdict(each) for each in measured]}
    write_atomically(str(cache_folder() / RESULT), json.dumps(content).encode())


def stored() -> list[Measurement]:
    """Return the last result on this machine; empty if there is none, or if it is of another version."""
    try:
        content = json.loads((cache_folder() / RESULT).read_bytes())
        if content["version"] != own_version():
            return []
        names = {field.name for field in fields(Measurement)}
        return [Measurement(**{k: v for k, v in each.items() if k in names}) for each in content["measurements"]]
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return []


def describe(measured: Sequence[Measurement]) -> str:
    """Return the rates of the engine that is fastest at the largest size: ``360p 22 fps, 720p 5 fps (eager, fp32)``."""
    how = max(measured, key=lambda each: (each.height, each.fps))
    of_engine = sorted((each for each in measured if each.engine == how.engine), key=lambda each: each.height)
    return f"{', '.join(f'{each.height}p {each.fps:.3g} fps' for each in of_engine)} ({how.engine}, {how.precision})"
