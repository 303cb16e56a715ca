import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

import pytest
import torch

import cli
from pipeline.system.process import launched_at
from pipeline.train.config import read_paintings
from tests.support.commands import run
from tests.support.live import wait_for
from tests.support.media import Audio, Clip, contents, make_clip
from tests.support.tiny import loss_state

ROOT = Path(cli.__file__).parent
PLAIN = ["--style", "great-wave", "--engine", "eager", "--device", "cpu"]


def launch(*arguments: str | Path, **options: object) -> "subprocess.Popen[bytes]":
    command = [sys.executable, str(ROOT / "cli.py"), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)  # type: ignore[call-overload,no-any-return]


def test_help_loads_neither_torch_nor_the_codecs() -> None:
    code = (
        "import sys, cli; from typer.testing import CliRunner\n"
        "assert CliRunner().invoke(cli.app, ['video', '--help']).exit_code == 0\n"
        "print([name for name in ('torch', 'av', 'cv2', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_video_without_opencv_continues_with_a_note(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", Clip(pts=(0, 512, 1024)))
    code = (
        "import sys; sys.modules['cv2'] = None; import cli; sys.argv[1:] = "
        f"{['video', str(source), str(tmp_path / 'out.mp4'), *PLAIN]}; cli.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(contents(tmp_path / "out.mp4").times) == 3
    assert re.search("note: OpenCV .*--stability none", done.stderr)


def test_version() -> None:
    assert re.fullmatch(r"flowbrush \d+\.\d+\.\d+\n", run("--version")[1])


def test_version_without_an_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.Distribution.discover", lambda **wanted: iter(()))
    assert run("--version")[:2] == (0, "flowbrush (not installed)\n")


def test_video_prints_one_json_object(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", Clip(audio=[Audio()]))
    code, out, _ = run("video", source, tmp_path / "out.mp4", *PLAIN, "--json", "-q")
    result = json.loads(out)
    assert code == 0
    assert result["frames"] == 30
    assert result["output"] == str(tmp_path / "out.mp4")
    wanted = {"frames", "seconds", "startup_seconds", "fps", "busy", "bottleneck", "peak_memory_bytes", "output"}
    assert wanted <= set(result)
    assert result["startup_seconds"] > 0


def test_a_pipe_in_and_a_pipe_out(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mkv", Clip(pts=range(0, 5120, 512), audio=[Audio()]))
    process = launch("video", "-", "-", *PLAIN, "--json", stdin=subprocess.PIPE)
    out, err = process.communicate(source.read_bytes(), timeout=120)
    assert process.returncode == 0, err
    (tmp_path / "out.mkv").write_bytes(out)
    before, after = contents(source), contents(tmp_path / "out.mkv")
    assert after.relative_times == before.relative_times
    assert after.audio == before.audio
    assert json.loads(err.splitlines()[-1])["frames"] == 10


@pytest.mark.parametrize(
    "number", [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
)
def test_an_interruption_reports_how_to_resume(tmp_path: Path, number: int) -> None:
    source = make_clip(tmp_path / "in.mp4", Clip(pts=range(0, 512 * 900, 512), width=160, height=120))
    target = tmp_path / "out.mp4"
    process = launch("video", source, target, *PLAIN)
    _wait_for(tmp_path / "out.mp4.flowbrush", "manifest.jsonl")
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    last = err.decode().strip().splitlines()[-1]
    assert re.match(r"interrupted; [\d.]+ s of 30 s ", last)
    assert f"{target}.flowbrush" in last
    assert "same command" in last
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.mp4.flowbrush"]


def test_an_interruption_before_the_first_segment_leaves_nothing(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", Clip(pts=range(0, 512 * 900, 512), width=160, height=120))
    process = launch("video", source, tmp_path / "out.mp4", *PLAIN)
    _wait_for(tmp_path / "out.mp4.flowbrush", "*.part")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert err.decode().strip().splitlines()[-1] == "interrupted; no partial output is kept"
    assert list(tmp_path.iterdir()) == [source]


def _wait_for(folder: Path, pattern: str) -> None:
    deadline = time.monotonic() + 120
    while not list(folder.glob(pattern)) and time.monotonic() < deadline:
        time.sleep(0.02)


def unread_bytes(pipe: "IO[bytes] | None") -> int:
    """Return how much of what was written into a pipe is not read yet."""
    assert pipe is not None
    fcntl = pytest.importorskip("fcntl")
    termios = pytest.importorskip("termios")
    return int(struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))[0])


@pytest.mark.skipif(os.name != "posix", reason="on Windows a read from a pipe cannot be ended")
@pytest.mark.parametrize("share", [0.5, 0.001])
def test_an_interruption_ends_the_wait_for_a_stalled_pipe(tmp_path: Path, share: float) -> None:
    """The pipe stalls in the middle of the clip, or while it is being opened."""
    source = make_clip(tmp_path / "in.mkv", Clip(pts=range(0, 512 * 300, 512), width=320, height=240))
    data = source.read_bytes()
    process = launch("video", "-", tmp_path / "out.mkv", *PLAIN, stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(data[: int(len(data) * share)])
    process.stdin.flush()
    deadline = time.monotonic() + 60 if share == 0.5 else time.monotonic()
    while not list(tmp_path.glob(".flowbrush-*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    wait_for(lambda: unread_bytes(process.stdin) == 0, seconds=60)
    time.sleep(2)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 130
    assert process.stderr is not None
    lines = process.stderr.read().decode()
    assert "interrupted" in lines.splitlines()[-1]
    assert "Traceback" not in lines
    assert list(tmp_path.iterdir()) == [source]
    for pipe in (process.stdin, process.stdout, process.stderr):
        assert pipe is not None
        pipe.close()


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no SIGHUP")
def test_a_hangup_stays_ignored_under_nohup() -> None:
    code = (
        "import signal; from pipeline.console.terminal import error_lines; signal.signal(1, signal.SIG_IGN)\n"
        "with error_lines(): print(signal.getsignal(1) == signal.SIG_IGN)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


def test_every_error_is_one_line_with_its_own_exit_code(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4")
    text, empty, sound = tmp_path / "text.mp4", tmp_path / "empty.mp4", tmp_path / "sound.mp4"
    text.write_text("ffconcat version 1.0\nfile in.mp4\n")
    empty.touch()
    make_audio(sound)
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"\x80\x04" * 100)
    out = tmp_path / "out.mp4"
    cases: list[tuple[int, list[str | Path]]] = [
        (2, ["video", source, out, *PLAIN, "--codec", "divx"]),
        (2, ["video", source, out, *PLAIN, "--quality", "99"]),
        (2, ["video", source, out, *PLAIN, "--preset", "warp"]),
        (2, ["video", source, out, *PLAIN, "--start", "soon"]),
        (2, ["video", source, out, *PLAIN, "--height", "3"]),
        (3, ["video", tmp_path / "missing.mp4", out, *PLAIN]),
        (3, ["video", tmp_path, out, *PLAIN]),
        (3, ["video", text, out, *PLAIN]),
        (3, ["video", empty, out, *PLAIN]),
        (3, ["video", sound, out, *PLAIN]),
        (4, ["video", source, tmp_path / "no" / "out.mp4", *PLAIN]),
        (4, ["video", source, source, *PLAIN]),
        (4, ["video", source, tmp_path / "out.xyz", *PLAIN]),
        (4, ["video", source, tmp_path / "out.webm", *PLAIN, "--codec", "h264"]),
        (5, ["video", source, out, "--style", "grate-wave"]),
        (5, ["video", source, out, "--style", broken]),
        (2, ["video", source, out, "--style", "great-wave", "--device", "gpu"]),
        (2, ["video", source, out, *PLAIN, "--start", "99999999999999999999"]),
        (2, ["video", source, out, *PLAIN, "--duration", "9" * 400]),
        (6, ["video", source, out, "--style", "great-wave", "--device", "cuda:99"]),
        (2, ["train", source, "--content", tmp_path, "--output", tmp_path / "a.safetensors", "--crop-px", "50"]),
        (2, ["train", source, "--content", tmp_path, "--output", tmp_path / "a.safetensors", "--style-weight", "-1"]),
        (2, ["train", source, "--content", tmp_path, "--output", tmp_path / "a.safetensors", "--style-weight", "nan"]),
        (2, ["train", source, "--content", tmp_path, "--output", tmp_path / "a.safetensors", "--seed", f"{10**20}"]),
        (2, ["train", source, "--content", tmp_path, "--output", tmp_path / "a.pth"]),
        (3, ["train", text, "--content", source, "--output", tmp_path / "a.safetensors"]),
        (4, ["train", source, "--content", tmp_path, "--output", tmp_path / "no" / "a.safetensors"]),
    ]
    before = sorted(tmp_path.iterdir())
    for expected, arguments in cases:
        code, printed, error = run(*arguments)
        assert (code, printed) == (expected, ""), (arguments, error)
        assert error.count("\n") == 1, error
        assert error.startswith("flowbrush: ")
        assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("is_trained", [False, True])
def test_an_interrupted_training_reports_its_checkpoint(tmp_path: Path, is_trained: bool) -> None:
    """SIGINT comes while content is read, or after the first validation."""
    source = make_clip(tmp_path / "in.mp4", Clip(width=96, height=72))
    loss, output = tmp_path / "loss.pth", tmp_path / "a.safetensors"
    torch.save(loss_state(), loss)
    small = ["--crop-px", "64", "--painting-px", "64", "--batch", "1", "--no-compile", "--device", "cpu"]
    files = [source, "--content", source, "--loss-weights", loss, "--output", output]
    process = launch("train", *files, *small, "--preview-every", "1", "--steps", "9999")
    assert process.stderr is not None
    try:
        lines = iter(process.stderr.readline, b"")
        assert any((b"validation" if is_trained else b"note: ") in line for line in lines)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    last = err.decode().strip().splitlines()[-1]
    assert process.returncode == 130, err
    assert ("a.checkpoint" in last and "--resume" in last) == is_trained, last
    assert ("no checkpoint" in last) != is_trained
    assert (tmp_path / "a.checkpoint").exists() == is_trained


def make_audio(path: Path) -> None:
    """Write a file with an audio stream and no video stream."""
    import av
    import numpy as np

    with av.open(str(path), "w") as container:
        track = container.add_stream("aac", rate=48000)
        track.layout = "mono"
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4800), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 48000, 0
        container.mux(track.encode(frame))
        container.mux(track.encode(None))


def test_a_usage_error_exits_with_2() -> None:
    assert run("video")[0] == 2
    assert run("video", "a.mp4", "b.mp4", "--style", "great-wave", "--engine", "steam")[0] == 2
    assert run("stylise")[0] == 2


def test_style_images_get_names() -> None:
    assert read_paintings(["A b_C.jpg", "sea=x.png"]) == {"a-b-c": Path("A b_C.jpg"), "sea": Path("x.png")}
    with pytest.raises(ValueError, match="two style images"):
        read_paintings(["x/a.jpg", "y/a.jpg"])


def test_a_damaged_gallery_is_one_line(tmp_path: Path) -> None:
    for name in ("models", "pipeline", "sample_videos"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("*.mp4", "__pycache__"))
    shutil.copy(ROOT / "cli.py", tmp_path)
    next((tmp_path / "models" / "weights").glob("*.safetensors")).write_bytes(b"damaged")
    command = [sys.executable, str(tmp_path / "cli.py"), "styles"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(tmp_path)})
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (5, "", 1)
    assert "reinstall" in done.stderr


@pytest.mark.skipif(os.name != "posix", reason="closes streams as POSIX shells do")
@pytest.mark.parametrize(("closed", "expected"), [("<&-", 3), (">&-", 4)])
def test_a_closed_stream_is_one_line(tmp_path: Path, closed: str, expected: int) -> None:
    source = make_clip(tmp_path / "in.mkv", Clip(pts=(0, 512)))
    files = ["-", str(tmp_path / "out.mkv")] if expected == 3 else [str(source), "-"]
    script = f'exec "$@" {closed}'
    command = ["sh", "-c", script, "sh", sys.executable, str(ROOT / "cli.py"), "video", *files, *PLAIN]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == expected, done.stderr
    assert done.stderr.count("\n") == 1
    assert "is closed" in done.stderr


def test_styles_lists_the_bundled_styles() -> None:
    listed = json.loads(run("styles", "--json")[1])["styles"]
    assert {"great-wave", "starry-night"} <= {style["name"] for style in listed}
    assert all(style["painting"] and style["painter"] and style["licence"] for style in listed)
    lines = run("styles")[1].splitlines()
    assert len(lines) == len(listed) + 2  # the head, and a command to try
    line = next(line for line in lines if line.startswith("great-wave "))
    assert re.fullmatch(r"great-wave +The Great Wave off Kanagawa +Katsushika Hokusai +1831 +Apache-2.0", line)


def test_doctor_checks_everything() -> None:
    findings = {finding["name"]: finding for finding in json.loads(run("doctor", "--json")[1])["findings"]}
    engines = {"engine compile", "engine openvino"}
    assert engines | {"torch", "cpu", "cuda", "encoders", "nvdec", "nvenc", "cache"} <= set(findings)
    assert all(finding["works"] or finding["remedy"] for finding in findings.values())
    assert "libx264" in findings["encoders"]["detail"]
    assert run("doctor")[0] == 0


def test_startup_counts_from_the_launch_of_the_process() -> None:
    assert 0 <= time.time() - launched_at() < 3600
    code = "import time; time.sleep(0.4); import cli; print(time.time() - cli.launched_at())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    if os.path.exists("/proc/self/stat"):
        assert float(done.stdout) >= 0.4
