"""Tells pages which jobs have changed. A page that reads slowly gets the newest state; nothing queues."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from pipeline.studio.answers import RequestError

MOST_LISTENERS = 100
# A line now and then shows the server that a page has gone, and what lies between that the connection is alive.
SILENCE_SECONDS = 15.0
# At most so many messages a second for each page.
_PAUSE_SECONDS = 0.2


class Events:
    """Passes changes on to the pages that listen.

    Args:
        state: returns the state of a job by its identifier, None if it was removed.
    """

    def __init__(self, state: Callable[[str], dict[str, Any] | None]) -> None:
        self._state = state
        self._listeners: dict[asyncio.Event, set[str]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_closed = False

    def publish(self, job_id: str) -> None:
        """Note that a job has changed; from any thread."""
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._wake, job_id)

    def close(self) -> None:
        """End all streams; in the thread of the loop, or from a signal handler there."""
        self._is_closed = True
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake, None)

    def listen(self) -> AsyncIterator[bytes]:
        """Yield server-sent events: the state of each job that changes.

        Raises:
            RequestError: too many pages listen.
        """
        if len(self._listeners) >= MOST_LISTENERS:
            raise RequestError(503, f"{MOST_LISTENERS} pages listen already; close some of them")
        self._loop = asyncio.get_running_loop()
        return self._events()

    async def _events(self) -> AsyncIterator[bytes]:
        woken, changed = asyncio.Event(), set[str]()
        self._listeners[woken] = changed
        try:
            yield b": jobs\n\n"
            while not self._is_closed:
                try:
                    await asyncio.wait_for(woken.wait(), SILENCE_SECONDS)
                except TimeoutError:
                    yield b": still here\n\n"
                    continue
                woken.clear()
                now = sorted(changed)
                changed.clear()
                for job_id in now:
                    state = self._state(job_id) or {"job": job_id, "state": "removed"}
                    yield f"data: {json.dumps(state)}\n\n".encode()
                await asyncio.sleep(_PAUSE_SECONDS)
        finally:
            self._listeners.pop(woken, None)

    def _wake(self, job_id: str | None) -> None:
        for woken, changed in self._listeners.items():
            if job_id is not None:
                changed.add(job_id)
            woken.set()
