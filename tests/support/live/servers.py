"""Servers of this machine for tests of the network."""

import socket
import threading
from abc import ABC, abstractmethod
from contextlib import closing, suppress

from pipeline.live.capture.ffmpeg_sources import network_stream


class LocalServer(ABC):
    """Serves one connection after the other, in a thread.

    Attributes:
        port: where it listens.
    """

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def close(self) -> None:
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join(10)

    @abstractmethod
    def serve(self, connection: socket.socket) -> None:
        """Answer a client; the connection is closed afterwards."""

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            with connection, suppress(OSError):
                self.serve(connection)


def first_frame(url: str, *, insecure: bool = False) -> tuple[int, ...]:
    """Return the shape of the first frame that a server sends."""
    with closing(network_stream(url, insecure=insecure)) as device:
        device.open()
        frame = device.read()
        assert frame is not None
        return frame.pixels.shape
