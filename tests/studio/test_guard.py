"""Who may ask: the link, the cookie, Host and Origin, sizes and rates."""

import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi import FastAPI
from starlette.requests import Request
from starlette.websockets import WebSocket
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from pipeline.studio.config import StudioConfig
from pipeline.studio.guard import MOST_BODY_BYTES, WRONG_TOKENS, Guard
from pipeline.studio.rates import MOST_ADDRESSES, RateLimit
from tests.support.studio import LINK_TOKEN, browser, serving


def guarded(**options: Any) -> FastAPI:
    app = FastAPI()

    @app.get("/{path:path}")
    async def get(path: str) -> dict[str, str]:
        return {"path": path}

    @app.post("/{path:path}")
    async def post(request: Request) -> dict[str, int]:
        return {"size": len(await request.body())}

    @app.websocket("/socket")
    async def open_socket(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("hello")
        await websocket.close()

    app.add_middleware(Guard, config=StudioConfig(**options), token=LINK_TOKEN)
    return app


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving(guarded()) as address:
        yield address


@pytest.fixture
def stranger(address: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=address, trust_env=False) as client:
        yield client


@pytest.fixture
def visitor(address: str) -> Iterator[httpx.Client]:
    with browser(address) as client:
        del client.headers["origin"]
        yield client


def test_the_link_gives_a_cookie_and_leads_to_an_address_without_the_token(stranger: httpx.Client) -> None:
    answer = stranger.get(f"/?token={LINK_TOKEN}")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert LINK_TOKEN not in cookie
    assert stranger.get("/").json() == {"path": ""}


def test_over_https_the_cookie_is_never_sent_in_the_clear() -> None:
    with serving(guarded(host="192.0.2.9")) as address, httpx.Client(base_url=address, trust_env=False) as client:
        cookie = client.get(f"/?token={LINK_TOKEN}", headers={"host": "192.0.2.9"}).headers["set-cookie"]
    assert cookie.startswith("__Host-")
    assert "; Secure" in cookie


@pytest.mark.parametrize("path", ["/", "/page/main.js", "/api/studio", "/api/jobs"])
def test_nothing_is_shown_without_the_link(stranger: httpx.Client, path: str) -> None:
    answer = stranger.get(path)
    assert answer.status_code == 401
    assert "open the link" in answer.json()["error"]


def test_a_wrong_token_gives_no_cookie_and_cannot_be_guessed_for_long() -> None:
    with serving(guarded()) as address, httpx.Client(base_url=address, trust_env=False) as stranger:
        for _ in range(WRONG_TOKENS):
            answer = stranger.get("/?token=guess")
            assert answer.status_code == 403
            assert "set-cookie" not in answer.headers
        assert stranger.get("/?token=guess").status_code == 429
        assert stranger.get(f"/?token={LINK_TOKEN}").status_code == 429, "the right one tells nothing meanwhile"


def test_pictures_of_a_foreign_page_that_lead_here_use_up_no_attempt() -> None:
    """Otherwise any page that is open in the same browser could lock its user out."""
    picture = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"}
    with serving(guarded()) as address, httpx.Client(base_url=address, trust_env=False) as client:
        for _ in range(WRONG_TOKENS + 1):
            assert client.get("/?token=guess", headers=picture).status_code == 403
        link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
        assert client.get(f"/?token={LINK_TOKEN}", headers=link).status_code == 303


def test_requests_without_the_cookie_take_nothing_from_those_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.studio.guard.BURST", 3)
    monkeypatch.setattr("pipeline.studio.guard.PER_SECOND", 1e-6)
    with serving(guarded()) as address, browser(address) as visitor, httpx.Client(trust_env=False) as stranger:
        assert [stranger.get(address).status_code for _ in range(3)] == [401, 401, 429]
        assert [visitor.get("/").status_code for _ in range(4)] == [200, 200, 200, 429]


def test_a_query_of_many_fields_is_no_bug_of_ours(stranger: httpx.Client) -> None:
    assert stranger.get("/?" + "a&" * 100).status_code == 401


def test_headers_without_an_end_are_not_kept(address: str) -> None:
    parts = urlsplit(address)
    with socket.create_connection((parts.hostname or "", parts.port or 0), 20) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
        with suppress(ConnectionError):
            for _ in range(20):
                connection.sendall(b"X: " + b"x" * 2**14 + b"\r\n")
            assert connection.recv(100).startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize("cookie", ["", "x" * 64, LINK_TOKEN, "ü"])
def test_a_forged_cookie_is_refused(stranger: httpx.Client, cookie: str) -> None:
    header = f"flowbrush-8765={cookie}".encode()
    assert stranger.get("/", headers={"cookie": header}).status_code == 401  # type: ignore[dict-item]


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8765", "127.0.0.1.evil.example", "", "[::1", "127.0.0.1, evil.example", "a b"],
)
def test_a_name_that_was_made_to_lead_here_is_refused(visitor: httpx.Client, host: str) -> None:
    assert visitor.get("/api/jobs", headers={"host": host}).status_code == 421


@pytest.mark.parametrize("host", ["localhost:9000", "LOCALHOST", "[::1]:8765", "127.0.0.1"])
def test_a_tunnel_may_have_another_port(visitor: httpx.Client, host: str) -> None:
    """As by ssh -L; the cookie belongs to the name, so that the link has to be opened there."""
    answer = visitor.get(f"/?token={LINK_TOKEN}", headers={"host": host})
    assert answer.status_code == 303


def test_further_names_are_those_that_the_user_gives() -> None:
    """A tunnel may add the encryption: its Origin is https, and the studio is not."""
    with serving(guarded(names=("box.example",))) as address, browser(address) as client:
        headers = {"host": "box.example", "origin": "https://box.example", "cookie": _cookie_of(client)}
        assert client.post("/x", headers=headers).status_code == 200


def _cookie_of(client: httpx.Client) -> str:
    return "; ".join(f"{name}={value}" for name, value in client.cookies.items())


FOREIGN = [
    "https://evil.example",
    "null",
    "http://127.0.0.1:9",
    "http://127.0.0.1:8765.evil.example",
    "http://localhost:8765",
]


@pytest.mark.parametrize("origin", FOREIGN)
def test_a_foreign_page_can_neither_read_nor_write(visitor: httpx.Client, origin: str) -> None:
    for answer in (
        visitor.get("/api/jobs", headers={"origin": origin}),
        visitor.post("/x", headers={"origin": origin}),
    ):
        assert answer.status_code == 403
        assert "another page" in answer.json()["error"]


def test_what_changes_something_needs_an_origin(visitor: httpx.Client, address: str) -> None:
    assert visitor.post("/x").status_code == 403
    assert visitor.post("/x", headers={"origin": address}).status_code == 200


def open_socket(address: str, client: httpx.Client, origin: str | None) -> str:
    uri = address.replace("http", "ws", 1) + "/socket"
    with connect(uri, origin=origin, additional_headers={"cookie": _cookie_of(client)}, proxy=None) as socket:  # type: ignore[arg-type]
        return str(socket.recv())


@pytest.mark.parametrize("origin", [*FOREIGN, None])
def test_a_foreign_page_opens_no_socket(visitor: httpx.Client, address: str, origin: str | None) -> None:
    with pytest.raises(InvalidStatus):
        open_socket(address, visitor, origin)


def test_a_socket_needs_the_cookie(stranger: httpx.Client, address: str) -> None:
    with pytest.raises(InvalidStatus):
        open_socket(address, stranger, address)


def test_our_own_page_opens_a_socket(visitor: httpx.Client, address: str) -> None:
    assert open_socket(address, visitor, address) == "hello"


def test_a_link_in_another_page_leads_on_so_that_the_cookie_is_sent(stranger: httpx.Client) -> None:
    answer = stranger.get("/", headers={"sec-fetch-site": "cross-site"})
    assert answer.status_code == 200
    assert "url=/" in answer.text
    assert stranger.get("/", headers={"sec-fetch-site": "same-origin"}).status_code == 401, "and does not go in circles"


def test_bodies_are_limited(visitor: httpx.Client, address: str) -> None:
    origin = {"origin": address}
    assert visitor.post("/x", content=b"x" * MOST_BODY_BYTES, headers=origin).json() == {"size": MOST_BODY_BYTES}
    assert visitor.post("/x", content=b"x" * (MOST_BODY_BYTES + 1), headers=origin).status_code == 413
    assert visitor.post("/x", content=iter([b"x" * 2**15] * 3), headers=origin).status_code == 413


def test_a_body_that_is_announced_too_large_is_not_waited_for(visitor: httpx.Client, address: str) -> None:
    parts = urlsplit(address)
    head = f"POST /x HTTP/1.1\r\nHost: {parts.netloc}\r\nOrigin: {address}\r\nCookie: {_cookie_of(visitor)}\r\n"
    with socket.create_connection((parts.hostname or "", parts.port or 0), 20) as connection:
        connection.sendall(f"{head}Content-Length: {10**9}\r\n\r\n".encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 413")


def test_one_address_cannot_occupy_the_studio() -> None:
    now = [0.0]
    rate = RateLimit(3, 0.5, clock=lambda: now[0])
    assert [rate.allows("a") for _ in range(5)] == [True, True, True, False, False]
    assert rate.allows("b"), "others are not affected"
    now[0] = 2.0
    assert [rate.allows("a") for _ in range(2)] == [True, False]


def test_addresses_that_ask_take_a_limited_memory() -> None:
    rate = RateLimit(1, 0.001, clock=lambda: 0.0)
    assert rate.allows("first")
    assert all(rate.allows(str(number)) for number in range(MOST_ADDRESSES))
    assert rate.allows("first"), "forgotten"


def test_every_answer_forbids_what_the_page_does_not_need(visitor: httpx.Client) -> None:
    for answer in (visitor.get("/"), visitor.get("/", headers={"host": "evil.example"})):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "evil" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
