"""Where an RTSP server leads: FFmpeg follows redirections with the password of the first server, so we ask before it.

RFC 2326, with the authentication of RFC 2617.
"""

import errno
import ssl
import time
import urllib.parse
from contextlib import closing
from dataclasses import dataclass, replace
from email.message import Message
from email.parser import Parser

from pipeline.live.capture.connection.address import redacted
from pipeline.live.capture.connection.connect import connect
from pipeline.live.capture.connection.login import Challenge, find_challenge

DEFAULT_PORTS = {"rtsp": 554, "rtsps": 322}
MAX_REDIRECTIONS = 5
MAX_ANSWER_BYTES = 2**20
MAX_SHOWN_CHARACTERS = 200
# The requests that FFmpeg starts with, and their headers.
REQUESTS = {"OPTIONS": "", "DESCRIBE": "Accept: application/sdp\r\n"}


@dataclass(frozen=True, slots=True)
class Address:
    """An RTSP URL.

    Attributes:
        server: scheme, host and port.
        uri: the URL without user name and password.
        user: the user name, None without one.
        password: the password.
    """

    server: tuple[str, str, int]
    uri: str
    user: str | None
    password: str


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to a request.

    Attributes:
        status: the status code.
        header: its header.
    """

    status: int
    header: Message


def check_redirections(url: str, context: ssl.SSLContext, timeout_seconds: float) -> None:
    """Make sure that ``url`` leads to no other server, if it has a password, and that rtsps leads to rtsps only.

    Args:
        url: the address.
        context: whom to trust.
        timeout_seconds: time limit.

    Raises:
        OSError: it does, or the server does not answer.
    """
    address, deadline = _parse(url), time.monotonic() + timeout_seconds
    if address.user is None and address.server[0] != "rtsps":
        return
    for _ in range(MAX_REDIRECTIONS):
        location = _redirection(address, context, deadline)
        if location is None:
            return
        target = _parse(location)
        if target.server != address.server:
            _check_other(address, target, redacted(location)[:MAX_SHOWN_CHARACTERS])
        address = target if target.user is not None else replace(target, user=address.user, password=address.password)
    raise OSError(errno.ELOOP, "too many redirections")


def _check_other(address: Address, target: Address, shown: str) -> None:
    if address.user is not None:
        raise OSError(errno.EPERM, f"redirects to {shown}, which must not get the password; use that address")
    if target.server[0] != "rtsps":
        raise OSError(errno.EPERM, f"redirects to {shown}, which is not encrypted; use that address")


def _parse(url: str) -> Address:
    try:
        parts = urllib.parse.urlsplit(url)
        scheme, host = parts.scheme, parts.hostname or ""
        port = parts.port or DEFAULT_PORTS.get(scheme, 0)
        user, password = (urllib.parse.unquote(text or "") for text in (parts.username, parts.password))
    except ValueError:  # its message may contain the password
        raise OSError(errno.EINVAL, "the address is malformed; escape special characters of the password") from None
    name = f"[{host}]" if ":" in host else host
    path = urllib.parse.quote(
        urllib.parse.urlunsplit(("", "", parts.path, parts.query, "")), safe="%/:=&?~+!$,;'@()*[]"
    )
    uri = f"{scheme}://{name}:{port}{path}"
    return Address((scheme, host, port), uri, None if parts.username is None else user, password)


def _redirection(address: Address, context: ssl.SSLContext, deadline: float) -> str | None:
    """Return where the server redirects to; None if it does not, or answers with an error."""
    with closing(_Conversation(address, context, deadline)) as conversation:
        for method in REQUESTS:
            answer = conversation.ask(method)
            if 300 <= answer.status < 400:
                return str(answer.header.get("Location", ""))
            if answer.status != 200:
                return None
    return None


class _Conversation:
    """Requests and answers of one connection."""

    def __init__(self, address: Address, context: ssl.SSLContext, deadline: float) -> None:
        self._address, self._deadline = address, deadline
        self._sequence, self._received = 0, b""
        self._challenge: Challenge | None = None
        scheme, host, port = address.server
        self._socket = connect(host, port, self._seconds_left)
        if scheme == "rtsps":
            try:
                self._socket = context.wrap_socket(self._socket, server_hostname=host)
            except ssl.SSLError as error:
                raise OSError(errno.EIO, error.reason) from error

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def ask(self, method: str) -> Answer:
        """Send a request, again with the password if the server asks for it; return the answer."""
        answer = self._ask(method)
        if answer.status == 401:
            self._challenge = find_challenge(answer.header.get_all("WWW-Authenticate", []))
            if self._challenge is not None:
                answer = self._ask(method)
        return answer

    def _ask(self, method: str) -> Answer:
        self._sequence += 1
        request = f"{method} {self._address.uri} RTSP/1.0\r\nCSeq: {self._sequence}\r\nUser-Agent: flowbrush\r\n"
        self._socket.settimeout(self._seconds_left())
        self._socket.sendall(f"{request}{REQUESTS[method]}{self._authorization(method)}\r\n".encode())
        status, _, header = self._read_header().partition(b"\r\n")
        words = status.split(maxsplit=2)
        if len(words) < 2 or not words[0].startswith(b"RTSP/") or not words[1].isdigit():
            raise OSError(errno.EPROTO, "the answer is not RTSP")
        message = Parser().parsestr(header.decode("latin-1"), headersonly=True)
        length = message.get("Content-Length", "0").strip()
        self._skip(int(length) if length.isascii() and length.isdecimal() and len(length) < 10 else 0)
        return Answer(int(words[1]), message)

    def _authorization(self, method: str) -> str:
        if self._challenge is None or self._address.user is None:
            return ""
        value = self._challenge.authorization(method, self._address.uri, self._address.user, self._address.password)
        return f"Authorization: {value}\r\n"

    def _read_header(self) -> bytes:
        while b"\r\n\r\n" not in self._received:
            self._receive()
        header, _, self._received = self._received.partition(b"\r\n\r\n")
        return header

    def _skip(self, size: int) -> None:
        while len(self._received) < size:
            self._receive()
        self._received = self._received[size:]

    def _receive(self) -> None:
        self._socket.settimeout(self._seconds_left())
        data = self._socket.recv(65536)
        if not data:
            raise OSError(errno.ECONNRESET, "the server hung up")
        self._received += data
        if len(self._received) > MAX_ANSWER_BYTES:
            raise OSError(errno.EPROTO, "the answer is too long")

    def _seconds_left(self) -> float:
        seconds = self._deadline - time.monotonic()
        if seconds <= 0:
            raise TimeoutError
        return seconds
