import json
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from models.registry import bundled, read_catalog
from pipeline.evaluate.evaluate import READ_TOGETHER
from tests.support.networks.optimizing import write_optimizing_files
from tests.support.studio.page import needs_chromium
from tests.support.tiny import loss_state

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"

pytestmark = pytest.mark.slow


def run(script: str, *arguments: str | Path) -> str:
    command = [sys.executable, str(BENCHMARKS / script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


RunHere = Callable[..., str]


@pytest.fixture
def run_here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], one_thread: None) -> RunHere:
    """Runs a script in this process, where torch is imported already; for those that do not measure the process."""

    def run(script: str, *arguments: str | Path, code: int = 0) -> str:
        with monkeypatch.context() as patched:
            patched.setattr(sys, "argv", [script, *map(str, arguments)])
            patched.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
            ended = None
            try:
                runpy.run_path(str(BENCHMARKS / script), run_name="__main__")
            except SystemExit as end:
                ended = end.code
        printed = capsys.readouterr()
        assert (ended or 0) == code, printed.err
        return printed.out + (printed.err if code else "")

    return run


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
    out = run("throughput.py", *tiny, "--engines", "eager", "--isa", "avx2", "--cold", "--json")
    result = json.loads(out)
    a, b, ours = result["rows"]
    assert result["isa"] == "avx2"
    assert "1.68 M" in a["name"]
    assert "0.42 M" in b["name"]
    assert a["times_a"] == b["times_b"] == 1
    assert ours["times_a"] == pytest.approx(a["ms_per_frame"] / ours["ms_per_frame"])
    assert ours["startup_seconds"] > 0
    assert result["judged"]["name"] == ours["name"] == "flowbrush eager fp32"


def test_scale_measures_sizes_and_lengths(tmp_path: Path) -> None:
    small = ("--heights", "64", "128", "--seconds", "1", "4", "--plot", tmp_path / "scale.png")
    out = run("scale.py", "--only", "size", "length", "--json", *small)
    figures = json.loads(out)["figures"]
    assert [figure["name"] for figure in figures] == ["112x64", "228x128", "1 s", "4 s"]
    assert all(figure["ms"] > 0 and figure["megabytes"] > 100 for figure in figures)
    with Image.open(tmp_path / "scale.png") as plot:
        assert len(np.unique(np.asarray(plot.convert("RGB")).reshape(-1, 3), axis=0)) > 20


def test_latency_prints_a_line_a_figure_and_verdicts() -> None:
    out = run("latency.py", "--seconds", "3", "--height", "64", "--engine", "eager", "--cold")
    lines = out.splitlines()
    assert "torch threads" in lines[0]
    for name, count in (("default", 4), ("3 times slower", 3)):
        of_run = [line for line in lines if line.startswith(f"{name}: ")]
        assert len(of_run) == count
        assert re.search(r"p50 [\d.]+ ms, p95 [\d.]+ ms, p99 [\d.]+ ms; [\d.]+ fps delivered; \d+ captured", of_run[0])
    assert sum(line.startswith(("MET: ", "NOT MET: ")) for line in lines) == 2
    assert "default: no frames after second 10" in lines, "what live promises is not judged"


@pytest.mark.realtime
@pytest.mark.skipif(bool(needs_chromium()), reason=str(needs_chromium()))
@pytest.mark.timeout(400)
def test_studio_prints_a_line_a_figure_of_the_page() -> None:
    lines = run("studio.py", "--seconds", "3", "--engine", "eager", "--cold").splitlines()
    assert "torch threads" in lines[0]
    for name in ("webrtc", "socket"):
        of_transport = [line.removeprefix(f"{name}: ") for line in lines if line.startswith(f"{name}: ")]
        assert len(of_transport) == (5 if name == "webrtc" else 3)
        trip = re.fullmatch(r"round trip p50 (\d+) ms, p95 (\d+) ms; ([\d.]+) fps", of_transport[0])
        assert trip is not None, of_transport[0]
        assert 1 <= int(trip[1]) <= int(trip[2])
        assert 0 < float(trip[3]) <= 31
        network = re.fullmatch(r"network at (\d+)x(\d+) with eager, stylized after (\d+) ms", of_transport[1])
        assert network is not None, of_transport[1]
        assert 256 <= int(network[1]) <= 640
        assert int(network[3]) >= 1
        assert re.fullmatch(r"the server takes \d{3,4} MB afterwards", of_transport[-1])


def test_memory_prints_a_line_a_clip_and_verdicts() -> None:
    tiny = ("--seconds", "0.1", "0.2", "--height", "64", "--large-seconds", "0")
    lines = run("memory.py", *tiny, "--engine", "eager", "--no-first-run").splitlines()
    assert len(lines) == 4
    assert all("MB" in line for line in lines[:2])
    assert all("MET: " in line for line in lines[2:])


