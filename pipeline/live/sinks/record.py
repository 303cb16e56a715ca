"""Record into a file that plays at any moment, even after the session was killed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
from av.audio.frame import AudioFrame

from pipeline.errors import reason_of
from pipeline.live.controls import Controls
from pipeline.live.frames import LiveFrame
from pipeline.live.sinks.sink import Sink, SinkError, unused_path
from pipeline.live.sinks.writer import LiveWriter
from pipeline.system.files.names import why_taken
from pipeline.system.files.writing import claim

# FFmpeg's name and options of each format. A killed session leaves a file that plays: Matroska writes a cluster per
# second; mp4 and mov write a fragment per key frame, and become plain files when they are finished.
_FRAGMENTED = {"movflags": "+hybrid_fragmented+frag_keyframe"}
FORMATS: dict[str, tuple[str, dict[str, str]]] = {
    ".mkv": ("matroska", {"cluster_time_limit": "1000"}),
    ".mp4": ("mp4", _FRAGMENTED),
    ".mov": ("mov", _FRAGMENTED),
    ".ts": ("mpegts", {}),
}


class RecordSink(Sink):
    """Records while ``controls.recording`` is set, each time into a new file.

    Args:
        controls: starts and stops recording; notified when a recording fails.
        notify: called with a line for each file that is started or finished.
        path: first file, with a suffix of `FORMATS`; None for a name by the time, as later files have.
        overwrite: whether ``path`` may be replaced.
        has_audio: whether to add an audio track.

    Raises:
        ValueError: the suffix is not supported.
        SinkError: the file exists and may not be replaced, or its folder does not exist.
    """

    def __init__(
        self,
        controls: Controls,
        notify: Callable[[str], None],
        path: Path | None = None,
        *,
        overwrite: bool = False,
        has_audio: bool = False,
    ) -> None:
        self.name = f"record {path}" if path is not None else "record"
        if path is not None:
            if path.suffix.lower() not in FORMATS:
                raise ValueError(f"{path}: a live recording must end in {', '.join(FORMATS)}")
            if not overwrite and (reason := why_taken(path)):
                raise SinkError(self.name, reason)
            if not path.parent.is_dir():
                raise SinkError(self.name, f"the folder {path.parent} does not exist")
        self._controls, self._notify = controls, notify
        self._folder, self._suffix = (path.parent, path.suffix) if path is not None else (Path(), ".mkv")
        self._path = Path()
        self._first_path = self._next_path = path
        self._overwrite = overwrite
        self._has_audio = has_audio
        self._writer: LiveWriter | None = None

    @property
    def is_active(self) -> bool:
        """Whether a recording is running or requested."""
        return self._writer is not None or self._controls.recording

    def open(self, width: int, height: int, fps: Fraction) -> None:
        """Store the frame size; a file is opened with its first frame."""
        self._size, self._fps = (width, height), fps

    def write(self, frame: LiveFrame) -> None:
        """Add ``frame`` to the recording, if one is running or requested."""
        if not self._controls.recording:
            self._finish()
            return
        with self._failures_reported():
            writer = self._writer or self._start(frame.captured_at)
            writer.write(frame)

    def poll(self) -> None:
        """Finish the recording if requested, while no frames arrive."""
        if not self._controls.recording:
            self._finish()

    def write_audio(self, frame: AudioFrame) -> None:
        """Add audio to the recording, if one is running."""
        if self._writer is not None:
            with self._failures_reported():
                self._writer.write_audio(frame)

    def close(self) -> None:
        """Finish the file."""
        self._finish()

    def _start(self, origin: float) -> LiveWriter:
        self._path = self._next_path or unused_path(self._folder, self._suffix)
        self._next_path = None
        format, options = FORMATS[self._path.suffix.lower()]
        claim(str(self._path), may_replace=self._overwrite and self._path == self._first_path)
        self._writer = LiveWriter(
            f"file:{self._path}",
            format,
            self._size,
            self._fps,
            origin,
            has_audio=self._has_audio,
            options=options,
        )
        self._report(f"recording {self._path}")
        return self._writer

    def _finish(self) -> None:
        if self._writer is not None:
            with self._failures_reported():
                self._writer.finish()
            self._writer = None
            self._report(f"recorded {self._path}")

    @contextmanager
    def _failures_reported(self) -> Iterator[None]:
        """Raise a SinkError for a failed write, and allow no further recording."""
        try:
            yield
        except (av.FFmpegError, OSError) as error:
            if self._writer is not None:
                self._writer.abandon()
                self._writer = None
            reason = reason_of(error)
            self._controls.refuse_recording(f"no recording: {reason} ({self._path.name})")
            file = "" if self.name.endswith(f" {self._path}") else f"{self._path} "
            raise SinkError(self.name, f"{file}cannot be written ({reason})") from error

    def _report(self, message: str) -> None:
        self._controls.show(message)
        self._notify(message)
