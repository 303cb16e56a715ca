"""What the page shows first: the styles, and what this machine can do."""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Response
from starlette.responses import JSONResponse

from models.registry import BUNDLED, StyleMetadata
from pipeline.studio.answers import RequestError
from pipeline.studio.config import StudioConfig
from pipeline.stylize.style import bundled_styles
from pipeline.system.files import file_signature, read_own, write_atomically

_MOST_THUMBNAIL_BYTES = 2**20

Live = Callable[[], Mapping[str, Any]]
"""Returns free and most viewers, engine and device: ``{"live": {"free", "most"}, "engine", "device"}``."""


def router(
    config: StudioConfig, version: str, live: Live, draw: Callable[[str], Awaitable[bytes]], folder: Path
) -> APIRouter:
    """Return the routes of the overview and of the thumbnails.

    Args:
        config: of the studio.
        version: of flowbrush.
        live: what live viewers can have.
        draw: returns a thumbnail of a style as JPEG.
        folder: where thumbnails are kept, private.
    """
    routes = APIRouter(prefix="/api")

    @routes.get("/studio")
    async def overview() -> Response:
        styles = [_entry(style) for style in bundled_styles()]
        facts = {"version": version, "styles": styles, "upload_bytes": config.upload_bytes, **live()}
        return JSONResponse(facts)

    @routes.get("/styles/{name}.jpg")
    async def thumbnail(name: str) -> Response:
        if name not in style_names():
            raise RequestError(404, "there is no such style; reload the page")
        file = f"{name}-{_weights_digest()}.jpg"
        try:
            content = read_own(str(folder), file, most_bytes=_MOST_THUMBNAIL_BYTES)
        except OSError:
            content = await draw(name)
            write_atomically(str(folder / file), content)
        return Response(content, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=86400"})

    return routes


@cache
def style_names() -> tuple[str, ...]:
    """Return the names of the styles in the order of the gallery."""
    return tuple(style.name for style in bundled_styles())


def _entry(style: StyleMetadata) -> dict[str, str]:
    title = style.painting or style.name
    source = ", ".join(text for text in (style.painter, style.year) if text)
    url = f"/api/styles/{style.name}.jpg?v={_weights_digest()}"
    return {"name": style.name, "title": title, "thumbnail": url, "source": source}


@cache
def _weights_digest() -> str:
    """Differs when the bundled weights do."""
    files = sorted(BUNDLED.glob("*.safetensors"))
    facts = repr([(path.name, file_signature(str(path))) for path in files])
    return hashlib.sha256(facts.encode()).hexdigest()[:12]
