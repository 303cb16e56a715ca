import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CODE = """
import sys
from pipeline.batch.events import Skipped
from pipeline.console.json_lines import JsonLines

lines = JsonLines()
for name in ("a.mp4", "b.mp4"):
    lines(Skipped(name))
"""


def test_events_are_printed_one_a_line() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], cwd=ROOT, capture_output=True, text=True, check=True)
    lines = [f'{{"event": "skipped", "output": "{name}"}}' for name in ("a.mp4", "b.mp4")]
    assert (done.stdout.splitlines(), done.stderr) == (lines, "")


@pytest.mark.skipif(os.name != "posix", reason="a pipe without a reader is an error of POSIX")
def test_a_batch_continues_when_nobody_reads_its_events() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run([sys.executable, "-c", CODE], cwd=ROOT, stdout=writing, stderr=subprocess.PIPE, text=True)
    finally:
        os.close(writing)
    assert done.returncode == 0
    assert done.stderr.count("\n") == 1
    assert "Broken pipe" in done.stderr
