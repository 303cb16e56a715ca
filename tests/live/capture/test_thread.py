"""The capture thread: the newest frame, the measured rate, reconnecting."""

import pytest

from pipeline.errors import InputError
from pipeline.live.capture.device import CaptureDevice
from pipeline.live.capture.thread import CaptureThread
from pipeline.live.frames import CapturedFrame
from pipeline.live.mailbox import Mailbox
from tests.support.live import FakeCamera, wait_for


def capture(
    device: CaptureDevice, messages: list[str], *, first_pause_seconds: float = 0.05
) -> tuple[CaptureThread, Mailbox[CapturedFrame]]:
    """A capture thread that runs, and its mailbox."""
    mailbox: Mailbox[CapturedFrame] = Mailbox()
    thread = CaptureThread(device, mailbox, messages.append, first_pause_seconds=first_pause_seconds)
    thread.start()
    return thread, mailbox


def test_the_newest_frame_waits_and_the_device_is_closed_at_its_end() -> None:
    camera, messages = FakeCamera(count=20), list[str]()
    thread, mailbox = capture(camera, messages)
    thread.join(20)
    last = mailbox.get()
    assert last is not None
    assert last.index == last.pixels[0, 0, 0] == 19
    assert (thread.captured, mailbox.replaced, thread.size) == (20, 19, (48, 64))
    assert mailbox.is_closed
    assert (camera.opened, camera.closed) == (1, 1)
    assert not messages
    assert thread.error is None


def test_the_rate_is_the_device_s_until_it_is_measured() -> None:
    camera = FakeCamera(fps=200)
    thread, _ = capture(camera, [])
    thread.first.wait(20)
    assert thread.fps == 200
    wait_for(lambda: thread.captured > 40)
    camera.fps = 200 * 1000
    assert thread.fps is not None
    assert thread.fps < 210
    thread.stop()
    thread.join(20)
    assert not thread.is_alive()


def test_an_unplugged_camera_is_opened_again() -> None:
    camera, messages = FakeCamera(unplugged=(0.1, 0.5)), list[str]()
    thread, mailbox = capture(camera, messages)
    wait_for(lambda: len(messages) == 2)
    before = thread.captured
    wait_for(lambda: thread.captured > before + 3)
    thread.stop()
    thread.join(20)
    assert messages[0].startswith("fake camera: delivers no more frames")
    assert messages[1].startswith("fake camera: reconnected after 0.")
    assert len(messages) == 2
    # Pauses double: 0.05 + 0.1 + 0.2 + 0.4 s, so there are few attempts.
    assert 3 <= camera.opened <= 6
    last = mailbox.get()
    assert last is not None
    assert last.index == thread.captured - 1


def test_a_missing_camera_is_an_error() -> None:
    thread, mailbox = capture(FakeCamera(unplugged=(-1.0, 1e9)), [])
    thread.join(20)
    assert isinstance(thread.error, InputError)
    assert thread.first.is_set()
    assert mailbox.is_closed


def test_stopping_ends_the_pause_before_reconnecting() -> None:
    camera = FakeCamera(unplugged=(0.05, 1e9))
    thread, _ = capture(camera, [], first_pause_seconds=60.0)
    wait_for(lambda: not camera.is_open and thread.captured)
    thread.stop()
    thread.join(20)
    assert not thread.is_alive()
    assert thread.error is None


def test_a_broken_file_is_not_opened_again() -> None:
    camera = FakeCamera(unplugged=(0.05, 1e9))
    camera.reconnects = False
    thread, _ = capture(camera, [])
    thread.join(20)
    assert isinstance(thread.error, InputError)
    assert camera.opened == 1


@pytest.mark.parametrize("read", [0, 1])
def test_an_unforeseen_error_is_kept_for_the_session(read: int) -> None:
    class Broken(FakeCamera):
        def read(self) -> CapturedFrame | None:
            if self.index == read:
                raise ZeroDivisionError
            return super().read()

    camera = Broken()
    thread, mailbox = capture(camera, [])
    thread.join(20)
    assert isinstance(thread.error, ZeroDivisionError)
    assert mailbox.is_closed
    assert not camera.is_open
