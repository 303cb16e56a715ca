"""A file played at its own pace, as a camera would give it; and its sound, on the same clock."""

import logging
import threading
import time
from collections.abc import Generator, Iterator
from fractions import Fraction

import av
from av.audio.frame import AudioFrame
from av.container import InputContainer

from pipeline.config import DecodeConfig
from pipeline.decode.decoder import decode
from pipeline.decode.open import open_container
from pipeline.decode.source import Source, open_source
from pipeline.errors import InputError, reason_of
from pipeline.frames import Frame
from pipeline.live.capture.device import Taken

logger = logging.getLogger(__name__)

# Who is later than this has not overslept but cannot keep up: the rest of the file is moved by as much.
LATE_SECONDS = 0.5
SOUND_WAIT_SECONDS = 0.2


class Clock:
    """When a file's moments are due; shared by its pictures and its sound.

    Attributes:
        stopped: set when nobody is to wait any longer.
    """

    def __init__(self) -> None:
        self.stopped = threading.Event()
        self._rounds: list[float] = []
        self._changed = threading.Condition()

    def begin(self, origin: float) -> None:
        """A round through the file begins: its moment 0 is due at ``origin`` on `time.monotonic`."""
        with self._changed:
            self._rounds.append(origin)
            self._changed.notify_all()

    def move(self, seconds: float) -> None:
        """All that is still to come in this round is due later."""
        with self._changed:
            self._rounds[-1] += seconds

    def origin(self, number: int, timeout_seconds: float) -> float | None:
        """Of the round with this number, from 0; None where it has not begun within the time."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._rounds) > number or self.stopped.is_set(), timeout_seconds)
            return self._rounds[number] if len(self._rounds) > number else None


class Playback:
    """See `pipeline.live.capture.device.Device`.

    Args:
        path: of the file.
        loop: begin anew at the end, with no pause between.
    """

    returns = False

    def __init__(self, path: str, *, loop: bool = False) -> None:
        self.name = path
        self.fps: float | None = None
        self.clock = Clock()
        self._loop = loop
        self._source: Source | None = None
        self._frames: Generator[Frame, None, None] = self._play()

    def open(self) -> None:
        """Open the file, and decode its first frame."""
        self._source = open_source(self.name, DecodeConfig(threads=1))
        rate = self._source.info.average_rate
        self.fps = float(rate) if rate else None
        self._frames = self._play()

    def read(self) -> Taken | None:
        """The next picture, when it is due."""
        frame = next(self._frames, None)
        return None if frame is None or self.clock.stopped.is_set() else Taken(frame.pixels, time.monotonic())

    def stop(self) -> None:
        """End a wait for the next picture."""
        self.clock.stopped.set()

    def close(self) -> None:
        """Let go of the file."""
        self._frames.close()
        source, self._source = self._source, None
        if source is not None:
            source.close()

    def _play(self) -> Generator[Frame, None, None]:
        """Frames, each handed out when it is due; the file is opened anew while its last frame is being shown."""
        origin = time.monotonic()
        while self._source is not None:
            first, end = None, 0.0
            for frame in decode(self._source):
                seconds = float(frame.seconds)
                if first is None:
                    first = seconds
                    self.clock.begin(origin - first)
                origin += self._wait(origin + seconds - first)
                end = seconds - first + self._length(frame)
                yield frame
            if not self._loop:
                return
            origin += end
            self._source.close()
            self._source = open_source(self.name, DecodeConfig(threads=1))

    def _wait(self, due: float) -> float:
        """Wait for ``due``; returns by how much all that follows is late, in seconds."""
        late = time.monotonic() - due
        if late < 0:
            self.clock.stopped.wait(-late)
        elif late > LATE_SECONDS:
            self.clock.move(late)
            return late
        return 0.0

    def _length(self, frame: Frame) -> float:
        if frame.duration:
            return float(frame.duration * frame.time_base)
        return 1 / self.fps if self.fps else 1 / 30


def has_audio(path: str) -> bool:
    """Whether there is sound in a file.

    Raises:
        InputError: it cannot be opened.
    """
    with open_container(path, None) as container:
        return bool(container.streams.audio)


class FileAudio:
    """The sound of a file that is played; a `pipeline.live.sinks.sink.AudioSource`.

    Args:
        path: of the file.
        clock: of its `Playback`.
        loop: as there.
    """

    def __init__(self, path: str, clock: Clock, *, loop: bool = False) -> None:
        self.name = f"sound of {path}"
        self._path, self._clock, self._loop = path, clock, loop
        self._frames = self._play()

    def read(self) -> AudioFrame | None:
        """The next piece of sound, when it is due; its pts tell when that is, on `time.monotonic`."""
        frame = next(self._frames, None)
        if frame is None:
            self._clock.stopped.wait(SOUND_WAIT_SECONDS)
        return frame

    def close(self) -> None:
        """Let go of the file."""
        self._frames.close()

    def _play(self) -> Generator[AudioFrame | None, None, None]:
        number = 0
        with open_container(self._path, None) as container:
            if not container.streams.audio:
                return
            while not self._clock.stopped.is_set():
                origin = self._clock.origin(number, SOUND_WAIT_SECONDS)
                if origin is None:
                    yield None
                    continue
                try:
                    yield from self._round(container, number)
                except av.FFmpegError as error:
                    raise InputError(self.name, f"cannot be read any further ({reason_of(error)})") from error
                number += 1
                if not self._loop:
                    return
                container.seek(0)

    def _round(self, container: InputContainer, number: int) -> Iterator[AudioFrame | None]:
        start = max((container.start_time or 0) / av.time_base, 0.0)
        for frame in _whole(container):
            if frame.pts is None or not frame.time_base or not frame.sample_rate:
                continue
            seconds = float(frame.pts * frame.time_base) - start
            while (left := (self._clock.origin(number, 0) or 0.0) + seconds - time.monotonic()) > 0:
                if self._clock.stopped.wait(min(left, SOUND_WAIT_SECONDS)):
                    return
                yield None
            at = (self._clock.origin(number, 0) or 0.0) + seconds
            following = self._clock.origin(number + 1, 0)
            if following is not None and at >= following:
                return
            frame.time_base = Fraction(1, frame.sample_rate)
            frame.pts = round(at * frame.sample_rate)
            yield frame


def _whole(container: InputContainer) -> Iterator[AudioFrame]:
    """All sound that can be decoded; a damaged piece is left out, and is silence."""
    for packet in container.demux(container.streams.audio[0]):
        try:
            yield from packet.decode()
        except av.FFmpegError:  # of the decoder, whose numbers are many; the reader's go on
            logger.debug("sound of %s: a damaged piece", container.name, exc_info=True)
