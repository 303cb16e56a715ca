"""Run the studio in a thread, and speak to it as a browser does."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from pipeline.studio.app import make_app
from pipeline.studio.config import StudioConfig
from pipeline.studio.folder import open_folder

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


@contextmanager
def studio(folder: Path, **options: Any) -> Iterator[httpx.Client]:
    """Run a studio with the eager engine in a thread, and yield a client that has opened its link."""
    config = StudioConfig(folder=folder, engine="eager", **options)
    app = make_app(config, LINK_TOKEN, open_folder(config))
    with serving(app) as address, browser(address) as client:
        yield client


def upload(client: httpx.Client, clip: Path, name: str | None = None) -> dict[str, Any]:
    """Upload a clip, and return what the studio says about it."""
    answer = client.post("/api/uploads", params={"name": name or clip.name}, content=clip.read_bytes())
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def order(client: httpx.Client, upload_id: str, *, container: str = "mp4", **settings: Any) -> dict[str, Any]:
    """Order a render, and return the job."""
    settings = {"styles": [{"name": "starry-night"}], "stability": "none", **settings}
    answer = client.post("/api/jobs", json={"upload": upload_id, "settings": settings, "container": container})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def wait_for(client: httpx.Client, job: str, *states: str, frames: int = 0, seconds: float = 90) -> dict[str, Any]:
    """Wait until a job is in one of ``states`` and has so many ``frames``, and return it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        now = client.get(f"/api/jobs/{job}").json()
        if now["state"] in states and now["frames_done"] >= frames:
            return dict(now)
        assert now["state"] not in {"done", "failed", "cancelled"} - set(states), now
        time.sleep(0.05)
    raise AssertionError(f"{now} after {seconds} s")
