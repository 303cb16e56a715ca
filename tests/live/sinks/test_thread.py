"""The thread of a sink: what blocks, fails or hangs there."""

import threading
import time
from fractions import Fraction
from typing import ClassVar

import av
import pytest

from pipeline.live.frames import LiveFrame
from pipeline.live.sinks.thread import MAX_AUDIO_FRAMES, SinkThread
from tests.support.live import Blocking, Dying, Memory, audio_frame, live_frame, wait_for


def started(sink: Memory, messages: list[str] | None = None) -> SinkThread:
    thread = SinkThread(sink, print if messages is None else messages.append)
    thread.start(64, 48, Fraction(30))
    return thread


def test_a_failed_sink_takes_no_frames() -> None:
    messages: list[str] = []
    sink = Dying(at=1)
    thread = started(sink, messages)
    assert thread.delivers
    thread.put(live_frame())
    wait_for(lambda: not thread.is_running)
    assert not thread.delivers
    thread.put(live_frame(1))
    thread.join()
    assert (len(sink.frames), sink.closed) == (1, 1)
    assert messages == [str(thread.failure)]


def test_a_failing_end_is_reported_once() -> None:
    class Failing(Memory):
        def close(self) -> None:
            raise OSError("the disk is full")

    messages: list[str] = []
    thread = started(Failing("file"), messages)
    thread.finish()
    thread.join()
    assert len(messages) == 1
    assert messages[0].startswith("file: ")
    assert "the disk is full" in messages[0]


def test_a_hanging_sink_is_killed_where_possible() -> None:
    messages: list[str] = []
    hanging = Blocking(30, at=1)
    hanging.kill = hanging.released.set  # type: ignore[method-assign]
    hanging.finish_seconds = 0.1
    thread = started(hanging, messages)
    thread.put(live_frame())
    wait_for(lambda: hanging.frames)
    thread.finish()
    thread.join()
    assert hanging.closed == 1
    assert messages == []


def test_a_sink_that_cannot_be_killed_is_abandoned() -> None:
    messages: list[str] = []
    hanging = Blocking(30, at=1)
    hanging.finish_seconds = 0.1
    thread = started(hanging, messages)
    thread.put(live_frame())
    wait_for(lambda: hanging.frames)
    thread.finish()
    thread.join()
    hanging.released.set()
    assert len(messages) == 1
    assert "abandoned" in messages[0]


def test_an_interruption_while_a_sink_finishes_kills_it(monkeypatch: pytest.MonkeyPatch) -> None:
    hanging = Blocking(30, at=1)
    hanging.kill = hanging.released.set  # type: ignore[method-assign]
    thread = started(hanging)
    thread.put(live_frame())
    thread.finish()

    def interrupted(self: threading.Thread, timeout: float | None = None) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "join", interrupted)
        with pytest.raises(KeyboardInterrupt):
            thread.join()
    assert hanging.released.is_set()
    thread.join()


def test_a_blocked_sink_is_reported_once_it_is_connected() -> None:
    """While it connects, it may take its time."""
    messages: list[str] = []
    blocking = Blocking(30, at=1)
    blocking.blocked_seconds, blocking.is_connected = 0.05, False
    thread = started(blocking, messages)
    thread.put(live_frame())
    wait_for(lambda: blocking.frames)
    time.sleep(0.1)
    thread.put(live_frame(1))
    assert messages == []
    blocking.is_connected = True
    for index in (2, 3):
        thread.put(live_frame(index))
    assert len(messages) == 1
    assert messages[0].startswith("blocking: ")
    blocking.released.set()
    thread.finish()
    thread.join()


def test_while_a_sink_is_blocked_the_oldest_audio_is_dropped() -> None:
    class Listening(Blocking):
        audio: ClassVar[list[int]] = []

        def write_audio(self, frame: av.AudioFrame) -> None:
            self.audio.append(frame.pts)

    blocking = Listening(30, at=1)
    thread = started(blocking)
    thread.put(live_frame())
    wait_for(lambda: blocking.frames)
    for number in range(MAX_AUDIO_FRAMES + 10):
        thread.put_audio(audio_frame(number, 0.02))
    blocking.released.set()
    thread.finish()
    thread.join()
    assert len(blocking.audio) == MAX_AUDIO_FRAMES
    assert blocking.audio[0] == 10_000_000


def test_audio_is_written_in_the_thread_of_the_frames_and_before_the_end() -> None:
    class Listening(Memory):
        def __init__(self) -> None:
            super().__init__("listening")
            self.audio: list[int] = []
            self.ended_with = 0

        def write(self, frame: LiveFrame) -> None:
            super().write(frame)
            thread.put_audio(audio_frame(1.0, 0.02))

        def write_audio(self, frame: av.AudioFrame) -> None:
            self.audio.append(frame.pts)
            self.write_threads.add(threading.get_ident())

        def close(self) -> None:
            super().close()
            self.ended_with = len(self.audio)

    listening = Listening()
    thread = SinkThread(listening, print)
    thread.put_audio(audio_frame(0.0, 0.02))
    thread.start(64, 48, Fraction(30))
    wait_for(lambda: listening.polled > 1)
    assert not listening.audio, "the first frame may be older"
    thread.put(live_frame())
    thread.finish()
    thread.join()
    thread.put_audio(audio_frame(2.0, 0.02))
    assert listening.audio == [0, 1_000_000]
    assert listening.ended_with == 2
    assert len(listening.write_threads) == 1