def test_threads_prints_a_line_a_combination() -> None:
    combination = "OMP_WAIT_POLICY=PASSIVE torch=1 encode=1 decode=1 depth=2"
    out = run(
        "experiments/threads.py",
        "--frames",
        "4",
        "--rounds",
        "1",
        "--height",
        "64",
        "--engine",
        "eager",
        "--only",
        combination,
    )
    assert out.splitlines()[-1].startswith(combination)


def test_threads_refuses_a_combination_that_it_does_not_know() -> None:
    command = [sys.executable, str(BENCHMARKS / "experiments" / "threads.py"), "--only", "encoder=1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "'encoder=1' is neither" in done.stderr


def test_cuda_measures_each_row() -> None:
    """The CPU takes the same path through the script, where there is no GPU."""
    sizes = ("--heights", "64", "--parity-height", "64", "--command-heights", "64", "--stage-height", "64")
    counts = ("--count", "1", "--frames", "2", "--stage-frames", "16", "--sessions", "2", "--live-seconds", "0.1")
    training = ("--training-steps", "1", "--crop", "64")
    engines = ("--engines", "eager", "graph", "compile", "--precisions", "bf16", "--backend", "eager")
    lines = run("cuda.py", "--device", "cpu", *sizes, *counts, *training, *engines).splitlines()
    number = r"[\d.]+"
    for row, figure in (
        ("machine", r".*torch threads"),
        ("parity 112x64 bf16 eager", rf"MET: {number} levels on average, \d+ at most .*; the same bits again"),
        ("parity 112x64 bf16 graph", r"MET: .*; the same bits again"),
        ("network 112x64 bf16 eager", rf"{number} ms, \d+ fps, with copies {number} ms, first frame {number} s"),
        ("network 112x64 bf16 graph", rf"{number} ms, "),
        ("command 112x64 first run", rf"{number} fps, first frame {number} s .* MB of the process; .* in software"),
        ("command 112x64 second run", rf"{number} fps, "),
        ("command 112x64 NVDEC, NVENC", r"software, as in the rows above; no NVDEC: |[\d.]+ fps"),
        ("parity of a clip 112x64 smooth", r"(fp32|bf16): MET: "),
        ("noise filter 112x64", rf"{number} ms on the device, .*{number} ms by OpenCV on the CPU"),
        ("samples to RGB 112x64", rf"{number} ms on the device, {number} ms from main memory, {number} ms by swscale"),
        ("RGB to samples 112x64", rf"{number} ms on the device, {number} ms to main memory, {number} ms by swscale"),
        *((f"{count} frames in flight 112x64 eager", rf"{number} fps, ") for count in (1, 2, 3)),
        ("2 live sessions 112x64 eager", rf"in turn {number} fps each, .*; in 3 threads {number} fps each, "),
        ("network 112x64 bf16 compile", rf"{number} ms, "),
        ("parity 112x64 bf16 compile", r"MET: "),
        ("training 64x64 eager", rf"{number} steps per second"),
    ):
        line = lines.pop(0)
        assert line.startswith(row)
        assert re.match(figure, line.removeprefix(row).strip()), line
    assert not lines


@pytest.mark.skipif(torch.cuda.is_available(), reason="measures for minutes")
def test_cuda_says_that_there_is_no_gpu() -> None:
    assert run("cuda.py") == "no CUDA device: not measured\n"


def test_fidelity_finds_a_clip_whole(clip: Path, run_here: RunHere) -> None:
    assert "ok   clip.mp4" in run_here("fidelity.py", clip.parent, "--identity")


def test_gallery_measures_a_style_and_shows_it(clip: Path, tmp_path: Path, run_here: RunHere) -> None:
    cards, sheet, painting = tmp_path / "cards.json", tmp_path / "sheet.png", tmp_path / "wave.png"
    cards.write_text(json.dumps({"great-wave": {"painter": "Hokusai", "figures": {"other": 1}}, "b": {}}))
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (80, 90, 3), np.uint8)).save(painting)
    torch.save(loss_state(), tmp_path / "vgg.pth")
    options = ("--styles", "great-wave", "--set", "engine=eager", "--set", "strength=0.9", "--frames", "0")
    files = ("--paintings", tmp_path, "--painting", "great-wave=wave.png", "--loss-weights", tmp_path / "vgg.pth")
    weights = tmp_path / "wave.safetensors"
    shutil.copy(bundled()["great-wave"].path, weights)
    into = ("--weights", weights, "--store", "--cards", cards, "--sheet", sheet)
    lines = run_here("gallery.py", "--clips", clip, *options, *files, *into).splitlines()
    table, rows = lines[-4:-1], lines[:-4]
    printed = {line.split()[1]: float(line.split()[2]) for line in rows}
    sizes = [f"{group}_{size}" for group in ("strokes", "share") for size in ("fine", "middle", "large")]
    assert set(printed) == {f"clip_{name}" for name in ("e_stab", "style", "content", "input_e_stab", *sizes)}
    assert len({line.count("|") for line in table}) == 1
    assert table[-1].split()[1:4] == ["great-wave", "|", f"{printed['clip_e_stab']:.4f}"]
    assert printed["clip_e_stab"] > printed["clip_input_e_stab"] > 0
    assert lines[-1].endswith(READ_TOGETHER)
    written = json.loads(cards.read_text())
    assert written["great-wave"] == {"painter": "Hokusai", "figures": {"other": 1} | printed}
    assert written["b"] == {}
    before, after = (read_catalog(path).styles["great-wave"] for path in (bundled()["great-wave"].path, weights))
    assert after.figures == before.figures | printed
    with Image.open(sheet) as picture:
        assert picture.size == (220 + 2 * (320 + 6), 2 * (183 + 6) + 6)


