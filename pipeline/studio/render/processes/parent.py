"""In a process that the studio has started: messages from the studio, and to it. See `child.Child`."""

import json
import os
import queue
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from pipeline.system.files.writing import write_loosely
from pipeline.system.process import keep_freed_memory, silence_pillow, use_safe_path

# Linux groups the processes of a session, and shares the cores between groups: `nice` counts within one alone.
_GROUP_PRIORITY = "/proc/self/autogroup"


class Parent:
    """The studio, which has started this process; when it ends, however it does, this process ends at once.

    Args:
        niceness: how far this process stands back, 0 to 19.
    """

    def __init__(self, niceness: int) -> None:
        use_safe_path()
        keep_freed_memory()
        silence_pillow()
        if niceness and hasattr(os, "nice"):
            os.nice(niceness)
            with suppress(OSError):
                write_loosely(_GROUP_PRIORITY, str(niceness).encode())
        self._output = os.fdopen(os.dup(1), "wb")
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what a library prints is no message
        self._messages: queue.Queue[dict[str, Any]] = queue.Queue(maxsize=1)
        self._lock = threading.Lock()
        threading.Thread(target=self._listen, name="flowbrush-parent", daemon=True).start()

    def receive(self) -> dict[str, Any]:
        """Wait for the next message."""
        return self._messages.get()

    def send(self, message: Mapping[str, object], body: bytes = b"") -> None:
        """Send a message, and the bytes that belong to it; from any thread."""
        line = json.dumps({**message, "bytes": len(body)})
        with self._lock:
            self._output.write(line.encode() + b"\n" + body)
            self._output.flush()

    def _listen(self) -> None:
        for line in sys.stdin.buffer:
            self._messages.put(json.loads(line))
        os._exit(0)
