"""The priority of threads, which no library may raise."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def unchanged_priority() -> Iterator[None]:
    """Context at whose end this thread, and those started in it, are scheduled as this thread was before.

    SVT-AV1 in a process of root, as containers have it, makes the thread that opens it and its own threads real-time
    threads of the highest priority: nothing else on the machine, the network included, gets a core that they want.
    """
    if sys.platform != "linux":
        yield
        return
    before, policy, parameters = _threads(), os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        if os.sched_getscheduler(0) != policy:
            for thread in {threading.get_native_id()} | _threads() - before:
                with suppress(OSError):  # it has ended
                    os.sched_setscheduler(thread, policy, parameters)


def _threads() -> set[int]:
    return set(map(int, os.listdir("/proc/self/task")))
