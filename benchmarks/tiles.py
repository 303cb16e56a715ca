"""Whole frames against strips: time, memory, and how far apart the results are.

    python benchmarks/tiles.py [--height 2160] [--device cuda]

Stylizes one frame of the sample video harbor, enlarged, whole and in strips, each in a separate process; the peak is
that of the process on a CPU, of torch's allocator on a GPU. `benchmarks/memory.py` weighs the whole command.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

sys.path.pop(0)  # this folder: its cuda.py would hide the package of that name, which torch imports
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from PIL import Image

from benchmarks.clips import first_frame, width_for
from benchmarks.command import CommandError, output_of

GOAL_MEAN, GOAL_MOST = 1, 4


def stylize(arguments: argparse.Namespace) -> dict[str, Any]:
    """Stylize a frame in this process, save it at ``arguments.save``, and return time and memory."""
    import torch

    from models.engines.build import build_engine
    from models.engines.capabilities import native_precision
    from models.engines.engine import EngineSpec
    from models.frame_graph import zero_statistics
    from models.registry import load
    from models.tiled.tiling import Tiling
    from pipeline.progress import peak_memory_bytes
    from pipeline.system.folders import cache_folder
    from pipeline.system.process import keep_freed_memory

    keep_freed_memory()
    torch.set_num_threads(arguments.threads)
    device, style = torch.device(arguments.device), load(arguments.style)
    size = (width_for(arguments.height), arguments.height)
    pixels = torch.from_numpy(np.array(Image.fromarray(first_frame()).resize(size, Image.Resampling.BICUBIC)))
    zero, one = torch.zeros((), device=device), torch.ones((), device=device)
    spec = EngineSpec(
        network=style.network,
        height=size[1],
        width=size[0],
        device=device,
        precision=arguments.precision or native_precision(device),
        cache=cache_folder(),
        tiling=Tiling(arguments.rows, keeps_half=not arguments.lean) if arguments.rows else None,
    )
    run = build_engine(arguments.engine, spec)
    before, seconds = peak_memory_bytes() or 0, []
    for _ in range(arguments.rounds):
        begun = time.perf_counter()
        stylized, _ = run(pixels, style.style, zero_statistics(style.network, device), zero, one, zero)
        seconds.append(time.perf_counter() - begun)
    Image.fromarray(stylized.numpy()).save(arguments.save, compress_level=0)
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else (peak_memory_bytes() or 0) - before
    return {"seconds": min(seconds), "peak_bytes": peak}


def compare(arguments: argparse.Namespace, folder: Path) -> None:
    """Print one line for each execution mode."""
    ways: list[list[str]] = [["--engine", arguments.engine], ["--engine", "eager"]]
    ways += [["--engine", "eager", "--rows", str(rows)] for rows in arguments.strips]
    ways += [["--engine", "eager", "--rows", str(rows), "--lean"] for rows in arguments.strips]
    whole: np.ndarray[Any, Any] | None = None
    for number, way in enumerate(ways):
        target = folder / f"{number}.png"
        try:
            figures = json.loads(output_of([sys.executable, __file__, *sys.argv[1:], *way, "--save", str(target)]))
        except CommandError as error:
            print(f"{' '.join(way):36} NOT MEASURED: {error}", flush=True)
            continue
        result = np.asarray(Image.open(target)).astype(np.int16)
        line = f"{' '.join(way):36} {1000 * figures['seconds']:8.0f} ms  {figures['peak_bytes'] / 1e6:6.0f} MB"
        if number == 1:
            whole = result
        elif number > 1 and whole is not None:
            apart = np.abs(result - whole)
            is_met = apart.mean() <= GOAL_MEAN and apart.max() <= GOAL_MOST
            line += f"  {apart.mean():.4f} levels apart, at most {apart.max()}: {'MET' if is_met else 'NOT MET'}"
        print(line, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--height", type=int, default=2160, help="in pixels; the width follows (16:9)")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--style", default="great-wave")
    parser.add_argument("--engine", default="compile", help="of the whole frame, besides eager")
    parser.add_argument("--precision", default="", help="default: the device's own")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--strips", type=int, nargs="+", default=[32, 8], help="rows of a strip")
    parser.add_argument("--rows", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--lean", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--save", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.save:
        print(json.dumps(stylize(arguments)))
        return
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        compare(arguments, Path(folder))


if __name__ == "__main__":
    main()
