"""The addresses of live sessions."""

import logging

from fastapi import APIRouter, Request, WebSocket

from pipeline.studio.answers import answering
from pipeline.studio.live.aiortc_changes import stay_on_loopback, why_not
from pipeline.studio.live.room import LiveRoom
from pipeline.studio.live.socket import serve_socket
from pipeline.studio.live.webrtc import answer_offer
from pipeline.studio.settings import parse_json

logger = logging.getLogger(__name__)

# A session description of a browser with many addresses has 15 kB.
MOST_OFFER = 65_536


def live_router(room: LiveRoom, *, is_local: bool = False) -> APIRouter:
    """Return the routes of live sessions.

    Args:
        room: that viewers are in.
        is_local: whether WebRTC opens ports for programs on this machine alone, in all of this process.
    """
    router = APIRouter(prefix="/api/live")
    if is_local:
        stay_on_loopback()
    if reason := why_not():
        logger.warning(reason)

    @router.post("/offer")
    async def offer(request: Request) -> dict[str, str]:
        with answering():
            message = parse_json(await request.body(), MOST_OFFER)
        return await answer_offer(room, message, with_names=not is_local)

    @router.delete("/{viewer}", status_code=204)
    async def leave(viewer: str) -> None:
        await room.end(viewer)

    @router.websocket("/socket")
    async def socket(websocket: WebSocket) -> None:
        await serve_socket(websocket, room)

    return router
