"""Names with many addresses take no longer than those with one."""

import os
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress

import pytest

from pipeline.live.capture.connection.connect import connect
from pipeline.live.capture.connection.rtsp import check_redirections
from pipeline.live.capture.connection.tls import VerifiedFiles

SECONDS, ADDRESSES = 0.5, 12


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server whose queue is full: it answers nobody."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        waiting = [socket.socket() for _ in range(4)]
        for client in waiting:
            client.setblocking(False)
            with suppress(BlockingIOError):
                client.connect(server.getsockname())
        yield server.getsockname()[1]
        for client in waiting:
            client.close()


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let all names have the addresses of these ports of this machine."""

    def resolve(*ports: int) -> None:
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in ports]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **settings: found)

    return resolve


def deadline(seconds: float) -> Callable[[], float]:
    end = time.monotonic() + seconds

    def seconds_left() -> float:
        if time.monotonic() >= end:
            raise TimeoutError
        return end - time.monotonic()

    return seconds_left


def ask_rtsp() -> None:
    check_redirections("rtsp://me:password@many.test/live", ssl.create_default_context(), SECONDS)


def ask_https() -> None:
    files = VerifiedFiles()
    files.allow(SECONDS)
    files("https://many.test/list.m3u8", 0, {})


@pytest.mark.skipif(os.name != "posix", reason="other systems refuse a connection to a full queue")
@pytest.mark.parametrize("ask", [ask_rtsp, ask_https])
def test_all_addresses_of_a_name_share_the_time(
    silent: int, resolve: Callable[..., None], ask: Callable[[], None]
) -> None:
    resolve(*[silent] * ADDRESSES)
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        ask()
    assert time.monotonic() - started < SECONDS * ADDRESSES / 2


@pytest.mark.skipif(os.name != "posix", reason="other systems refuse a connection to a full queue")
def test_an_address_after_silent_ones_is_reached(silent: int, resolve: Callable[..., None]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        resolve(silent, silent, server.getsockname()[1])
        with closing(connect("many.test", 80, deadline(SECONDS))) as connection:
            assert connection.getpeername() == server.getsockname()
            assert (connection.gettimeout() or 0) > 0


def test_the_reason_of_the_last_address_is_given(resolve: Callable[..., None]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    resolve(port, port)
    with pytest.raises(ConnectionRefusedError):
        connect("many.test", 80, deadline(5))
    resolve()
    with pytest.raises(OSError, match="no address"):
        connect("many.test", 80, deadline(5))
