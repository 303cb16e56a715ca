"""A script in a separate process that reports by lines of JSON: the window, the connection of a stream."""

import json
import os
import subprocess
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import IO, Any, cast

from pipeline.system.children import start_python


class ScriptProcess:
    """Runs a script and listens to it.

    Args:
        command: path of the script and its arguments.
        on_message: called with each object that the script reports, in a thread.
        environment: variables to add.
        stderr: as for `subprocess.Popen`.
        bufsize: as for `subprocess.Popen`.

    Attributes:
        stdin: standard input of the script.
    """

    def __init__(
        self,
        *command: str,
        on_message: Callable[[dict[str, Any]], None],
        environment: Mapping[str, str] | None = None,
        stderr: int | IO[bytes] = subprocess.DEVNULL,
        bufsize: int = -1,
    ) -> None:
        self._process = start_python(*command, environment=environment, stderr=stderr, bufsize=bufsize)
        self.stdin = cast("IO[bytes]", self._process.stdin)
        self._on_message = on_message
        self._listener = threading.Thread(target=self._listen, name=os.path.basename(command[0]), daemon=True)
        self._listener.start()

    @property
    def has_exited(self) -> bool:
        """Whether the script has ended and everything that it reported has been handled."""
        return not self._listener.is_alive()

    def kill(self) -> None:
        """End the process; may be called from any thread."""
        self._process.kill()

    def close(self, timeout_seconds: float) -> int:
        """Close standard input, wait until the script ends, kill it after the time-out; return its exit code."""
        with suppress(OSError):
            self.stdin.close()
        try:
            self._process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._listener.join()
        return self._process.wait()

    def _listen(self) -> None:
        with cast("IO[bytes]", self._process.stdout) as lines:
            for line in lines:
                self._on_message(json.loads(line))