def test_optimize_measures_each_way_and_shows_it(tmp_path: Path, run_here: RunHere) -> None:
    write_optimizing_files(tmp_path)
    tiny = ("--px", "64", "--steps", "3", "--loss-weights", tmp_path / "loss.pth", "--sheet", tmp_path / "sheet")
    out = run_here("optimize.py", f"great-wave={tmp_path / 'stripes.png'}", *tiny, "--json")
    (found,) = json.loads(out.splitlines()[-1])
    assert len(found["curves"]) == 5
    for curve in found["curves"].values():
        assert curve["losses"] == sorted(curve["losses"], reverse=True)
        assert curve["work"][-1] <= 3 + 3 / 4 + 0.1
    assert len(found["ratios"]) == 2
    assert all(ratio > 1 for ratio in found["ratios"])
    assert sum(line.startswith(("MET: ", "NOT MET: ")) for line in out.splitlines()) == 1
    with Image.open(tmp_path / "sheet" / "great-wave.png") as image:
        assert image.height == 64
    assert (tmp_path / "sheet" / "curves.png").exists()


def test_optimize_judges_two_networks_by_one_optimum(tmp_path: Path, run_here: RunHere) -> None:
    write_optimizing_files(tmp_path)
    tiny = ("--only", "gallery", "--px", "64", "--steps", "3", "--loss-weights", tmp_path / "loss.pth", "--json")
    pair = f"great-wave={tmp_path / 'stripes.png'}"
    against = ("--against", "great-wave", "--against", "mosaic")
    (found,) = json.loads(run_here("optimize.py", pair, *tiny, *against).splitlines()[-1])
    assert found["against"]["great-wave"] == found["ratios"]
    assert all(one != other for one, other in zip(found["against"]["mosaic"], found["ratios"], strict=True))


def test_gallery_refuses_what_it_does_not_know(run_here: RunHere) -> None:
    assert "there is no style 'nosuch'" in run_here("gallery.py", "--styles", "nosuch", code=1)
    assert "'nosuch' cannot be set" in run_here("gallery.py", "--set", "nosuch=1", code=2)


def test_every_script_is_listed() -> None:
    listed = (BENCHMARKS / "README.md").read_text()
    scripts = [path.name for path in BENCHMARKS.glob("*.py") if path.name != "__init__.py"]
    assert [name for name in scripts if name not in listed] == []


def test_the_simulation_of_a_cluster_is_the_same_each_time_and_loses_no_frame(
    tmp_path: Path, run_here: RunHere
) -> None:
    """Without trouble, only the end of the batch and the joins are lost."""
    trace = tmp_path / "trace.json"
    trace.write_text(json.dumps({"seconds_per_frame": [0.02, 0.03, 0.05, 0.02]}))
    first = run_here("cluster_simulation.py", "--trace", trace, "--plot", tmp_path / "plot.png")
    assert first == run_here("cluster_simulation.py", "--trace", trace)
    rows = [line for line in first.splitlines() if re.match(r" +\d+ +\d+ ", line)]
    shares = [[float(share) for share in re.findall(r"([\d.]+)%", row)] for row in rows]
    assert [len(row) for row in shares] == [4] * 5
    assert all(50 < share <= 100 for row in shares for share in row)
    assert shares[-1][3] < shares[-1][0]
    with Image.open(tmp_path / "plot.png") as plot:
        assert plot.width > 1000


def test_picture_start_compares_a_picture_with_a_bundled_style() -> None:
    out = run("picture_start.py", "--rounds", "1", "--frames", "2", "--engine", "eager")
    lines = out.splitlines()
    assert [line.partition(":")[0] for line in lines[:3]] == [
        "first frame after launch, s",
        "processor time of the command, s",
        "peak memory, MB",
    ]
    assert re.search(r"[\d.]+ bundled, [\d.]+ picture; the picture adds [+-][\d.]+$", lines[0])
    assert all(line.startswith(("MET: ", "NOT MET: ")) for line in lines[3:])
