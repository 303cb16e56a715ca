"""Measures rows one after another, in a process that may hang or die without the others: see `benchmarks.gpu.table`.

Reads a JSON object a line, a row, and answers each with one: its ``text`` or its ``error``. After an error of the GPU
from which a process does not recover, the answer has ``is_broken``.
"""

import gc
import json
import os
import sys
import traceback
from collections.abc import Callable
from importlib import import_module
from typing import Any

from benchmarks.gpu.rows import Settings

# What imports PyAV is imported by its rows alone: the others do without it.
MEASURE = {
    "machine": "machines",
    "network": "networks",
    "parity": "networks",
    "clip_parity": "stages",
    "noise_filter": "stages",
    "colors": "colors",
    "to_samples": "colors",
    "in_flight": "stages",
    "live": "live",
    "command": "commands",
    "hardware_command": "commands",
    "training": "training",
}


def answer(kind: str, settings: Settings, arguments: dict[str, Any]) -> dict[str, Any]:
    """Measure a row; return what is printed about it."""
    try:
        measure: Callable[..., str] = getattr(import_module(f"benchmarks.gpu.{MEASURE[kind]}"), kind)
        return {"text": measure(settings, **arguments)}
    except Exception as error:  # noqa: BLE001 - one row must not stop the others
        traceback.print_exc()
        lines = str(error).strip().splitlines() or ["no reason given"]
        return {"error": f"{type(error).__name__}: {lines[0]}"}


def is_broken(settings: Settings) -> bool:
    """Release what the last row has left; return whether the GPU fails whatever is asked."""
    gc.collect()
    if "torch" not in sys.modules or not settings.device.startswith("cuda"):
        return False
    import torch

    try:
        torch.cuda.synchronize(settings.device)
        torch.cuda.empty_cache()
    except RuntimeError:
        traceback.print_exc()
        return True
    return False


def main() -> None:
    settings = Settings(**json.loads(sys.argv[1]))
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever libraries print
    for line in sys.stdin:
        row = json.loads(line)
        print(f"--- {row['name']}", file=sys.stderr, flush=True)
        found = answer(row["kind"], settings, row["arguments"])
        answers.write(json.dumps({**found, "is_broken": is_broken(settings)}) + "\n")


if __name__ == "__main__":
    main()
