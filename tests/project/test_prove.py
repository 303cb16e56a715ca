"""Long proofs, run by `make prove`; short versions stand in the tests of their modules."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import cli
from tests.support.interrupted.killing import Killer
from tests.support.media import Audio, Clip, contents, make_clip

ROOT = Path(cli.__file__).parent
PLAIN = ["--style", "great-wave", "--engine", "eager", "--device", "cpu", "-q"]

pytestmark = pytest.mark.prove


def test_interrupted_at_any_moment_nothing_is_left(tmp_path: Path) -> None:
    """Thirty interruptions between launch and end: exit code 130 and no trace, or a whole file."""
    source = make_clip(tmp_path / "in.mp4", Clip(pts=range(0, 512 * 120, 512), width=320, height=240, audio=[Audio()]))
    target = tmp_path / "out.mp4"
    command = [sys.executable, str(ROOT / "cli.py"), "video", str(source), str(target), *PLAIN]
    started = time.monotonic()
    subprocess.run(command, check=True)
    whole_seconds = time.monotonic() - started
    target.unlink()
    generator = random.Random(0)
    codes = []
    for _ in range(30):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        time.sleep(generator.uniform(0.4, 1.0) * whole_seconds)
        process.send_signal(generator.choice((signal.SIGINT, signal.SIGTERM)))
        process.communicate(timeout=60)
        codes.append(process.returncode)
        if target.exists():  # the signal came when all was done, or after Python had let go of its handlers
            assert process.returncode in (0, -signal.SIGTERM, -signal.SIGINT, 130)
            assert len(contents(target).times) == 120
            target.unlink()
        else:
            assert process.returncode == 130
        for left in tmp_path.glob("*.flowbrush/*"):  # nothing half written: what is kept is a finished segment
            assert left.name in ("lock", "manifest.jsonl") or left.suffix in (".mp4", ".safetensors")
            left.unlink()
        for folder in tmp_path.glob("*.flowbrush"):
            folder.rmdir()
        assert list(tmp_path.iterdir()) == [source]
    assert 130 in codes


@pytest.mark.parametrize("stability", ["smooth", "flow"])
def test_killed_at_any_moment_the_same_command_gives_the_same_frames(
    tmp_path: Path, stability: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Kill thirty runs, fifteen for each stability mode, after the first finished segment; print a line each."""
    source = make_clip(tmp_path / "in.mp4", Clip(pts=range(0, 512 * 600, 512), width=160, height=120, audio=[Audio()]))
    killer = Killer(source, tmp_path, [*PLAIN, "--stability", stability])
    draw = random.Random(stability)
    outcomes = []
    for number in range(15):
        outcomes.append(killer.kill(draw))
        with capsys.disabled():
            print(f"\n{stability} {number + 1:2}: {outcomes[-1]}", end="")
    assert all(outcome.different == 0 for outcome in outcomes)
    assert all(outcome.reused > 0 and outcome.frames == 600 for outcome in outcomes)


def test_memory_does_not_grow_with_the_clip() -> None:
    """The benchmark's verdicts: two lengths within 5 %, 640x360 and 1920x1080 within their bounds."""
    command = [sys.executable, str(ROOT / "benchmarks" / "memory.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "MET: " in done.stdout
    assert "NOT MET" not in done.stdout
