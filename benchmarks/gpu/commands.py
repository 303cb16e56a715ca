"""The whole of `flowbrush video`, in a process of its own, from decoding to the finished file."""

from pathlib import Path
from typing import Any

import torch

from benchmarks.command import stylize
from benchmarks.gpu.rows import Settings
from benchmarks.gpu.timing import whole_memory


def command(settings: Settings, *, height: int) -> str:
    """Return rate, start-up and memory; decoder and encoder are software."""
    return f"{_run(settings, height)}; decoded and encoded in software"


def hardware_command(settings: Settings, *, height: int) -> str:
    """Return the same with the GPU's decoder and encoder, as far as there are any."""
    from pipeline.media.hardware import decoder_fault, encoder_fault

    faults = {"NVDEC": decoder_fault("cuda"), "NVENC": encoder_fault("h264_nvenc")}
    missing = "; ".join(f"no {name}: {fault}" for name, fault in faults.items() if fault is not None)
    if None not in faults.values():
        return f"software, as in the rows above; {missing}"
    options = [] if faults["NVDEC"] else ["--hwaccel", "cuda"]
    options += [] if faults["NVENC"] else ["--codec", "h264_nvenc"]
    return f"{_run(settings, height, *options)}; {' '.join(options)}{'; ' if missing else ''}{missing}"


def _run(settings: Settings, height: int, *options: str) -> str:
    device, work = torch.device(settings.device), Path(settings.work)
    where = ("--style", settings.style, "--device", settings.device)
    cache = {"FLOWBRUSH_CACHE": str(work / "command-cache")}
    with whole_memory(device) as memory:
        result = stylize(_clip(settings, height), work / "stylized.mp4", *where, *options, env=cache)
        return f"{_figures(result)}{memory()}"


def _figures(result: dict[str, Any]) -> str:
    busy = ", ".join(f"{stage} {100 * share:.0f} %" for stage, share in result["busy"].items())
    return (
        f"{result['fps']:.1f} fps, first frame {result['startup_seconds']:.1f} s after launch, "
        f"{result['engine']} {result['precision']}, busy: {busy}, "
        f"{(result['peak_memory_bytes'] or 0) / 1e6:.0f} MB of the process"
    )


def _clip(settings: Settings, height: int) -> Path:
    """Return a clip, longer for smaller frames, made once."""
    from benchmarks.clips import make_clip

    path = Path(settings.work) / f"{height}.mp4"
    if not path.exists():
        smallest = max(settings.command_heights)
        frames = min(round(settings.frames * (smallest / height) ** 2), 8 * settings.frames)
        make_clip(path, frames=frames, height=height)
    return path
