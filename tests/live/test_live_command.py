"""`flowbrush live` as a process: figures, signals, and refusals in one line."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

import cli
from tests.support.commands import run
from tests.support.media import make_clip

ROOT = Path(cli.__file__).parent

COMMAND = ["--style", "great-wave", "--null", "--engine", "eager", "--device", "cpu", "--realtime", "--loop"]


def test_the_command_prints_its_figures(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4")
    command = [sys.executable, str(ROOT / "cli.py"), "live", str(clip), *COMMAND, "--seconds", "1", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert {"fps", "latency_ms", "captured", "delivered", "dropped"} <= figures.keys()
    assert {"p50", "p95", "p99"} == figures["latency_ms"].keys()
    assert figures["captured"] == figures["delivered"] + figures["dropped"]
    assert not done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_command_with_its_figures(tmp_path: Path, number: signal.Signals) -> None:
    clip = make_clip(tmp_path / "clip.mp4")
    command = [sys.executable, str(ROOT / "cli.py"), "live", str(clip), *COMMAND, "--json"]

    def accept_interruptions() -> None:  # a background job of a shell ignores them
        signal.signal(signal.SIGINT, signal.default_int_handler)

    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=accept_interruptions
    )
    end = time.monotonic() + 60
    while not any(file.path == str(clip) for file in psutil.Process(process.pid).open_files()):
        assert time.monotonic() < end
        time.sleep(0.05)
    time.sleep(2)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert json.loads(out)["captured"] >= 0
    assert "Traceback" not in err


def test_the_command_refuses_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip, link = make_clip(tmp_path / "clip.mp4"), tmp_path / "link.mp4"
    link.symlink_to(clip)
    data, address = clip.read_bytes(), tmp_path / "address"
    address.write_text(f"{link}\n", encoding="utf-8")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    plain = ["--style", "great-wave"]
    for arguments, code, word in (
        ([str(clip), *plain], 2, "nowhere"),
        ([str(clip), *plain, "--null"], 3, "--realtime"),
        ([str(clip), *plain, "--null", "--loop"], 2, "--loop"),
        ([str(clip), *plain, "--null", "--camera-size", "big"], 2, "big"),
        ([str(clip), "--style", "great-wafe", "--null", "--realtime"], 5, "great-wafe"),
        (
            [f"@{address}", *plain, "--realtime", "--seconds", "1", "--record", str(clip), "--overwrite"],
            2,
            "--record",
        ),
    ):
        ended, _, error = run("live", *arguments)
        assert ended == code, error
        assert word in error
        assert error.count("\n") == 1
        assert clip.read_bytes() == data
