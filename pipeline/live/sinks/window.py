"""A window on the desktop: the picture, a discreet line of readings, keys."""

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import IO, cast

import cv2
from PIL import Image

from pipeline.errors import reason_of
from pipeline.frames import Pixels
from pipeline.live.controls import Controls
from pipeline.live.frames import LiveFrame
from pipeline.live.sinks import window_process
from pipeline.live.sinks.display import has_display
from pipeline.live.sinks.files import new_name
from pipeline.live.sinks.overlay import Meter, draw_help, draw_readings, readings
from pipeline.live.sinks.sink import Sink, SinkError

PATIENCE_SECONDS = 10.0
# How soon the end of the session is noticed while the window holds on to a picture.
WAIT_SECONDS = 0.2

# What OpenCV's waitKeyEx gives for keys without a character: X11 keysyms (Qt, GTK), Windows' codes, macOS' characters.
NAMED_KEYS = {
    65361: "left",
    65362: "up",
    65363: "right",
    65364: "down",
    0x250000: "left",
    0x260000: "up",
    0x270000: "right",
    0x280000: "down",
    63234: "left",
    63232: "up",
    63235: "right",
    63233: "down",
    27: "escape",
}


def key_name(code: int) -> str:
    """The name by which `pipeline.live.controls` knows a key; empty for none of those.

    Args:
        code: what ``cv2.waitKeyEx`` gave; GTK adds the state of shift, caps lock and num lock above 16 bits.
    """
    named = NAMED_KEYS.get(code) or NAMED_KEYS.get(code & 0xFFFF)
    if named:
        return named
    character = code & 0xFFFF
    return chr(character).lower() if 32 < character < 127 else ""


class WindowSink(Sink):
    """Shows each picture, and hands the keys to ``controls``; closing the window ends the session.

    The window itself is a process, see `pipeline.live.sinks.window_process`.

    Args:
        controls: what the keys change.
        notify: told, in one line, where a still was saved.
        clean: show the picture alone, but for the help.
        stills: folder for stills; None for the working folder.
    """

    name = "window"
    finish_seconds = 2.0  # nothing is lost with a window

    def __init__(
        self,
        controls: Controls,
        notify: Callable[[str], None],
        *,
        clean: bool = False,
        stills: Path | None = None,
    ) -> None:
        self._controls = controls
        self._notify = notify
        self._clean = clean
        self._stills = stills or Path()
        self._meter = Meter()
        self._frame: LiveFrame | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._shown = threading.Semaphore(0)
        self._is_gone = False

    def open(self, width: int, height: int, fps: Fraction) -> None:
        """Start the window's process; the window appears with the first picture, in its size.

        Raises:
            SinkError: there is no display.
        """
        if not has_display():
            raise SinkError(
                self.name, "there is no display; use --virtual-camera, --record, --stream or --null, or set DISPLAY"
            )
        self._complaints = cast("IO[bytes]", tempfile.TemporaryFile())  # noqa: SIM115 - lives as long as the process
        # -P: the script's own folder is no place to import from.
        self._process = subprocess.Popen(
            [sys.executable, "-P", window_process.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
        )
        self._listener = threading.Thread(target=self._listen, args=(self._process,), name="window keys", daemon=True)
        self._listener.start()

    def write(self, frame: LiveFrame) -> None:
        """Show ``frame``; back when it is seen."""
        self._frame = frame
        self._show(frame)
        self._meter.count(frame.captured_at, time.monotonic())

    def idle(self) -> None:
        """Show the last picture again, with what keys have changed over it."""
        if self._frame is not None:
            self._show(self._frame)

    def close(self) -> None:
        """Close the window and end its process."""
        self._save_wanted()
        process = self._process
        if process is None:
            return
        if process.stdin is not None:
            with suppress(OSError):
                process.stdin.close()
        try:
            process.wait(PATIENCE_SECONDS / 5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._listener.join()
        if process.stdout is not None:
            process.stdout.close()
        self._complaints.close()
        self._process = None  # not before: up to here it may have to be killed

    def kill(self) -> None:
        """End a window that answers no more, from any thread; what waits for it goes on."""
        process = self._process
        if process is not None:
            process.kill()

    def _show(self, frame: LiveFrame) -> None:
        self._save_wanted()
        if self._controls.quitting.is_set() or self._process is None or self._process.stdin is None:
            return
        picture = self._drawn(frame)
        height, width, _ = picture.shape
        try:
            header = window_process.HEADER.pack(width, height, self._controls.full_screen)
            self._process.stdin.write(header)
            self._process.stdin.write(picture.data)
            self._process.stdin.flush()
        except OSError as error:
            self._has_ended(error)
            return
        while not self._shown.acquire(timeout=WAIT_SECONDS):
            if self._controls.quitting.is_set():
                return
        if self._is_gone:
            self._has_ended()

    def _drawn(self, frame: LiveFrame) -> Pixels:
        snapshot = self._controls.snapshot()
        pixels = frame.original if snapshot.show_original else frame.pixels
        picture = cast("Pixels", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))  # a copy: others have the frame too
        if self._controls.help:
            picture = draw_help(picture, self._controls.names)
        elif not self._clean:
            text = readings(snapshot, self._controls.names, self._meter)
            draw_readings(picture, text, message=self._controls.message, recording=self._controls.recording)
        return picture

    def _listen(self, process: "subprocess.Popen[bytes]") -> None:
        """What the window tells: keys act at once, also while pictures are late."""
        for line in process.stdout or ():
            said = json.loads(line)
            if "key" in said:
                self._controls.press(key_name(said["key"]))
            elif "closed" in said:
                self._controls.quit()
            else:
                self._shown.release()
        self._is_gone = True
        self._shown.release()

    def _has_ended(self, error: OSError | None = None) -> None:
        """The process is gone: fine where a person closed the window, else what it said last is the reason."""
        process = self._process
        if process is None or self._controls.quitting.wait(0.5):
            return
        process.wait(PATIENCE_SECONDS)
        self._complaints.seek(0)
        said = self._complaints.read().decode(errors="replace").strip().splitlines()
        reason = f": {said[-1][:200]}" if said else ""
        raise SinkError(self.name, f"it ended with code {process.returncode}{reason}") from error

    def _save_wanted(self) -> None:
        if self._frame is not None and self._controls.take_still():
            self._save_still(self._frame)

    def _save_still(self, frame: LiveFrame) -> None:
        path = new_name(self._stills, "flowbrush", ".png")
        said = f"still: {path}"
        try:
            self._stills.mkdir(parents=True, exist_ok=True)
            Image.fromarray(frame.pixels).save(path, compress_level=1)
        except OSError as error:
            said = f"still: {path} cannot be written ({reason_of(error)})"
            self._controls.say(f"no still: {reason_of(error)} ({path.name})")
        else:
            self._controls.say(said)
        self._notify(said)
