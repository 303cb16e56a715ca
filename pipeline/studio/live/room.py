"""The room of all live viewers: who is let in, and when they leave."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

from pipeline.config import StylizeConfig
from pipeline.errors import PipelineError, first_line
from pipeline.live.stylize.live_network import LiveNetwork
from pipeline.live.stylize.modes import Mode
from pipeline.studio.live.codecs import codec_work
from pipeline.studio.live.messages import Message, notice, stats
from pipeline.studio.live.network import FIRST_SIZE, load_network, measure_capacity
from pipeline.studio.live.statistics import Newcomers
from pipeline.studio.live.turns import Turns
from pipeline.studio.live.viewer import Viewer
from pipeline.studio.settings import default_settings
from pipeline.stylize.engine.bounded_engine import BuildEngine
from pipeline.stylize.style import bundled_styles

logger = logging.getLogger(__name__)

# A viewer that sends no frame for so long is gone: its tab was closed, or its connection was lost.
SILENT_SECONDS = 15.0
# One that never sent a frame has not connected: a firewall, perhaps. Its page gives up sooner.
CONNECT_SECONDS = 10.0
WATCH_SECONDS = 1.0
# Longest wait at the end for the frame that is being stylized.
JOIN_SECONDS = 2.0


class FullError(Exception):
    """There is no place for a newcomer; the message says how many wait."""


class Connection(Protocol):
    """How a viewer is reached."""

    def send(self, message: Message) -> None:
        """Send a message, or drop it where too much waits to be sent; never waits."""

    async def close(self) -> None:
        """End the connection; may be called more than once."""


@dataclass(slots=True)
class _Place:
    viewer: Viewer
    connection: Connection | None = None
    closing: asyncio.Task[None] | None = None


class LiveRoom:
    """Lets viewers in as far as the machine can serve them; all methods are called in one event loop.

    Args:
        config: device, engine and the rest of the settings; its style is the first one of the gallery.
        notify: called with each message for the log, one line; from any thread.
        most: viewers at the same time; None measures how many the machine can serve.
        build: builds an engine; `models.engines.build.build_engine` by default.
        pictures: weight files of styles that were made of pictures, by name.

    Attributes:
        most: viewers at the same time; 0 while the network is being loaded, unless it was given.
        engine: that stylized the last frame.
        device: where the network runs; empty while it is being loaded.
    """

    def __init__(
        self,
        config: StylizeConfig,
        notify: Callable[[str], None] = logger.warning,
        *,
        most: int | None = None,
        build: BuildEngine | None = None,
        pictures: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        first = config.style
        self._bundled: tuple[str, ...] = (first, *(style.name for style in bundled_styles() if style.name != first))
        self._pictures = dict(pictures)
        self.most = most or 0
        self.device = ""
        self._config, self._notify, self._given, self._build = config, notify, most, build
        self._turns = Turns(self._load, self._on_ready, self._on_failure)
        self._places: dict[str, _Place] = {}
        self._newcomers = Newcomers()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ready: asyncio.Future[None] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._engine = "eager"

    def start(self) -> None:
        """Start to load the network; called in the event loop."""
        self._loop = asyncio.get_running_loop()
        self._ready = self._loop.create_future()
        self._turns.start()
        self._watching = self._loop.create_task(self._watch())

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Context in which viewers can come."""
        self.start()
        try:
            yield
        finally:
            await self.close()

    async def ready(self) -> None:
        """Wait until viewers can come.

        Raises:
            PipelineError: the network cannot run.
        """
        if self._given == 0:
            raise PipelineError("this studio has no places for live viewers; start it without --viewers 0")
        if self._ready is None:
            raise PipelineError("the studio is not started yet; reload the page")
        await asyncio.shield(self._ready)

    @property
    def free(self) -> int:
        """How many viewers can still come."""
        return max(self.most - len(self._places), 0)

    @property
    def facts(self) -> dict[str, Any]:
        """What the page shows: free places, engine, device; JSON."""
        return {"live": {"free": self.free, "most": self.most}, "engine": self.engine, "device": self.device}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the styles to choose from; the first is the default."""
        return (*self._bundled, *self._pictures)

    @property
    def used_styles(self) -> set[str]:
        """Names of the styles that viewers have chosen."""
        return {each.style for place in self._places.values() for each in place.viewer.settings.styles}

    def add_style(self, name: str, file: str) -> None:
        """Let viewers choose one more style, that of a picture: from the next frame on.

        Args:
            name: that no other style has.
            file: with its weights.
        """
        self._pictures[name] = file
        self._turns.change(lambda network: self._add_to(network, name, file))

    def remove_style(self, name: str) -> None:
        """Remove a style that was added; who still shows it gets the first one."""
        self._pictures.pop(name, None)
        self._turns.change(lambda network: self._remove_from(network, name))

    @property
    def waiting(self) -> int:
        """How many were turned away and try again."""
        return self._newcomers.waiting

    @property
    def engine(self) -> str:
        """Name of the engine that stylized the last frame of any viewer."""
        engines = [place.viewer.engine for place in self._places.values() if place.viewer.engine]
        self._engine = engines[-1] if engines else self._engine
        return self._engine

    async def admit(self) -> Viewer:
        """Return a new viewer.

        Raises:
            FullError: there is no place.
            PipelineError: the network cannot run.
        """
        await self.ready()
        if not self.free:
            waiting = self._newcomers.waiting
            self._newcomers.add()
            others = f", and {waiting} {'waits' if waiting == 1 else 'wait'} already" if waiting else ""
            taken = "the only place is taken" if self.most == 1 else f"all {self.most} places are taken"
            raise FullError(f"{taken}{others}; the page tries again by itself")
        self._newcomers.admit()
        viewer = Viewer(default_settings(self.names[0]), asyncio.get_running_loop(), self._turns.wake, self._notify)
        self._places[viewer.id] = _Place(viewer)
        self._turns.add(viewer)
        return viewer

    def connect(self, viewer: Viewer, connection: Connection) -> None:
        """Say how ``viewer`` is reached, and whom to close when it is to leave."""
        self._places[viewer.id].connection = connection

    def leave(self, viewer: Viewer) -> None:
        """Free the place of ``viewer``; may be called more than once."""
        if self._places.pop(viewer.id, None) is not None:
            self._turns.remove(viewer)
            viewer.close()

    async def end(self, viewer_id: str) -> None:
        """Free the place of a page that gave up, for instance because WebRTC does not get through."""
        place = self._places.get(viewer_id)
        if place is not None and place.closing is None:
            await self._close(place)

    def stop(self) -> None:
        """End all connections soon, and let nobody in any more; called in the event loop."""
        self.most = 0
        self._turns.close()
        for place in list(self._places.values()):
            self._end(place.viewer, "the studio is being stopped; start it again, then reload the page")

    async def close(self) -> None:
        """Close all connections, and end the thread."""
        if self._watching is not None:
            self._watching.cancel()
        for place in list(self._places.values()):
            await self._close(place)
        self._turns.close()
        if self._turns.is_alive():
            await asyncio.to_thread(self._turns.join, JOIN_SECONDS)
        if self._ready is not None and not self._ready.done():
            self._ready.cancel()

    def _load(self) -> LiveNetwork:
        network = load_network(self._config, self._bundled, self._notify, self._build)
        network.use_this_thread()
        self._check_open()
        most = measure_capacity(network, codec_work(), self._check_open) if self._given is None else self._given
        for engine in network.engines.fast[:1]:
            network.engines.prepare(Mode(FIRST_SIZE, engine))
        self._bundled, self.most, self.device = network.mixer.names, most, str(network.device)
        for name, file in list(self._pictures.items()):
            self._add_to(network, name, file)
        return network

    def _remove_from(self, network: LiveNetwork, name: str) -> None:
        network.mixer = network.mixer.without_style(name)

    def _add_to(self, network: LiveNetwork, name: str, file: str) -> None:
        """Add the style of a picture to the network, if it can be mixed; called in the stylize thread."""
        if name in network.mixer.names:
            return
        try:
            network.mixer = network.mixer.with_style(file, name=name)
        except PipelineError as error:
            self._notify(f"{error}; live viewers do not get this style")

    def _check_open(self) -> None:
        """Raise an error if the studio is being stopped, so that the thread ends soon."""
        if self._turns.is_closed:
            raise PipelineError("the studio is being stopped; start it again")

    def _on_ready(self, result: LiveNetwork | BaseException) -> None:
        """Tell those who wait; called in the stylize thread."""

        def tell() -> None:
            if self._ready is None or self._ready.done():
                return
            if isinstance(result, PipelineError):
                self._ready.set_exception(result)
            elif isinstance(result, BaseException):
                logger.error("the network could not be loaded", exc_info=result)
                self._ready.set_exception(PipelineError(f"the network cannot run: {first_line(result)}"))
            else:
                self._ready.set_result(None)
            self._ready.exception()  # a failure that nobody waits for is no warning

        self._call(tell)

    def _on_failure(self, viewer: Viewer, reason: str) -> None:
        """Close a viewer that cannot be stylized; called in the stylize thread."""
        viewer.failure = reason
        self._call(lambda: self._end(viewer, reason))

    def _call(self, run: Callable[[], None]) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(run)

    def _end(self, viewer: Viewer, reason: str) -> None:
        """Tell ``viewer`` why, and close its connection."""
        place = self._places.get(viewer.id)
        if place is None or place.closing is not None:
            return
        if place.connection is not None:
            place.connection.send(notice(reason))
        place.closing = asyncio.get_running_loop().create_task(self._close(place))

    async def _close(self, place: _Place) -> None:
        try:
            if place.connection is not None:
                await asyncio.wait_for(place.connection.close(), SILENT_SECONDS)
        except Exception:  # the others must not suffer
            logger.exception("a connection could not be closed")
        finally:
            self.leave(place.viewer)

    async def _watch(self) -> None:
        """Once a second, tell all viewers how fast they are, and end those that are silent."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            now = time.monotonic()
            for place in list(self._places.values()):
                limit = SILENT_SECONDS if place.viewer.has_come else CONNECT_SECONDS
                if now - place.viewer.received_at > limit:
                    self._end(place.viewer, f"no frame came for {limit:g} s, so the place was freed; start again")
                elif place.connection is not None:
                    place.connection.send(stats(place.viewer, self.waiting))
