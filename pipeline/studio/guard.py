"""Who may ask: the token of the link, then a cookie; Host and Origin; sizes and rates. For HTTP and WebSocket.

A page of somebody else's, open in the same browser, can send requests here. It is stopped three times: the browser does
not send it our cookie (SameSite), its Origin is not ours, and under a name that it made lead here (DNS rebinding), the
Host is not ours.
"""

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from pipeline.studio.addresses import names_of, split_host
from pipeline.studio.answers import RequestError, error_body
from pipeline.studio.config import StudioConfig
from pipeline.studio.rates import RateLimit

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

# A body other than an upload: settings, or a session description of WebRTC, which has 10 kB.
MOST_BODY_BYTES = 64 * 2**10
UPLOADS = ("/api/uploads", "/api/pictures")
"""The paths at which bodies are larger, and limited by whoever reads them."""
# A tab loads 20 files and asks 10 times a second at most; many tabs are opened at once after a restart.
BURST, PER_SECOND = 1500, 100.0
WRONG_TOKENS, WRONG_TOKENS_PER_SECOND = 10, 0.1
YEAR_SECONDS = 365 * 24 * 3600
_SAFE_METHODS = ("GET", "HEAD")
# WebSocket: policy violation (RFC 6455, 7.4.1).
_POLICY_VIOLATION = 1008

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(self), fullscreen=(self), geolocation=(), payment=(), usb=()",
}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "connect-src 'self' ws://{host} wss://{host}; font-src 'self'; manifest-src 'self'; worker-src 'self' blob:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# A browser sends no cookie of ours after a click on another site; it does after a page of ours has led on.
_LEAD_ON = b"""<!doctype html>
<meta charset="utf-8"><title>flowbrush studio</title>
<meta http-equiv="refresh" content="0; url=/">
"""


class Guard:
    """ASGI middleware: passes on what may be answered, and adds the headers that every answer has.

    Args:
        app: answers.
        config: of the studio.
        token: in the link.
    """

    def __init__(self, app: "ASGIApp", *, config: StudioConfig, token: str) -> None:
        self._app, self._token = app, token
        self._names = names_of(config)
        self._schemes = ("https",) if config.has_tls else ("http", "https")  # a tunnel may add the encryption
        self._is_secure = config.has_tls
        prefix = "__Host-" if config.has_tls else ""
        self._cookie_name = f"{prefix}flowbrush-{config.port}"  # cookies do not tell ports apart
        self._cookie = hmac.new(token.encode(), b"cookie", hashlib.sha256).hexdigest()
        self._rate = RateLimit(BURST, PER_SECOND)
        self._wrong_tokens = RateLimit(WRONG_TOKENS, WRONG_TOKENS_PER_SECOND)

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Answer or pass on one request; see the ASGI specification."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = _headers(scope["headers"])
        host = headers.get("host", "")
        add = _with_headers(send, host if split_host(host) in self._names else "localhost")
        try:
            answer = self._check(scope, headers)
            if answer is not None:
                await _answer(add, *answer)
                return
            is_upload = scope["path"] in UPLOADS
            await self._app(scope, receive if is_upload else _limited(receive, headers), add)
        except RequestError as error:
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": error.message[:120]})
            else:
                await _answer(add, error.status, {"content-type": "application/json"}, error_body(error.message))

    def _check(self, scope: "Scope", headers: Mapping[str, str]) -> tuple[int, dict[str, str], bytes] | None:
        """Return an answer that ends the request here, None to pass it on.

        Raises:
            RequestError: the request is refused.
        """
        address = scope["client"][0] if scope.get("client") else ""
        has_cookie = self._has_cookie(headers)
        # Counted apart: a page of somebody else's in the same browser must not use up what ours may ask.
        if not self._rate.allows(f"{address} with cookie" if has_cookie else address):
            raise RequestError(429, "too many requests from this address; wait a few seconds")
        self._check_host(headers)
        is_http = scope["type"] == "http"
        self._check_origin(headers, is_required=not is_http or scope["method"] not in _SAFE_METHODS)
        if is_http and scope["path"] == "/" and (given := _token_in(scope["query_string"])):
            if headers.get("sec-fetch-dest", "document") != "document":
                # Not counted: a page of somebody else's could use up the attempts with pictures that lead here.
                raise RequestError(403, "a link is opened in a tab of its own; open it there")
            return self._exchange(given, address)
        if has_cookie:
            return None
        if is_http and scope["path"] == "/" and headers.get("sec-fetch-site") == "cross-site":
            return 200, {"content-type": "text/html; charset=utf-8"}, _LEAD_ON
        raise RequestError(401, "this browser has not opened the link yet; open the link that flowbrush studio printed")

    def _check_host(self, headers: Mapping[str, str]) -> None:
        name = split_host(headers.get("host", ""))
        if name not in self._names:
            shown = f"{name!r} is not a name of this studio" if name else "the request names no host"
            raise RequestError(421, f"{shown}; open the link that was printed, or start it with --name")

    def _check_origin(self, headers: Mapping[str, str], *, is_required: bool) -> None:
        origin = headers.get("origin")
        allowed = [f"{scheme}://{headers['host']}" for scheme in self._schemes]
        if origin is None and not is_required:
            return
        if origin not in allowed:
            raise RequestError(403, "the request comes from another page; open the studio in a tab of its own")

    def _exchange(self, given: str, address: str) -> tuple[int, dict[str, str], bytes]:
        """Return the answer to a link: the cookie, and the way to the address without the token."""
        if self._wrong_tokens.left(address) < 1:
            raise RequestError(429, "too many wrong links from this address; wait a minute")
        if not hmac.compare_digest(given.encode(), self._token.encode()):
            self._wrong_tokens.allows(address)
            raise RequestError(403, "the token of this link is wrong; open the link that flowbrush studio printed")
        secure = "; Secure" if self._is_secure else ""
        cookie = f"{self._cookie_name}={self._cookie}; Path=/; Max-Age={YEAR_SECONDS}; HttpOnly; SameSite=Strict"
        return HTTPStatus.SEE_OTHER, {"location": "/", "set-cookie": cookie + secure}, b""

    def _has_cookie(self, headers: Mapping[str, str]) -> bool:
        for pair in headers.get("cookie", "").split(";"):
            name, _, value = pair.strip().partition("=")
            if name == self._cookie_name and hmac.compare_digest(value.encode(), self._cookie.encode()):
                return True
        return False


