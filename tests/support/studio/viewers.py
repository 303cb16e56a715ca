"""Pages of the studio without a browser: one over WebRTC, with aiortc as the client."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription, VideoStreamTrack
from aiortc.mediastreams import MediaStreamError
from av import VideoFrame

from pipeline.config import StylizeConfig
from pipeline.frames import Pixels
from pipeline.studio.live.room import LiveRoom
from tests.support.media import moving_square

EAGER = StylizeConfig(style="great-wave", engine="eager", device="cpu", precision="fp32", threads=1)
HEIGHT, WIDTH = 90, 160


@contextlib.asynccontextmanager
async def open_room(most: int | None = 4, **changes: Any) -> AsyncIterator[LiveRoom]:
    """A room with an eager network, in this event loop."""
    room = LiveRoom(EAGER, most=most, **changes)
    room.start()
    await room.ready()
    try:
        yield room
    finally:
        await room.close()


class SquareTrack(VideoStreamTrack):
    """A moving square at 30 fps, from the camera of the fake page."""

    def __init__(self, height: int = HEIGHT, width: int = WIDTH) -> None:
        super().__init__()
        self._size, self._count = (height, width), 0

    async def recv(self) -> VideoFrame:
        pts, time_base = await self.next_timestamp()
        height, width = self._size
        frame = VideoFrame.from_ndarray(moving_square(self._count % 20, height=height, width=width), format="rgb24")
        frame.pts, frame.time_base = pts, time_base
        self._count += 1
        return frame


class Page:
    """A page over WebRTC.

    Args:
        track: of its camera.
        label: of its data channel.
    """

    def __init__(self, track: MediaStreamTrack | None = None, *, label: str = "studio") -> None:
        self.peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.messages: list[dict[str, Any]] = []
        self.newest: Pixels | None = None
        self.count = 0
        self._reading: asyncio.Task[None] | None = None
        self.channel = self.peer.createDataChannel(label)
        self.channel.add_listener("message", lambda text: self.messages.append(json.loads(text)))
        self.peer.add_listener("track", self._on_track)
        self.peer.addTrack(track or SquareTrack())

    async def offer(self) -> dict[str, str]:
        await self.peer.setLocalDescription(await self.peer.createOffer())
        return {"sdp": self.peer.localDescription.sdp, "type": self.peer.localDescription.type}

    async def accept(self, answer: dict[str, str]) -> None:
        await self.peer.setRemoteDescription(RTCSessionDescription(answer["sdp"], answer["type"]))

    def send(self, **message: Any) -> None:
        self.channel.send(json.dumps(message))

    async def frames(self, count: int, seconds: float = 20.0) -> Pixels:
        """Wait for ``count`` more frames, and return the last one."""
        goal = self.count + count
        await until(lambda: self.count >= goal, seconds)
        assert self.newest is not None
        return self.newest

    async def differs_from(self, other: Pixels, levels: float = 12.0) -> Pixels:
        """Wait for a frame that differs from another one, and return it."""
        await until(lambda: self.newest is not None and difference(self.newest, other) > levels)
        return await self.frames(1)

    async def message(self, kind: str, seconds: float = 10.0) -> dict[str, Any]:
        """Wait for the newest message of this kind."""
        await until(lambda: any(message["type"] == kind for message in self.messages), seconds)
        return [message for message in self.messages if message["type"] == kind][-1]

    async def close(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
        await self.peer.close()

    def _on_track(self, track: MediaStreamTrack) -> None:
        self._reading = asyncio.ensure_future(self._read(track))

    async def _read(self, track: MediaStreamTrack) -> None:
        with contextlib.suppress(MediaStreamError):  # the end
            while True:
                frame = await track.recv()
                assert isinstance(frame, VideoFrame)
                self.newest = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
                self.count += 1


async def until(condition: Any, seconds: float = 20.0) -> None:
    """Wait until ``condition`` is true; fail after ``seconds``."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        await asyncio.sleep(0.01)


def difference(first: Pixels, second: Pixels) -> float:
    """Mean difference of two frames, in levels."""
    return float(np.abs(first.astype(int) - second.astype(int)).mean())


def style(name: str, weight: float = 1.0) -> list[dict[str, Any]]:
    """The styles of settings with one style."""
    return [{"name": name, "weight": weight}]
