"""The process itself: when it began, how its memory is kept, and what it tells of itself."""

import ctypes
import logging
import os
import platform
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

# A frame that is being painted, or an encoder that gives what it held back, may take longer to end.
GRACE_SECONDS = 1.5


def launched_at() -> float:
    """Wall-clock time at which this process began; where the system does not tell, when this module was loaded."""
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        uptime = float(Path("/proc/uptime").read_text().split()[0])
        return time.time() - uptime + int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        return _LOADED_AT


_LOADED_AT = time.time()


def set_up_logging(level: int) -> None:
    """Let what modules tell of their work, from ``level`` on, go to standard error."""
    logging.basicConfig(level=level, format="%(name)s: %(message)s")
    logging.getLogger("torch.utils.cpp_extension").disabled = level > logging.DEBUG  # of CUDA where there is none


def keep_freed_memory() -> None:
    """Let glibc reuse the large buffers of each frame instead of giving them back and having them cleared again.

    Without this the kernel clears 17 MB a frame at 640x360, a seventh of all the time. From mallopt(3):
    M_TRIM_THRESHOLD is -1, M_TOP_PAD -2, M_MMAP_THRESHOLD -3, M_ARENA_MAX -8.
    """
    if sys.platform == "linux" and platform.libc_ver()[0] == "glibc":
        mallopt = ctypes.CDLL(None).mallopt
        for parameter, value in ((-1, 2**31 - 1), (-2, 64 * 2**20), (-3, 2**30), (-8, 1)):
            mallopt(parameter, value)


@contextmanager
def ends_soon(at_last: Callable[[], None], code: int) -> Iterator[None]:
    """Context in which an interruption ends the process in `GRACE_SECONDS`, whatever it is busy with.

    Only for work that a kill at any moment leaves whole; in the main thread.

    Args:
        at_last: called in another thread before a process that does not end by itself is ended.
        code: that it exits with then.
    """
    reading, writing = socket.socketpair()  # Windows takes nothing else to wake up by
    writing.setblocking(False)
    ended = threading.Event()
    deadly = {getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)}

    def watch() -> None:
        while (number := reading.recv(1)) and number[0] not in deadly:
            pass
        if number and not ended.wait(GRACE_SECONDS):
            at_last()
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
