"""A folder whose pictures become styles of a live session, as they appear."""

import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.config.style_spec import Dials, is_picture
from pipeline.errors import InputError, PipelineError
from pipeline.live.controls import Controls
from pipeline.stylize.picture_style import load_predictor
from pipeline.system.files.names import why_outside

if TYPE_CHECKING:
    from pipeline.live.stylize.live_network import LiveNetwork

POLL_SECONDS = 0.15
MOST_STYLES = 200
"""Of a session: each takes 1.4 MB, and a folder may belong to a program that never stops writing."""

Signature = tuple[Path, int, int]
"""Path, size and mtime of a file."""


class StyleFolder:
    """Looks at a folder in a thread of its own; each picture in it becomes a style, and each new one is shown.

    A picture is taken once it is the same in two looks, so one that is being copied is not read too early. One that
    was changed counts as new. A picture that cannot be used is reported once.

    Args:
        folder: that exists; folders in it do not count.
        dials: how styles are predicted.
        controls: get the names of the styles.
        notify: called with each message for the user, one line.

    Raises:
        InputError: there is no such folder.
        StyleError: the weights of the predictor are missing.
    """

    def __init__(self, folder: Path, dials: Dials, controls: Controls, notify: Callable[[str], None]) -> None:
        if not folder.is_dir():
            raise InputError(folder, "no such folder; create it, and put pictures into it")
        load_predictor()
        self._folder, self._dials, self._controls, self._notify = folder, dials, controls, notify
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._done: set[Signature] = set()

    def watch(self, network: "LiveNetwork") -> None:
        """Start to add styles to ``network``."""
        self._thread = threading.Thread(target=self._watch, args=(network,), name="style-folder", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Add no more styles."""
        self._stopped.set()

    def join(self) -> None:
        """Wait for the picture that is being read."""
        if self._thread is not None:
            self._thread.join()

    def _watch(self, network: "LiveNetwork") -> None:
        before = at_start = self._look()
        while not self._stopped.wait(POLL_SECONDS):
            now = self._look()
            for picture in sorted((before & now) - self._done):
                if not self._stopped.is_set():
                    self._add(picture, network, is_new=picture not in at_start)
            before = now

    def _look(self) -> set[Signature]:
        found: set[Signature] = set()
        with suppress(OSError):  # the folder was removed meanwhile
            for path in self._folder.iterdir():
                if is_picture(path.name) and not path.name.startswith("."):
                    with suppress(OSError):
                        status = path.stat()
                        found.add((path, status.st_size, status.st_mtime_ns))
        return found

    def _add(self, picture: Signature, network: "LiveNetwork", *, is_new: bool) -> None:
        self._done.add(picture)
        path, _, _ = picture
        try:
            if reason := why_outside(path, self._folder):
                raise InputError(path, reason)
            if len(network.mixer.styles) >= MOST_STYLES:
                raise InputError(path, f"left out: a session has at most {MOST_STYLES} styles")
            network.mixer = network.mixer.with_style(str(path), self._dials)  # before the controls ask for it
        except (PipelineError, OSError) as error:
            self._notify(str(error))
            return
        self._controls.add_style(str(path), is_chosen=is_new)
        if is_new:
            self._controls.show(f"new style: {path.name}")
