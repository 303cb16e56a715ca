"""Reading with FFmpeg: what arrives late, damaged or not at all; packets and clock are made up."""

import errno
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction

import av
import numpy as np
import pytest
from av.video.stream import VideoStream

from pipeline.errors import InputError
from pipeline.live.capture.ffmpeg_device import FFmpegDevice
from pipeline.live.capture.ffmpeg_sources import network_stream
from tests.support.live import WrappedContainer


class FakePackets:
    """A demuxer that yields made-up packets, and repeats the last one; an exception among them is raised."""

    def __init__(self, *packets: object) -> None:
        self.packets = list(packets)

    def __iter__(self) -> "FakePackets":
        return self

    def __next__(self) -> object:
        packet = self.packets.pop(0) if len(self.packets) > 1 else self.packets[0]
        if isinstance(packet, Exception):
            raise packet
        return packet


class DamagedPacket:
    """A packet that cannot be decoded."""

    dts = pts = time_base = None
    is_keyframe, size = False, 1

    def decode(self) -> list[av.VideoFrame]:
        time.sleep(0.001)
        raise av.InvalidDataError(1, "damaged")


class NumberedPacket:
    """A packet of a stream at ten frames per second, as bright as its number; every tenth is a key frame."""

    pts, size, time_base = None, 1, Fraction(1, 10)

    def __init__(self, number: int) -> None:
        self.dts, self.is_keyframe = number, number % 10 == 0

    def decode(self) -> list[av.VideoFrame]:
        return [av.VideoFrame.from_ndarray(np.full((48, 64, 3), self.dts, np.uint8), format="rgb24")]


class Clock:
    """A clock that advances by ``step_seconds`` with each reading."""

    def __init__(self, step_seconds: float = 0.0) -> None:
        self.now, self._step_seconds = 100.0, step_seconds

    def __call__(self) -> float:
        self.now += self._step_seconds
        return self.now


TEST_PATTERN = "testsrc2=size=64x48:rate=30:duration=1"


def pattern_device(url: str = TEST_PATTERN, clock: Clock | None = None) -> FFmpegDevice:
    """A device that reads a test pattern of FFmpeg."""
    return FFmpegDevice("test", url, "lavfi", {}, clock=clock or time.monotonic)


@pytest.fixture
def open_fake(monkeypatch: pytest.MonkeyPatch) -> Callable[..., FFmpegDevice]:
    """Opens a device whose container has ``demuxers``, used one after the other, in place of its own."""
    real = av.open

    def opened(*demuxers: Iterator[object], clock: Clock | None = None, **attributes: object) -> FFmpegDevice:
        remaining = list(demuxers)

        def open_wrapped(*arguments: object, **options: object) -> WrappedContainer:
            container = real(*arguments, **options)

            def demux(video: VideoStream) -> Iterator[object]:
                return remaining.pop(0) if remaining else container.demux(video)

            return WrappedContainer(container, **{"demux": demux, **attributes})

        monkeypatch.setattr(av, "open", open_wrapped)
        device = pattern_device(clock=clock)
        device.open()
        return device

    return opened


def test_a_camera_without_a_frame_yet_is_polled(open_fake: Callable[..., FFmpegDevice]) -> None:
    nothing = FakePackets(av.BlockingIOError(errno.EAGAIN, "nothing yet"))
    device = open_fake(nothing)
    assert device.read() is not None, "the second demuxer is the real one"
    device.close()
    device = open_fake(*[nothing] * 100, clock=Clock(step_seconds=0.5))
    with pytest.raises(InputError, match="test: delivers no more frames"):
        device.read()
    device.close()


def test_a_read_of_damaged_packets_can_be_stopped(open_fake: Callable[..., FFmpegDevice]) -> None:
    device = open_fake(FakePackets(DamagedPacket()))
    threading.Timer(0.1, device.stop).start()
    assert device.read() is None
    device.close()


def test_packets_that_cannot_be_decoded_are_an_error(open_fake: Callable[..., FFmpegDevice]) -> None:
    device = open_fake(FakePackets(DamagedPacket()), clock=Clock(step_seconds=1.0))
    with pytest.raises(InputError, match="test: no frame could be decoded"):
        device.read()
    device.close()


def test_packets_that_waited_while_nobody_read_are_skipped(open_fake: Callable[..., FFmpegDevice]) -> None:
    clock = Clock()
    device = open_fake(FakePackets(*map(NumberedPacket, range(60))), clock=clock)
    assert (first := device.read()) is not None
    assert first.pixels.max() == 0
    clock.now += 1.75
    assert (second := device.read()) is not None
    assert second.pixels.max() == 13, "the first one within half a second of the newest"
    assert second.captured_at == clock.now
    device.close()


def test_a_timeout_is_given_as_the_reason(
    open_fake: Callable[..., FFmpegDevice], monkeypatch: pytest.MonkeyPatch
) -> None:
    """PyAV's own words are "Immediate exit requested"."""
    device = open_fake(FakePackets(av.ExitError(0, "Immediate exit requested")))
    with pytest.raises(InputError, match=r"^test: .*\(no answer within 5 s\)$"):
        device.read()
    device.close()

    def time_out(*_: object, **__: object) -> None:
        raise av.ExitError(0, "Immediate exit requested")

    monkeypatch.setattr(av, "open", time_out)
    with pytest.raises(InputError, match=r"^udp://127.0.0.1:52744: .*no answer within 10 s; is someone sending"):
        network_stream("udp://127.0.0.1:52744").open()


def test_too_many_streams_are_refused(open_fake: Callable[..., FFmpegDevice]) -> None:
    closed: list[bool] = []
    with pytest.raises(InputError, match="test: has 1000 streams or more"):
        open_fake(streams=[None] * 1000, close=lambda: closed.append(True))
    assert closed


def test_frames_that_are_too_large_are_refused() -> None:
    with pytest.raises(InputError, match="16400x16"):
        pattern_device("color=size=16400x16").open()


def test_a_test_pattern_is_read_like_a_device() -> None:
    device = pattern_device("testsrc2=size=64x48:rate=30:duration=0.2")
    device.open()
    frame = device.read()
    assert frame is not None
    assert frame.pixels.shape == (48, 64, 3)
    assert frame.pixels.dtype == np.uint8
    assert device.fps == 30
    with pytest.raises(InputError, match="test: the stream has ended"):
        list(iter(device.read, None))
    device.close()
    device.close()
