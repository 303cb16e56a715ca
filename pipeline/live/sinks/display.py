"""Find out whether windows can be shown."""

import os
import re
import socket
import sys
from contextlib import suppress


def has_display() -> bool:
    """Return whether a window can probably be opened. On Linux windows are X11's, under Wayland too."""
    if sys.platform != "linux":
        return True
    match = re.fullmatch(r"([\w.-]*):(\d+)(?:\.\d+)?", os.environ.get("DISPLAY", ""), re.ASCII)
    if match is None:
        return False
    if match[1] not in ("", "unix"):
        return True  # a display of another machine is not checked
    path = f"/tmp/.X11-unix/X{match[2]}"  # noqa: S108 - where X11 has its sockets; nothing is written
    for address in (path, f"\0{path}"):
        with socket.socket(socket.AF_UNIX) as server, suppress(OSError):
            server.connect(address)
            return True
    return False
