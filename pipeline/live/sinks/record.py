"""A recording: readable at any moment, with the pictures at the moments they were captured, and sound."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
from av.audio.frame import AudioFrame

from pipeline.errors import reason_of
from pipeline.live.controls import Controls
from pipeline.live.frames import LiveFrame
from pipeline.live.sinks.files import new_name
from pipeline.live.sinks.muxer import AudioQueue, Form, LiveMuxer
from pipeline.live.sinks.sink import Sink, SinkError

# Written so that a session that is killed leaves a file that plays: Matroska in clusters of a second, mp4 and mov in
# fragments from key picture to key picture, which become a plain file at a proper end.
_FRAGMENTS = Form("mp4", {"movflags": "+hybrid_fragmented+frag_keyframe"})
FORMS = {
    ".mkv": Form("matroska", {"cluster_time_limit": "1000"}),
    ".mp4": _FRAGMENTS,
    ".mov": Form("mov", _FRAGMENTS.options),
    ".ts": Form("mpegts"),
}


class RecordSink(Sink):
    """Records while ``controls.recording`` says so; each time a new file.

    Args:
        controls: its key starts and stops; told when a recording ends by itself.
        notify: told, in one line, what is written where.
        path: of the first recording, its ending one of `FORMS`; None, as for those after it, for a name by the time.
        overwrite: whether ``path`` may be replaced.
        audio: whether sound will come.

    Raises:
        ValueError: the ending is none of `FORMS`.
        SinkError: the file is there already and may not be replaced, or its folder is not there.
    """

    def __init__(
        self,
        controls: Controls,
        notify: Callable[[str], None],
        path: Path | None = None,
        *,
        overwrite: bool = False,
        audio: bool = False,
    ) -> None:
        if path is not None and path.suffix.lower() not in FORMS:
            raise ValueError(f"{path}: a live recording ends in {', '.join(FORMS)}")
        self.name = f"record {path}" if path is not None else "record"
        if path is not None and path.exists() and not overwrite:
            raise SinkError(self.name, "the file is there already; --overwrite replaces it")
        if path is not None and not path.parent.is_dir():
            raise SinkError(self.name, f"there is no folder {path.parent}")
        self._controls, self._notify = controls, notify
        self._folder, self._ending = (path.parent, path.suffix) if path is not None else (Path(), ".mkv")
        self._first = self._given = path
        self._has_sound = audio
        self._sounds = AudioQueue()
        self._muxer: LiveMuxer | None = None
        self._path = Path()

    @property
    def is_idle(self) -> bool:
        """Whether pictures are let go."""
        return self._muxer is None and not self._controls.recording

    def open(self, width: int, height: int, fps: Fraction) -> None:
        """Remember the size; files begin with pictures."""
        self._size, self._fps = (width, height), fps

    def write(self, frame: LiveFrame) -> None:
        """Add ``frame``, or let it go where nothing is recorded.

        Raises:
            SinkError: the file cannot be written.
        """
        if not self._controls.recording:
            self._finish()
            self._sounds.take()
            return
        try:
            muxer = self._muxer or self._begin(frame.captured_at)
            muxer.write(frame, self._sounds.take())
        except (av.FFmpegError, OSError) as error:
            raise self._broken(error) from error

    def idle(self) -> None:
        """Keep the sound while no pictures come; end the recording where that is wished.

        Raises:
            SinkError: the file cannot be written.
        """
        if not self._controls.recording:
            self._finish()
        elif self._muxer is not None:
            try:
                self._muxer.write_audio(self._sounds.take())
            except (av.FFmpegError, OSError) as error:
                raise self._broken(error) from error

    def audio(self, frame: AudioFrame) -> None:
        """Take sound; written with the next picture."""
        self._sounds.put(frame)

    def close(self) -> None:
        """Finish the file."""
        self._finish()

    def _begin(self, origin: float) -> LiveMuxer:
        self._path, self._given = self._given or new_name(self._folder, "flowbrush", self._ending), None
        form = FORMS[self._path.suffix.lower()]
        self._muxer = LiveMuxer(f"file:{self._path}", form, self._size, self._fps, origin, has_audio=self._has_sound)
        self._tell(f"recording {self._path}")
        return self._muxer

    def _finish(self) -> None:
        if self._muxer is None:
            return
        muxer, self._muxer = self._muxer, None
        try:
            muxer.write_audio(self._sounds.take())
            muxer.finish()
        except (av.FFmpegError, OSError) as error:
            raise self._broken(error) from error
        self._tell(f"recorded {self._path}")

    def _broken(self, error: Exception) -> SinkError:
        if self._muxer is not None:
            self._muxer.abandon()
            self._muxer = None
        reason = reason_of(error)
        self._controls.refuse_recording(f"no recording: {reason} ({self._path.name})")
        which = "" if self._path == self._first else f"{self._path} "  # the sink's name says it
        return SinkError(self.name, f"{which}cannot be written ({reason})")

    def _tell(self, text: str) -> None:
        self._controls.say(text)
        self._notify(text)