def _token_in(query: bytes) -> str:
    """Return the token in a query; empty if there is none, or far too much else."""
    with suppress(ValueError):
        return parse_qs(query.decode("latin-1"), max_num_fields=20).get("token", [""])[0]
    return ""


def _headers(pairs: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return the headers of a request; one that appears twice is joined, so that it matches nothing."""
    headers: dict[str, str] = {}
    for name, value in pairs:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        headers[key] = f"{headers[key]}; {text}" if key in headers else text
    return headers


def _with_headers(send: "Send", host: str) -> "Send":
    fixed = {**_HEADERS, "Content-Security-Policy": _POLICY.format(host=host)}

    async def add(message: "Message") -> None:
        if message["type"] == "http.response.start":
            given = message.setdefault("headers", [])
            names = {name.lower() for name, _ in given}
            added = {"Cache-Control": "no-store", **fixed}
            given = [*given, *((k.encode(), v.encode()) for k, v in added.items() if k.lower().encode() not in names)]
            message = {**message, "headers": given}
        await send(message)

    return add


def _limited(receive: "Receive", headers: Mapping[str, str]) -> "Receive":
    """Return ``receive`` for a body of at most `MOST_BODY_BYTES`.

    Raises:
        RequestError: the header declares more.
    """
    too_large = RequestError(413, f"the request is larger than {MOST_BODY_BYTES // 1024} kB; send less")
    length = headers.get("content-length", "0")
    if not length.isdecimal() or int(length[:20]) > MOST_BODY_BYTES:
        raise too_large
    size = 0

    async def limited() -> "Message":
        nonlocal size
        message = await receive()
        size += len(message.get("body", b"")) if message["type"] == "http.request" else 0
        if size > MOST_BODY_BYTES:
            raise too_large
        return message

    return limited


async def _answer(send: "Send", status: int, headers: Mapping[str, str], body: bytes) -> None:
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    pairs.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": int(status), "headers": pairs})
    await send({"type": "http.response.body", "body": body})
