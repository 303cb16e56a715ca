"""A long session leaks no memory, threads or files."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.live.controls import Controls
from pipeline.live.session import LiveSession
from tests.support.live import Blocking, Dying, FakeCamera, Memory, plain_config
from tests.support.media import Audio, Clip, make_clip

SCRIPT = Path(__file__).parents[1] / "support" / "live" / "soak.py"


def soak(seconds: float, clip: Path, engine: str, threads: int, settle_seconds: float) -> dict[str, Any]:
    command = [sys.executable, str(SCRIPT), str(seconds), str(clip), engine, str(threads), str(settle_seconds)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def check(found: dict[str, Any], least: int) -> None:
    assert all(found["after"][name] <= found["before"][name] for name in found["before"]), found
    assert found["range_bytes"] < 20e6
    assert found["captured"] >= least
    # Flat, up to what other programs on the machine do to it.
    assert found["late_ms"] < 1.5 * found["early_ms"] + 25


@pytest.mark.slow
def test_twenty_seconds(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", Clip(pts=range(0, 512 * 45, 512), width=160, height=96, audio=[Audio()]))
    check(soak(20, clip, "eager", 1, 6), least=400)


@pytest.mark.prove
def test_ten_minutes(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", Clip(pts=range(0, 512 * 150, 512), width=640, height=360, audio=[Audio()]))
    check(soak(600, clip, "auto", 0, 60), least=17_000)


@pytest.mark.prove
def test_five_seconds_of_every_fault() -> None:
    """A camera that is gone for 5 s, a sink that blocks for 5 s, one that dies: the rest goes on, one line each."""
    steady, blocking, dying, lines = Memory("steady"), Blocking(5.0, at=30), Dying(at=60), list[str]()
    camera = FakeCamera(fps=30, unplugged=(10.0, 15.0))
    config = plain_config(seconds=30.0)
    LiveSession(config, [steady, blocking, dying], Controls(["great-wave"]), lines.append, device=camera).run()
    said = {line.partition(":")[0]: line for line in lines}
    assert len(lines) == 4
    assert {"blocking", "dying", "fake camera"} == set(said)
    assert "reconnected after" in lines[-1]
    gaps = sorted(steady.gaps())
    assert 5 <= gaps[-1] < 11  # tried again after 0.5, 1, 2 and 4 s
    assert gaps[-2] < 1
    assert max(taken - captured for _, captured, taken in steady.frames) < 1
    assert len(steady.frames) > 300
