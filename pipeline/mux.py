"""An output file in the making: the plan it follows, its streams, and the pixels on their way into the encoder."""

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import IO, cast

import av
from av.packet import Packet
from av.stream import Stream

from pipeline.audio import AudioTrack
from pipeline.frames import Frame
from pipeline.output import Plan
from pipeline.reader import AudioPacket, VideoPacket
from pipeline.video_track import VideoTrack, add_video


def new_temporary(path: str) -> str:
    """Create an empty hidden file beside ``path``, with the permissions a new file gets, and return its name."""
    while True:
        name = os.path.join(os.path.dirname(path), f".flowbrush-{secrets.token_hex(6)}.part")
        try:
            os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        except FileExistsError:
            continue
        return name


class Muxer:
    """Writes frames and audio packets into ``file`` as ``plan`` says; its header is written at once.

    Args:
        plan: what to write.
        file: a path, or a file object opened for writing.
        tag: metadata in addition to the plan's, keys in lower case; added to what the plan says under the same key.
        is_trial: leaves out what costs time after the last frame.

    Raises:
        av.FFmpegError, OSError: from every method, where an encoder, the container or the disk refuses.
    """

    def __init__(
        self, plan: Plan, file: str | IO[bytes], *, tag: Mapping[str, str] | None = None, is_trial: bool = False
    ) -> None:
        self.video_packets = 0
        self.audio_packets = 0
        self._file: str | IO[bytes] = file
        self._container = av.open(
            file, "w", format=plan.container.name, container_options=_muxer_options(plan, is_trial)
        )
        try:
            self._video = VideoTrack(add_video(self._container, plan), plan)
            self._audio = {audio.stream.index: AudioTrack(self._container, audio) for audio in plan.audio}
            self._container.metadata.update(_tagged(plan.metadata, tag or {}))
            self._container.start_encoding()
            left_over = self._container.streams.video[0].codec_context.options
            if left_over:
                raise ValueError(f"{plan.encoder.name} knows no {', '.join(left_over)}")
        except BaseException:
            self.abandon()
            raise

    def write_frame(self, frame: Frame) -> None:
        """Encode ``frame``, and write what the encoder gives."""
        self._write_video(self._video.packets(frame))

    def write_packet(self, packet: AudioPacket) -> None:
        """Write or transcode ``packet``; one of a stream that is not carried is let go."""
        track = self._audio.get(packet.stream_index)
        if track is not None:
            self._write_audio(track.packets(packet))

    def finish(self) -> None:
        """Flush all encoders, write the index and close the file."""
        self._write_video(self._video.flush())
        for track in self._audio.values():
            self._write_audio(track.flush())
        self._container.close()

    def abandon(self) -> None:
        """Close a file that nobody will want; never raises. It is removed first, as its index need not be moved."""
        if isinstance(self._file, str):
            with suppress(OSError):
                os.unlink(self._file.removeprefix("file:"))
        with suppress(av.FFmpegError, OSError, ValueError):
            self._container.close()

    def _write_video(self, packets: Iterator[VideoPacket]) -> None:
        for packet in packets:
            self._container.mux_one(cast("Packet[Stream]", packet))
            self.video_packets += 1

    def _write_audio(self, packets: list[AudioPacket]) -> None:
        for packet in packets:
            self._container.mux_one(cast("Packet[Stream]", packet))
            self.audio_packets += 1


def _tagged(metadata: Mapping[str, str], tag: Mapping[str, str]) -> dict[str, str]:
    """Both; what the source says under a key of ``tag``, in any case, stays in front."""
    own = {key: text for key, text in metadata.items() if key.casefold() not in tag}
    said = {key.casefold(): text for key, text in metadata.items()}
    return own | {key: f"{said[key]}; {text}" if said.get(key) else text for key, text in tag.items()}


def _muxer_options(plan: Plan, is_trial: bool) -> dict[str, str]:
    if plan.container.name in ("gif", "webp"):
        return {"loop": "0"}
    if plan.container.name in ("mp4", "mov"):
        # The offset between sound and picture is stored on this clock; FFmpeg's default of 1000 moves them by 1 ms.
        clock = {"movie_timescale": "90000"}
        return clock if is_trial else clock | {"movflags": "+faststart"}
    return {}
