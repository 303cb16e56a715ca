"""The application: which module answers which request."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from pipeline.config import StylizeConfig
from pipeline.errors import PipelineError
from pipeline.studio import overview, pages
from pipeline.studio.answers import RequestError, error_response, line_of
from pipeline.studio.config import StudioConfig
from pipeline.studio.guard import Guard
from pipeline.studio.live.room import LiveRoom
from pipeline.studio.live.routes import live_router
from pipeline.studio.overview import Thumbnails
from pipeline.studio.pictures import routes as picture_routes
from pipeline.studio.pictures.routes import PictureRoom
from pipeline.studio.render import routes as render_routes
from pipeline.studio.render.routes import RenderRoom


def make_app(config: StudioConfig, token: str, root: Path) -> FastAPI:
    """Return the application.

    Args:
        config: of the studio.
        token: in the link, exchanged for a cookie.
        root: the studio's folder, see `pipeline.studio.folder`.

    Raises:
        StyleError: the bundled styles are missing.
    """
    render = RenderRoom(config, root)
    thumbnails = Thumbnails(render.stills.thumbnail)
    live = LiveRoom(
        StylizeConfig(style=overview.style_names()[0], engine=config.engine, device=config.device),
        most=config.viewers,
        pictures=render.pictures.files(render.pictures.names()),
    )
    pictures = PictureRoom(render.pictures, render, live)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        # Without viewers, torch and the network are not loaded.
        async with render.open(), live.open() if config.viewers != 0 else nullcontext(), pictures.open():
            drawing = asyncio.create_task(thumbnails.draw_all())
            yield
            drawing.cancel()

    def stop() -> None:
        render.events.close()
        live.stop()

    # No pages of its own: those of FastAPI's documentation load scripts from elsewhere.
    app = FastAPI(title="flowbrush studio", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.stop = stop  # called before the server waits for open connections to end
    app.include_router(pages.router())
    app.include_router(overview.router(config, _version(), lambda: live.facts, thumbnails))
    app.include_router(render_routes.router(render, lambda: [*overview.style_names(), *render.pictures.names()]))
    app.include_router(picture_routes.router(pictures, render.stills))
    app.include_router(live_router(live, is_local=config.is_local))
    app.add_middleware(Guard, config=config, token=token)
    _handle_errors(app)
    return app


def _version() -> str:
    try:
        return version("flowbrush")
    except PackageNotFoundError:
        return ""


def _handle_errors(app: FastAPI) -> None:
    """Answer each error by one line; only a bug is logged with its traceback."""

    @app.exception_handler(RequestError)
    async def refused(request: Request, error: RequestError) -> Response:
        return error_response(error.status, error.message)

    @app.exception_handler(HTTPException)
    async def not_routed(request: Request, error: HTTPException) -> Response:
        return error_response(error.status_code, f"{request.url.path[:100]}: {error.detail}; reload the page")

    @app.exception_handler(RequestValidationError)
    async def malformed(request: Request, error: RequestValidationError) -> Response:
        return error_response(400, f"{request.url.path[:100]}: something is missing in the request; reload the page")

    @app.exception_handler(PipelineError)
    async def failed(request: Request, error: PipelineError) -> Response:
        return error_response(422, line_of(error))

    @app.exception_handler(Exception)
    async def broken(request: Request, error: Exception) -> Response:
        return error_response(500, "the studio failed at this; its terminal shows why")
