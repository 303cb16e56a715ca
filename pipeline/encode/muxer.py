"""Write one output file: header, encoded video, side tracks, index."""

from collections import deque
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
from pipeline.encode.long_steps import REORDERED_STEPS
from pipeline.encode.output_plan import OutputPlan
from pipeline.encode.side_streams.side_tracks import SideTrack
from pipeline.frames import Frame
from pipeline.media.chapters import write_chapters
from pipeline.media.packets import StreamPacket, VideoPacket
from pipeline.system.files.atomic import remove


class Muxer:
    """Writes a video and the side tracks of its source into ``file``; the constructor writes the header.

    The video comes as frames to encode (`write_frame`), or as packets that are encoded already (`write_video_packet`).
    Write the packets of all streams roughly in the order of their times: FFmpeg interleaves them, and buffers at most
    ten seconds.

    Args:
        plan: what to write.
        file: a path, or a file object opened for writing.
        tag: metadata in addition to the plan's, with keys in lower case; appended to the plan's text of the same key.
        is_trial: skips slow steps at the end, such as moving the index; for a test of the settings.
        template: the video stream that packets for `write_video_packet` come from; None for frames.

    Attributes:
        video_packets: number of video packets written.
        audio_packets: number of audio packets written, of all tracks.

    Raises:
        av.FFmpegError, OSError: from every method, if an encoder, the muxer or the disk fails.
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
        self._at_same_time = 0
        self._last_times: deque[int] = deque(maxlen=REORDERED_STEPS)
        self._plan = plan
        self._file: str | IO[bytes] = file
        self._display_size = None if is_trial or not isinstance(file, str) else display_size(plan)
        self._container = av.open(
            file,
            "w",
            format=plan.container.name,
            container_options=_muxer_options(plan, is_trial),
            metadata_errors="surrogateescape",  # bytes that are not UTF-8 are written as they were read
        )
        try:
            self._stream = _add_video(self._container, plan, template)
            self._encoder = VideoEncoder(self._stream, plan, limits_steps=True) if template is None else None
            self._tracks = {mapping.stream.index: SideTrack(self._container, mapping) for mapping in plan.carried}
            if self._display_size is not None:
                self._stream.metadata["title"] = self._stream.metadata.get("title", "") + TITLE_PADDING
            self._container.metadata.update(_tagged(plan.metadata, tag or {}))
            write_chapters(self._container, plan.chapters)
            self._container.start_encoding()
            for track in self._tracks.values():
                self._write_side(track, track.first_packets())
            unknown = self._stream.codec_context.options if template is None else {}
            if unknown:
                raise ValueError(f"{plan.encoder.name} has no option {', '.join(unknown)}")
        except BaseException:
            self.abandon()
            raise

    @property
    def repeated_frames(self) -> int:
        """Number of video packets that repeat the frame before."""
        return 0 if self._encoder is None else self._encoder.repeated_frames

    @property
    def notices(self) -> list[str]:
        """What is not stored as it is in the source, one line each; complete after `finish`."""
        lines = [] if self._encoder is None else self._encoder.notices()
        if self._at_same_time:
            suffix, tick = self._plan.container.suffix, self._stream.time_base or self._plan.time_base
            lines.append(
                f"frames have the same time as the frame before ({self._at_same_time}): "
                f"{suffix} files count in steps of {float(1000 * tick):g} ms; use .mp4 or .mov"
            )
        return lines

    def write_frame(self, frame: Frame) -> None:
        """Encode ``frame``, and write the packets that are ready.

        Raises:
            ValueError: the video comes as packets.
        """
        if self._encoder is None:
            raise ValueError("this file is written from video packets, not from frames")
        self._write_video(self._encoder.packets(frame))

    def write_video_packet(self, packet: VideoPacket) -> None:
        """Write an encoded packet with the pts, dts and duration of the output, in the packet's time base.

        Write packets in decoding order, with increasing dts.
        """
        packet.stream = self._stream
        if self._stream.time_base:
            packet.rescale_ts(AVRational(self._stream.time_base))
        self._write_video(iter((packet,)))

    def write_packet(self, packet: StreamPacket) -> None:
        """Write or convert a source packet; packets of streams that are not carried are ignored."""
        track = self._tracks.get(packet.stream_index)
        if track is not None:
            self._write_side(track, track.packets(packet))

    def finish(self) -> None:
        """Flush all encoders, write the index and close the file."""
        if self._encoder is not None:
            self._write_video(self._encoder.flush())
        for track in self._tracks.values():
            self._write_side(track, track.flush())
        self._container.close()
        if self._display_size is not None:
            set_display_size(str(self._file).removeprefix("file:"), *self._display_size)

    def abandon(self) -> None:
        """Delete and close the file; never raises. Deleting first keeps FFmpeg from moving the index."""
        if isinstance(self._file, str):
            remove(self._file.removeprefix("file:"))
        with suppress(av.FFmpegError, OSError, ValueError):
            self._container.close()

    def _write_video(self, packets: Iterator[VideoPacket]) -> None:
        for packet in packets:
            self._count_time(packet)
            self._container.mux_one(cast(StreamPacket, packet))
            self.video_packets += 1

    def _count_time(self, packet: VideoPacket) -> None:
        """Count ``packet`` if the container's clock is too coarse to tell it from another frame."""
        if packet.pts is not None and self._stream.time_base:
            time = round(packet.pts * packet.time_base / self._stream.time_base)
            self._at_same_time += time in self._last_times
            self._last_times.append(time)

    def _write_side(self, track: SideTrack, packets: list[StreamPacket]) -> None:
        for packet in packets:
            self._container.mux_one(packet)
            self.audio_packets += track.stream.type == "audio"


