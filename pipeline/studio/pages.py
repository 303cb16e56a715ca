"""The page and its files."""

from importlib.resources import files

from fastapi import APIRouter, Response

from pipeline.studio.answers import RequestError

PAGE = "pipeline.studio.page"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".webmanifest": "application/manifest+json",
}
"""Media types by the ending of a file's name; files with other endings are not served."""


def router() -> APIRouter:
    """Return the routes of the page and its files."""
    routes = APIRouter()

    @routes.get("/")
    async def index() -> Response:
        return _file("index.html")

    @routes.get("/page/{name}")
    async def file(name: str) -> Response:
        return _file(name)

    return routes


def _file(name: str) -> Response:
    """Return a file of the page.

    Raises:
        RequestError: there is no such file.
    """
    kind = TYPES.get(name[name.rfind(".") :])
    path = files(PAGE) / name
    if kind is None or "/" in name or "\\" in name or not path.is_file():
        raise RequestError(404, "the page has no such file; reload the page")
    return Response(path.read_bytes(), media_type=kind, headers={"Cache-Control": "no-cache"})
