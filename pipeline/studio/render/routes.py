"""What the page asks for about clips: uploads, frames, jobs, results."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.requests import ClientDisconnect
from starlette.responses import FileResponse, JSONResponse, StreamingResponse

from pipeline.studio.answers import RequestError, answering
from pipeline.studio.config import StudioConfig
from pipeline.studio.guard import MOST_BODY_BYTES
from pipeline.studio.pictures.styles import PictureStyles
from pipeline.studio.render.events import Events
from pipeline.studio.render.jobs import CONTAINERS, Container, JobStore
from pipeline.studio.render.runner import Runner
from pipeline.studio.render.space import Space
from pipeline.studio.render.stills import UNWANTED, Stills
from pipeline.studio.render.uploads import Uploads
from pipeline.studio.settings import object_in, parse_json, read_settings

# How often clips that nobody needs are looked for.
LOOK_SECONDS = 60.0
_KINDS = {"mp4": "video/mp4", "mkv": "video/x-matroska", "webm": "video/webm"}
_IMMUTABLE = {"Cache-Control": "private, max-age=3600"}


class RenderRoom:
    """Everything about clips: what is uploaded, what is rendered.

    Args:
        config: of the studio.
        root: the studio's folder.

    Attributes:
        stills: single frames.
        pictures: styles that were made of pictures.
        uploads: the clips.
        store: the jobs on disk.
        runner: the jobs.
        events: tells pages about jobs.
    """

    def __init__(self, config: StudioConfig, root: Path) -> None:
        space = Space(root, config.disk_bytes)
        self.stills = Stills(config.device)
        self.pictures = PictureStyles(root / "picture-styles", space, self.stills)
        self.uploads = Uploads(root / "uploads", space, self.stills, most_bytes=config.upload_bytes)
        self.store = JobStore(root / "jobs")
        self.events = Events(self._state)
        self.runner = Runner(config, self.store, self.uploads, self.pictures, space, self.events.publish)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Context in which jobs are done."""
        self.runner.start()
        tidying = asyncio.create_task(self._tidy())
        try:
            yield
        finally:
            tidying.cancel()
            await asyncio.to_thread(self.stills.close)
            await asyncio.to_thread(self.runner.close)

    async def _tidy(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self.uploads.remove_unused(self.runner.needed_uploads())

    def _state(self, job_id: str) -> dict[str, Any] | None:
        with suppress(RequestError):
            return self.runner.find(job_id).as_json()
        return None


def router(room: RenderRoom, styles: Callable[[], Collection[str]]) -> APIRouter:
    """Return the routes of clips.

    Args:
        room: the clips and jobs.
        styles: returns the names of the styles.
    """
    routes = APIRouter(prefix="/api")
    routes.include_router(_upload_routes(room, styles))
    routes.include_router(_job_routes(room, styles))
    return routes


def _upload_routes(room: RenderRoom, styles: Callable[[], Collection[str]]) -> APIRouter:
    """Return the routes of uploaded clips and their frames."""
    routes, uploads = APIRouter(), room.uploads

    @routes.post("/uploads")
    async def upload(request: Request, name: str = "clip") -> Response:
        try:
            return JSONResponse((await uploads.receive(name, content_length(request), request.stream())).as_json(), 201)
        except ClientDisconnect:
            return Response(status_code=UNWANTED)

    @routes.delete("/uploads/{upload_id}")
    async def forget(upload_id: str) -> Response:
        if upload_id in room.runner.needed_uploads():
            raise RequestError(409, "a job needs this clip; cancel or remove the job first")
        uploads.remove(upload_id)
        return JSONResponse({})

    @routes.get("/uploads/{upload_id}/frame.jpg")
    async def frame(upload_id: str, time: str = "0") -> Response:
        clip = uploads.find(upload_id)
        return _jpeg(await room.stills.frame(uploads.path(clip), clip.name, _seconds(time)))

    @routes.get("/uploads/{upload_id}/preview.jpg")
    async def preview(request: Request, upload_id: str, settings: str, time: str = "0") -> Response:
        clip = uploads.find(upload_id)
        with answering():
            read = read_settings(parse_json(settings), styles())
        files = room.pictures.files(read.weights)
        at, gone = _seconds(time), request.is_disconnected
        await request.body()  # until it is read, the end of the connection is not seen
        return _jpeg(await room.stills.preview(uploads.path(clip), clip.name, at, read.as_json(), files, gone))

    return routes


def _job_routes(room: RenderRoom, styles: Callable[[], Collection[str]]) -> APIRouter:
    """Return the routes of jobs and their results."""
    routes, runner = APIRouter(), room.runner

    @routes.post("/jobs")
    async def add(request: Request) -> Response:
        with answering():
            order = parse_json(await request.body(), MOST_BODY_BYTES)
            settings = read_settings(object_in(order, "settings"), styles())
            container = _container(order.get("container", "mp4"))
        upload_id = order.get("upload")
        if not isinstance(upload_id, str):
            raise RequestError(400, "the order names no clip; upload one first")
        return JSONResponse(runner.add(room.uploads.find(upload_id), settings, container).as_json(), 201)

    @routes.get("/jobs")
    async def jobs() -> Response:
        return JSONResponse({"jobs": [job.as_json() for job in runner.jobs()]})

    @routes.get("/jobs/events")
    async def events() -> Response:
        return StreamingResponse(room.events.listen(), media_type="text/event-stream")

    @routes.get("/jobs/{job_id}")
    async def job(job_id: str) -> Response:
        return JSONResponse(runner.find(job_id).as_json())

    @routes.delete("/jobs/{job_id}")
    async def stop(job_id: str) -> Response:
        stopped = await asyncio.to_thread(runner.stop, job_id)
        return JSONResponse(stopped.as_json() if stopped else {"job": job_id, "state": "removed"})

    @routes.post("/jobs/{job_id}/retry")
    async def retry(job_id: str) -> Response:
        return JSONResponse((await asyncio.to_thread(runner.retry, job_id)).as_json())

    @routes.get("/jobs/{job_id}/result")
    async def result(job_id: str) -> Response:
        job = runner.find(job_id)
        path = room.store.result(job)
        if job.state != "done" or not path.is_file():
            raise RequestError(404, f"{job.name}: there is no result yet; wait until it is done")
        return FileResponse(path, media_type=_KINDS[job.container], filename=job.result_name)

    return routes


def content_length(request: Request) -> int | None:
    """Return how many bytes a request says that its body has; None if it does not."""
    length = request.headers.get("content-length", "")
    return int(length) if length.isdecimal() and len(length) < 20 else None


def _jpeg(content: bytes) -> Response:
    return Response(content, media_type="image/jpeg", headers=_IMMUTABLE)


def _seconds(text: str) -> float:
    try:
        seconds = float(text[:30])
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 1e7:
        raise RequestError(400, "the time must be a number of seconds, 0 or more")
    return seconds


def _container(given: object) -> Container:
    """Return the container that a page has chosen.

    Raises:
        ValueError: there is no such container.
    """
    for container in CONTAINERS:
        if given == container:
            return container
    raise ValueError(f"the container must be one of {', '.join(CONTAINERS)}; choose one of them")
