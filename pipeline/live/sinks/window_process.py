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
# Qt leaves what the picture does not fill of a screen light grey; so the picture gets bars of its own and fills it all.
# In an ordinary window that would now and then stay black: with a free ratio Qt wants to be resized once.
DRAWS_BARS = sys.platform == "linux"

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
    fills_screen, shape = False, (0, 0)
    while True:
        if item is not None:
            picture, wants_screen = item
            if wants_screen is not fills_screen:
                fills_screen = wants_screen
                _fill_screen(fills_screen)
        before, shape = shape, _shape() if fills_screen and DRAWS_BARS else (0, 0)
        if item is not None or shape != before:
            cv2.imshow(TITLE, _framed(picture, *shape))
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


def _fill_screen(wanted: bool) -> None:
    if DRAWS_BARS:
        ratio = cv2.WINDOW_FREERATIO if wanted else cv2.WINDOW_KEEPRATIO
        cv2.setWindowProperty(TITLE, cv2.WND_PROP_ASPECT_RATIO, ratio)
    mode = cv2.WINDOW_FULLSCREEN if wanted else cv2.WINDOW_NORMAL
    cv2.setWindowProperty(TITLE, cv2.WND_PROP_FULLSCREEN, mode)


def _shape() -> tuple[int, int]:
    """Width and height of the window's inside in pixels; 0 where it is gone."""
    try:
        _, _, width, height = cv2.getWindowImageRect(TITLE)
    except cv2.error:  # Qt has put away all it had
        return 0, 0
    return max(width, 0), max(height, 0)


def _framed(picture: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """``picture`` with black at two of its sides, in the shape of a screen of this size; 0 for none."""
    rows, columns, _ = picture.shape
    if not width or not height:
        return picture
    wide = max(round(rows * width / height) - columns, 0)
    high = max(round(columns * height / width) - rows, 0)
    if wide + high <= 1:
        return picture
    sides = high // 2, high - high // 2, wide // 2, wide - wide // 2
    framed: NDArray[np.uint8] = cv2.copyMakeBorder(picture, *sides, cv2.BORDER_CONSTANT)  # type: ignore[assignment]
    return framed


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
