"""Live frames over WebRTC: one video in, one video out, and a data channel, answered by aiortc."""

import asyncio
import contextlib
import json
import logging
import re
import time
from collections.abc import Mapping
from functools import partial

from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCDataChannel,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError
from aiortc.sdp import SessionDescription
from av import VideoFrame

from pipeline.errors import first_line, printable
from pipeline.studio.answers import RequestError
from pipeline.studio.live.aiortc_changes import FIRST_BITRATE, bound_decoder_queue, why_not, without_names
from pipeline.studio.live.codecs import CLOCK_RATE, check_frame_size, new_video_frame, read_video_frame
from pipeline.studio.live.messages import Message, Messages, notice
from pipeline.studio.live.room import FullError, LiveRoom
from pipeline.studio.live.viewer import MOST_FPS, ReceivedFrame, Viewer

logger = logging.getLogger(__name__)

CHANNEL = "studio"
# An offer of a browser has one candidate for each of its addresses and protocols.
MOST_CANDIDATES = 64
GATHER_SECONDS = 10.0
# A frame that comes sooner after the last one is skipped: a camera of 60 fps gets 30.
SOONEST_SECONDS = 0.75 / MOST_FPS
# Messages that wait to be sent, in bytes; more are dropped.
MOST_BUFFERED_BYTES = 65_536
_VP8 = re.compile(r"a=rtpmap:(\d+) VP8/", re.ASCII)


class StylizedTrack(MediaStreamTrack):
    """The video that goes back: the newest stylized frame, whenever the encoder has time for one.

    Args:
        viewer: whose frames these are.
    """

    kind = "video"

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self._started_at = time.monotonic()
        self._pts = -1

    async def recv(self) -> VideoFrame:
        """Return the next frame; its time is now, so that the browser shows it at once.

        Raises:
            MediaStreamError: the viewer has left.
        """
        pixels = await self._viewer.outbox.get()
        if pixels is None:
            self.stop()
            raise MediaStreamError
        self._pts = max(int((time.monotonic() - self._started_at) * CLOCK_RATE), self._pts + 1)
        return await asyncio.to_thread(new_video_frame, pixels, self._pts)


class PeerConnection:
    """One viewer over WebRTC.

    Args:
        room: that the viewer is in.
        viewer: who is on the other side.
    """

    def __init__(self, room: LiveRoom, viewer: Viewer) -> None:
        self._room, self._viewer = room, viewer
        self._messages = Messages(viewer, lambda: room.names)
        self._channel: RTCDataChannel | None = None
        self._reading: asyncio.Task[None] | None = None
        self._is_closed = False
        # No STUN server: who is asked for its public address learns that somebody opened the studio.
        self._peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._peer.add_listener("connectionstatechange", self._on_state)
        self._peer.add_listener("track", self._on_track)
        self._peer.add_listener("datachannel", self._on_channel)
        self._peer.addTrack(StylizedTrack(viewer))

    async def answer(self, offer: RTCSessionDescription) -> RTCSessionDescription:
        """Return the answer to an offer; raises whatever aiortc does for one that is malformed."""
        await self._peer.setRemoteDescription(offer)
        for transceiver in self._peer.getTransceivers():
            bound_decoder_queue(transceiver.receiver)
        await self._peer.setLocalDescription(await self._peer.createAnswer())
        local = self._peer.localDescription
        return RTCSessionDescription(_with_first_bitrate(local.sdp), local.type)

    def send(self, message: Message) -> None:
        """Send a message, or drop it where too many wait."""
        channel = self._channel
        if channel is not None and channel.readyState == "open" and channel.bufferedAmount < MOST_BUFFERED_BYTES:
            with contextlib.suppress(ConnectionError):
                channel.send(json.dumps(message))

    async def close(self) -> None:
        """End the connection, and free the viewer's place."""
        if self._is_closed:
            return
        self._is_closed = True
        self._room.leave(self._viewer)
        if self._reading is not None:
            self._reading.cancel()
        await self._peer.close()

    async def _on_state(self) -> None:
        if self._peer.connectionState in ("failed", "closed"):
            await self.close()

    def _on_track(self, track: MediaStreamTrack) -> None:
        if track.kind == "video" and self._reading is None:
            self._reading = asyncio.ensure_future(self._read(track))

    def _on_channel(self, channel: RTCDataChannel) -> None:
        if channel.label != CHANNEL or self._channel is not None:
            channel.close()
            return
        self._channel = channel
        channel.add_listener("message", self._on_message)

    def _on_message(self, text: object) -> None:
        answer = self._messages.answer(text)
        if answer is not None:
            self.send(answer)

    async def _read(self, track: MediaStreamTrack) -> None:
        """Take each frame as soon as it is decoded: aiortc's queue between is unbounded."""
        accepted_at = 0.0
        try:
            while True:
                frame = await track.recv()
                now = time.monotonic()
                if isinstance(frame, VideoFrame) and now - accepted_at >= SOONEST_SECONDS:
                    accepted_at = now
                    check_frame_size(frame.height, frame.width)
                    self._viewer.put(ReceivedFrame(frame.height, frame.width, partial(read_video_frame, frame), now))
        except MediaStreamError:
            pass
        except ValueError as error:
            self.send(notice(str(error)))
        self._reading = None
        await self.close()


