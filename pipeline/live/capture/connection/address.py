"""Network addresses, which may contain secrets: read them from files, redact them in messages."""

import re
from pathlib import Path

from pipeline.errors import reason_of

# Ends the host part of a URL. In a password these should be escaped (%2F, %3F, %23), but often are not.
_HOST_END = re.compile(r"[/?#]")
_HOST = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(:\d*)?")
# Most characters read from an address file, which may be some other file by mistake.
MAX_ADDRESS_CHARACTERS = 4096


def redacted(url: str) -> str:
    """Return scheme, host and port of ``url``, without user name, password, path (stream key) and query.

    The host is ``...`` where an unescaped password makes it ambiguous. Never raises.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        return _HOST_END.split(url.rpartition("@")[2])[0]
    host = _HOST_END.split(rest)[0].rpartition("@")[2]
    host_after_last_at = _HOST_END.split(rest.rpartition("@")[2])[0]
    if host != host_after_last_at:
        # An @ after the first slash: either the password contains the slash, or the path contains the @.
        host = "..." if _HOST.fullmatch(host) else host_after_last_at
    return f"{scheme}://{host}"


def read_address(text: str) -> str:
    """Return ``text``, or for ``@FILE`` the first line of that file: all users of a machine see command arguments.

    Raises:
        ValueError: the file cannot be read, or its first line is empty.
    """
    if not text.startswith("@"):
        return text
    try:
        with Path(text[1:]).open(encoding="utf-8") as file:
            address = file.readline(MAX_ADDRESS_CHARACTERS).strip()
    except (OSError, ValueError) as error:
        raise ValueError(f"{text}: the file cannot be read ({reason_of(error)})") from error
    if not address:
        raise ValueError(f"{text}: the first line is empty; write the address there")
    return address
