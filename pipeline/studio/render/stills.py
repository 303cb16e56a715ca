"""Frames of clips, stylized or not, one at a time, from a process that may crash."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from pipeline.studio.answers import RequestError
from pipeline.studio.render.processes.child import Child

MODULE = "pipeline.studio.render.processes.still"
# Requests that may wait; a page asks for all thumbnails at once.
MOST_WAITING = 40
# The first answer waits for torch; opening a clip whose clock jumps reads all of it.
LONGEST_SECONDS = 60.0
# Status of an answer that nobody reads, as nginx has it.
UNWANTED = 499


# Of the style of a picture; the process that read the picture may no longer be ours.
MOST_WEIGHTS_BYTES = 8 * 2**20


class PictureAnswer(NamedTuple):
    """The style of a picture: its weight file, a frame in it as JPEG, and the size of the picture in pixels.

    ``note`` is what to know about it, one line; empty if there is nothing.
    """

    weights: bytes
    thumbnail: bytes
    width: int
    height: int
    note: str


class Stills:
    """Asks the process, which is started when it is first needed, and again after it has ended.

    Args:
        device: on which frames are stylized, as ``--device`` names it.
        module: what the process runs.
        longest_seconds: an answer may take so long; then the process is killed.
    """

    def __init__(self, device: str, *, module: str = MODULE, longest_seconds: float = LONGEST_SECONDS) -> None:
        self._device, self._module, self._longest_seconds = device, module, longest_seconds
        self._turn, self._lock = asyncio.Lock(), threading.Lock()
        self._waiting = 0
        self._child: Child | None = None
        self._is_closed = False

    async def probe(self, path: str, name: str) -> dict[str, Any]:
        """Return width, height, frames, seconds, fps and has_audio of a clip.

        Args:
            path: of the clip.
            name: for messages.

        Raises:
            RequestError: it is no clip that can be stylized.
        """
        return (await self._ask(do="probe", path=path, name=name))[0]

    async def frame(self, path: str, name: str, seconds: float) -> bytes:
        """Return a frame of a clip as JPEG.

        Raises:
            RequestError: the clip cannot be read.
        """
        return (await self._ask(do="frame", path=path, name=name, seconds=seconds))[1]

    async def preview(
        self,
        path: str,
        name: str,
        seconds: float,
        settings: Mapping[str, object],
        files: Mapping[str, str],
        is_unwanted: Callable[[], Awaitable[bool]] | None = None,
    ) -> bytes:
        """Return a stylized frame of a clip as JPEG.

        Args:
            path: of the clip.
            name: for messages.
            seconds: time of the frame.
            settings: as `pipeline.studio.settings` reads them.
            files: weight files of the styles that are not bundled, by name.
            is_unwanted: asked when it is its turn: a page that moves a slider gives up all requests but the last.

        Raises:
            RequestError: the clip cannot be read, or not stylized with these settings; or nobody wants it any more.
        """
        message = {"do": "preview", "path": path, "name": name, "seconds": seconds, "settings": settings}
        return (await self._ask(is_unwanted, **message, files=files))[1]

    async def picture(self, path: str, name: str, label: str) -> PictureAnswer:
        """Return the style of a picture.

        Args:
            path: of the picture.
            name: of its file, for messages.
            label: name of the style.

        Raises:
            RequestError: it is no picture that can be a style.
        """
        facts, body = await self._ask(do="picture", path=path, name=name, label=label)
        with suppress(KeyError, TypeError, ValueError):
            count = int(facts["weights"])
            if 0 < count <= min(MOST_WEIGHTS_BYTES, len(body)):
                size = int(facts["width"]), int(facts["height"])
                return PictureAnswer(body[:count], body[count:], *size, str(facts["note"])[:200])
        raise RequestError(422, f"{name}: cannot be read (it confused the decoder); convert it first")

    async def prepare(self) -> None:
        """Start the process and load what pictures need, so that the first one does not wait for it."""
        with suppress(RequestError):
            await self._ask(do="prepare", name="the predictor")

    async def thumbnail(self, style: str) -> bytes:
        """Return a frame of a sample clip in a style as JPEG.

        Raises:
            RequestError: the style cannot be used.
        """
        return (await self._ask(do="thumbnail", name=style, settings={"styles": [{"name": style}]}))[1]

    def close(self) -> None:
        """End the process, whatever it is doing."""
        self._is_closed = True
        child = self._child
        if child is not None:
            child.kill()
        with self._lock:  # whoever waits for an answer gets none
            self._end_child()

    async def _ask(
        self, is_unwanted: Callable[[], Awaitable[bool]] | None = None, **message: object
    ) -> tuple[dict[str, Any], bytes]:
        if self._waiting >= MOST_WAITING:
            raise RequestError(503, "too many frames are asked for at once; try again in a few seconds")
        self._waiting += 1
        try:
            async with self._turn:
                if is_unwanted is not None and await is_unwanted():
                    raise RequestError(UNWANTED, "the frame is no longer wanted; ask again")
                answer, body = await asyncio.to_thread(self._answer, message)
        finally:
            self._waiting -= 1
        if "error" in answer:
            raise RequestError(422, answer["error"])
        return answer, body

    def _answer(self, message: dict[str, object]) -> tuple[dict[str, Any], bytes]:
        with self._lock:  # a request that was given up still waits for its answer, which the next one would get
            return self._exchange(message)

    def _exchange(self, message: dict[str, object]) -> tuple[dict[str, Any], bytes]:
        if self._is_closed:
            raise RequestError(503, "the studio is ending; start it again")
        if self._child is None or not self._child.is_alive:
            self._end_child()
            try:
                self._child = Child(self._module)
            except OSError as error:
                raise RequestError(503, f"no process can be started ({error.strerror}); try again later") from error
            if self._is_closed:  # meanwhile
                self._child.kill()
            self._child.send(device=self._device)
        child = self._child
        watch = threading.Timer(self._longest_seconds, child.kill)
        watch.start()
        try:
            child.send(**message)
            answer = child.receive()
        finally:
            watch.cancel()
        if answer is None:
            self._end_child()
            raise RequestError(422, f"{message['name']}: cannot be read (it stopped the decoder); convert it first")
        return answer

    def _end_child(self) -> None:
        if self._child is not None:
            self._child.close()
            self._child = None
