"""An output file in the making: the plan it follows, its streams, and the pixels on their way into the encoder."""

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import IO, cast

import av
from av.container import OutputContainer
from av.rational import AVRational
from av.stream import Disposition
from av.video.stream import VideoStream

from pipeline.encode.display_size import TITLE_PADDING, set_display_size
from pipeline.encode.encoder import VideoEncoder, add_video_stream
from pipeline.encode.output_plan import OutputPlan
from pipeline.encode.stream_copy import CarriedTrack
from pipeline.frames import Frame
from pipeline.media.chapters import write_chapters
from pipeline.media.packets import StreamPacket, VideoPacket


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
    """Writes a picture and the streams of the source into ``file`` as ``plan`` says; its header is written at once.

    The picture comes as frames that are encoded here (`write_frame`), or as packets that were encoded before
    (`write_video_packet`). Packets of all streams should come roughly in the order of their times: FFmpeg sorts them
    into the file, and holds at most ten seconds of them.

    Args:
        plan: what to write.
        file: a path, or a file object opened for writing.
        tag: metadata in addition to the plan's, keys in lower case; added to what the plan says under the same key.
        is_trial: leaves out what costs time after the last frame.
        template: the video stream of a file that holds packets for `write_video_packet`; None where frames come.

    Attributes:
        video_packets: written so far.
        audio_packets: written so far, of all tracks.

    Raises:
        av.FFmpegError, OSError: from every method, where an encoder, the container or the disk refuses.
    """

    def __init__(
        self,
        plan: OutputPlan,
        file: str | IO[bytes],
        *,
        tag: Mapping[str, str] | None = None,
        is_trial: bool = False,
        template: VideoStream | None = None,
    ) -> None:
        self.video_packets = 0
        self.audio_packets = 0
        self._file: str | IO[bytes] = file
        self._shape = None if is_trial or not isinstance(file, str) else display_size(plan)
        self._container = av.open(
            file,
            "w",
            format=plan.container.name,
            container_options=_muxer_options(plan, is_trial),
            metadata_errors="surrogateescape",  # as it was read: bytes that are no UTF-8 come through
        )
        try:
            self._stream = _add_picture(self._container, plan, template)
            self._video = VideoEncoder(self._stream, plan) if template is None else None
            self._tracks = {stream.stream.index: CarriedTrack(self._container, stream) for stream in plan.carried}
            if self._shape is not None:
                self._stream.metadata["title"] = self._stream.metadata.get("title", "") + TITLE_PADDING
            self._container.metadata.update(_tagged(plan.metadata, tag or {}))
            write_chapters(self._container, plan.chapters)
            self._container.start_encoding()
            for track in self._tracks.values():
                self._write_carried(track, track.head())
            left_over = self._stream.codec_context.options if template is None else {}
            if left_over:
                raise ValueError(f"{plan.encoder.name} knows no {', '.join(left_over)}")
        except BaseException:
            self.abandon()
            raise

    def write_frame(self, frame: Frame) -> None:
        """Encode ``frame``, and write what the encoder gives.

        Raises:
            ValueError: the picture comes as packets.
        """
        if self._video is None:
            raise ValueError("this file is written from packets of the picture, not from frames")
        self._write_video(self._video.packets(frame))

    def write_video_packet(self, packet: VideoPacket) -> None:
        """Write a packet of the picture: pts, dts and duration are those of the output, in its own time base.

        They come in the order of decoding; the dts grow.
        """
        packet.stream = self._stream
        if self._stream.time_base:
            packet.rescale_ts(AVRational(self._stream.time_base))
        self._write_video(iter((packet,)))

    def write_packet(self, packet: StreamPacket) -> None:
        """Write or convert ``packet`` of the source; one of a stream that is not carried is let go."""
        track = self._tracks.get(packet.stream_index)
        if track is not None:
            self._write_carried(track, track.packets(packet))

    def finish(self) -> None:
        """Flush all encoders, write the index and close the file."""
        if self._video is not None:
            self._write_video(self._video.flush())
        for track in self._tracks.values():
            self._write_carried(track, track.flush())
        self._container.close()
        if self._shape is not None:
            set_display_size(str(self._file).removeprefix("file:"), *self._shape)

    def abandon(self) -> None:
        """Close a file that nobody will want; never raises. It is removed first, as its index need not be moved."""
        if isinstance(self._file, str):
            with suppress(OSError):
                os.unlink(self._file.removeprefix("file:"))
        with suppress(av.FFmpegError, OSError, ValueError):
            self._container.close()

    def _write_video(self, packets: Iterator[VideoPacket]) -> None:
        for packet in packets:
            self._container.mux_one(cast(StreamPacket, packet))
            self.video_packets += 1

    def _write_carried(self, track: CarriedTrack, packets: list[StreamPacket]) -> None:
        for packet in packets:
            self._container.mux_one(packet)
            self.audio_packets += track.stream.type == "audio"


def _add_picture(container: OutputContainer, plan: OutputPlan, template: VideoStream | None) -> VideoStream:
    """The stream of the picture, with what the source says of it."""
    stream = add_video_stream(container, plan)
    if template is not None:
        # Not made from the template, which would leave frame rate and aspect of the pixels behind. The head of the
        # packets has to be theirs: the encoder's own is in another form.
        stream.codec_context.open()
        if template.codec_context.extradata:
            stream.codec_context.extradata = template.codec_context.extradata
    stream.metadata.update(plan.video_metadata)
    stream.disposition = Disposition(plan.video_disposition)
    return stream


def display_size(plan: OutputPlan) -> tuple[int, int] | None:
    """Width and height at which the pictures are shown, where they have to be written behind the muxer's back."""
    is_matroska = plan.container.name in ("matroska", "webm")
    if not is_matroska or plan.sample_aspect_ratio == 1 or plan.encoder.codec in ("h264", "h265"):
        return None
    return max(round(plan.width * plan.sample_aspect_ratio), 1), plan.height


def _tagged(metadata: Mapping[str, str], tag: Mapping[str, str]) -> dict[str, str]:
    """Both; what the source says under a key of ``tag``, in any case, stays in front."""
    own = {key: text for key, text in metadata.items() if key.casefold() not in tag}
    said = {key.casefold(): text for key, text in metadata.items()}
    return own | {key: f"{said[key]}; {text}" if said.get(key) else text for key, text in tag.items()}


def _muxer_options(plan: OutputPlan, is_trial: bool) -> dict[str, str]:
    if plan.container.name in ("gif", "webp"):
        return {"loop": "0"}
    if plan.container.name in ("mp4", "mov"):
        # The offset between sound and picture is stored on this clock; FFmpeg's default of 1000 moves them by 1 ms.
        clock = {"movie_timescale": "90000"}
        flags = ("" if is_trial else "+faststart") + ("+use_metadata_tags" if plan.has_free_keys else "")
        return clock | ({"movflags": flags} if flags else {})
    return {}
