"""Processes that run cases: a crash of the interpreter, a hang and words of a C library are charged to their seed."""

import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]

SECONDS_EACH = 60
# Of memory that is written to; address space alone costs nothing, and threads of torch reserve much of it.
MOST_MEMORY_BYTES = 4 * 2**30


def work(folder: Path, originals: Path) -> None:
    """Run a worker: read seeds from standard input, print a line with the outcome of each."""
    from pipeline.system.process import silence_pillow
    from tests.support.fuzz.cases import Material, run_case

    with suppress(ImportError):
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (MOST_MEMORY_BYTES, MOST_MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    silence_pillow()
    material = Material(originals, folder / "material")
    said = tempfile.TemporaryFile()  # noqa: SIM115 - open until the process ends
    os.dup2(said.fileno(), 2)
    for line in sys.stdin:
        before = os.fstat(2).st_size
        place = folder / "case"
        place.mkdir()
        try:
            outcome = run_case(int(line), material, place)
        except Exception as error:  # noqa: BLE001 - every other error is a finding
            outcome = f"BUG: {type(error).__name__} {error} in {_where(error)}"
        shutil.rmtree(place)
        if os.fstat(2).st_size > before:
            said.seek(before)
            outcome += f" BUG: said {said.read(300)!r}"
        print(" ".join(outcome.split()), flush=True)


def _where(error: Exception) -> str:
    """Return the innermost line of ours, and the innermost line of all."""
    lines = traceback.extract_tb(error.__traceback__)
    ours = [line for line in lines if str(ROOT) in line.filename and "tests" not in line.filename]
    return ", ".join(f"{Path(line.filename).name}:{line.lineno}" for line in (*ours[-1:], lines[-1]))


class Worker:
    """A process that runs one seed after another; restarted after a crash or a hang."""

    def __init__(self, folder: Path, originals: Path) -> None:
        self._folder = folder
        command = [sys.executable, "-W", "error", "-m", "tests.support.fuzz", "--worker", str(folder), str(originals)]
        self._command = command
        self._begin()

    def _begin(self) -> None:
        self._lines: queue.Queue[str] = queue.Queue()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir()
        environment = dict(os.environ, SVT_LOG="1", OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT
        )
        threading.Thread(target=self._listen, args=(self._process, self._lines), daemon=True).start()

    @staticmethod
    def _listen(process: "subprocess.Popen[str]", lines: "queue.Queue[str]") -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.put(line.strip())
        lines.put("")

    def ask(self, seed: int) -> str:
        """Return the outcome of ``seed``."""
        assert self._process.stdin is not None
        try:
            print(seed, file=self._process.stdin, flush=True)
            outcome = self._lines.get(timeout=SECONDS_EACH)
        except queue.Empty:
            outcome = f"BUG: hangs, more than {SECONDS_EACH} s"
        except BrokenPipeError:
            outcome = ""
        if outcome and not outcome.startswith("BUG: hangs"):
            return outcome
        self.end()
        code = self._process.returncode
        self._begin()
        return outcome or f"BUG: the interpreter ended with {code}"

    def end(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


@dataclass
class ScoreAccumulator:
    """The outcomes of all seeds: how often each occurred, and the seeds that found something."""

    outcomes: Counter[str]
    found: dict[int, str]


def fuzz(
    seeds: Iterable[int], folder: Path, *, workers: int = 2, progress: Callable[[int], None] = print
) -> ScoreAccumulator:
    """Run ``seeds`` in ``workers`` processes; ``progress`` is called with the number of seeds done so far."""
    from tests.support.fuzz.originals import make_originals

    make_originals(folder / "originals")
    waiting: Iterator[int] = iter(list(seeds))
    tally, lock = ScoreAccumulator(Counter(), {}), threading.Lock()

    def ask(number: int) -> None:
        worker = Worker(folder / f"worker-{number}", folder / "originals")
        while True:
            with lock:
                seed = next(waiting, None)
            if seed is None:
                return worker.end()
            outcome = worker.ask(seed)
            with lock:
                tally.outcomes[outcome if "BUG" not in outcome else "found"] += 1
                if "BUG" in outcome:
                    tally.found[seed] = outcome
                if tally.outcomes.total() % 100 == 0:
                    progress(tally.outcomes.total())

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return tally
