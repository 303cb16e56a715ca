import logging
import signal
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from pipeline.system.process import set_up_logging

ROOT = Path(__file__).resolve().parents[2]
BUSY = """
import signal, sys, time
from pipeline.system.process import exit_on_signal

def interrupted(number, frame):
    raise KeyboardInterrupt

for name in ("SIGTERM", "SIGHUP"):
    signal.signal(getattr(signal, name), interrupted)
with exit_on_signal(lambda: print("at last", flush=True), 130):
    try:
        print("started", flush=True)
        time.sleep(120)
    except KeyboardInterrupt:
        print("noticed", flush=True)
        time.sleep(float(sys.argv[1]))
print("ended", flush=True)
"""
PICTURE = """
import logging, sys
from pathlib import Path

from pipeline.errors import InputError
from pipeline.media.stills import read_image
from pipeline.system.process import set_up_logging, silence_pillow

set_up_logging(logging.DEBUG)
silence_pillow()
try:
    read_image(Path(sys.argv[1]))
except InputError:
    print("refused")
"""
SAMPLES_PER_PIXEL, SHORT = 0x0115, 3  # a field of TIFF, and its type


@pytest.mark.skipif(sys.platform == "win32", reason="sends signals as POSIX has them")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(("busy_seconds", "code"), [(120, 130), (0, 0)])
def test_a_busy_process_is_ended_after_an_interruption(number: signal.Signals, busy_seconds: int, code: int) -> None:
    command = [sys.executable, "-c", BUSY, str(busy_seconds)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    process.send_signal(number)
    printed, _ = process.communicate(timeout=60)
    assert printed.split("\n")[:-1] == ["noticed", "at last" if code else "ended"]
    assert process.returncode == code


@pytest.mark.parametrize("level", [logging.DEBUG, logging.ERROR])
def test_torch_reports_a_missing_gpu_only_when_verbose(level: int) -> None:
    set_up_logging(level)
    assert logging.getLogger("torch.utils.cpp_extension").disabled is (level == logging.ERROR)


def test_pillow_logs_nothing_about_a_damaged_picture(tmp_path: Path) -> None:
    path = tmp_path / "damaged.tif"
    Image.new("RGB", (20, 10)).save(path)
    field = struct.pack("<HHIH", SAMPLES_PER_PIXEL, SHORT, 1, 3)
    path.write_bytes(path.read_bytes().replace(field, field[:-2] + struct.pack("<H", 19)))
    command = [sys.executable, "-c", PICTURE, str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("refused\n", "")
