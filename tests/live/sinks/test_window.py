"""The window on a real X server without a screen: keys are sent to it, and what it shows is read back."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from pipeline.live.controls import HOLD_DELAY_SECONDS, Controls
from pipeline.live.frames import LiveFrame
from pipeline.live.notices import Notices
from pipeline.live.session import run_live
from pipeline.live.sinks.display import has_display
from pipeline.live.sinks.record import RecordSink
from pipeline.live.sinks.sink import SinkError
from pipeline.live.sinks.window import WindowSink, key_name
from tests.support.live import FakeCamera, plain_config
from tests.support.media import contents

ROOT = Path(__file__).resolve().parents[3]
PROGRAMS = ("Xvfb", "xdotool", "openbox")
MISSING = [name for name in PROGRAMS if shutil.which(name) is None]
needs_x = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)} (.ci/run installs them)")

RED, GREEN, GRAY, WHITE = (200, 30, 20), (20, 190, 40), (120, 120, 120), (255, 255, 255)

# Windows without borders, at a fixed place; Alt+F4 asks a window to close, as its button would.
OPENBOX = """<?xml version="1.0"?>
<openbox_config xmlns="http://openbox.org/3.4/rc">
  <keyboard><keybind key="A-F4"><action name="Close"/></keybind></keyboard>
  <applications><application class="*">
    <decor>no</decor><focus>yes</focus><position force="yes"><x>100</x><y>50</y></position>
  </application></applications>
</openbox_config>
"""


@pytest.fixture(scope="module")
def display(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An X server with a window manager, which windows need for full screen and for their close button."""
    reading, writing = os.pipe()
    command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", "800x600x24", "-nolisten", "tcp"]
    server = subprocess.Popen(command, pass_fds=[writing], stderr=subprocess.DEVNULL)
    os.close(writing)
    with os.fdopen(reading) as file:
        name = f":{file.readline().strip()}"
    settings = tmp_path_factory.mktemp("openbox") / "rc.xml"
    settings.write_text(OPENBOX, encoding="utf-8")
    environment = {**os.environ, "DISPLAY": name}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    manager = subprocess.Popen(["openbox", "--config-file", str(settings)], env=environment, **quiet)
    yield name
    for process in (manager, server):
        process.terminate()
        process.wait(10)


class Shown:
    """A window on ``display``, in a process of its own."""

    def __init__(self, display: str, folder: Path, *arguments: str) -> None:
        self.folder = folder
        self._last_keys: tuple[str, ...] = ()
        self._display = display
        self._environment = {**os.environ, "DISPLAY": display, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, str(ROOT / "tests" / "support" / "window_session.py"), str(folder), "60", *arguments]
        self.process = subprocess.Popen(command, env=self._environment, stdout=subprocess.PIPE, text=True)
        self.window = self._xdotool("search", "--sync", "--onlyvisible", "--name", "^flowbrush$").split()[0]
        self._xdotool("windowfocus", "--sync", self.window)

    def key(self, *names: str) -> None:
        """Press and release keys; the same key soon after is taken for one that is held down."""
        if names == self._last_keys:
            time.sleep(HOLD_DELAY_SECONDS)
        self._last_keys = names
        self._xdotool("key", "--delay", "30", *names)

    def screen(self) -> np.ndarray:
        """``(600, 800, 3)`` RGB: all that is on the screen."""
        options = {"video_size": "800x600", "draw_mouse": "0"}
        with av.open(self._display, format="x11grab", options=options) as container:
            return next(container.decode(video=0)).to_ndarray(format="rgb24")

    def picture(self) -> np.ndarray:
        """What the window shows, ``(H - 8, W - 8, 3)`` RGB: xdotool counts the border of a pixel as up to 3."""
        text = self._xdotool("getwindowgeometry", "--shell", self.window)
        place = dict(line.split("=") for line in text.split() if "=" in line)
        left, top, width, height = (int(place[key]) for key in ("X", "Y", "WIDTH", "HEIGHT"))
        return self.screen()[top + 4 : top + height - 4, left + 4 : left + width - 4]

    def comes(self, is_so: Callable[[np.ndarray], bool]) -> bool:
        """Whether what the window shows becomes so, within a few seconds."""
        return any(is_so(self.picture()) or time.sleep(0.1) for _ in range(50))

    def end(self) -> dict:
        """What became of it; the window is gone on its own."""
        output, _ = self.process.communicate(timeout=20)
        assert self.process.returncode == 0
        return json.loads(output)

    def _xdotool(self, *arguments: str) -> str:
        run = subprocess.run(["xdotool", *arguments], env=self._environment, capture_output=True, text=True, timeout=30)
        assert run.returncode == 0, run.stderr
        return run.stdout


