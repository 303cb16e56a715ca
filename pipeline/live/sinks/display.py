"""Whether there is a desktop to show windows on."""

import os
import re
import socket
import sys
from contextlib import suppress


def has_display() -> bool:
    """Whether a window can be opened, as far as a quick look tells; on Linux windows are X11's, on Wayland too."""
    if sys.platform != "linux":
        return True
    match = re.fullmatch(r"([\w.-]*):(\d+)(?:\.\d+)?", os.environ.get("DISPLAY", ""), re.ASCII)
    if match is None or match[1] not in ("", "unix"):
        return match is not None  # one of another machine is believed
    path = f"/tmp/.X11-unix/X{match[2]}"
    for address in (path, f"\0{path}"):
        with socket.socket(socket.AF_UNIX) as server, suppress(OSError):
            server.connect(address)
            return True
    return False
