"""Settings of the process: start time, logging, memory, and how it ends."""

import ctypes
import logging
import os
import platform
import signal
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

# How long an interrupted run may take to end by itself; stylizing a frame or flushing an encoder may take longer.
GRACE_SECONDS = 1.5
# Tells each Python that is started to keep the working folder out of its path, see `pipeline.system.children`.
SAFE_PATH = "PYTHONSAFEPATH"


def launched_at() -> float:
    """Return the wall-clock time at which this process started; if unknown, when this module was loaded."""
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        uptime = float(Path("/proc/uptime").read_text().split()[0])
        return time.time() - uptime + int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        return _LOADED_AT


_LOADED_AT = time.time()


def set_up_logging(level: int) -> None:
    """Log to standard error, from ``level`` on."""
    logging.basicConfig(level=level, format="%(name)s: %(message)s")
    logging.getLogger("torch.utils.cpp_extension").disabled = level > logging.DEBUG  # it reports a missing CUDA


def silence_pillow() -> None:
    """Keep Pillow's warnings and log from standard error: what it says about each damaged picture, with what is in it.

    What matters, that a picture cannot be read, is an error. Not for a library: its caller decides about warnings.
    """
    warnings.filterwarnings("ignore", module=r"PIL\.")
    logging.getLogger("PIL").setLevel(logging.CRITICAL + 1)


def keep_freed_memory() -> None:
    """Let glibc reuse the large buffers of each frame instead of returning them to the kernel.

    Otherwise the kernel clears 17 MB per frame at 640x360, a seventh of the whole time. Parameters of mallopt(3):
    M_TRIM_THRESHOLD is -1, M_TOP_PAD -2, M_MMAP_THRESHOLD -3, M_ARENA_MAX -8.
    """
    if sys.platform == "linux" and platform.libc_ver()[0] == "glibc":
        mallopt = ctypes.CDLL(None).mallopt
        for parameter, value in ((-1, 2**31 - 1), (-2, 64 * 2**20), (-3, 2**30), (-8, 1)):
            mallopt(parameter, value)


def use_safe_path() -> None:
    """Keep every Python that this process starts from now on, itself or through a library, out of the working folder.

    For a process that belongs to us. A program that uses flowbrush as a library may start its own scripts.
    """
    os.environ[SAFE_PATH] = "1"


class _SafePath:
    """See `safe_path`; threads may be within it at the same time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entered = 0
        self._before: str | None = None

    def __enter__(self) -> None:
        with self._lock:
            if not self._entered:
                self._before = os.environ.get(SAFE_PATH)
                os.environ[SAFE_PATH] = "1"
            self._entered += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._entered -= 1
            if self._entered:
                return
            if self._before is None:
                os.environ.pop(SAFE_PATH, None)
            else:
                os.environ[SAFE_PATH] = self._before


safe_path = _SafePath()
"""Context in which libraries start processes for us: torch's compiler, multiprocessing. They take the environment of
this process, which is changed meanwhile."""


@contextmanager
def exit_on_signal(before_exit: Callable[[], None], code: int) -> Iterator[None]:
    """Context in which an interrupted process exits after `GRACE_SECONDS`, whatever it is doing.

    Only in the main thread, and only for work that survives a kill at any moment.

    Args:
        before_exit: called in another thread, if the process does not end by itself.
        code: the exit code in that case.
    """
    reading, writing = socket.socketpair()  # the only kind of file descriptor that Windows accepts here
    writing.setblocking(False)
    ended = threading.Event()
    fatal = {getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)}

    def watch() -> None:
        while (number := reading.recv(1)) and number[0] not in fatal:
            pass
        if number and not ended.wait(GRACE_SECONDS):
            before_exit()
            os._exit(code)

    before = signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
    watcher = threading.Thread(target=watch, name="flowbrush-watch", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        signal.set_wakeup_fd(before)
        writing.close()
        watcher.join()
        reading.close()
