"""Play a file in real time, as a camera would deliver it, with its audio on the same clock."""

import logging
import threading
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import count

import av
from av.audio.frame import AudioFrame
from av.container import InputContainer

from pipeline.config import DecodeConfig
from pipeline.decode.decoder import decode
from pipeline.decode.open import open_container
from pipeline.decode.source import Source, open_source
from pipeline.errors import InputError, reason_of
from pipeline.frames import Frame
from pipeline.live.capture.device import CaptureDevice
from pipeline.live.frames import CapturedFrame

logger = logging.getLogger(__name__)

# A frame later than this means that the reader cannot keep up, so the rest of the file is shifted by as much.
SHIFT_SECONDS = 0.5
AUDIO_WAIT_SECONDS = 0.2


@dataclass
class PlaybackClock:
    """The clock that the frames and the audio of a played file share; only `Playback` changes it.

    Attributes:
        origins: time zero of each pass through the file that has started, in seconds of `time.monotonic`.
        stopped: set when all waiting must end.
    """

    origins: list[float] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)


class Playback(CaptureDevice):
    """A file played in real time.

    Args:
        path: the file.
        loop: play it again at its end, without a pause.

    Attributes:
        clock: when the file's frames are due, for `FileAudio`.
    """

    reconnects = False

    def __init__(self, path: str, *, loop: bool = False) -> None:
        self.name = path
        self.clock = PlaybackClock()
        self._loop = loop
        self._source: Source | None = None
        self._frames = self._play()

    def open(self) -> None:
        """Open the file."""
        self._source = open_source(self.name, DecodeConfig(threads=1))
        rate = self._source.info.average_rate
        self.fps = float(rate) if rate else None
        self._frames = self._play()

    def read(self) -> CapturedFrame | None:
        """Return the next frame at the time it is due."""
        frame = next(self._frames, None)
        if frame is None or self.clock.stopped.is_set():
            return None
        return CapturedFrame(frame.pixels, time.monotonic())

    def stop(self) -> None:
        """End a waiting `read`."""
        self.clock.stopped.set()

    def close(self) -> None:
        """Close the file."""
        self._frames.close()
        source, self._source = self._source, None
        if source is not None:
            source.close()

    def _play(self) -> Generator[Frame, None, None]:
        """Yield each frame when it is due; reopen the file while its last frame is shown."""
        origin = time.monotonic()
        while self._source is not None:
            first, end = None, 0.0
            for frame in decode(self._source):
                seconds = float(frame.seconds)
                if first is None:
                    first = seconds
                    self.clock.origins.append(origin - first)
                origin += self._wait_until(origin + seconds - first)
                end = seconds - first + self._duration_seconds(frame)
                yield frame
            if not self._loop:
                return
            origin += end
            self._source.close()
            self._source = open_source(self.name, DecodeConfig(threads=1))

    def _wait_until(self, due: float) -> float:
        """Wait until ``due``; return by how many seconds the rest of the file is shifted."""
        late = time.monotonic() - due
        if late < 0:
            self.clock.stopped.wait(-late)
        elif late > SHIFT_SECONDS:
            self.clock.origins[-1] += late
            return late
        return 0.0

    def _duration_seconds(self, frame: Frame) -> float:
        if frame.duration:
            return float(frame.duration * frame.time_base)
        return 1 / self.fps if self.fps else 1 / 30


def has_audio(path: str) -> bool:
    """Return whether a file has an audio track.

    Raises:
        InputError: the file cannot be opened.
    """
    with open_container(path, None) as container:
        return bool(container.streams.audio)


class FileAudio:
    """The audio of a played file; a `pipeline.live.capture.device.AudioSource`.

    Args:
        path: the file.
        clock: the clock of its `Playback`.
        loop: the same as for its `Playback`.
    """

    def __init__(self, path: str, clock: PlaybackClock, *, loop: bool = False) -> None:
        self.name = f"audio of {path}"
        self._path, self._clock, self._loop = path, clock, loop
        self._frames = self._play()

    def read(self) -> AudioFrame | None:
        """Return the next audio frame at the time it is due, which is its pts in seconds of `time.monotonic`."""
        for frame in self._frames:
            return frame
        self._clock.stopped.wait(AUDIO_WAIT_SECONDS)
        return None

    def close(self) -> None:
        """Close the file."""
        self._frames.close()

    def _play(self) -> Generator[AudioFrame | None, None, None]:
        with open_container(self._path, None) as container:
            passes = count() if self._loop else range(1)
            for number in passes if container.streams.audio else ():
                while len(self._clock.origins) <= number:
                    if self._clock.stopped.wait(AUDIO_WAIT_SECONDS):
                        return
                    yield None
                try:
                    yield from self._play_once(container, number)
                    container.seek(0)
                except av.FFmpegError as error:
                    raise InputError(self.name, f"cannot be read further ({reason_of(error)})") from error

    def _play_once(self, container: InputContainer, number: int) -> Iterator[AudioFrame | None]:
        """Yield the audio of pass ``number`` until it ends or the next pass starts; None while it is not due."""
        start = max((container.start_time or 0) / av.time_base, 0.0)
        origins = self._clock.origins
        for frame in _decode_audio(container):
            if frame.pts is None or not frame.time_base or not frame.sample_rate:
                continue
            seconds = float(frame.pts * frame.time_base) - start
            # `Playback` may move the origin meanwhile.
            while (wait_seconds := origins[number] + seconds - time.monotonic()) > 0:
                if self._clock.stopped.wait(min(wait_seconds, AUDIO_WAIT_SECONDS)):
                    return
                yield None
            due = origins[number] + seconds
            if len(origins) > number + 1 and due >= origins[number + 1]:
                return
            frame.time_base = Fraction(1, frame.sample_rate)
            frame.pts = round(due * frame.sample_rate)
            yield frame


def _decode_audio(container: InputContainer) -> Iterator[AudioFrame]:
    """Yield all audio that can be decoded; damaged packets are skipped, which leaves silence."""
    for packet in container.demux(container.streams.audio[0]):
        try:
            yield from packet.decode()
        except av.FFmpegError:  # decoder errors only: a failing read is raised by `demux`
            logger.debug("audio of %s: damaged packet", container.name, exc_info=True)
