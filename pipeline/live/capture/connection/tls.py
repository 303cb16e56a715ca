"""Encrypted sources: whom FFmpeg trusts, and the files of a playlist, whose certificates FFmpeg does not verify."""

import base64
import errno
import http.client
import io
import math
import os
import socket
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

from pipeline.live.capture.connection.connect import connect

SCHEMES = ("https", "rtmps", "rtsps")
# Where systems keep the certificates that they trust: Debian, Fedora, SUSE, macOS. FFmpeg's library knows none of them.
_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
# A day in segments of two seconds is 4 MB.
MAX_PLAYLIST_BYTES = 16 * 2**20
# Characters that stay as they are in a URL, which may be escaped already.
_SAFE = "%/:=&?~#+!$,;'@()*[]"


def verification() -> dict[str, str]:
    """Return FFmpeg's options that make it verify the certificate of the server, and its name."""
    bundle = ssl.get_default_verify_paths().cafile  # SSL_CERT_FILE is the user's choice
    if bundle is None:
        bundle = next((path for path in _BUNDLES if os.path.exists(path)), None)
    return {"tls_verify": "1"} | ({} if bundle is None else {"ca_file": bundle})


def tls_context(*, insecure: bool) -> ssl.SSLContext:
    """Return whom we trust where FFmpeg does not connect itself; with ``insecure``, everybody."""
    context = ssl.create_default_context()
    if insecure:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


class VerifiedFiles:
    """Opens the playlist and the segments of HLS for PyAV, as its argument ``io_open``: https only, all verified.

    FFmpeg cannot interrupt Python: what must end in time ends here, see `allow`.
    """

    def __init__(self) -> None:
        self._deadline = math.inf
        context = tls_context(insecure=False)
        context.sslsocket_class = _socket_class(self.seconds_left)
        https = _TimedHttps(context, self.seconds_left)
        self._opener = urllib.request.build_opener(https, _HttpsRedirects)

    def allow(self, seconds: float) -> None:
        """Set how long all opening and reading may take from now on, however often a server sends a byte."""
        self._deadline = time.monotonic() + seconds

    def seconds_left(self) -> float:
        """Return how many seconds are left.

        Raises:
            TimeoutError: none.
        """
        seconds = self._deadline - time.monotonic()
        if seconds <= 0:
            raise TimeoutError
        return seconds

    def __call__(self, url: str, flags: int, options: Mapping[str, str]) -> io.RawIOBase:
        """Open a file.

        Args:
            url: its URL.
            flags: unused; all files are read.
            options: FFmpeg's; ``offset`` and ``end_offset`` select a part of the file.

        Raises:
            OSError: it cannot be opened. The message contains nothing of the URL, which may have a password.
        """
        try:
            request = _request(url, options)
            response = self._opener.open(request, timeout=self.seconds_left())
        except urllib.error.URLError as error:
            if isinstance(error.reason, TimeoutError):
                raise TimeoutError from error
            raise OSError(errno.EIO, str(error.reason)) from error
        except http.client.HTTPException as error:
            raise OSError(errno.EIO, f"the answer is not HTTP ({type(error).__name__})") from error
        except ValueError:
            raise OSError(errno.EINVAL, "an address is malformed; escape special characters of a password") from None
        if request.has_header("Range") and response.status != http.HTTPStatus.PARTIAL_CONTENT:
            response.close()
            raise OSError(errno.EIO, "the server does not send parts of files")
        return _Body(response)


def _socket_class(seconds_left: Callable[[], float]) -> type[ssl.SSLSocket]:
    class TimedSocket(ssl.SSLSocket):
        def do_handshake(self, block: bool = False) -> None:
            self.settimeout(seconds_left())
            super().do_handshake(block)

        def recv_into(self, *args: Any, **settings: Any) -> int:
            self.settimeout(seconds_left())
            return super().recv_into(*args, **settings)

    return TimedSocket


def _connection_class(seconds_left: Callable[[], float]) -> type[http.client.HTTPSConnection]:
    class TimedConnection(http.client.HTTPSConnection):
        def __init__(self, host: str, **settings: Any) -> None:
            super().__init__(host, **settings)
            self._create_connection = self._connect_in_time  # in place of `socket.create_connection`

        def _connect_in_time(self, address: tuple[str, int], *_: object) -> socket.socket:
            return connect(*address, seconds_left)

    return TimedConnection


class _TimedHttps(urllib.request.HTTPSHandler):
    def __init__(self, context: ssl.SSLContext, seconds_left: Callable[[], float]) -> None:
        super().__init__(context=context)
        self._connection_class, self._tls_context = _connection_class(seconds_left), context

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._connection_class, req, context=self._tls_context)


def _request(url: str, options: Mapping[str, str]) -> urllib.request.Request:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme.lower() != "https":  # such as crypto+https, for which Python has no cipher
        raise OSError(errno.EPERM, f"a playlist names {parts.scheme}, which is not verified; --insecure opens it")
    host = parts.netloc.rpartition("@")[2]
    address = urllib.parse.quote(parts._replace(netloc=host, fragment="").geturl(), safe=_SAFE)
    request = urllib.request.Request(address, headers={"User-Agent": "flowbrush"})  # noqa: S310 - https, see above
    if parts.username is not None:
        secret = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
        request.add_unredirected_header("Authorization", f"Basic {base64.b64encode(secret.encode()).decode()}")
    if "offset" in options:
        end = int(options["end_offset"]) - 1 if int(options.get("end_offset") or 0) else ""
        request.add_header("Range", f"bytes={int(options['offset'])}-{end}")
    return request


class _HttpsRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(  # type: ignore[no-untyped-def]
        self, req, fp, code, msg, headers, newurl
    ) -> urllib.request.Request | None:
        if urllib.parse.urlsplit(newurl).scheme.lower() != "https":
            raise urllib.error.URLError("redirected to an address that is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _Body(io.RawIOBase):
    """The body of an answer as it arrives; cannot seek. FFmpeg keeps playlists in memory, so they have a limit."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self._response = response
        self._position = 0
        self._limit = math.inf

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._response.read1(size)
        if self._position == 0 and data.startswith(b"#"):  # #EXTM3U, as FFmpeg demands; no other file starts like this
            self._limit = MAX_PLAYLIST_BYTES
        self._position += len(data)
        if self._position > self._limit:
            raise OSError(errno.EFBIG, "the playlist is too long")
        return data

    def tell(self) -> int:
        return self._position

    def close(self) -> None:
        self._response.close()
        super().close()
