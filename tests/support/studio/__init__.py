"""Run the studio in a thread, and speak to it as a browser does."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from pipeline.studio.app import make_app
from pipeline.studio.config import StudioConfig
from pipeline.studio.folder import open_folder
from pipeline.studio.server import make_server
from tests.support.media import Audio, Clip, make_clip

ROOT = Path(__file__).resolve().parents[3]
LINK_TOKEN = "the-token-of-the-link"  # noqa: S105


def make_short_clip(path: Path) -> Path:
    """Make a second of video with audio."""
    audio = (Audio(seconds=Fraction(1)),)
    return make_clip(path, Clip(pts=range(0, 512 * 30, 512), width=160, height=90, audio=audio))


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """Serve ``app`` at a free port of this machine, and yield its address, without a slash at its end."""
    listener = socket.create_server(("127.0.0.1", 0))
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    server = make_server(app, None)
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
    """Run a studio with the eager engine in a thread, and yield a client that has opened its link.

    Without live viewers, unless ``options`` give some.
    """
    config = StudioConfig(folder=folder, engine="eager", **{"viewers": 0, **options})
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


def wait_for(client: httpx.Client, job: str, *states: str, frames: int = 0, seconds: float = 150) -> dict[str, Any]:
    """Wait until a job is in one of ``states`` and has so many ``frames``, and return it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        now = client.get(f"/api/jobs/{job}").json()
        if now["state"] in states and now["frames_done"] >= frames:
            return dict(now)
        assert now["state"] not in {"done", "failed", "cancelled"} - set(states), now
        time.sleep(0.05)
    raise AssertionError(f"{now} after {seconds} s")


class StudioProcess:
    """`flowbrush studio` as a user starts it, with the eager engine, at a free port.

    Args:
        folder: of the studio.
        options: further ones.
        cwd: the working folder.
        environment: variables to add.

    Attributes:
        process: that was started.
        printed: what it has printed so far.
        links: addresses that it printed, without the token.
        token: of the links.
    """

    def __init__(
        self, folder: Path, *options: str, cwd: Path = ROOT, environment: Mapping[str, str] | None = None
    ) -> None:
        command = [sys.executable, "-W", "error", str(ROOT / "cli.py"), "studio", "--port", "0", "--engine", "eager"]
        self.process = subprocess.Popen(
            [*command, "--folder", str(folder), *options],
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            cwd=cwd,
            env={**os.environ, **(environment or {})},
        )
        self.printed, self.token = "", ""
        self.links: list[str] = []
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()
        self._wait_for_link()

    @property
    def address(self) -> str:
        """The first of the addresses."""
        return self.links[0]

    @property
    def port(self) -> int:
        """At which it listens."""
        return int(self.address.rpartition(":")[2])

    def browser(self) -> AbstractContextManager[httpx.Client]:
        """Return a client that has opened the link."""
        return browser(self.address, token=self.token)

    def stop(self, number: int = signal.SIGINT, seconds: float = 40) -> int:
        """Interrupt it as Ctrl-C does; return its exit code."""
        self.process.send_signal(number)
        code = self.process.wait(seconds)
        self._listener.join()
        return code

    def kill(self) -> None:
        """Kill it, if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._listener.join()

    def _listen(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as lines:
            for line in lines:
                self.printed += line
                if found := re.search(r"(https?://\S+)/\?token=(\S+)", line):
                    self.links.append(found[1])
                    self.token = found[2]

    def _wait_for_link(self) -> None:
        """Wait until it answers."""
        end = time.monotonic() + 60
        while time.monotonic() < end and self.process.poll() is None:
            for link in list(self.links):
                host = urlsplit(link).hostname or ""
                with suppress(OSError), socket.create_connection((host, self.port), 0.2):
                    return
            time.sleep(0.02)
        self.kill()
        raise AssertionError(f"the studio did not start: {self.printed}")
