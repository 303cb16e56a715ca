"""The microphone: a tone of FFmpeg takes its place."""

import time
from collections.abc import Iterator
from fractions import Fraction

import av
import numpy as np
import pytest

from pipeline.errors import InputError
from pipeline.live.capture.microphone import Microphone, open_microphone


def seconds(frame: av.AudioFrame | None) -> float:
    assert frame is not None
    return float(frame.pts * frame.time_base)


def test_audio_has_the_time_of_its_first_sample() -> None:
    """A tone arrives faster than real time: it counts from the frame that was delivered soonest."""
    before = time.monotonic()
    microphone = Microphone(
        "test", av.open("sine=samples_per_frame=480:sample_rate=48000:duration=0.1", format="lavfi")
    )
    frames = [microphone.read() for _ in range(10)]
    after = time.monotonic()
    assert all(before - 0.11 <= seconds(frame) <= after for frame in frames)
    with pytest.raises(InputError, match="test: delivers no more audio"):
        microphone.read()
    microphone.close()


class Device:
    """A device whose frames of 10 ms have the given time stamps; each is delivered ``late`` seconds after its end."""

    streams = type("Streams", (), {"audio": [None]})

    def __init__(self, stamps: list[float | None]) -> None:
        self._stamps = iter(stamps)

    def decode(self, stream: object) -> Iterator[av.AudioFrame]:
        for stamp in self._stamps:
            if stamp is None:
                raise av.BlockingIOError(11, "nothing yet")
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 480), np.int16), format="s16", layout="mono")
            frame.sample_rate, frame.time_base, frame.pts = 48000, Fraction(1, 48000), round(stamp * 48000)
            yield frame

    def close(self) -> None: ...


def test_late_delivery_does_not_move_audio(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    microphone = Microphone("test", Device([5.0, 5.01, 5.02, 900.0]))  # type: ignore[arg-type]
    times = []
    for now in (1000.01, 1000.52, 1000.53, 1000.54):  # noqa: B007 - the clock reads it
        times.append(seconds(microphone.read()))
    assert times[:3] == pytest.approx([1000.0, 1000.01, 1000.02], abs=1e-3)
    assert times[3] == pytest.approx(1000.53, abs=1e-3), "the device's clock was reset"


def test_a_device_without_audio_yet_is_polled() -> None:
    microphone = Microphone("test", Device([None, 5.0]))  # type: ignore[arg-type]
    assert microphone.read() is None
    assert microphone.read() is not None


def test_a_missing_microphone_is_reported_and_no_error() -> None:
    messages: list[str] = []
    assert open_microphone("no such microphone", messages.append) is None
    assert len(messages) == 1
    assert "--microphone NAME" in messages[0]
    assert "\n" not in messages[0]