@pytest.fixture
def shown(display: str, tmp_path: Path) -> Iterator[Callable[..., Shown]]:
    windows: list[Shown] = []

    def show(*arguments: str) -> Shown:
        windows.append(Shown(display, tmp_path, *arguments))
        return windows[-1]

    yield show
    for window in windows:
        window.process.kill()
        window.process.communicate()
    wait_for_an_empty_screen(display)


def wait_for_an_empty_screen(display: str) -> None:
    """No window outlives its session, even one that was killed."""
    search = ["xdotool", "search", "--name", "^flowbrush$"]
    environment = {**os.environ, "DISPLAY": display}
    for _ in range(100):
        if subprocess.run(search, env=environment, capture_output=True, check=False).returncode:
            return
        time.sleep(0.05)
    raise AssertionError("a window outlives its session")


def middle_is(color: tuple[int, int, int]) -> Callable[[np.ndarray], bool]:
    return lambda picture: bool(np.abs(picture[len(picture) // 2, picture.shape[1] // 2] - np.array(color)).max() <= 2)


@needs_x
def test_keys_change_what_is_seen(shown: Callable[..., Shown]) -> None:
    window = shown("clean")
    assert window.comes(middle_is(RED))
    window.key("2")
    assert window.comes(middle_is(GREEN))
    window.key("Left")
    assert window.comes(middle_is(RED))
    window.key("Down", "Down", "Down", "Down", "Down")
    assert window.comes(middle_is((160, 75, 70)))
    window.key("Up", "Up", "Up", "Up", "Up")
    assert window.comes(middle_is(RED))
    window.key("c")
    assert window.comes(middle_is((83, 83, 83)))
    window.key("c")
    assert window.comes(middle_is(RED))
    window.key("b")
    assert window.comes(middle_is(GRAY))
    window.key("s", "q")
    assert window.end()["quit"]
    with Image.open(next(window.folder.glob("*.png"))) as still:
        assert still.getpixel((160, 90)) == RED, "a still is painted, whatever the window shows"


@needs_x
def test_mirror_and_still(shown: Callable[..., Shown]) -> None:
    window = shown()
    assert window.comes(lambda picture: bool((picture[20, 5] == WHITE).all() and (picture[20, -5] != WHITE).any()))
    window.key("m")
    assert window.comes(lambda picture: bool((picture[20, -5] == WHITE).all() and (picture[20, 5] != WHITE).any()))
    window.key("s")
    window.key("q")
    notes = window.end()["notes"]
    (still,) = window.folder.glob("*.png")
    assert notes == [f"still: {still}"]
    with Image.open(still) as image:
        pixels = np.asarray(image)
    assert pixels.shape == (180, 320, 3)
    assert (pixels[:, -20:] == WHITE).all()
    assert (pixels[:, :-20] == RED).all(), "the readings do not belong into a still"


@needs_x
def test_readings_are_discreet_and_left_out_when_not_wanted(shown: Callable[..., Shown]) -> None:
    window = shown()
    assert window.comes(lambda picture: bool((picture[-12:, 30:120] > 200).all(-1).any()))
    assert (window.picture()[:130, 25:] == RED).all()
    window.key("q")
    window.end()
    clean = shown("clean")
    assert clean.comes(middle_is(RED))
    assert (clean.picture()[:, 25:] == RED).all()


@needs_x
def test_help_covers_the_picture_and_goes_away(shown: Callable[..., Shown]) -> None:
    window = shown("clean")
    assert window.comes(middle_is(RED))
    window.key("h")
    assert window.comes(lambda picture: not (picture[:, 25:] == RED).all(-1).any())
    assert ((window.picture()[:, 25:] > 200).all(-1)).sum() > 200, "no text is seen"
    window.key("h")
    assert window.comes(lambda picture: bool((picture[:, 25:] == RED).all()))


@needs_x
def test_full_screen_and_back(shown: Callable[..., Shown]) -> None:
    window = shown("clean")
    assert window.comes(middle_is(RED))
    window.key("f")
    assert window.comes(lambda picture: picture.shape[:2] == (592, 792))
    assert window.comes(middle_is(RED))
    assert window.comes(lambda picture: not picture[:60].any() and not picture[-60:].any()), "the bars are not black"
    assert (window.picture()[80:-80, 80:] == RED).all(), "the picture is not stretched"
    window.key("f")
    assert window.comes(lambda picture: picture.shape[1] == 312)


@needs_x
def test_closing_the_window_ends_the_session(shown: Callable[..., Shown]) -> None:
    window = shown()
    assert window.comes(middle_is(RED))
    window.key("alt+F4")
    assert window.end()["quit"]


@needs_x
def test_a_display_is_found(display: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", display)
    assert has_display()


@pytest.mark.skipif(sys.platform != "linux", reason="only there windows depend on DISPLAY")
@pytest.mark.parametrize("name", ["", ":4711", "/etc/passwd", "nonsense"])
def test_no_window_without_a_display(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", name)
    assert not has_display()
    window = WindowSink(Controls(["a"]), print)
    with pytest.raises(SinkError, match=r"no display.*--record"):
        window.open(64, 48, Fraction(30))
    window.close()


@pytest.mark.skipif(sys.platform != "linux", reason="only there windows depend on DISPLAY")
def test_a_display_that_refuses_is_an_error_and_not_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", "127.0.0.1:4711")
    assert has_display()
    window = WindowSink(Controls(["a"]), print)
    window.open(64, 48, Fraction(30))
    pixels = np.zeros((48, 64, 3), np.uint8)
    with pytest.raises(SinkError, match="it ended with code"):
        window.write(LiveFrame(pixels, pixels, time.monotonic(), 0))
    window.close()


@pytest.mark.parametrize("program", ["sys.stdin.buffer.read()", "time.sleep(60)"])
def test_a_window_that_answers_no_more_keeps_no_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    """Neither where it shows nothing, nor where it reads nothing, so that a picture is stuck on its way."""
    script = tmp_path / "hangs.py"
    script.write_text(f"import sys, time\n{program}\n")
    monkeypatch.setattr("pipeline.live.sinks.window.has_display", lambda: True)
    monkeypatch.setattr("pipeline.live.sinks.window_process.__file__", str(script))
    monkeypatch.setattr("pipeline.live.sinks.window.PATIENCE_SECONDS", 0.5)
    monkeypatch.setattr(WindowSink, "finish_seconds", 0.3)
    controls, notices = Controls(["great-wave"], recording=True), Notices(print)
    record = RecordSink(controls, notices, tmp_path / "live.mkv")
    window = WindowSink(controls, notices, stills=tmp_path)
    config, camera = plain_config(seconds=0.4), FakeCamera(30, size=(240, 320))
    controls.press("s")
    summary = run_live(config, [window, record], controls, notices, device=camera)
    assert not any(line.startswith("window") for line in notices.lines)
    assert [sink.failure for sink in summary.sinks] == [None, None]
    assert len(contents(tmp_path / "live.mkv").times) > 1
    assert len(list(tmp_path.glob("*.png"))) == 1


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (65361, "left"),
        (0x10FF53, "right"),  # GTK with num lock on
        (0x260000, "up"),  # Windows
        (63233, "down"),  # macOS
        (27, "escape"),
        (ord("Q"), "q"),
        (0x100000 | ord("3"), "3"),
        (65505, ""),  # shift alone
        (-1, ""),
    ],
)
def test_keys_are_known_on_every_platform(code: int, name: str) -> None:
    assert key_name(code) == name
