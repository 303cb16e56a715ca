"""What page and server say to each other besides frames: JSON over a data channel, or as text over a WebSocket.

    the page sends      settings    see `pipeline.studio.settings`
                        ping        {"id": n}; answered by pong at once
    the server sends    stats       once a second
                        pong        {"id": n}
                        notice      {"text": ...}: what is wrong; what to do
                        full        {"text": ...}: no place for this viewer; the page tries again

A message of the page that is too long, or one of too many, is refused.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from pipeline.studio.live.viewer import Viewer
from pipeline.studio.rates import RateLimit
from pipeline.studio.settings import parse_json, read_settings

# The page sends ten settings a second at most, and a ping.
BURST, PER_SECOND = 60, 30.0
Message = Mapping[str, Any]


class Messages:
    """Does what the messages of one viewer say.

    Args:
        viewer: who sends them.
        names: returns the names of the styles to choose from.
    """

    def __init__(self, viewer: Viewer, names: Callable[[], Collection[str]]) -> None:
        self._viewer, self._names = viewer, names
        self._rate = RateLimit(BURST, PER_SECOND)

    def answer(self, text: object) -> Message | None:
        """Do what a message says; return what is to be answered, None for nothing."""
        if not self._rate.allows(""):
            return None
        try:
            return self._answer(parse_json(text if isinstance(text, str | bytes) else ""))
        except ValueError as error:
            return notice(str(error))

    def _answer(self, message: dict[str, Any]) -> Message | None:
        match message.get("type"):
            case "settings":
                self._viewer.settings = read_settings(message, self._names())
                return None
            case "ping":
                number = message.get("id")
                return {"type": "pong", "id": number if isinstance(number, int) and abs(number) < 2**53 else 0}
            case _:
                raise ValueError("there is no such message; send settings or ping")


def notice(text: str) -> Message:
    """Return what tells a viewer that something is wrong."""
    return {"type": "notice", "text": text}


def full(text: str) -> Message:
    """Return what tells a newcomer to wait."""
    return {"type": "full", "text": text}


def stats(viewer: Viewer, waiting: int) -> Message:
    """Return what a viewer is told once a second."""
    height, width = viewer.working
    return {
        "type": "stats",
        "fps": round(viewer.speed.fps, 1),
        "stylize_ms": round(viewer.speed.milliseconds, 1),
        "width": width,
        "height": height,
        "engine": viewer.engine,
        "waiting": waiting,
    }
