"""A window in a process of its own: started as a script, it imports OpenCV and nothing of flowbrush, nor PyAV.

PyAV and OpenCV bring XCB libraries of the same names, and with PyAV's loaded first an OpenCV window hangs for ever
(PyAV#978, opencv#29195). A display that goes away ends, with Qt, this process alone; and the window has a main thread,
as macOS wants it.

Pictures come on standard input, each behind a `HEADER`; lines of JSON go out: ``{"shown": true}`` for each picture,
``{"key": CODE}`` with a code of OpenCV's ``waitKeyEx``, ``{"closed": true}`` when a person has closed the window.
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
# Width and height of the picture, and whether the window is to fill the screen; pixels follow, BGR.
HEADER = struct.Struct("<II?")
WAIT_SECONDS = 0.01
KEYS_AT_ONCE = 32

Picture = tuple[NDArray[np.uint8], bool]


def main() -> None:
    """Show pictures until standard input ends or a person closes the window."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches both; the session then ends this process in order
    _prepare_qt()
    pictures: Queue[Picture | None] = Queue(maxsize=1)
    threading.Thread(target=_read, args=(pictures,), daemon=True).start()
    first = pictures.get()
    if first is not None:
        _open(first[0])
        _run(first, pictures)


def _run(first: Picture, pictures: "Queue[Picture | None]") -> None:
    item: Picture | None = first
    fills_screen = False
    while True:
        if item is not None:
            picture, wants_screen = item
            if wants_screen is not fills_screen:
                fills_screen = wants_screen
                mode = cv2.WINDOW_FULLSCREEN if wants_screen else cv2.WINDOW_NORMAL
                cv2.setWindowProperty(TITLE, cv2.WND_PROP_FULLSCREEN, mode)
            cv2.imshow(TITLE, picture)
        _handle_keys()
        if _is_closed():
            _tell(closed=True)
            return
        if item is not None:
            _tell(shown=True)
        try:
            item = pictures.get(timeout=WAIT_SECONDS)
        except Empty:
            item = None
        else:
            if item is None:
                return


def _read(pictures: "Queue[Picture | None]") -> None:
    while len(header := sys.stdin.buffer.read(HEADER.size)) == HEADER.size:
        width, height, fills_screen = HEADER.unpack(header)
        pixels = sys.stdin.buffer.read(width * height * 3)
        if len(pixels) < width * height * 3:
            break
        pictures.put((np.frombuffer(pixels, np.uint8).reshape(height, width, 3), fills_screen))
    pictures.put(None)


def _prepare_qt() -> None:
    if sys.platform == "linux":
        # The wheel's Qt speaks X11 alone, and gives up where the desktop's setting asks for Wayland.
        os.environ["QT_QPA_PLATFORM"] = "xcb"
        # The wheel's loader names a folder that is not there, and Qt complains; nothing is written in its fonts.
        os.environ["QT_QPA_FONTDIR"] = os.path.dirname(cv2.__file__)


def _open(picture: NDArray[np.uint8]) -> None:
    cv2.namedWindow(TITLE, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
    cv2.resizeWindow(TITLE, picture.shape[1], picture.shape[0])


def _handle_keys() -> None:
    for _ in range(KEYS_AT_ONCE):
        code = cv2.waitKeyEx(1)
        if code == -1:
            return
        _tell(key=code)


def _is_closed() -> bool:
    try:
        return bool(cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) < 1)
    except cv2.error:  # Qt has put away all it had
        return True


def _tell(**what: Any) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    with suppress(BrokenPipeError):  # the session is gone
        main()
    os._exit(0)  # Qt's own end may take seconds
