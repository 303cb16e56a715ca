"""What the page asks for about pictures that become styles."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import APIRouter, Request, Response
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse

from pipeline.studio.live.room import LiveRoom
from pipeline.studio.pictures.styles import MOST_BYTES, PictureStyles
from pipeline.studio.render.routes import LOOK_SECONDS, RenderRoom, content_length
from pipeline.studio.render.stills import UNWANTED, Stills


class PictureRoom:
    """Gives styles of pictures to live viewers and jobs, and deletes those that neither needs.

    Args:
        styles: the styles.
        render: clips and jobs.
        live: the viewers.
    """

    def __init__(self, styles: PictureStyles, render: RenderRoom, live: LiveRoom) -> None:
        self._render, self._live = render, live
        self.styles = styles

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Context in which styles that nobody needs are deleted."""
        tidying = asyncio.create_task(self._tidy())
        try:
            yield
        finally:
            tidying.cancel()

    async def add(self, name: str, size: int | None, body: AsyncIterator[bytes]) -> dict[str, object]:
        """Make a style of a picture that arrives; return what the page shows. See `PictureStyles.receive`.

        Raises:
            RequestError: it cannot become a style.
        """
        style, note = await self.styles.receive(name, size, body)
        self._live.add_style(style.style, self.styles.files([style.style])[style.style])
        return {**style.as_json(), "note": note}

    def remove(self, picture: str) -> None:
        """Take a style from the list, and delete it unless a job or a viewer needs it.

        Raises:
            RequestError: there is no such style.
        """
        self.styles.hide(picture)
        self.remove_unneeded()

    def remove_unneeded(self) -> None:
        """Delete the styles that are neither listed nor needed."""
        for name in self.styles.remove_unneeded(self._render.runner.needed_styles() | self._live.used_styles):
            self._live.remove_style(name)

    async def _tidy(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self.remove_unneeded()


def router(room: PictureRoom, stills: Stills) -> APIRouter:
    """Return the routes of pictures.

    Args:
        room: the styles.
        stills: prepared for the next picture when a page asks for the list.
    """
    routes = APIRouter(prefix="/api/pictures")
    preparing: set[asyncio.Task[None]] = set()

    @routes.get("")
    async def pictures() -> Response:
        if not preparing:  # once is enough
            preparing.add(asyncio.create_task(stills.prepare()))
        listed = [style.as_json() for style in room.styles.listed()]
        return JSONResponse({"pictures": listed, "picture_bytes": MOST_BYTES})

    @routes.post("")
    async def add(request: Request, name: str = "picture") -> Response:
        try:
            return JSONResponse(await room.add(name, content_length(request), request.stream()), 201)
        except ClientDisconnect:
            return Response(status_code=UNWANTED)

    @routes.delete("/{picture}")
    async def remove(picture: str) -> Response:
        room.remove(picture)
        return JSONResponse({})

    @routes.get("/{picture}/thumbnail.jpg")
    async def thumbnail(picture: str) -> Response:
        headers = {"Cache-Control": "private, max-age=86400"}
        return Response(room.styles.thumbnail(picture), media_type="image/jpeg", headers=headers)

    return routes
