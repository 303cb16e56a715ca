"""What goes wrong at one place stops nothing elsewhere: tabs, processes, the disk."""

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from pipeline.studio.answers import RequestError
from pipeline.studio.render.stills import MOST_WAITING, Stills
from pipeline.studio.render.uploads import MOST_AT_ONCE
from tests.support.media import Clip, make_clip
from tests.support.planted import PlantedModules
from tests.support.studio import StudioProcess, make_short_clip, order, studio, upload, wait_for
from tests.support.studio.asynchronous import run_async

TABS = 50
PREVIEW = {"settings": '{"styles": [{"name": "starry-night"}]}'}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip whose render takes a while."""
    return make_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", Clip(pts=range(0, 512 * 2000, 512)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("studio") / "folder"


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[httpx.Client]:
    with studio(folder, max_disk=2**23) as client:
        yield client


def until(is_so: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.05)


def children(name: str) -> list[psutil.Process]:
    """Return the processes of the studio in this process that run a module."""
    return [each for each in psutil.Process().children() if any(name in part for part in each.cmdline())]


def test_tabs_that_open_and_close_leave_nothing(tmp_path: Path) -> None:
    running = StudioProcess(tmp_path / "studio", "--viewers", "0")
    try:
        with running.browser() as client:
            process = psutil.Process(running.process.pid)
            parts = urlsplit(running.address)
            cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
            request = f"GET /api/jobs/events HTTP/1.1\r\nHost: {parts.netloc}\r\nCookie: {cookie}\r\n\r\n".encode()
            client.get("/api/studio")
            files = process.num_fds()
            for _ in range(3):  # more than may listen at once
                with contextlib.ExitStack() as tabs:
                    for _ in range(TABS):
                        tab = tabs.enter_context(socket.create_connection((parts.hostname or "", running.port), 30))
                        tab.sendall(request)
                        assert tab.recv(100).startswith(b"HTTP/1.1 200")
                    assert client.get("/api/studio").status_code == 200, "the others are served"
                    assert process.num_fds() >= files + TABS
                until(lambda: process.num_fds() <= files)
        assert running.stop() == 0
    finally:
        running.kill()


def test_no_process_runs_code_that_somebody_left_in_its_folders(tmp_path: Path) -> None:
    """Neither in the working folder, nor in the temporary one, nor in the studio's own."""
    folders = [tmp_path / name for name in ("working", "temporary", "studio")]
    for folder in folders:
        folder.mkdir(mode=0o700)
    planted = [PlantedModules(folder) for folder in folders]
    working, temporary, own = folders
    environment = {"TMPDIR": str(temporary), "PYTHONSAFEPATH": "", "PYTHONPATH": ""}
    running = StudioProcess(own, "--viewers", "0", cwd=working, environment=environment)
    try:
        with running.browser() as client:
            uploaded = upload(client, make_short_clip(tmp_path / "clip.mp4"))["upload"]
            assert client.get(f"/api/uploads/{uploaded}/preview.jpg", params=PREVIEW).status_code == 200
            wait_for(client, order(client, uploaded)["job"], "done")
        assert [each.imported for each in planted] == [[], [], []]
    finally:
        running.kill()


def test_a_clip_that_crashes_the_decoder_stops_nothing_else(client: httpx.Client, clip: Path) -> None:
    at = f"/api/uploads/{upload(client, clip)['upload']}/preview.jpg"
    assert client.get(at, params=PREVIEW).status_code == 200
    (process,) = children("processes.still")
    process.kill()
    process.wait()
    assert client.get(at, params=PREVIEW).status_code == 200
    assert len(children("processes.still")) == 1


def test_a_clip_that_hangs_the_decoder_is_given_up() -> None:
    async def ask() -> None:
        stills = Stills("cpu", module="tests.support.studio.hanging_process", longest_seconds=1)
        try:
            with pytest.raises(RequestError, match=r"^slow\.mp4: cannot be read"):
                await stills.probe("/nowhere", "slow.mp4")
        finally:
            stills.close()

    run_async(ask())
    assert not children("hanging_process")


