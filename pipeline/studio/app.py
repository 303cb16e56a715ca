"""The application: which module answers which request."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from pipeline.errors import PipelineError
from pipeline.studio import pages
from pipeline.studio.answers import RequestError, error_response, line_of
from pipeline.studio.config import StudioConfig
from pipeline.studio.guard import Guard

logger = logging.getLogger(__name__)


def make_app(config: StudioConfig, token: str) -> FastAPI:
    """Return the application.

    Args:
        config: of the studio.
        token: in the link, exchanged for a cookie.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield

    # No pages of its own: those of FastAPI's documentation load scripts from elsewhere.
    app = FastAPI(title="flowbrush studio", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(pages.router(config))
    app.add_middleware(Guard, config=config, token=token)
    _handle_errors(app)
    return app


def _handle_errors(app: FastAPI) -> None:
    """Answer each error by one line; only a bug is logged with its traceback."""

    @app.exception_handler(RequestError)
    async def refused(request: Request, error: RequestError) -> Response:
        return error_response(error.status, error.message)

    @app.exception_handler(HTTPException)
    async def not_routed(request: Request, error: HTTPException) -> Response:
        return error_response(error.status_code, f"{request.url.path}: {error.detail}; reload the page")

    @app.exception_handler(PipelineError)
    async def failed(request: Request, error: PipelineError) -> Response:
        return error_response(422, line_of(error))

    @app.exception_handler(Exception)
    async def broken(request: Request, error: Exception) -> Response:
        return error_response(500, "the studio failed at this; its terminal shows why")
