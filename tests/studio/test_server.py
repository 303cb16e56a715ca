"""The command: links, HTTPS with a generated or a given certificate, and what is refused at the start by one line."""

import hashlib
import re
import signal
import socket
import ssl
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from pipeline.studio.addresses import machine_addresses
from pipeline.studio.config import StudioConfig
from pipeline.studio.folder import open_folder
from pipeline.studio.server import END_SECONDS
from tests.support.commands import run
from tests.support.studio import StudioProcess

ADDRESSES = [address for address in machine_addresses() if ":" not in address]
Start = Callable[..., StudioProcess]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts `flowbrush studio` as a user does."""
    started: list[StudioProcess] = []

    def start(*options: str) -> StudioProcess:
        started.append(StudioProcess(tmp_path / "studio", *options))
        return started[-1]

    yield start
    for process in started:
        process.kill()


def test_on_this_machine_alone_without_encryption(start: Start) -> None:
    studio = start()
    assert studio.address.startswith("http://127.0.0.1:")
    with studio.browser() as client:
        assert "flowbrush" in client.get("/").text
        assert client.get("/api/studio").json()["styles"]
        assert f"flowbrush-{studio.port}" in client.cookies, "two studios in one browser do not replace each other's"
    assert "fingerprint" not in studio.printed
    assert studio.stop() == 0
    assert "resume" in studio.printed


@pytest.mark.skipif(not ADDRESSES, reason="this machine has no address that others reach")
def test_elsewhere_over_https_with_the_printed_certificate(start: Start, tmp_path: Path) -> None:
    studio = start("--host", "0.0.0.0")  # noqa: S104
    address = next(link for link in studio.links if ADDRESSES[0] in link)
    assert address.startswith("https://")
    trusted = ssl.create_default_context(cafile=str(tmp_path / "studio" / "certificate.pem"))
    with httpx.Client(base_url=address, verify=trusted, trust_env=False) as client:
        assert client.get("/").status_code == 401
        assert client.get("/", params={"token": studio.token}).headers["set-cookie"].endswith("Secure")
        assert client.get("/").status_code == 200
        assert client.get("/", headers={"host": "evil.example"}).status_code == 421
    served = ssl.get_server_certificate((ADDRESSES[0], studio.port))
    fingerprint = hashlib.sha256(ssl.PEM_cert_to_DER_cert(served)).hexdigest().upper()
    assert ":".join(re.findall("..", fingerprint)) in studio.printed
    assert "Proceed" in studio.printed
    with pytest.raises(httpx.HTTPError):
        httpx.get(address.replace("https:", "http:"), trust_env=False)


@pytest.mark.skipif(not ADDRESSES, reason="this machine has no address that others reach")
def test_the_certificate_and_the_link_stay_the_same(start: Start, tmp_path: Path) -> None:
    first = start("--host", ADDRESSES[0])
    content = (tmp_path / "studio" / "certificate.pem").read_bytes()
    assert first.stop() == 0
    second = start("--host", ADDRESSES[0])
    assert second.token == first.token
    assert (tmp_path / "studio" / "certificate.pem").read_bytes() == content
    second.stop()
    third = start("--host", ADDRESSES[0], "--name", "box.example", "--new-token")
    assert third.token != first.token
    assert (tmp_path / "studio" / "certificate.pem").read_bytes() != content, "it lacked a name"
    assert (tmp_path / "studio").stat().st_mode & 0o077 == 0


def test_the_streams_of_open_pages_end_with_the_studio(start: Start) -> None:
    studio = start()
    with studio.browser() as client, client.stream("GET", "/api/jobs/events") as events:
        lines = events.iter_lines()
        assert next(lines) == ": jobs"
        start_of_end = time.monotonic()
        studio.process.send_signal(signal.SIGINT)
        list(lines)
        assert time.monotonic() - start_of_end < END_SECONDS
    assert studio.process.wait(30) == 0


def test_two_studios_share_no_folder(start: Start, tmp_path: Path) -> None:
    start()
    code, _, errors = run("studio", "--port", "0", "--folder", tmp_path / "studio")
    assert code == 4
    assert "another studio" in errors
    assert errors.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "code", "text"),
    [
        (("--host", "192.0.2.77"), 1, "cannot listen there"),
        (("--host", "a/b"), 2, "is not a host"),
        (("--port", "70000"), 2, "port must be"),
        (("--name", "http://x"), 2, "is not a host"),
        (("--certificate", "x.pem"), 2, "belong together"),
        (("--certificate", "x.pem", "--key", "y.pem"), 3, "there is no such file"),
        (("--certificate", __file__, "--key", __file__), 3, "PEM chain"),
        (("--folder", "/dev/null/x"), 4, "choose another --folder"),
        (("--max-disk", "x"), 2, "amount of memory"),
    ],
)
def test_what_cannot_work_is_said_at_once(tmp_path: Path, options: tuple[str, ...], code: int, text: str) -> None:
    given = options if "--folder" in options else (*options, "--folder", str(tmp_path / "folder"))
    port = () if "--port" in options else ("--port", "0")
    exit_code, _, errors = run("studio", *port, *given)
    assert (exit_code, errors.count("\n")) == (code, 1)
    assert text in errors


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, _, errors = run("studio", "--port", str(port), "--folder", tmp_path / "folder")
    assert (code, errors.count("\n")) == (1, 1)
    assert f"port {port}" in errors


def test_without_the_extra_its_name_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fastapi", None)
    code, _, errors = run("studio")
    assert (code, errors) == (1, 'flowbrush: studio needs FastAPI and aiortc; pip install "flowbrush[studio]"\n')


def test_a_folder_of_others_is_refused(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    code, _, errors = run("studio", "--port", "0", "--folder", tmp_path / "open")
    assert code == 4
    assert "others can write to it" in errors


def test_sigterm_ends_it_too(start: Start) -> None:
    assert start().stop(signal.SIGTERM) == 0


def test_results_lie_where_the_user_keeps_things(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in the cache, which may be deleted at any time."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    root = open_folder(StudioConfig())
    assert root == tmp_path / "data" / "flowbrush" / "studio"
    assert root.stat().st_mode & 0o077 == 0
