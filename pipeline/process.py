"""The process itself: when it began, and how its memory is kept."""

import ctypes
import os
import platform
import sys
import time
from pathlib import Path


def launched_at() -> float:
    """Wall-clock time at which this process began; where the system does not tell, when this module was loaded."""
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        uptime = float(Path("/proc/uptime").read_text().split()[0])
        return time.time() - uptime + int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        return _LOADED_AT


_LOADED_AT = time.time()


def keep_freed_memory() -> None:
    """Let glibc reuse the large buffers of each frame instead of giving them back and having them cleared again.

    Without this the kernel clears 17 MB a frame at 640x360, a seventh of all the time. From mallopt(3):
    M_TRIM_THRESHOLD is -1, M_TOP_PAD -2, M_MMAP_THRESHOLD -3, M_ARENA_MAX -8.
    """
    if sys.platform == "linux" and platform.libc_ver()[0] == "glibc":
        mallopt = ctypes.CDLL(None).mallopt
        for parameter, value in ((-1, 2**31 - 1), (-2, 64 * 2**20), (-3, 2**30), (-8, 1)):
            mallopt(parameter, value)
