"""A page over a WebSocket: it sends one JPEG each time it is asked, and gets it back stylized."""

import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, cast

import numpy as np
import pytest
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from PIL import Image
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from models.engines.build import build_engine
from models.engines.engine import Engine, EngineName, EngineSpec
from pipeline.frames import Pixels
from pipeline.studio.live.codecs import decode_jpeg, encode_jpeg, jpeg_size
from pipeline.studio.live.room import FullError, LiveRoom
from pipeline.studio.live.routes import live_router
from pipeline.studio.live.socket import serve_socket
from pipeline.stylize.engine.bounded_engine import BuildEngine
from tests.support.live import wait_for
from tests.support.media import moving_square
from tests.support.studio import serving
from tests.support.studio.asynchronous import run_async
from tests.support.studio.viewers import EAGER, difference, style

pytestmark = [pytest.mark.realtime, pytest.mark.usefixtures("one_thread")]


@contextmanager
def studio(most: int | None = 3, build: BuildEngine | None = None) -> Iterator[tuple[str, LiveRoom]]:
    """Serve a room without the guard, and yield the address of its socket."""
    room = LiveRoom(EAGER, most=most, build=build)

    async def start() -> None:
        room.start()

    app = FastAPI(on_startup=[start], on_shutdown=[room.close])
    app.include_router(live_router(room))
    with serving(app) as address:
        yield f"{address.replace('http', 'ws')}/api/live/socket", room


class Page:
    """A page that answers each next with a frame.

    Args:
        socket: that is connected.
    """

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.messages: list[dict[str, Any]] = []
        self.is_asked = False

    def send(self, **message: Any) -> None:
        self.socket.send(json.dumps(message))

    def until(self, kind: str) -> dict[str, Any]:
        """Read messages up to the first of this kind."""
        while True:
            text = self.socket.recv(20)
            assert isinstance(text, str)
            if self.note(text)["type"] == kind:
                return self.messages[-1]

    def note(self, text: str) -> dict[str, Any]:
        self.messages.append(json.loads(text))
        self.is_asked = self.is_asked or self.messages[-1]["type"] == "next"
        return self.messages[-1]

    def send_frame(self, content: bytes) -> None:
        """Send a JPEG when it is asked for."""
        if not self.is_asked:
            self.until("next")
        self.is_asked = False
        self.socket.send(content)

    def frame(self, content: bytes) -> Pixels:
        """Send a JPEG when it is asked for, and return the stylized frame."""
        self.send_frame(content)
        return self.until_frame()

    def until_frame(self) -> Pixels:
        """Read messages up to the next stylized frame, and return it."""
        while isinstance(answer := self.socket.recv(20), str):
            self.note(answer)
        return decode_jpeg(answer)


@contextmanager
def opened(address: str) -> Iterator[Page]:
    with connect(address, compression=None, open_timeout=60) as socket:
        yield Page(socket)


def test_frames_come_back_stylized_and_follow_the_settings() -> None:
    plain = moving_square(3, height=90, width=160)
    content = encode_jpeg(plain)
    with studio() as (address, room):
        with opened(address) as page:
            page.send(type="settings", styles=style("great-wave"))
            first = page.frame(content)
            assert first.shape == (90, 160, 3)
            assert difference(first, plain) > 12
            page.send(type="settings", styles=style("mondrian"))
            wait_for(lambda: difference(page.frame(content), first) > 12)
            page.send(type="settings", styles=style("mondrian"), strength=0)
            wait_for(lambda: difference(page.frame(content), plain) < 6)
            page.send(type="ping", id=3)
            assert page.until("pong")["id"] == 3
            with opened(address) as other:
                assert difference(other.frame(content), plain) > 12
                assert room.free == 1
        wait_for(lambda: room.free == 3, 5.0)


