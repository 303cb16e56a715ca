"""The last stage: painted frames and the audio packets between them become a file, whole or not at all."""

import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import IO, cast

from pipeline.atomic import explained, put_in_place
from pipeline.encode.muxer import Muxer, new_temporary
from pipeline.encode.output_plan import OutputPlan
from pipeline.errors import EncodeError, OutputError
from pipeline.frames import Frame
from pipeline.media.packets import StreamPacket


@dataclass(frozen=True, slots=True)
class EncodeReport:
    """What was written.

    Attributes:
        path: as the user named it, or ``-``.
        frames: number of pictures.
        audio_packets: number of packets of sound, of all tracks.
    """

    path: str
    frames: int
    audio_packets: int


def encode(
    items: Iterable[Frame | StreamPacket], plan: OutputPlan, *, tag: Mapping[str, str] | None = None
) -> EncodeReport:
    """Write ``items`` as ``plan`` says; the target appears when all of it has been written, or stays as it was.

    Args:
        items: frames in presentation order, audio packets of the source between them.
        plan: made by `pipeline.encode.planner.plan_output`.
        tag: metadata in addition to the source's.

    Raises:
        EncodeError: an encoder or the container refused something, or the disk is full.
        OutputError: the file cannot be created or put into place.
    """
    if plan.target == "-":
        return encode_into(items, plan, cast("IO[bytes]", _Pipe(sys.stdout.buffer)), tag)
    path = os.path.realpath(plan.target)
    try:
        temporary = new_temporary(path)
    except OSError as error:
        raise OutputError(plan.target, f"cannot be created ({error.strerror})") from error
    try:
        report = encode_into(items, plan, f"file:{temporary}", tag)
        with explained(plan.target):
            put_in_place(temporary, path, replaces=plan.replaces)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise
    return report


def encode_into(
    items: Iterable[Frame | StreamPacket], plan: OutputPlan, file: str | IO[bytes], tag: Mapping[str, str] | None
) -> EncodeReport:
    """As `encode`, into a path behind ``file:`` or a file object; what is half written is removed."""
    with explained(plan.target):
        muxer = Muxer(plan, file, tag=tag)
    frames = 0
    try:
        for item in items:
            with explained(plan.target):
                if isinstance(item, Frame):
                    muxer.write_frame(item)
                    frames += 1
                else:
                    muxer.write_packet(item)
        with explained(plan.target):
            muxer.finish()
    except BaseException:
        muxer.abandon()
        raise
    if muxer.video_packets != frames and plan.container.name != "webp":
        raise EncodeError(plan.target, f"{plan.encoder.name} made {muxer.video_packets} pictures of {frames} frames")
    return EncodeReport(plan.target, frames, muxer.audio_packets)


class _Pipe:
    """Standard output as a stream that offers no seeking, even where it is a file."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def write(self, data: bytes) -> int:
        count = self._file.write(data)
        self._file.flush()
        return count
