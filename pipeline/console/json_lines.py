"""Events of a batch as JSON lines on standard output."""

import json
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from pipeline.console.terminal import say

if TYPE_CHECKING:
    from pipeline.batch.events import Event


class JsonLines:
    """Prints each event it is called with as a JSON object.

    If printing fails, because the reader has gone or the disk is full, a note says so, and the batch continues.
    """

    def __init__(self) -> None:
        self._is_broken = False

    def __call__(self, event: "Event") -> None:
        """Print ``event``."""
        from pipeline.batch.events import as_json

        if self._is_broken:
            return
        try:
            print(json.dumps(as_json(event)), flush=True)
        except OSError as error:
            self._is_broken = True
            with suppress(OSError):  # what is buffered would fail again when the process ends
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            say(f"note: events are no longer printed ({error.strerror}); the batch continues")
