"""Every test of batches ends without a thread of ours."""

import threading
import time
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    def ours() -> list[str]:
        return [thread.name for thread in threading.enumerate() if thread.name.startswith("flowbrush-")]

    yield
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and ours():
        time.sleep(0.02)
    assert not ours()
