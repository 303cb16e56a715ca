"""Prints a table within a budget of time, whatever its rows do: fail, hang, or take the process with them."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import IO, Any

from benchmarks.command import ROOT
from benchmarks.gpu.rows import Row, Settings

# A process loads torch and starts the GPU before its first row.
START_SECONDS = 15.0
# A row that takes this many times as long as expected is stopped; short ones may take longer.
PATIENCE, LEAST_PATIENCE_SECONDS = 4.0, 60.0
NAME_WIDTH = 44


class Worker:
    """A process that measures rows; started at the first.

    Args:
        command: starts it; see `benchmarks.gpu.worker`.
        log: receives what it prints beside its answers; None for nobody.
    """

    def __init__(self, command: Sequence[str], log: IO[str] | None = None) -> None:
        self._command, self._log = command, log
        self._process: subprocess.Popen[str] | None = None
        self._answers: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread()

    @property
    def is_running(self) -> bool:
        """Whether there is a process."""
        return self._process is not None

    def measure(self, row: Row, seconds: float) -> str:
        """Return what is printed about ``row``, after ``seconds`` at most."""
        process = self._started()
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(asdict(row)) + "\n")
            process.stdin.flush()
            line = self._answers.get(timeout=max(seconds, 0.0))
        except queue.Empty:
            self.kill()
            return f"not measured: stopped after {seconds:.0f} s"
        except OSError:
            line = ""
        if not line:
            code = process.wait()
            self.kill()
            return f"not measured: its process ended with exit code {code}"
        found: dict[str, Any] = json.loads(line)
        if found["is_broken"]:
            self.kill()
        return str(found["text"]) if "text" in found else f"not measured: {found['error']}"

    def kill(self) -> None:
        """End the process, and those that it has started."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdin is not None:
            with suppress(BrokenPipeError):
                process.stdin.close()
        self._reader.join(timeout=5)

    def _started(self) -> "subprocess.Popen[str]":
        if self._process is None:
            self._answers = queue.Queue()
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log or subprocess.DEVNULL,
                text=True,
                cwd=ROOT,
                start_new_session=True,
            )
            reading = (self._process.stdout, self._answers)
            self._reader = threading.Thread(target=_read, args=reading, daemon=True)
            self._reader.start()
        return self._process


def _read(lines: IO[str], answers: "queue.Queue[str]") -> None:
    with lines:
        for line in lines:
            answers.put(line)
    answers.put("")  # the end


def print_table(
    rows: Sequence[Row],
    worker: Worker,
    seconds: float,
    *,
    show: Callable[[str], None] = lambda line: print(line, flush=True),
) -> None:
    """Measure ``rows`` in their order, and print a line each; those for which no time is left are named.

    Args:
        rows: the most important first.
        worker: measures them.
        seconds: for all of them.
        show: prints a line.
    """
    end = time.monotonic() + seconds
    try:
        for row in rows:
            expected = row.seconds + (0.0 if worker.is_running else START_SECONDS)
            left = end - time.monotonic()
            if expected > left:
                show(f"{row.name:{NAME_WIDTH}} not measured: out of time")
                continue
            patience = max(PATIENCE * expected, LEAST_PATIENCE_SECONDS)
            show(f"{row.name:{NAME_WIDTH}} {worker.measure(row, min(patience, left))}")
    finally:
        worker.kill()


def worker_command(settings: Settings) -> list[str]:
    """Return what starts `benchmarks.gpu.worker`."""
    return [sys.executable, "-m", "benchmarks.gpu.worker", json.dumps(asdict(settings))]
