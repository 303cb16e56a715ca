"""Answers to servers that ask for a password, compared with those of Python's urllib."""

import re
import urllib.request

import pytest

from pipeline.live.capture.connection.login import find_challenge


@pytest.mark.parametrize("extras", ["", ', qop="auth,auth-int", opaque="xyz"', ", algorithm=MD5, qop=auth"])
def test_digest(extras: str) -> None:
    challenge = find_challenge(['Basic realm="x"', f'Digest realm="a, b", nonce="n"{extras}'])
    assert challenge is not None
    answer = challenge.authorization("DESCRIBE", "/live", "me", "word")
    request = urllib.request.Request("http://host/live", method="DESCRIBE")
    handler = urllib.request.AbstractDigestAuthHandler()
    handler.add_password("a, b", "http://host/", "me", "word")
    cnonce = re.search(r'cnonce="(\w+)"', answer)
    handler.get_cnonce = lambda nonce: cnonce[1] if cnonce else ""  # type: ignore[method-assign]
    expected = handler.get_authorization(request, challenge.values)
    assert expected is not None
    assert re.search(r'\bresponse="\w+"', answer)[0] in expected


def test_basic() -> None:
    challenge = find_challenge(["Negotiate", 'Basic realm="x"'])
    assert challenge is not None
    assert challenge.authorization("OPTIONS", "rtsp://host/", "me", "w@rd") == "Basic bWU6d0ByZA=="


def test_values_without_content_are_left_out() -> None:
    challenge = find_challenge(['Digest realm=, nonce="a", stale='])
    assert challenge is not None
    assert challenge.values == {"nonce": "a"}


@pytest.mark.parametrize("headers", [[], ["Negotiate"], [""], ["Bearer x"]])
def test_others_are_unknown(headers: list[str]) -> None:
    assert find_challenge(headers) is None
