"""How fast is an NVIDIA GPU, and does it paint what the CPU paints? One table, in eight minutes at most.

    python benchmarks/cuda.py [--minutes 8]

parity    a frame of 640x360 on the GPU against the CPU in fp32: mean and largest difference in levels, and a verdict
network   pixels in and out on the GPU, CUDA events, median after a warm-up; with copies: from main memory to main
          memory, as the pipeline runs it; and the largest memory of the GPU meanwhile
command   the whole of `flowbrush video` at 1920x1080, from decoding to the finished file (libx264 on the CPU), with an
          empty and with a warm cache: frames per second, time from launch to the first frame, memory of the process
training  steps per second of a style, two crops of 256 pixels, against VGG-19 (of random weights, which cost the same)

What takes long comes last in its part. A row for which no time is left is named, and not measured.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.pop(0)  # this folder: this file would hide the package of that name, which torch imports
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from torch import Tensor

from benchmarks.clips import first_frame, make_clip, width_for
from benchmarks.command import CommandError, machine, machine_line, stylize, verdict
from models.engines.build import build_engine
from models.engines.cache import use_compiler_cache
from models.engines.engine import DTYPES, EngineName, EngineSpec, Precision
from models.frame_graph import zero_statistics
from models.registry import LoadedStyle, load
from models.training.config import TrainingConfig
from models.training.loss_network import VGG19_CONVOLUTIONS, vgg19
from models.training.objective import StyleTransferObjective
from models.training.trainer import Trainer
from pipeline.system.folders import cache_folder

MEAN_LEVELS: dict[Precision, float] = {"fp32": 0.1, "fp16": 0.5, "bf16": 1.0}
"""Mean difference from the CPU in fp32 that nobody sees, in levels from 0 to 255."""

VGG19_WIDTHS = (64, 64, 128, 128, *[256] * 4, *[512] * 8)
COMPILE_SECONDS, COMMAND_SECONDS = 60, 90
"""Time that a row must have left to start, with a compiler and with two runs of the command."""


class Clock:
    """The time that is left.

    Args:
        minutes: in all.
    """

    def __init__(self, minutes: float) -> None:
        self._end = time.monotonic() + 60 * minutes

    def has(self, seconds: float, row: str) -> bool:
        """Whether so many seconds are left; prints the name of the row if not."""
        if time.monotonic() + seconds <= self._end:
            return True
        print(f"{row}: not measured, no time left", flush=True)
        return False


def median_ms(call: Callable[[], object], device: torch.device, *, count: int, warm_up: int = 10) -> float:
    """Milliseconds that ``call`` takes on ``device``; the wall clock's where there are no CUDA events."""
    for _ in range(min(warm_up, count)):
        call()
    if device.type != "cuda":
        return statistics.median(_wall_ms(call, device) for _ in range(count))
    marks = [(torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)) for _ in range(count)]
    for start, end in marks:
        start.record()
        call()
        end.record()
    torch.cuda.synchronize(device)
    return statistics.median(start.elapsed_time(end) for start, end in marks)


def _wall_ms(call: Callable[[], object], device: torch.device) -> float:
    begun = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return 1000 * (time.perf_counter() - begun)


def controls(style: LoadedStyle, device: torch.device) -> tuple[Tensor, ...]:
    """What an engine is called with after pixels and style, for a first frame."""
    zero, strength = torch.zeros((), device=device), torch.ones((), device=device)
    return zero_statistics(style.network, device), zero, strength, zero


def network_call(style: LoadedStyle, spec: EngineSpec, engine: EngineName) -> Callable[[], object]:
    """One frame through the network, all of it on the device."""
    device = spec.device
    if engine == "compile":
        use_compiler_cache(spec.cache_folder)
    run = spec.frame_graph().to(device)
    compiled: Callable[..., object] = torch.compile(run, dynamic=False) if engine == "compile" else run
    pixels = torch.randint(0, 256, (spec.height, spec.width, 3), dtype=torch.uint8, device=device)
    tensors, others = style.style.to(device, DTYPES[spec.precision]).tensors(), controls(style, device)

    def call() -> object:
        with torch.inference_mode():
            return compiled(pixels, tensors, *others)

    return call


