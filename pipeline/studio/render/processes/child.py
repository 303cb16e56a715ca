"""A process that does something for the studio: a clip that crashes or hangs a decoder stops nothing else."""

import json
import threading
from contextlib import suppress
from typing import IO, Any, cast

from pipeline.system.children import kill_session, run_module, start_python

LONGEST_LINE, MOST_BYTES = 2**20, 64 * 2**20


class Child:
    """A Python of ours; it takes and gives messages, which are lines of JSON, in its answers with bytes after them.

    It ends when its standard input is closed, so also when this process is killed.

    Args:
        module: what it runs; uses `pipeline.studio.render.processes.parent.Parent`.

    Raises:
        OSError: the system cannot start another process.
    """

    def __init__(self, module: str) -> None:
        self._process = start_python(*run_module(module), own_session=True)
        self._input = cast("IO[bytes]", self._process.stdin)
        self._output = cast("IO[bytes]", self._process.stdout)
        self._lock = threading.Lock()

    def send(self, **message: object) -> None:
        """Send a message; nothing happens if the process has ended."""
        with suppress(OSError):
            self._input.write(json.dumps(message).encode() + b"\n")
            self._input.flush()

    def receive(self) -> tuple[dict[str, Any], bytes] | None:
        """Wait for the next message; None if the process has ended, or writes what is none."""
        with suppress(OSError, ValueError, TypeError, RecursionError):  # a clip may have taken the process over
            line = self._output.readline(LONGEST_LINE)
            message = json.loads(line)
            if isinstance(message, dict) and 0 <= (size := int(message.pop("bytes", 0))) <= MOST_BYTES:
                body = self._output.read(size)
                if len(body) == size:
                    return message, body
        return None

    def kill(self) -> None:
        """Kill the process and those that it has started; from any thread, also while another one waits for it."""
        with self._lock:
            if self._process.returncode is None:
                kill_session(self._process)

    def close(self) -> int:
        """Kill the process if it still runs, and release what it held; return its exit code."""
        self.kill()
        code = self._process.wait()
        with suppress(OSError):
            self._input.close()
        self._output.close()
        return code

    @property
    def is_alive(self) -> bool:
        """Whether the process still runs."""
        with self._lock:
            return self._process.poll() is None


def describe_end(code: int) -> str:
    """Return how a process ended, for messages: by which signal, or with which exit code."""
    return f"signal {-code}" if code < 0 else f"exit code {code}"
