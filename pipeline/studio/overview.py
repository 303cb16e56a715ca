"""What the page shows first: the styles, and what this machine can do."""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Response
from starlette.responses import JSONResponse

from models.registry import BUNDLED, StyleMetadata
from pipeline.studio.answers import RequestError
from pipeline.studio.config import StudioConfig
from pipeline.stylize.style import bundled_styles
from pipeline.system.files.atomic import write_atomically
from pipeline.system.files.reading import file_signature, read_own
from pipeline.system.folders import cache_folder, make_private

# The page starts with it.
FIRST_STYLE = "great-wave"
_MOST_THUMBNAIL_BYTES = 2**20
_DRAWN = "drawn by code"
_UNKNOWN = ("not known", "painter not verified")

Live = Callable[[], Mapping[str, Any]]
"""Returns free and most viewers, engine and device: ``{"live": {"free", "most"}, "engine", "device"}``."""


class Thumbnails:
    """A frame in each style, drawn once and kept in the cache folder.

    Args:
        draw: returns the thumbnail of a style as JPEG.
    """

    def __init__(self, draw: Callable[[str], Awaitable[bytes]]) -> None:
        self._draw = draw
        self._folder: Path | None = None
        with suppress(OSError):  # without a cache they are drawn each time
            folder = cache_folder() / "thumbnails"
            make_private(folder)
            self._folder = folder

    async def get(self, style: str) -> bytes:
        """Return the thumbnail of a style as JPEG.

        Raises:
            RequestError: it cannot be drawn.
        """
        file = f"{style}-{_weights_digest()}.jpg"
        if self._folder is None:
            return await self._draw(style)
        with suppress(OSError):
            return read_own(str(self._folder), file, most_bytes=_MOST_THUMBNAIL_BYTES)
        content = await self._draw(style)
        with suppress(OSError):
            write_atomically(str(self._folder / file), content)
        return content

    async def draw_all(self) -> None:
        """Draw those that are missing, in the order of the gallery; what fails is tried again when it is asked for."""
        for name in style_names():
            with suppress(RequestError):
                await self.get(name)


def router(config: StudioConfig, version: str, live: Live, thumbnails: Thumbnails) -> APIRouter:
    """Return the routes of the overview and of the thumbnails.

    Args:
        config: of the studio.
        version: of flowbrush.
        live: what live viewers can have.
        thumbnails: of the styles.
    """
    routes = APIRouter(prefix="/api")

    @routes.get("/studio")
    async def overview() -> Response:
        styles = [_entry(style) for style in _gallery()]
        facts = {"version": version, "styles": styles, "upload_bytes": config.upload_bytes, **live()}
        return JSONResponse(facts)

    @routes.get("/styles/{name}.jpg")
    async def thumbnail(name: str) -> Response:
        if name not in style_names():
            raise RequestError(404, "there is no such style; reload the page")
        headers = {"Cache-Control": "private, max-age=86400"}
        return Response(await thumbnails.get(name), media_type="image/jpeg", headers=headers)

    return routes


@cache
def style_names() -> tuple[str, ...]:
    """Return the names of the styles in the order of the gallery."""
    return tuple(style.name for style in _gallery())


@cache
def _gallery() -> tuple[StyleMetadata, ...]:
    return tuple(sorted(bundled_styles(), key=lambda style: (style.name != FIRST_STYLE, style.name)))


def _entry(style: StyleMetadata) -> dict[str, str]:
    title = style.painting.partition(" (")[0] or style.name
    facts = [style.painter, style.year]
    if style.painter == _DRAWN:  # nobody knows a drawing by its title
        title, facts = style.name.capitalize(), [title, *facts]
    source = ", ".join(text for text in facts if text and text not in _UNKNOWN)
    url = f"/api/styles/{style.name}.jpg?v={_weights_digest()}"
    return {"name": style.name, "title": title, "thumbnail": url, "source": source}


@cache
def _weights_digest() -> str:
    """Differs when the bundled weights do."""
    files = sorted(BUNDLED.glob("*.safetensors"))
    facts = repr([(path.name, file_signature(str(path))) for path in files])
    return hashlib.sha256(facts.encode()).hexdigest()[:12]