def copying_call(style: LoadedStyle, spec: EngineSpec, engine: EngineName) -> Callable[[], object]:
    """One frame as the pipeline runs it: from main memory to main memory."""
    run, others = build_engine(engine, spec), controls(style, spec.device)
    pixels = torch.randint(0, 256, (spec.height, spec.width, 3), dtype=torch.uint8)
    return lambda: run(pixels, style.style, *others)


def spec_of(style: LoadedStyle, height: int, precision: Precision, device: torch.device) -> EngineSpec:
    size = {"height": height, "width": width_for(height)}
    return EngineSpec(network=style.network, **size, device=device, precision=precision, cache=cache_folder())


@contextmanager
def most_memory(device: torch.device) -> Iterator[Callable[[], str]]:
    """Yield what returns the largest memory of the GPU since then, as text; nothing on a CPU."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        yield lambda: f"   {torch.cuda.max_memory_allocated(device) / 1e6:7.0f} MB"
    else:
        yield lambda: ""


def measure_parity(style: LoadedStyle, arguments: argparse.Namespace, device: torch.device, clock: Clock) -> None:
    """Print a verdict for each engine and precision."""
    frame = torch.from_numpy(first_frame())
    height, width = frame.shape[:2]
    cpu = torch.device("cpu")
    plain = EngineSpec(network=style.network, height=height, width=width, device=cpu, precision="fp32")
    expected = build_engine("eager", plain)(frame, style.style, *controls(style, cpu))[0]
    for engine in arguments.engines:
        for precision in ("fp32", *arguments.precisions):
            row = f"parity   {engine:7} {precision}"
            if not clock.has(COMPILE_SECONDS if engine == "compile" else 0, row):
                continue
            spec = EngineSpec(
                network=style.network,
                height=height,
                width=width,
                device=device,
                precision=precision,
                cache=cache_folder(),
            )
            found = build_engine(engine, spec)(frame, style.style, *controls(style, device))[0]
            difference = (found.float() - expected.float()).abs()
            mean, most = float(difference.mean()), float(difference.max())
            bound = MEAN_LEVELS[precision]
            figure = f"{row}  {mean:.3f} levels on average, {most:.0f} at most"
            print(verdict(mean <= bound, figure, f"at most {bound} on average"), flush=True)


def measure_network(style: LoadedStyle, arguments: argparse.Namespace, device: torch.device, clock: Clock) -> None:
    """Print a line for each engine, size and precision."""
    for engine in arguments.engines:
        for height in arguments.heights:
            for precision in arguments.precisions:
                row = f"network  {engine:7} {precision} {width_for(height):4}x{height:<4}"
                if not clock.has(COMPILE_SECONDS if engine == "compile" else 5, row):
                    continue
                spec = spec_of(style, height, precision, device)
                with most_memory(device) as memory:
                    network = median_ms(network_call(style, spec, engine), device, count=arguments.count)
                    copying = copying_call(style, spec, engine)
                    for _ in range(min(10, arguments.count)):
                        copying()
                    whole = statistics.median(_wall_ms(copying, device) for _ in range(arguments.count))
                    print(
                        f"{row} {network:8.2f} ms  {1000 / network:7.1f} fps"
                        f"   with copies {whole:8.2f} ms  {1000 / whole:7.1f} fps{memory()}",
                        flush=True,
                    )


def measure_command(arguments: argparse.Namespace, clock: Clock) -> None:
    """Print a line for the whole command with an empty cache, and one with a warm cache."""
    if not arguments.frames or not clock.has(COMMAND_SECONDS, "command"):
        return
    with tempfile.TemporaryDirectory() as folder:
        clip = make_clip(Path(folder) / "clip.mp4", frames=arguments.frames, height=arguments.command_height)
        for name in ("empty cache", "warm cache"):
            try:
                result = stylize(
                    clip,
                    Path(folder) / "stylized.mp4",
                    *("--style", arguments.style, "--device", arguments.device, "--engine", arguments.engines[-1]),
                    env={"FLOWBRUSH_CACHE": str(Path(folder) / "cache")},
                )
            except CommandError as error:
                print(f"command  {name}: failed, {error}")
                continue
            busy = ", ".join(f"{stage} {100 * share:.0f} %" for stage, share in result["busy"].items())
            print(
                f"command  {name}: {result['fps']:.1f} fps,"
                f" first stylized frame after {result['startup_seconds']:.1f} s,"
                f" {(result['peak_memory_bytes'] or 0) / 1e6:.0f} MB,"
                f" {result['engine']} {result['precision']}, busy: {busy}",
                flush=True,
            )


def measure_training(style: LoadedStyle, arguments: argparse.Namespace, device: torch.device, clock: Clock) -> None:
    """Print the steps per second of a style."""
    steps = arguments.training_steps
    if not steps or not clock.has(COMPILE_SECONDS, "training"):
        return
    generator = torch.Generator().manual_seed(0)
    objective = StyleTransferObjective([vgg19(_random_vgg19(generator)).to(device)])
    content = list(torch.randint(0, 256, (24, 3, 384, 384), dtype=torch.uint8, generator=generator))
    # A validation follows the last step, which is not measured.
    compiles = "compile" in arguments.engines
    config = TrainingConfig(
        steps=3 * steps + 1, crop_px=arguments.crop, validation_crops=2, validate_every=10**6, compile=compiles
    )
    images = [torch.rand(1, 3, 256, 256, generator=generator)]
    trainer = Trainer(style.network, [style.style], images, content, objective, config, device, cache=cache_folder())
    marks = [time.perf_counter() for report in trainer.run() if steps <= report.step <= 3 * steps]
    seconds = (marks[-1] - marks[0]) / (len(marks) - 1)
    print(f"training {1 / seconds:.2f} steps per second, two crops of {config.crop_px} pixels", flush=True)


def _random_vgg19(generator: torch.Generator) -> dict[str, Tensor]:
    state, channels = dict[str, Tensor](), 3
    for index, width in zip(VGG19_CONVOLUTIONS, VGG19_WIDTHS, strict=False):
        spread = (2 / (9 * channels)) ** 0.5
        state[f"features.{index}.weight"] = spread * torch.randn(width, channels, 3, 3, generator=generator)
        state[f"features.{index}.bias"] = torch.zeros(width)
        channels = width
    return state


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=8, help="rows that would start too late are left out")
    parser.add_argument("--heights", type=int, nargs="+", default=[360, 720, 1080, 2160], help="multiples of 4; 16:9")
    parser.add_argument("--count", type=int, default=100, help="frames the medians are over")
    parser.add_argument("--frames", type=int, default=300, help="of the command's clip; 0 leaves the command out")
    parser.add_argument("--command-height", type=int, default=1080)
    parser.add_argument("--training-steps", type=int, default=20, help="warm-up; then twice as many; 0 for none")
    parser.add_argument("--crop", type=int, default=256, help="side of the images to train on, in pixels")
    parser.add_argument("--style", default="great-wave")
    parser.add_argument("--engines", nargs="+", default=["eager", "compile"])
    parser.add_argument("--precisions", nargs="+", default=["bf16", "fp16"])
    parser.add_argument("--device", default="cuda", help="cpu tries the script itself where there is no GPU")
    arguments = parser.parse_args()
    device, clock = torch.device(arguments.device), Clock(arguments.minutes)
    if device.type == "cuda" and not torch.cuda.is_available():
        print("no CUDA device: not measured")
        return 0
    print(machine_line(machine()))
    print(f"{torch.cuda.get_device_name(device) if device.type == 'cuda' else 'CPU'}, medians of {arguments.count}")
    style = load(arguments.style)
    fast, arguments.engines = arguments.engines, [name for name in arguments.engines if name != "compile"]
    measure_parity(style, arguments, device, clock)
    measure_network(style, arguments, device, clock)
    arguments.engines = fast
    measure_command(arguments, clock)
    measure_training(style, arguments, device, clock)
    arguments.engines = [name for name in fast if name == "compile"]
    measure_network(style, arguments, device, clock)
    measure_parity(style, arguments, device, clock)
    return 0


if __name__ == "__main__":
    sys.exit(main())
