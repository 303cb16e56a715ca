"""The peak memory of a piece of code: as Linux measures it, and not that of the process that started this one."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from pipeline.progress import peak_memory_bytes

MEBIBYTE = 2**20
ROOT = Path(__file__).parents[2]


def growth(work: Callable[[], object]) -> int:
    """Return by how many bytes the memory of this process grows at most during ``work``.

    Not by `resource.getrusage`: its peak never falls, and a process starts with that of its parent.
    """
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # from here on the peak is what there is now
    before = peak_memory_bytes() or 0
    work()
    return (peak_memory_bytes() or 0) - before


def printed_by(code: str, *arguments: str) -> list[str]:
    """Run Python code in a process that has freed no memory yet, which would be used again; return its words."""
    command = [sys.executable, "-c", code, *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()
