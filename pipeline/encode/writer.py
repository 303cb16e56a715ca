"""The third stage: write frames, and the side packets between them, to a file in one pass."""

import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import IO, Self, cast

from pipeline.encode.errors import encode_errors
from pipeline.encode.muxer import Muxer
from pipeline.encode.output_plan import OutputPlan
from pipeline.errors import EncodeError, OutputError
from pipeline.frames import Frame
from pipeline.media.packets import SidePackets
from pipeline.system.files.atomic import new_temporary, remove, replace_atomically
from pipeline.system.files.writing import write_all
from pipeline.threads import SideWork


@dataclass(frozen=True, slots=True)
class EncodeReport:
    """What was written.

    Attributes:
        path: the output as the user named it, or ``-``.
        frames: number of video frames.
        audio_packets: number of audio packets, of all tracks.
        notices: what could not be stored as it is in the source, one line each.
    """

    path: str
    frames: int
    audio_packets: int
    notices: tuple[str, ...] = ()


class Writer(SideWork, ABC):
    """Where `pipeline.run.render_frames` writes frames to; what it does meanwhile is its `SideWork`."""

    @abstractmethod
    def write(self, frame: Frame) -> None:
        """Write the next frame, in presentation order.

        Raises:
            EncodeError: an encoder or the container rejects something, or the disk is full.
        """


def encode(
    frames: Iterable[Frame],
    plan: OutputPlan,
    *,
    tag: Mapping[str, str] | None = None,
    side_packets: SidePackets | None = None,
    file: str | None = None,
) -> EncodeReport:
    """Write ``frames``, in presentation order, with a `FileWriter`."""
    with FileWriter(plan, tag=tag, side_packets=side_packets, file=file) as writer:
        for frame in frames:
            writer.write(frame)
        return writer.finish()


class FileWriter(Writer):
    """Writes the output of ``plan`` in one pass; the target appears when it is complete, or stays as it was.

    A context manager: without `finish`, what was written is removed. As `SideWork` it writes the packets that precede
    the next frame.

    Args:
        plan: made by `pipeline.encode.planner.plan_output`.
        tag: metadata in addition to the source's.
        side_packets: packets to be written between the frames; None for none.
        file: where to write instead of the target of ``plan``; not replaced atomically.

    Raises:
        EncodeError: from every method: an encoder or the container rejects something, or the disk is full.
        OutputError: the file cannot be created.
    """

    def __init__(
        self,
        plan: OutputPlan,
        *,
        tag: Mapping[str, str] | None = None,
        side_packets: SidePackets | None = None,
        file: str | None = None,
    ) -> None:
        self._plan = plan
        self._side_packets = side_packets or SidePackets()
        self.changed = self._side_packets.changed
        self._frames = 0
        self._temporary = _new_file(plan) if file is None and plan.target != "-" else None
        path = self._temporary or file
        output = cast("IO[bytes]", _Pipe(sys.stdout.buffer)) if path is None else f"file:{path}"
        try:
            with encode_errors(plan.target):
                self._muxer = Muxer(plan, output, tag=tag)
        except BaseException:
            self._remove_temporary()
            raise

    def write(self, frame: Frame) -> None:
        """Encode ``frame``, after the packets that precede it."""
        self.run()
        with encode_errors(self._plan.target):
            self._muxer.write_frame(frame)
        self._frames += 1

    def is_due(self) -> bool:
        """Return whether there are packets that precede the next frame."""
        return self._side_packets.has_before(self._frames)

    def run(self) -> None:
        """Write the packets that precede the next frame."""
        for packet in self._side_packets.take_before(self._frames):
            with encode_errors(self._plan.target):
                self._muxer.write_packet(packet)

    def finish(self) -> EncodeReport:
        """Write the remaining packets, close the file and rename it into place."""
        self.run()
        plan, frames, muxer = self._plan, self._frames, self._muxer
        with encode_errors(plan.target):
            muxer.finish()
        if muxer.video_packets - muxer.repeated_frames != frames and plan.container.name != "webp":
            raise EncodeError(plan.target, f"{plan.encoder.name} made {muxer.video_packets} packets of {frames} frames")
        if self._temporary is not None:
            with encode_errors(plan.target):
                replace_atomically(self._temporary, plan.path, may_replace=plan.replaces)
            self._temporary = None
        return EncodeReport(plan.target, frames + muxer.repeated_frames, muxer.audio_packets, tuple(muxer.notices))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            self._muxer.abandon()
            self._remove_temporary()

    def _remove_temporary(self) -> None:
        if self._temporary is not None:
            remove(self._temporary)


def _new_file(plan: OutputPlan) -> str:
    try:
        return new_temporary(plan.path)
    except OSError as error:
        raise OutputError(plan.target, f"cannot be created ({error.strerror})") from error


class _Pipe:
    """Standard output as a stream that does not support seeking, even if it is a file."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def write(self, data: bytes) -> int:
        write_all(self._file, data)
        return len(data)