def _add_video(container: OutputContainer, plan: OutputPlan, template: VideoStream | None) -> VideoStream:
    stream = add_video_stream(container, plan)
    if template is not None and template.codec_context.extradata:
        # A stream made from the template would lose frame rate and pixel aspect ratio. The extradata must be those of
        # the packets: the encoder's own have another form.
        stream.codec_context.extradata = template.codec_context.extradata
    stream.metadata.update(plan.video_metadata)
    stream.disposition = Disposition(plan.video_disposition)
    return stream


def display_size(plan: OutputPlan) -> tuple[int, int] | None:
    """Return the width and height for `set_display_size`; None if the muxer or the codec stores the aspect ratio."""
    is_matroska = plan.container.name in ("matroska", "webm")
    if not is_matroska or plan.sample_aspect_ratio == 1 or plan.encoder.codec in ("h264", "h265"):
        return None
    return max(round(plan.width * plan.sample_aspect_ratio), 1), plan.height


def _tagged(metadata: Mapping[str, str], tag: Mapping[str, str]) -> dict[str, str]:
    """Merge ``tag`` into ``metadata``; if both have a key, in any case, the texts are joined as ``source; tag``."""
    others = {key: text for key, text in metadata.items() if key.casefold() not in tag}
    texts = {key.casefold(): text for key, text in metadata.items()}
    return others | {key: f"{texts[key]}; {text}" if texts.get(key) else text for key, text in tag.items()}


def _muxer_options(plan: OutputPlan, is_trial: bool) -> dict[str, str]:
    if plan.container.is_animation:
        return {"loop": "0"}
    if plan.container.is_quicktime:
        # The offset between audio and video is rounded to this timescale; with FFmpeg's default of 1000, to 1 ms.
        clock = {"movie_timescale": "90000"}
        if plan.keeps_ticks:
            clock["video_track_timescale"] = str(plan.time_base.denominator)
        flags = ("" if is_trial else "+faststart") + ("+use_metadata_tags" if plan.has_free_keys else "")
        return clock | ({"movflags": flags} if flags else {})
    return {}
