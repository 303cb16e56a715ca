"""PyAV's libraries read no settings and no plugins from where the wheel was built, as anybody can put some there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHOWN = """
import ctypes
import sys

from pipeline.live.capture.microphone import open_microphone

open_microphone("none of this name", lambda message: None)  # loads PyAV, and ALSA's settings
library = next(line.split()[-1] for line in open("/proc/self/maps") if sys.argv[1] in line)
function = getattr(ctypes.CDLL(library), sys.argv[2])
function.restype = ctypes.c_char_p
print((function() or b"").decode())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks for the libraries of this process as Linux shows them")
@pytest.mark.parametrize(
    ("library", "function", "expected"),
    [
        ("libgnutls", "gnutls_get_system_config_file", ("", "/etc/gnutls/config")),  # "" where there is none
        ("libasound", "snd_config_topdir", ("/usr/share/alsa",)),
    ],
)
def test_settings_are_those_of_the_system(library: str, function: str, expected: tuple[str, ...]) -> None:
    names = ("GNUTLS_", "ALSA_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(names)}
    command = [sys.executable, "-c", SHOWN, library, function]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() in expected
