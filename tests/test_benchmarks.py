import json
import subprocess
import sys
from pathlib import Path

import av
import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"

pytestmark = pytest.mark.slow


def run(script: str, *arguments: str | Path) -> str:
    command = [sys.executable, str(BENCHMARKS / script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    run("clips.py", path, "--frames", "9", "--height", "64")
    return path


def test_a_clip_has_the_frames_and_the_sound_that_were_asked_for(clip: Path) -> None:
    with av.open(str(clip)) as container:
        assert [stream.codec_context.name for stream in container.streams] == ["h264", "aac"]
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        container.seek(0)
        samples = sum(frame.samples for frame in container.decode(audio=0))
    assert len(pictures) == 9
    assert pictures[0].shape == (64, 112, 3)
    assert (pictures[0] != pictures[-1]).mean() > 0.05
    assert abs(samples - 9 * 48000 // 30) < 2 * 1024


def test_throughput_compares_the_command_with_both_loops() -> None:
    tiny = ("--frames", "5", "--other-frames", "5", "--baseline-frames", "1", "--rounds", "1", "--height", "64")
    out = run("throughput.py", *tiny, "--engines", "eager", "--precisions", "fp32", "--cold", "--json")
    result = json.loads(out)
    a, b, ours = result["rows"]
    assert "1.68 M" in a["name"]
    assert "0.42 M" in b["name"]
    assert a["times_a"] == b["times_b"] == 1
    assert ours["times_a"] == pytest.approx(a["ms_per_frame"] / ours["ms_per_frame"])
    assert ours["startup_seconds"] > 0
    assert result["judged"]["name"] == ours["name"] == "flowbrush eager fp32"


def test_memory_prints_a_line_a_clip_and_verdicts() -> None:
    tiny = ("--seconds", "0.1", "0.2", "--height", "64", "--large-seconds", "0")
    lines = run("memory.py", *tiny, "--engine", "eager", "--no-first-run").splitlines()
    assert len(lines) == 4
    assert all("MB" in line for line in lines[:2])
    assert all("MET: " in line for line in lines[2:])


def test_threads_prints_a_line_a_combination() -> None:
    combination = "OMP_WAIT_POLICY=PASSIVE torch=1 encode=1 decode=1 depth=2"
    out = run(
        "threads.py", "--frames", "4", "--rounds", "1", "--height", "64", "--engine", "eager", "--only", combination
    )
    assert out.splitlines()[-1].startswith(combination)


def test_threads_refuses_a_combination_that_it_does_not_know() -> None:
    command = [sys.executable, str(BENCHMARKS / "threads.py"), "--only", "encoder=1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "'encoder=1' is neither" in done.stderr


def test_cuda_measures_or_says_that_it_cannot() -> None:
    # The CPU takes the same path through the script, where there is no GPU.
    tiny = ("--height", "64", "--count", "1", "--frames", "0", "--engines", "eager", "--precisions", "bf16")
    assert "network eager   bf16" in run("cuda.py", "--device", "cpu", *tiny)
    out = run("cuda.py", *tiny)
    assert out == "no CUDA device: not measured\n" or "network eager   bf16" in out


def test_fidelity_finds_a_clip_whole(clip: Path) -> None:
    assert "ok   clip.mp4" in run("fidelity.py", clip.parent, "--identity")


def test_every_script_is_listed() -> None:
    listed = (BENCHMARKS / "README.md").read_text()
    scripts = [path.name for path in BENCHMARKS.glob("*.py") if path.name != "__init__.py"]
    assert [name for name in scripts if name not in listed] == []
