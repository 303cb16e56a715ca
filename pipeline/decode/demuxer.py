"""One pass over a media file with PyAV: decoded video frames, and the packets of all other streams between them."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import cast

import av
from av.stream import Stream
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from pipeline.decode.container_check import find_truncation
from pipeline.decode.open import InputFile, limit_frame_size
from pipeline.decode.reader import main_video, read_header
from pipeline.decode.timeline.damage_tracker import DamageTracker
from pipeline.decode.timeline.sequence_header import CODECS, SequenceHeader
from pipeline.errors import InputError, reason_of
from pipeline.media.damage import DamageLog
from pipeline.media.hardware import working_accelerator
from pipeline.media.packets import StreamPacket, VideoPacket
from pipeline.media.stream_kinds import has_packets, is_cover

# Opening fails if this many packets fail before the first frame.
HOPELESS_PACKETS = 500
# Two days at 60 frames per second; more than one run can stylize, and less than a small file can pretend to contain.
MAX_FRAMES = 10_000_000


class MediaReader:
    """Reads whatever FFmpeg can, through PyAV; see `pipeline.decode.reader.Reader`.

    Args:
        path: a local file, or ``-`` for standard input.
        damage: receives the damaged places; None makes a log.
        threads: number of threads of the video decoder; 0 lets FFmpeg choose.
        with_side_packets: whether `read` yields packets of all other streams, or of covers only.
        max_frames: more are an error.
        hwaccel: a device that decodes as far as it can, ``cuda`` or ``cuda:N``; ``none`` for software.

    Raises:
        InputError: the file cannot be opened, or has no video, or one that is too large.
    """

    def __init__(
        self,
        path: str,
        damage: DamageLog | None = None,
        *,
        threads: int = 0,
        with_side_packets: bool = True,
        max_frames: int = MAX_FRAMES,
        hwaccel: str = "none",
    ) -> None:
        self._path = path
        self._max_frames = max_frames
        self._file = InputFile(path, working_accelerator(hwaccel))
        try:
            self._video = main_video(self._file.container, path)
            limit_frame_size(path, self._video.codec_context)
        except InputError:
            self._file.close()
            raise
        self._decoder = _alpha_decoder(self._video, threads)
        self._video.codec_context.thread_type = "AUTO"
        # With several threads FFmpeg decodes no faster on a device, and holds more of its frames.
        self._video.codec_context.thread_count = 1 if self._video.codec_context.is_hwaccel else threads
        header = read_header(self._file.container, self._video)
        seconds = self._file.seconds_between_jumps()
        self.header = header if seconds is None else replace(header, duration_seconds=seconds)
        is_read = has_packets if with_side_packets else is_cover
        self.side_streams: tuple[Stream, ...] = tuple(filter(is_read, self.header.other_streams))
        self.damage = damage or DamageLog(path)
        self._tracker = DamageTracker(self.header.codec, self.header.time_base, self.damage)
        self._failed_packets = 0
        self._sequence_header = SequenceHeader() if self.header.codec in CODECS else None

    def read(self) -> Iterator[VideoFrame | StreamPacket]:
        """Decode to the end; damaged places are skipped and added to ``damage``.

        Raises:
            InputError: the file system fails, or there are too many packets or frames.
        """
        for packet in self._packets():
            # Not packet.stream_index: it is 0 in the empty packets that flush, whatever their stream.
            if packet.stream.index == self._video.index:
                video_packet = cast(VideoPacket, packet)
                yield from self._held_frames(video_packet)
                yield from self._decode(video_packet)
            elif packet.size:
                self.damage.add_if_corrupt(packet, is_numbered=self._tracker.is_whole)
                yield packet
        self._check_length()

    def _packets(self) -> Iterator[StreamPacket]:
        return self._file.packets(
            (self._video, *self.side_streams), lambda error: self._tracker.add_here(reason_of(error))
        )

    def _held_frames(self, packet: VideoPacket) -> list[VideoFrame]:
        """Return the frames that the decoder still holds, if it would drop them at ``packet``."""
        if self._sequence_header is None or not self._sequence_header.has_changed(packet):
            return []
        context = self._video.codec_context
        try:
            frames = context.decode(None)
        except av.FFmpegError as error:
            self._tracker.add_here(reason_of(error))
            frames = []
        context.flush_buffers()
        for frame in frames:
            self._tracker.frame_decoded(frame)
        return frames

    def _decode(self, packet: VideoPacket) -> list[VideoFrame]:
        """Return the frames that ``packet`` completes; the empty packet at the end flushes the decoder."""
        if not packet.size and packet.dts is not None:
            return []  # an empty sample, which would flush the decoder too early
        self._tracker.packet_sent(packet)
        try:
            frames = packet.decode() if self._decoder is None else self._decoder.decode(packet if packet.size else None)
        except EOFError:
            return []
        except av.FFmpegError as error:
            self._failed_packets += 1
            if not self._tracker.frame_count and self._failed_packets >= HOPELESS_PACKETS:
                raise InputError(self._path, f"none of its first {HOPELESS_PACKETS} packets decodes") from error
            self._tracker.packet_failed(packet, reason_of(error))
            return []
        for frame in frames:
            self._tracker.frame_decoded(frame)
        if self._tracker.frame_count > self._max_frames:
            raise InputError(self._path, f"has more than {self._max_frames} frames; use --start and --duration")
        if not packet.size:
            self._tracker.finish()
        return frames

    def _check_length(self) -> None:
        """Add damage if the file is shorter than its header says: a truncated file ends like a complete one.

        Edit lists hide frames that are counted, so the duration, which they shorten too, decides.
        """
        reason = find_truncation(self._path, self.header.container)
        duration, count, tracker = self._video.duration, self.header.frame_count, self._tracker
        is_mov = self.header.container.startswith("mov")
        if is_mov and duration and count and tracker.is_whole and tracker.end is not None:
            missing = (self._video.start_time or 0) + duration - tracker.end
            if tracker.frame_count < count and (missing * self.header.time_base > 1 or missing > duration / 20):
                reason = f"the file ends after {tracker.frame_count} of {count} frames; check that it is complete"
        if reason is not None:
            tracker.add_here(reason)

    def seek(self, seconds: Fraction) -> None:
        """Go to a key frame at or before ``seconds``, as far as the container's index is right."""
        self._tracker.seeked()
        self._file.seek(seconds, self._video)
        if self._decoder is not None:
            self._decoder.flush_buffers()

    def stop(self) -> None:
        """End a wait for standard input; reading a file does not block."""
        self._file.stop()

    def close(self) -> None:
        """Close the file and its decoders."""
        decoders = (self._video.codec_context, self._decoder)
        close_when_idle(self._file, *(decoder for decoder in decoders if decoder is not None))


def close_when_idle(file: InputFile, *decoders: VideoCodecContext) -> None:
    """Stop the threads of ``decoders``, then close ``file``.

    A decoder that is freed waits for its threads with the GIL held, which they need to log.
    """
    for decoder in decoders:
        decoder.flush_buffers()
    file.close()


def _alpha_decoder(video: VideoStream, threads: int) -> VideoCodecContext | None:
    """Return libvpx's decoder for VP8 or VP9 with alpha, which FFmpeg's own decoders drop; None for other streams."""
    metadata = {key.casefold(): text for key, text in video.metadata.items()}
    library = {"vp8": "libvpx", "vp9": "libvpx-vp9"}.get(video.codec_context.name)
    if library is None or metadata.get("alpha_mode") != "1" or library not in av.codecs_available:
        return None
    decoder = cast(VideoCodecContext, av.CodecContext.create(library, "r"))
    decoder.thread_count = threads
    return decoder
