"""Live tabs that open and close leave nothing in the server: no processes, threads, files or memory."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest
from playwright.sync_api import Browser

from tests.support.studio import StudioProcess
from tests.support.studio.page import PATIENCE_SECONDS, LivePage, until

pytestmark = [pytest.mark.realtime]

AT_ONCE = 5
# Python's pool of threads for the event loop grows to its limit, and connections that are kept alive come and go.
POOL_THREADS, KEPT_FILES = (os.cpu_count() or 1) + 4, 3
# What Python's allocator and FFmpeg keep for the next connection differs by so much from time to time.
MOST_MEMORY_MB = 40.0


class Held(NamedTuple):
    """What a process holds: its processes, threads and open files, and its memory in MB."""

    processes: int
    threads: int
    files: int
    memory_mb: float

    def is_no_more_than(self, before: "Held") -> bool:
        return (
            self.processes <= before.processes
            and self.threads <= before.threads + POOL_THREADS
            and self.files <= before.files + KEPT_FILES
            and self.memory_mb <= before.memory_mb + MOST_MEMORY_MB
        )


def held(process: psutil.Process) -> Held:
    with process.oneshot():
        memory = process.memory_info().rss / 1e6
        return Held(len(process.children()), process.num_threads(), process.num_fds(), memory)


@pytest.fixture
def running(chromium: Browser, tmp_path: Path) -> Iterator[StudioProcess]:
    studio = StudioProcess(tmp_path / "studio", "--viewers", str(AT_ONCE))
    yield studio
    studio.kill()


def open_and_close(chromium: Browser, link: str, count: int) -> None:
    """Open live tabs, so many at once; half of them by WebRTC, half by a WebSocket."""
    with chromium.new_context() as context:
        context.set_default_timeout(PATIENCE_SECONDS * 1000)
        context.new_page().goto(link)
        tabs = []
        for number in range(count):
            page = context.new_page()
            page.goto(f"{link.partition('?')[0]}{'?transport=socket' if number % 2 else ''}")
            tabs.append(LivePage(page).start())
        for tab in tabs:
            tab.page.close()


def leave_nothing(chromium: Browser, running: StudioProcess, rounds: int) -> None:
    link = f"{running.address}/?token={running.token}"
    process = psutil.Process(running.process.pid)
    open_and_close(chromium, link, AT_ONCE)  # what stays is there now: threads of pools, the network, thumbnails
    with running.browser() as client:
        until(lambda: client.get("/api/studio").json()["live"]["free"] == AT_ONCE)
    before = held(process)
    for _ in range(rounds):
        open_and_close(chromium, link, AT_ONCE)
    print(f"before: {before}; at once: {held(process)}")
    until(lambda: held(process).is_no_more_than(before))
    print(f"after: {held(process)}")
    assert running.stop() == 0
    assert "Traceback" not in running.printed


@pytest.mark.timeout(400)
def test_some_live_tabs_leave_nothing(chromium: Browser, running: StudioProcess) -> None:
    leave_nothing(chromium, running, 1)


@pytest.mark.prove
def test_fifty_live_tabs_leave_nothing(chromium: Browser, running: StudioProcess) -> None:
    leave_nothing(chromium, running, 50 // AT_ONCE)
