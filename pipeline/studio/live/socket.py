"""Live frames over a WebSocket, where WebRTC is blocked: the page sends a frame only when it is asked for one.

It is asked for the next frame when the turn of the last one begins: so one is on its way while another is stylized.
"""

import asyncio
import json
import time
from collections.abc import Callable, Collection
from contextlib import suppress

from fastapi import WebSocket, WebSocketDisconnect

from pipeline.errors import PipelineError
from pipeline.frames import Pixels
from pipeline.live.stylize.live_stylizer import resized
from pipeline.live.stylize.modes import Size
from pipeline.studio.live.codecs import decode_jpeg, encode_jpeg, jpeg_size
from pipeline.studio.live.messages import Message, Messages, full, notice
from pipeline.studio.live.room import FullError, LiveRoom
from pipeline.studio.live.viewer import MOST_FPS, ReceivedFrame, Viewer

# Codes of RFC 6455 and of its registry.
GOING_AWAY, TRY_AGAIN_LATER, POLICY_VIOLATION = 1001, 1013, 1008
# What sending raises when the page has closed the connection already.
GONE = (RuntimeError, OSError, WebSocketDisconnect)
# Messages that wait to be sent; more are dropped.
MOST_WAITING = 8
# Frames that cannot be read; a page that sends more is ended.
MOST_BAD_FRAMES = 10


class SocketConnection:
    """One viewer on a WebSocket.

    Args:
        socket: accepted.
        viewer: who is on the other side.
        names: returns the names of the styles to choose from.
    """

    def __init__(self, socket: WebSocket, viewer: Viewer, names: Callable[[], Collection[str]]) -> None:
        self._socket, self._viewer = socket, viewer
        self._messages = Messages(viewer, names)
        self._outgoing: asyncio.Queue[Message] = asyncio.Queue(MOST_WAITING)
        self._frames: asyncio.Queue[bytes] = asyncio.Queue(1)
        self._sending = asyncio.Lock()
        self._turn = asyncio.Event()
        self._is_asked = False
        self._bad_frames = 0
        self._task: asyncio.Task[None] | None = None

    def send(self, message: Message) -> None:
        """Send a message, or drop it where too many wait."""
        with suppress(asyncio.QueueFull):
            self._outgoing.put_nowait(message)

    async def close(self) -> None:
        """End the connection."""
        await asyncio.sleep(0)  # a notice may be sent first
        if self._task is not None:
            self._task.cancel()

    async def run(self) -> None:
        """Serve the viewer until one side ends it."""
        self._task = asyncio.current_task()
        works = (self._receive, self._send_messages, self._ask, self._send_frames)
        tasks = [asyncio.create_task(work()) for work in works]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            pass  # by `close`
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            while not self._outgoing.empty():
                with suppress(Exception):  # whoever has gone cannot be told
                    await asyncio.wait_for(self._socket.send_text(json.dumps(self._outgoing.get_nowait())), 1.0)

    async def _receive(self) -> None:
        """Read what the page sends; ends when it leaves."""
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            content = message.get("bytes")
            if content is None:
                answer = self._messages.answer(message.get("text"))
                if answer is not None:
                    self.send(answer)
            elif self._is_asked:
                self._is_asked = False
                self._frames.put_nowait(content)
            else:
                self.send(notice("a frame came that was not asked for; send one after each next"))

    async def _send_messages(self) -> None:
        while True:
            await self._send_now(await self._outgoing.get())

    async def _send_now(self, message: Message) -> None:
        async with self._sending:
            await self._socket.send_text(json.dumps(message))

    async def _ask(self) -> None:
        """Ask for a frame, wait for its turn, and so on; ends if the page sends no frames."""
        while self._bad_frames < MOST_BAD_FRAMES:
            started_at = time.monotonic()
            self._is_asked = True
            await self._send_now({"type": "next"})
            content = await self._frames.get()
            if await self._put(content):
                await self._turn.wait()
                await asyncio.sleep(max(started_at + 1 / MOST_FPS - time.monotonic(), 0))

    async def _put(self, content: bytes) -> bool:
        """Hand a frame to the viewer; return whether it is one."""
        received_at, loop = time.monotonic(), asyncio.get_running_loop()
        try:
            height, width = jpeg_size(content)
            pixels = await asyncio.to_thread(decode_jpeg, content)
        except ValueError as error:
            self._bad_frames += 1
            await self._send_now(notice(str(error)))
            return False

        def read(size: Size) -> Pixels:
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(self._turn.set)
            return resized(pixels, size)

        self._turn.clear()
        self._viewer.put(ReceivedFrame(height, width, read, received_at))
        return True

    async def _send_frames(self) -> None:
        """Send each stylized frame; ends when the viewer has left."""
        while (pixels := await self._viewer.outbox.get()) is not None:
            encoded = await asyncio.to_thread(encode_jpeg, pixels)
            async with self._sending:
                await self._socket.send_bytes(encoded)


async def serve_socket(socket: WebSocket, room: LiveRoom) -> None:
    """Serve one page over a WebSocket, from its first to its last message."""
    await socket.accept()
    try:
        viewer = await room.admit()
    except (FullError, PipelineError) as error:
        message = full(str(error)) if isinstance(error, FullError) else notice(str(error))
        with suppress(*GONE):
            await socket.send_text(json.dumps(message))
            await socket.close(TRY_AGAIN_LATER)
        return
    connection = SocketConnection(socket, viewer, lambda: room.names)
    room.connect(viewer, connection)
    try:
        await connection.run()
    finally:
        room.leave(viewer)
        with suppress(*GONE):
            await socket.close(GOING_AWAY)
