"""How fast is an NVIDIA GPU, and does it paint what the CPU paints? One table, in eight minutes at most.

    python benchmarks/cuda.py [--minutes 8] [--log FILE]

A line a figure, the most important first. What takes longer than the time that is left is named as "out of time"; a
row that fails says why in its line, and the others go on: each is measured in a process that is replaced if it hangs,
dies, or has broken the GPU. --log has the tracebacks.

parity    a frame of 640x360 on the GPU against the CPU in fp32: mean and largest difference in levels, with a verdict,
          and whether a second run gives the same bits; and a clip, through the noise filter. At most 0.1 and 2 levels
          in fp32, in other precisions twice what the CPU itself differs by in them
network   on the GPU, CUDA events, median; with copies: from main memory to main memory, as the pipeline runs it; time
          to the first frame, compiler included; largest memory of the GPU. Engines: eager; compile, as flowbrush
          compiles; autotune (max-autotune-no-cudagraphs), whose choices may differ from run to run; graph and
          compile-graph, the first two recorded as a CUDA graph
command   the whole of `flowbrush video`: frames per second, time from launch to the first frame, with an empty and with
          a warm cache, memory of the process and of the GPU; with NVDEC and NVENC where they work
stages    noise filter; frames per second of the stylize stage with 1, 2 and 3 frames in flight
live      16 sessions at once at 1920x1080 on one network
training  steps per second of a style, against VGG-19

--device cpu tries the script itself where there is no GPU.
"""

import argparse
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

sys.path.pop(0)  # this folder: this file would hide the package of that name, which torch imports
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.gpu.rows import ENGINES, PRECISIONS, Settings, all_rows
from benchmarks.gpu.table import Worker, print_table, worker_command


def main() -> int:
    arguments = _arguments()
    if arguments.device.startswith("cuda") and not _has_gpu():
        print("no CUDA device: not measured")
        return 0
    with ExitStack() as stack:
        work = stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        names = set(Settings.__dataclass_fields__) - {"work"}
        given = {name: value for name, value in vars(arguments).items() if name in names and value is not None}
        settings = Settings(**given, work=work)
        log = None if arguments.log is None else stack.enter_context(arguments.log.open("w"))
        rows = [row for row in all_rows(settings) if arguments.only is None or arguments.only in row.name]
        print_table(rows, Worker(worker_command(settings), log), 60 * arguments.minutes)
    return 0


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--minutes", type=float, default=8, help="for all rows; default: 8")
    add("--only", metavar="TEXT", help="rows whose name contains it, as 'network 1920x1080 bf16'")
    add("--log", type=Path, metavar="FILE", help="receives tracebacks, and what libraries print")
    add("--device", default="cuda")
    add("--style")
    add("--heights", type=int, nargs="+", help="of the network's frames, multiples of 4; 16:9")
    add("--precisions", nargs="+", choices=PRECISIONS)
    add("--engines", nargs="+", choices=ENGINES)
    add("--count", type=int, help="frames that the medians are over")
    add("--parity-height", type=int, help="of the frames that are compared with the CPU's")
    add("--command-heights", type=int, nargs="+")
    add("--frames", type=int, help="of the clip with the largest frames")
    add("--stage-height", type=int, help="for noise filter, frames in flight and live sessions")
    add("--stage-frames", type=int)
    add("--sessions", type=int)
    add("--live-seconds", type=float)
    add("--training-steps", type=int, help="warm-up; then twice as many are measured")
    add("--crop", type=int, help="side of the images to train on, in pixels")
    add("--backend", help="of torch.compile; eager needs no compiler, and measures nothing")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
