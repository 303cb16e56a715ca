"""Run the studio in a thread, and speak to it as a browser does."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import uvicorn

LINK_TOKEN = "the-token-of-the-link"  # noqa: S105


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """Serve ``app`` at a free port of this machine, and yield its address, without a slash at its end."""
    listener = socket.create_server(("127.0.0.1", 0))
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, proxy_headers=False, timeout_graceful_shutdown=3))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="studio")
    thread.start()
    try:
        while not server.started and thread.is_alive():
            time.sleep(0.005)
        yield address
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def browser(address: str, *, token: str | None = LINK_TOKEN) -> Iterator[httpx.Client]:
    """Yield a client that has opened the link, unless ``token`` is None, and sends our Origin with each request."""
    with httpx.Client(base_url=address, headers={"origin": address}, timeout=60, trust_env=False) as client:
        if token is not None:
            assert client.get("/", params={"token": token}).status_code == 303
        yield client
