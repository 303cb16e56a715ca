"""The stylize stage without decoder and encoder: noise filter, frames in flight, and a clip against the CPU's."""

import itertools
import time
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import numpy as np
import torch

from benchmarks.gpu.networks import compared
from benchmarks.gpu.rows import Settings, width_for
from benchmarks.gpu.scenes import PERIOD, frames
from benchmarks.gpu.timing import median_ms, torch_memory, wall_ms
from models.engines.gpu.transfers import transfers_of
from models.temporal.noise_filter import NoiseFilter
from pipeline.config import StylizeConfig
from pipeline.frames import Frame
from pipeline.stylize.device_filter import DeviceFrame, DeviceNoiseFilter
from pipeline.stylize.engine import bounded_engine
from pipeline.stylize.stylizer import Stylizer
from pipeline.stylize.temporal_filters import BLUR_PX, DILATE_PX, GAIN, FilteredFrame, filter_noise

WARM_UP = 12


def noise_filter(settings: Settings) -> str:
    """Return the time of the noise filter of ``smooth``: on the device, with its copy, and of OpenCV on the CPU."""
    device, count = torch.device(settings.device), min(settings.count, 30)
    first, second = frames(settings.stage_height)[:2]
    run = NoiseFilter(GAIN.tolist(), blur_px=BLUR_PX, dilate_px=DILATE_PX)
    pixels, last = (torch.from_numpy(each).to(device) for each in (second, first))
    with torch.inference_mode():
        before = run(last, None)
        alone = median_ms(lambda: run(pixels, before), device, count=count)
    texts = [f"{alone:.2f} ms on the device"]
    if (transfers := transfers_of(device)) is not None:
        on_device = DeviceNoiseFilter(device, transfers)
        state: DeviceFrame = on_device(first, None)
        texts.append(f"{wall_ms(lambda: on_device(second, state), device, count=count):.2f} ms from main memory")
    software: FilteredFrame = filter_noise(first, None)
    seconds = wall_ms(lambda: filter_noise(second, software), torch.device("cpu"), count=min(count, 10))
    return ", ".join([*texts, f"{seconds:.2f} ms by OpenCV on the CPU"])


def in_flight(settings: Settings, *, count: int) -> str:
    """Return the rate of the stylize stage with so many frames in flight."""
    usual = bounded_engine.most_workers
    bounded_engine.most_workers = lambda device, cores: count
    device = torch.device(settings.device)
    try:
        with torch_memory(device) as memory:
            stylizer = Stylizer(_config(settings), **_size(settings.stage_height))
            assert stylizer.workers == count, "the memory is too small for so many"
            marks = [time.perf_counter() for _ in stylizer(_clip(settings.stage_height, settings.stage_frames))]
            rate = (len(marks) - 1 - WARM_UP) / (marks[-1] - marks[WARM_UP])
            return f"{rate:.1f} fps, {1000 / rate:.2f} ms a frame{memory()}"
    finally:
        bounded_engine.most_workers = usual


def clip_parity(settings: Settings) -> str:
    """Return how far a clip with its noise filter is from that of the CPU in fp32, in the precision of the device."""
    height, config = settings.parity_height, _config(settings)
    precision = Stylizer(config, **_size(height)).precision
    on_cpu = replace(config, device="cpu", precision="fp32"), replace(config, device="cpu", precision=precision)
    return f"{precision}: {compared(*(_stylized(each, height) for each in (config, *on_cpu)))}"


def _stylized(config: StylizeConfig, height: int) -> torch.Tensor:
    clip = Stylizer(config, **_size(height))(_clip(height, PERIOD))
    return torch.from_numpy(np.stack([frame.pixels for frame in clip]))


def _config(settings: Settings) -> StylizeConfig:
    return StylizeConfig(style=settings.style, device=settings.device, engine="eager", stability="smooth")


def _size(height: int) -> dict[str, int]:
    return {"height": height, "width": width_for(height)}


def _clip(height: int, count: int) -> Iterator[Frame]:
    for number, pixels in zip(range(count), itertools.cycle(frames(height)), strict=False):
        yield Frame(pixels, number, Fraction(1, 30))
