"""The process of the window: started as a script, it imports OpenCV and neither flowbrush nor PyAV.

PyAV and OpenCV bring XCB libraries of the same names; with PyAV's loaded first, OpenCV's windows hang forever
(PyAV#978, opencv#29195). Qt ends the process whose display disappears, and macOS requires that windows are shown by the
main thread: in a separate process the window meets both.

Frames arrive on standard input, each after a `HEADER`. Standard output carries lines of JSON: ``{"shown": true}`` for
each frame, ``{"key": CODE}`` with a code of OpenCV's ``waitKeyEx``, ``{"closed": true}`` when the user closes the
window.
"""

import json
import os
import signal
import struct
import sys
import threading
from contextlib import suppress
from queue import Empty, Queue
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

TITLE = "flowbrush"
# Width and height of the frame, and whether the window fills the screen; then the pixels, BGR.
HEADER = struct.Struct("<II?")
WAIT_SECONDS = 0.01
MAX_KEYS_PER_STEP = 32
# Qt leaves the part of the screen that the frame does not cover light grey, so black bars are added to the frame. Not
# in an ordinary window: with a free aspect ratio Qt sometimes leaves it black until it is resized.
ADDS_BARS = sys.platform == "linux"

# A frame, and whether the window fills the screen.
Item = tuple[NDArray[np.uint8], bool]


def main() -> None:
    """Show frames until standard input ends or the user closes the window."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches this process too; the session ends it in order
    if sys.platform == "linux":
        # OpenCV's Qt supports X11 only, and fails if the desktop's settings request Wayland.
        os.environ["QT_QPA_PLATFORM"] = "xcb"
        # OpenCV sets a folder that does not exist, and Qt prints a warning. No text is drawn with Qt's fonts.
        os.environ["QT_QPA_FONTDIR"] = os.path.dirname(cv2.__file__)
    items: Queue[Item | None] = Queue(maxsize=1)
    threading.Thread(target=_read_frames, args=(items,), daemon=True).start()
    first = items.get()
    if first is not None:
        cv2.namedWindow(TITLE, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
        cv2.resizeWindow(TITLE, first[0].shape[1], first[0].shape[0])
        _show_frames(first, items)


def _read_frames(items: "Queue[Item | None]") -> None:
    """Read frames from standard input into ``items``; None at the end."""
    while len(header := sys.stdin.buffer.read(HEADER.size)) == HEADER.size:
        width, height, full_screen = HEADER.unpack(header)
        pixels = sys.stdin.buffer.read(width * height * 3)
        if len(pixels) < width * height * 3:
            break
        items.put((np.frombuffer(pixels, np.uint8).reshape(height, width, 3), full_screen))
    items.put(None)


def _show_frames(first: Item, items: "Queue[Item | None]") -> None:
    """Show ``first`` and what follows in ``items``, and report keys, until the frames end or the window is closed."""
    item: Item | None = first
    is_full_screen, screen_size = False, (0, 0)
    while True:
        if item is not None:
            frame, full_screen = item
            if full_screen is not is_full_screen:
                is_full_screen = full_screen
                _set_full_screen(full_screen)
        old_size, screen_size = screen_size, _window_size() if is_full_screen and ADDS_BARS else (0, 0)
        if item is not None or screen_size != old_size:
            cv2.imshow(TITLE, _with_bars(frame, *screen_size))
        _report_keys()
        if _is_closed():
            _report(closed=True)
            return
        if item is not None:
            _report(shown=True)
        try:
            item = items.get(timeout=WAIT_SECONDS)
        except Empty:
            item = None
        else:
            if item is None:
                return


def _set_full_screen(full_screen: bool) -> None:
    if ADDS_BARS:
        ratio = cv2.WINDOW_FREERATIO if full_screen else cv2.WINDOW_KEEPRATIO
        cv2.setWindowProperty(TITLE, cv2.WND_PROP_ASPECT_RATIO, ratio)
    mode = cv2.WINDOW_FULLSCREEN if full_screen else cv2.WINDOW_NORMAL
    cv2.setWindowProperty(TITLE, cv2.WND_PROP_FULLSCREEN, mode)


def _window_size() -> tuple[int, int]:
    """Return width and height of the window's content in pixels; (0, 0) if it is closed."""
    try:
        _, _, width, height = cv2.getWindowImageRect(TITLE)
    except cv2.error:  # Qt has already deleted the window
        return 0, 0
    return max(width, 0), max(height, 0)


def _with_bars(frame: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Return ``frame`` with black bars that give it the aspect ratio of ``width`` to ``height``; 0 for none."""
    rows, columns, _ = frame.shape
    if not width or not height:
        return frame
    extra_columns = max(round(rows * width / height) - columns, 0)
    extra_rows = max(round(columns * height / width) - rows, 0)
    if extra_columns + extra_rows <= 1:
        return frame
    top, left = extra_rows // 2, extra_columns // 2
    sides = top, extra_rows - top, left, extra_columns - left
    framed: NDArray[np.uint8] = cv2.copyMakeBorder(frame, *sides, cv2.BORDER_CONSTANT)  # type: ignore[assignment]
    return framed


def _report_keys() -> None:
    for _ in range(MAX_KEYS_PER_STEP):
        code = cv2.waitKeyEx(1)
        if code == -1:
            return
        _report(key=code)


def _is_closed() -> bool:
    try:
        return bool(cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) < 1)
    except cv2.error:  # Qt has already deleted the window
        return True


def _report(**message: Any) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    with suppress(BrokenPipeError):  # the session has ended
        main()
    os._exit(0)  # Qt may take seconds to end