async def answer_offer(room: LiveRoom, message: Mapping[str, object], *, with_names: bool = True) -> dict[str, str]:
    """Return the answer to a page's offer, JSON.

    Args:
        room: that the page wants to be in.
        message: the offer.
        with_names: whether to ask the network for the addresses of candidates that are names.

    Raises:
        RequestError: the offer is malformed, there is no place, or the installed aiortc cannot be used.
    """
    if reason := why_not():
        raise RequestError(501, reason)
    offer = _checked_offer(message)
    if not with_names:
        offer = RTCSessionDescription(without_names(offer.sdp), offer.type)
    try:
        viewer = await room.admit()
    except FullError as error:
        raise RequestError(503, str(error)) from error
    connection = PeerConnection(room, viewer)
    room.connect(viewer, connection)
    try:
        answer = await asyncio.wait_for(connection.answer(offer), GATHER_SECONDS)
    except BaseException as error:
        await connection.close()
        if isinstance(error, Exception):  # aiortc raises almost anything for a session description that is wrong
            raise _malformed(error) from error
        raise
    return {"sdp": answer.sdp, "type": answer.type, "viewer": viewer.id}


def _checked_offer(message: Mapping[str, object]) -> RTCSessionDescription:
    """Return the offer if it has what a page of ours offers.

    Raises:
        RequestError: it has not.
    """
    sdp, kind = message.get("sdp"), message.get("type")
    if not isinstance(sdp, str) or kind != "offer":
        raise RequestError(400, "the request is no offer of WebRTC; reload the page")
    try:
        media = SessionDescription.parse(sdp).media
    except Exception as error:  # whatever a parser raises for text that is not of its grammar
        raise _malformed(error) from error
    videos = [each for each in media if each.kind == "video"]
    if len(videos) != 1 or videos[0].direction != "sendrecv":
        raise RequestError(400, "the offer must send and receive one video; reload the page")
    if sorted(each.kind for each in media) not in (["video"], ["application", "video"]):
        raise RequestError(400, "the offer has more than a video and a data channel; reload the page")
    if sum(len(each.ice_candidates) for each in media) > MOST_CANDIDATES:
        raise RequestError(400, f"the offer has more than {MOST_CANDIDATES} candidates; reload the page")
    return RTCSessionDescription(sdp, "offer")


def _malformed(error: Exception) -> RequestError:
    reason = printable(first_line(error))[:120] or type(error).__name__
    return RequestError(400, f"the offer of WebRTC cannot be used ({reason}); reload the page")


def _with_first_bitrate(sdp: str) -> str:
    """Return an answer that lets Chromium start with a good picture: it begins at 0.3 Mbit/s otherwise."""
    lines = []
    for line in sdp.split("\r\n"):
        lines.append(line)
        if (codec := _VP8.match(line)) is not None:  # without parameters of its own, unlike H.264
            lines.append(f"a=fmtp:{codec[1]} x-google-start-bitrate={FIRST_BITRATE // 1000}")
    return "\r\n".join(lines)