def test_a_page_that_leaves_before_it_is_turned_away_is_no_error() -> None:
    """The studio takes a minute to load its network; then nobody is there to be told that it is full."""

    class Left:
        async def accept(self) -> None:
            pass

        async def send_text(self, text: str) -> None:
            raise WebSocketDisconnect(1006)

    class Full:
        async def admit(self) -> None:
            raise FullError("the only place is taken")

    run_async(serve_socket(cast("WebSocket", Left()), cast("LiveRoom", Full())))


def test_one_frame_is_on_its_way_while_another_is_stylized_and_no_more() -> None:
    content = encode_jpeg(moving_square(0, height=90, width=160))
    is_open = threading.Event()

    def build(name: EngineName, spec: EngineSpec) -> Engine:
        engine = build_engine(name, spec)

        def wait_and_run(*inputs: Any) -> Any:
            assert is_open.wait(30)
            return engine(*inputs)

        return cast("Engine", wait_and_run)

    with studio(build=build) as (address, _), opened(address) as page:
        page.send_frame(content)
        page.until("next")  # while the first one is stylized
        page.send_frame(content)
        with suppress(TimeoutError):
            while not page.is_asked:
                page.note(str(page.socket.recv(0.5)))
        assert not page.is_asked
        is_open.set()
        page.until_frame()
        page.until_frame()
        page.frame(content)


def test_a_newcomer_is_told_to_wait_and_the_others_go_on() -> None:
    content = encode_jpeg(moving_square(0, height=90, width=160))
    with studio(most=1) as (address, room):
        with opened(address) as page:
            page.frame(content)
            with opened(address) as newcomer:
                assert newcomer.until("full")["text"] == "the only place is taken; the page tries again by itself"
                with pytest.raises(ConnectionClosed):
                    newcomer.socket.recv(5)
            with opened(address) as newcomer:
                assert "1 waits already" in newcomer.until("full")["text"]
            page.frame(content)
        wait_for(lambda: room.free == 1, 5.0)
        with opened(address) as page:
            page.frame(content)


def bomb() -> bytes:
    """A small JPEG whose header says that it is very large."""
    content = bytearray(encode_jpeg(np.zeros((16, 16, 3), np.uint8)))
    at = content.index(b"\xff\xc0")
    content[at + 5 : at + 9] = bytes([0xFF, 0xFF, 0xFF, 0xFF])
    return bytes(content)


def progressive() -> bytes:
    content = io.BytesIO()
    Image.fromarray(moving_square(0)).save(content, "JPEG", progressive=True)
    return content.getvalue()


def png() -> bytes:
    content = io.BytesIO()
    Image.fromarray(moving_square(0)).save(content, "PNG")
    return content.getvalue()


def test_frames_that_are_no_jpegs_of_a_camera_are_answered_in_one_line() -> None:
    good = encode_jpeg(moving_square(0, height=90, width=160))
    damaged = good[: len(good) * 3 // 4]
    bad = {"too large": bomb(), "progressive": progressive(), "not a JPEG": png(), "damaged": damaged}
    with studio() as (address, room):
        with opened(address) as page:
            for reason, content in bad.items():
                page.send_frame(content)
                assert reason in page.until("notice")["text"]
            assert page.frame(good).shape == (90, 160, 3)
            for text in ("", "[]", '{"type": "what"}', "{" * 20_000):
                page.socket.send(text)
                assert "; " in page.until("notice")["text"]
            page.send_frame(good)
            page.socket.send(good)
            assert "not asked for" in page.until("notice")["text"]
        wait_for(lambda: room.free == 3, 5.0)


def test_a_page_that_sends_nothing_but_rubbish_is_ended() -> None:
    with studio() as (address, room), opened(address) as page:
        for _ in range(10):
            page.send_frame(b"\xff\xd8 rubbish")
        with pytest.raises(ConnectionClosed):
            page.until("next")
        wait_for(lambda: room.free == 3, 5.0)


@pytest.mark.parametrize("content", [b"", b"\xff\xd8\xff", bomb(), b"GIF89a" + bytes(100)])
def test_no_pixel_is_decoded_before_its_size_is_known(content: bytes) -> None:
    with pytest.raises(ValueError, match="; send"):
        jpeg_size(content)
