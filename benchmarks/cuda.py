"""How fast is an NVIDIA GPU? 1920x1080: the network alone, with its copies to and fro, and the whole command.

    python benchmarks/cuda.py [--frames 300]

Network: pixels in and out on the GPU, CUDA events, median after a warm-up. With copies: pixels in and out in main
memory. Command: sustained rate from decoding to the finished file (libx264 on the CPU).
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.pop(0)  # this folder: this file would hide the package of that name, which torch imports
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from benchmarks.clips import make_clip, width_for
from benchmarks.command import CommandError, machine, machine_line, stylize
from models.engines.build import build_engine
from models.engines.engine import DTYPES, EngineName, EngineSpec, Precision
from models.frame_graph import FrameGraph, zero_statistics
from models.registry import LoadedStyle, load
from pipeline.system.folders import cache_folder


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


def network_call(
    style: LoadedStyle, engine: EngineName, precision: Precision, device: torch.device, height: int
) -> Callable[[], object]:
    """One frame through the network, all of it on ``device``."""
    dtype = DTYPES[precision]
    run = FrameGraph(style.network)
    if engine == "compile":
        run = torch.compile(run, dynamic=False)
    pixels = torch.randint(0, 256, (height, width_for(height), 3), dtype=torch.uint8, device=device)
    past = zero_statistics(style.network, device)
    zero, strength = torch.zeros((), device=device), torch.ones((), device=device)
    tensors = style.style.to(device, dtype).tensors()

    def call() -> object:
        with torch.inference_mode():
            return run(pixels, tensors, past, zero, strength, zero)

    return call


def copying_call(
    style: LoadedStyle, engine: EngineName, precision: Precision, device: torch.device, height: int
) -> Callable[[], object]:
    """One frame as the pipeline runs it: from main memory to main memory."""
    width = width_for(height)
    spec = EngineSpec(
        network=style.network, height=height, width=width, device=device, precision=precision, cache=cache_folder()
    )
    run = build_engine(engine, spec)
    pixels = torch.randint(0, 256, (height, width, 3), dtype=torch.uint8)
    past = zero_statistics(style.network, device)
    zero, strength = torch.zeros((), device=device), torch.ones((), device=device)
    return lambda: run(pixels, style.style, past, zero, strength, zero)


def measure_network(arguments: argparse.Namespace, device: torch.device) -> None:
    """Print a line for each engine and precision."""
    style = load(arguments.style)
    for engine in arguments.engines:
        for precision in arguments.precisions:
            setting = (style, engine, precision, device, arguments.height)
            network = median_ms(network_call(*setting), device, count=arguments.count)
            copying = copying_call(*setting)
            for _ in range(min(10, arguments.count)):
                copying()
            whole = statistics.median(_wall_ms(copying, device) for _ in range(arguments.count))
            print(
                f"network {engine:7} {precision}  {network:8.2f} ms  {1000 / network:7.1f} fps"
                f"   with copies {whole:8.2f} ms  {1000 / whole:7.1f} fps",
                flush=True,
            )


def measure_command(arguments: argparse.Namespace) -> None:
    """Print a line for the whole command, run twice so that the cache is warm."""
    with tempfile.TemporaryDirectory() as folder:
        clip = make_clip(Path(folder) / "clip.mp4", frames=arguments.frames, height=arguments.height)
        for name in ("first run", "second run"):
            try:
                result = stylize(
                    clip, Path(folder) / "stylized.mp4", "--style", arguments.style, "--device", arguments.device
                )
            except CommandError as error:
                print(f"command  {name}: failed, {error}")
                continue
            busy = ", ".join(f"{stage} {100 * share:.0f} %" for stage, share in result["busy"].items())
            engine = f"{result['engine']} {result['precision']}"
            print(
                f"command  {name}: {result['fps']:.1f} fps,"
                f" first stylized frame after {result['startup_seconds']:.1f} s, {engine}, busy: {busy}",
                flush=True,
            )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=300, help="of the command's clip; 0 leaves the command out")
    parser.add_argument("--height", type=int, default=1080, help="in pixels, a multiple of 4; the width follows (16:9)")
    parser.add_argument("--count", type=int, default=100, help="frames the medians are over")
    parser.add_argument("--style", default="great-wave")
    parser.add_argument("--engines", nargs="+", default=["eager", "compile"])
    parser.add_argument("--precisions", nargs="+", default=["bf16", "fp16"])
    parser.add_argument("--device", default="cuda", help="cpu tries the script itself where there is no GPU")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        print("no CUDA device: not measured")
        return 0
    print(machine_line(machine()))
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    print(f"{name}, {width_for(arguments.height)}x{arguments.height}, medians of {arguments.count}")
    measure_network(arguments, device)
    if arguments.frames:
        measure_command(arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main())
