"""Killed at any call that creates, renames or deletes something, no command loses what it has said to be kept.

Nor does it touch anything of others, and the same command brings the same output and leaves nothing beside it.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import cli
from tests.support.interrupted.faults import CASES

ROOT = Path(cli.__file__).parent
# In `make test` a kill at every so many calls: a few kills for each case.
EVERY = {"video": 23, "video-over-an-old-output": 29, "video-in-one-pass": 3, "batch": 29, "train": 13, "live": 1}

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks and kills")


def examine(case: str, folder: Path, every: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.support.interrupted.faults", case, str(folder), "--every", str(every)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("case", CASES)
def test_killed_at_some_calls_nothing_is_lost(case: str, tmp_path: Path) -> None:
    found = examine(case, tmp_path, EVERY[case])
    assert found["wrong"] == []
    assert found["kills"] == len(range(1, found["points"] + 1, EVERY[case]))


@pytest.mark.prove
@pytest.mark.parametrize("case", CASES)
def test_killed_at_every_call_nothing_is_lost(case: str, tmp_path: Path) -> None:
    found = examine(case, tmp_path, 1)
    print(f"{case}: {found['kills']} kills at {found['points']} calls")
    assert found["wrong"] == []
    assert found["kills"] == found["points"]
