"""Addresses of the net, which may hold secrets: where they are read from, and how they are shown."""

import re
from pathlib import Path

from pipeline.errors import reason_of

# Where a host's name ends. A password should have these written as %2F, %3F and %23, but often has not.
END = re.compile(r"[/?#]")
HOST = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(:\d*)?")
# Of an address, in characters: of a file that is something else no more is read.
LONGEST = 4096


def shown(url: str) -> str:
    """Scheme, host and port of ``url``: names, passwords, paths (where stream keys are) and queries are left out.

    Where it cannot be told which of its parts is the host, that is ``...``. Never raises.
    """
    scheme, mark, rest = url.partition("://")
    if not mark:
        return END.split(url.rpartition("@")[2])[0]
    usual = END.split(rest)[0].rpartition("@")[2]
    behind_last = END.split(rest.rpartition("@")[2])[0]
    if usual != behind_last:
        # An @ behind the first slash: of a password that has the slash in it, or of the path.
        return f"{scheme}://{'...' if HOST.fullmatch(usual) else behind_last}"
    return f"{scheme}://{usual}"


def read_address(text: str) -> str:
    """``text``, or for ``@FILE`` the first line of that file: a command's arguments are seen by all users.

    Raises:
        ValueError: the file cannot be read, or is empty.
    """
    if not text.startswith("@"):
        return text
    try:
        with Path(text[1:]).open(encoding="utf-8") as file:
            address = file.readline(LONGEST).strip()
    except (OSError, ValueError) as error:
        raise ValueError(f"{text}: the file cannot be read ({reason_of(error)})") from error
    if not address:
        raise ValueError(f"{text}: no address stands in the file's first line")
    return address
