"""The addresses of live sessions."""

from fastapi import APIRouter, Request, WebSocket

from pipeline.studio.answers import RequestError
from pipeline.studio.live.room import LiveRoom
from pipeline.studio.live.socket import serve_socket
from pipeline.studio.live.webrtc import answer_offer
from pipeline.studio.settings import parse_json

# A session description of a browser with many addresses has 15 kB.
MOST_OFFER = 65_536


def live_router(room: LiveRoom) -> APIRouter:
    """Return the routes of live sessions in ``room``."""
    router = APIRouter(prefix="/api/live")

    @router.post("/offer")
    async def offer(request: Request) -> dict[str, str]:
        try:
            message = parse_json(await request.body(), most=MOST_OFFER)
        except ValueError as error:
            raise RequestError(400, str(error)) from error
        return await answer_offer(room, message)

    @router.delete("/{viewer}", status_code=204)
    async def leave(viewer: str) -> None:
        await room.end(viewer)

    @router.websocket("/socket")
    async def socket(websocket: WebSocket) -> None:
        await serve_socket(websocket, room)

    return router
