"""The process that renders one job, as ``flowbrush video`` does; started by `pipeline.studio.render.renderer`.

It takes one message with ``source``, ``target``, ``name``, ``settings``, ``files`` (the weight files of styles that are
not bundled, by name), ``device`` and ``engine``, and sends
``frames`` with ``total`` and ``fps`` now and then, ``notice``, and at the end ``done`` or ``error``. When it is killed,
the next one resumes after the segments that it has finished.
"""

import logging
import time
from collections.abc import Mapping
from typing import Any

from pipeline.config import StylizeConfig, VideoConfig
from pipeline.errors import PipelineError, first_line
from pipeline.progress import Progress
from pipeline.run import stylize_video
from pipeline.studio.answers import line_of
from pipeline.studio.render.processes.parent import Parent
from pipeline.studio.settings import read_settings
from pipeline.stylize.style import bundled_styles

logger = logging.getLogger(__name__)

# Live viewers get three quarters of the cores where both want all of them.
NICENESS = 5
PROGRESS_SECONDS = 0.25


class Report:
    """Sends what pages show of a render to the studio: its progress a few times a second, and no path of this machine.

    Args:
        parent: the studio.
        order: what is rendered.
    """

    def __init__(self, parent: Parent, order: Mapping[str, Any]) -> None:
        self._parent = parent
        styles = {file: "the style of the picture" for file in order["files"].values()}
        self._names = {order["target"]: "the result", order["source"]: order["name"], **styles}
        self._next = 0.0

    def frames(self, state: Progress) -> None:
        """Send the progress, if some time has gone by."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + PROGRESS_SECONDS
            self._parent.send({"frames": state.frames, "total": state.total, "fps": state.fps})

    def note(self, line: str) -> None:
        """Send a notice."""
        self._parent.send({"notice": self._without_paths(line)})

    def fail(self, line: str) -> None:
        """Send why the render failed."""
        self._parent.send({"error": self._without_paths(line)})

    def _without_paths(self, line: str) -> str:
        for path, name in self._names.items():
            line = line.replace(path, name)
        return line


def config_of(order: Mapping[str, Any]) -> VideoConfig:
    """Return what an order means.

    Raises:
        ValueError: the settings are not those of a viewer.
    """
    files = order["files"]
    settings = read_settings(order["settings"], [*(style.name for style in bundled_styles()), *files]).located(files)
    base = StylizeConfig(style=settings.spec, device=order["device"], engine=order["engine"])
    return VideoConfig(source=order["source"], target=order["target"], stylize=settings.stylize_config(base))


def main() -> None:
    """Render what the studio orders."""
    parent = Parent(NICENESS)
    order = parent.receive()
    report = Report(parent, order)
    try:
        summary = stylize_video(config_of(order), progress=report.frames, notify=report.note)
        parent.send({"done": True, "frames": summary.frames, "total": summary.frames, "fps": summary.fps})
    except (PipelineError, ValueError) as error:
        report.fail(line_of(error, order["name"]))
    except Exception as error:
        logger.exception("%s", order["name"])
        report.fail(f"{order['name']}: {type(error).__name__}: {first_line(error)}")


if __name__ == "__main__":
    main()
