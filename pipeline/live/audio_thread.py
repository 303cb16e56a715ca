"""The thread that hands audio to all sinks."""

import threading
from collections.abc import Callable, Sequence

from pipeline.errors import first_line
from pipeline.live.capture.device import AudioSource
from pipeline.live.sinks.thread import SinkThread

STOP_SECONDS = 2.0


class AudioThread(threading.Thread):
    """Reads ``source`` and hands each audio frame to all sinks; if the source fails, the session continues without it.

    Args:
        source: where the audio comes from.
        sink_threads: where it goes.
        notify: called in this thread with messages for the user.
    """

    def __init__(self, source: AudioSource, sink_threads: Sequence[SinkThread], notify: Callable[[str], None]) -> None:
        super().__init__(name="audio", daemon=True)
        self._source, self._sink_threads, self._notify = source, sink_threads, notify
        self._stopping = threading.Event()

    def run(self) -> None:
        """Read until stopped."""
        try:
            while not self._stopping.is_set():
                frame = self._source.read()
                if frame is not None:
                    for sink_thread in self._sink_threads:
                        sink_thread.put_audio(frame)
        except Exception as error:  # noqa: BLE001 - the video goes on without
            self._notify(f"{first_line(error)}; continuing without audio")
        finally:
            self._source.close()

    def stop(self) -> None:
        """Stop, and wait for the end: `AudioSource.read` takes half a second at most."""
        self._stopping.set()
        if self.ident is None:
            self._source.close()
        else:
            self.join(STOP_SECONDS)
