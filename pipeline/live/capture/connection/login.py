"""Passwords of RTSP servers: RFC 2617, Basic and Digest, what FFmpeg knows of it."""

import base64
import hashlib
import secrets
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Challenge:
    """How a server asks for a password.

    Attributes:
        kind: ``basic`` or ``digest``.
        values: realm, nonce and so on.
    """

    kind: str
    values: dict[str, str]

    def authorization(self, method: str, uri: str, user: str, password: str) -> str:
        """Return the header that answers the challenge for a request."""
        if self.kind == "basic":
            return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"
        realm, nonce = self.values.get("realm", ""), self.values.get("nonce", "")
        random, count, qop = secrets.token_hex(8), "00000001", "auth"
        identity = _md5(user, realm, password)
        if self.values.get("algorithm", "").lower() == "md5-sess":
            identity = _md5(identity, nonce, random)
        request = _md5(method, uri)
        fields = {"username": user, "realm": realm, "nonce": nonce, "uri": uri}
        if "qop" in self.values:
            fields |= {"response": _md5(identity, nonce, count, random, qop, request), "cnonce": random}
            unquoted = f", qop={qop}, nc={count}"
        else:
            fields["response"], unquoted = _md5(identity, nonce, request), ""
        fields |= {key: self.values[key] for key in ("opaque", "algorithm") if key in self.values}
        return "Digest " + ", ".join(f'{key}="{value}"' for key, value in fields.items()) + unquoted


def find_challenge(headers: Iterable[str]) -> Challenge | None:
    """Return the best challenge of the headers ``WWW-Authenticate``; None if we know none of them."""
    found: dict[str, Challenge] = {}
    for header in headers:
        kind, _, values = " ".join(header.split()).partition(" ")
        pairs = [pair for pair in urllib.request.parse_http_list(values) if pair.partition("=")[2]]
        found[kind.lower()] = Challenge(kind.lower(), urllib.request.parse_keqv_list(pairs))
    return found.get("digest") or found.get("basic")


def _md5(*parts: str) -> str:
    return hashlib.md5(":".join(parts).encode(), usedforsecurity=False).hexdigest()