def test_a_preview_that_nobody_waits_for_is_not_drawn() -> None:
    async def gone() -> bool:
        return True

    async def ask() -> None:
        stills = Stills("cpu", module="tests.support.studio.counting_process")
        try:
            first = asyncio.create_task(stills.probe("/nowhere", "a.mp4"))
            with pytest.raises(RequestError, match="no longer wanted"):
                await stills.preview("/nowhere", "a.mp4", 0.0, {}, {}, gone)
            assert (await first)["count"] == 1
            assert (await stills.probe("/nowhere", "a.mp4"))["count"] == 2
        finally:
            stills.close()

    run_async(ask())


def test_so_many_frames_may_be_asked_for_at_once() -> None:
    async def ask() -> None:
        stills = Stills("cpu", module="tests.support.studio.counting_process")
        try:
            asked = (stills.probe("/nowhere", "a.mp4") for _ in range(MOST_WAITING + 2))
            answers = await asyncio.gather(*asked, return_exceptions=True)
        finally:
            stills.close()
        refused = [answer for answer in answers if isinstance(answer, RequestError)]
        assert [(each.status, each.message.partition(";")[2]) for each in refused] == [
            (503, " try again in a few seconds")
        ] * 2

    run_async(ask())


def test_a_render_that_dies_is_resumed_once_and_the_next_one_starts(
    client: httpx.Client, folder: Path, clip: Path
) -> None:
    uploaded = upload(client, clip)["upload"]
    first, second = order(client, uploaded)["job"], order(client, uploaded)["job"]
    wait_for(client, first, "running", frames=1)
    (process,) = children("processes.render")
    process.kill()
    process.wait()
    until(lambda: bool(children("processes.render")))
    (process,) = children("processes.render")
    process.kill()
    failed = wait_for(client, first, "failed")
    assert "signal 9" in failed["error"]
    assert failed["error"].startswith("clip.mp4: ")
    assert "resumed" in failed["notices"][0]
    assert os.listdir(folder / "jobs" / first) == ["job.json"]
    wait_for(client, second, "running", frames=1)
    client.delete(f"/api/jobs/{second}")


def test_a_render_that_fills_the_folder_ends_by_a_line_that_says_what_to_remove(
    client: httpx.Client, folder: Path, clip: Path
) -> None:
    job = order(client, upload(client, clip)["upload"])["job"]
    wait_for(client, job, "running", frames=1)
    other = folder / "jobs" / "other"
    other.write_bytes(bytes(2**23))
    try:
        assert "remove finished clips" in wait_for(client, job, "failed")["error"]
    finally:
        other.unlink()


def test_more_uploads_than_may_arrive_at_once_wait(client: httpx.Client, folder: Path, clip: Path) -> None:
    parts = urlsplit(str(client.base_url))
    cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    head = f"POST /api/uploads?name=a.mp4 HTTP/1.1\r\nHost: {parts.netloc}\r\nOrigin: http://{parts.netloc}\r\n"
    before = len(os.listdir(folder / "uploads"))
    with contextlib.ExitStack() as tabs:
        for _ in range(MOST_AT_ONCE):
            tab = tabs.enter_context(socket.create_connection((parts.hostname or "", parts.port or 0)))
            tab.sendall(f"{head}Cookie: {cookie}\r\nContent-Length: 1000\r\n\r\nx".encode())
        until(lambda: len(os.listdir(folder / "uploads")) == before + MOST_AT_ONCE)
        answer = client.post("/api/uploads", params={"name": "b.mp4"}, content=clip.read_bytes())
        assert answer.status_code == 429
        assert "wait" in answer.json()["error"]
    until(lambda: len(os.listdir(folder / "uploads")) == before)
    upload(client, clip)


def test_unknown_addresses_and_methods_get_one_line(client: httpx.Client) -> None:
    for method, path in (
        ("GET", "/nowhere"),
        ("PUT", "/api/jobs"),
        ("GET", "/page/..%2f__init__.py"),
        ("GET", "/docs"),
    ):
        answer = client.request(method, path)
        assert answer.status_code in (404, 405)
        assert "\n" not in answer.json()["error"]
