"""A window that shows the stylized frames and a status line, and passes keys to the controls."""

import io
import threading
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import cv2
from PIL import Image

from pipeline.errors import reason_of
from pipeline.frames import Pixels
from pipeline.live.controls import Controls
from pipeline.live.frames import LiveFrame
from pipeline.live.sinks import window_process
from pipeline.live.sinks.display import has_display
from pipeline.live.sinks.overlay import FrameMeter, draw_help, draw_status, status_line
from pipeline.live.sinks.script_process import ScriptProcess
from pipeline.live.sinks.sink import Sink, SinkError, unused_path
from pipeline.system.files.atomic import write_atomically
from pipeline.system.files.writing import scratch_file
from pipeline.system.folders import make_folder

EXIT_SECONDS, CLOSE_SECONDS = 10.0, 2.0
# How often a write that waits for the window checks whether the session ends.
CHECK_SECONDS = 0.2

# Codes that OpenCV's waitKeyEx returns for keys without a character: X11 keysyms (Qt, GTK), Windows, macOS.
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
    """Return the name of a key as in `pipeline.live.controls`; empty if it has none.

    Args:
        code: a code of ``cv2.waitKeyEx``; GTK adds the state of shift, caps lock and num lock above bit 16.
    """
    named = NAMED_KEYS.get(code) or NAMED_KEYS.get(code & 0xFFFF)
    if named:
        return named
    character = code & 0xFFFF
    return chr(character).lower() if 32 < character < 127 else ""


class WindowSink(Sink):
    """Shows each frame in a window; closing the window ends the session.

    The window runs in a separate process, see `pipeline.live.sinks.window_process`.

    Args:
        controls: receives the keys.
        notify: called with a line when a still is saved.
        clean: show no status line.
        stills: folder for stills; None for the working folder.
        program: the script to run.
    """

    name = "window"
    finish_seconds = 2.0  # a window has nothing to lose

    def __init__(
        self,
        controls: Controls,
        notify: Callable[[str], None],
        *,
        clean: bool = False,
        stills: Path | None = None,
        program: str = window_process.__file__,
    ) -> None:
        self._controls, self._notify = controls, notify
        self._clean, self._stills = clean, stills or Path()
        self._program = program
        self._meter = FrameMeter()
        self._frame: LiveFrame | None = None
        self._process: ScriptProcess | None = None
        self._frame_shown = threading.Semaphore(0)

    def open(self, width: int, height: int, fps: Fraction) -> None:
        """Start the window's process. The window appears with the first frame, in its size."""
        if not has_display():
            raise SinkError(self.name, "no display; set DISPLAY, or use --virtual-camera, --record, --stream or --null")
        self._stderr = scratch_file()
        self._process = ScriptProcess(self._program, on_message=self._handle, stderr=self._stderr)

    def write(self, frame: LiveFrame) -> None:
        """Show ``frame``; return when it is visible."""
        self._frame = frame
        self._show(frame)
        self._meter.count(frame.captured_at, time.monotonic())

    def poll(self) -> None:
        """Show the last frame again, with what keys have changed."""
        if self._frame is not None:
            self._show(self._frame)

    def close(self) -> None:
        """Close the window and end its process."""
        self._save_requested_still()
        if self._process is not None:
            self._process.close(CLOSE_SECONDS)
            self._process = None  # last, as `kill` may be called until here
            self._stderr.close()

    def kill(self) -> None:
        """End a window that does not respond; calls that wait for it return."""
        process = self._process
        if process is not None:
            process.kill()

    def _show(self, frame: LiveFrame) -> None:
        self._save_requested_still()
        if self._controls.quitting.is_set() or self._process is None:
            return
        drawn = self._draw(frame)
        height, width, _ = drawn.shape
        try:
            self._process.stdin.write(window_process.HEADER.pack(width, height, self._controls.full_screen))
            self._process.stdin.write(drawn.data)
            self._process.stdin.flush()
            while not self._frame_shown.acquire(timeout=CHECK_SECONDS):
                if self._controls.quitting.is_set():
                    return
                if self._process.has_exited:
                    raise BrokenPipeError
        except OSError as error:
            if not self._controls.quitting.wait(0.5):  # set when the user closes the window
                raise SinkError(self.name, self._exit_reason(self._process)) from error

    def _draw(self, frame: LiveFrame) -> Pixels:
        snapshot = self._controls.snapshot()
        pixels = frame.original if snapshot.show_original else frame.pixels
        drawn = cast("Pixels", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))  # a copy: all sinks share the frame
        if self._controls.help:
            drawn = draw_help(drawn, self._controls.names)
        elif not self._clean:
            text = status_line(snapshot, self._controls.names, self._meter)
            draw_status(drawn, text, message=self._controls.message, recording=self._controls.recording)
        return drawn

    def _handle(self, message: dict[str, Any]) -> None:
        """Handle a report of the window. Keys act at once, even while no frames arrive."""
        if "key" in message:
            self._controls.press(key_name(message["key"]))
        elif "closed" in message:
            self._controls.quit()
        else:
            self._frame_shown.release()

    def _exit_reason(self, process: ScriptProcess) -> str:
        code = process.close(EXIT_SECONDS)
        self._stderr.seek(0)
        lines = self._stderr.read().decode(errors="replace").strip().splitlines()
        return f"exited with code {code}" + (f": {lines[-1][:200]}" if lines else "")

    def _save_requested_still(self) -> None:
        if self._frame is None or not self._controls.take_still():
            return
        path = unused_path(self._stills, ".png")
        try:
            make_folder(self._stills)
            content = io.BytesIO()
            Image.fromarray(self._frame.pixels).save(content, "PNG", compress_level=1)
            write_atomically(str(path), content.getbuffer(), may_replace=False)
        except OSError as error:
            self._controls.show(f"no still: {reason_of(error)} ({path.name})")
            self._notify(f"still: {path} cannot be written ({reason_of(error)})")
        else:
            self._controls.show(f"still: {path}")
            self._notify(f"still: {path}")
