"""A live source that FFmpeg reads. Delivers the newest frame and buffers nothing."""

import errno
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from pipeline.decode.open import MAX_PIXELS, MAX_STREAMS, check_frame_size, limit_frame_size
from pipeline.errors import InputError, reason_of
from pipeline.live.capture.connection.guarded_file import RAW_FORMAT, RAW_OPTIONS, GuardedFile
from pipeline.live.capture.connection.tls import VerifiedFiles
from pipeline.live.capture.device import CaptureDevice
from pipeline.live.capture.pacing import BacklogFilter, PacketAction, RealTimePacer
from pipeline.live.frames import CapturedFrame
from pipeline.media.pixels.colorspace import to_8_bit_rgb

# Formats with an index that FFmpeg reads before anything else.
INDEXED_FORMATS = "mov,mp4,m4a,3gp,3g2,mj2"
OPEN_SECONDS, READ_SECONDS = 10, 5
# Time limit for a decodable frame while packets arrive; cameras send a key frame at least every ten seconds.
FRAME_SECONDS = 20.0
# On macOS a camera is polled.
POLL_SECONDS = 0.002
# How much FFmpeg reads to find the streams. (Its `nobuffer` would discard what it has read: the first key frame, and
# with it all frames up to the next.)
ANALYZE_MICROSECONDS, PROBE_BYTES = 500_000, 1_000_000
# Audio may be longer than video: the end of a file is accepted this long before its stated duration.
END_SECONDS = 2.0


class FFmpegDevice(CaptureDevice):
    """A network stream, camera or screen.

    Args:
        name: shown in messages.
        url: what FFmpeg opens.
        format: FFmpeg's name of the demuxer; None to detect it.
        options: FFmpeg's options.
        check: called before the device is opened; raises OSError if it must not be.
        playlist_files: opens the files of a playlist (HLS), if ``options`` do not allow FFmpeg to do so.
        clock: current time in seconds.
    """

    def __init__(
        self,
        name: str,
        url: str,
        format: str | None,
        options: Mapping[str, str],
        *,
        check: Callable[[], None] | None = None,
        playlist_files: VerifiedFiles | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._url, self._format, self._clock = url, format, clock
        self._check, self._playlist_files = check, playlist_files
        self._scheme = url.partition("://")[0].lower()
        self._options = {
            "flags": "low_delay",
            "analyzeduration": str(ANALYZE_MICROSECONDS),
            "probesize": str(PROBE_BYTES),
            "max_pixels": str(MAX_PIXELS),
            "max_streams": str(MAX_STREAMS),
            **options,
        }
        self._container: InputContainer | None = None
        self._file: GuardedFile | None = None  # from which the container reads, if its index is checked
        self._packets: Iterator[Packet[VideoStream]] = iter(())
        self._reformatter = VideoReformatter()
        self._stopped = threading.Event()
        self._last_seconds = 0.0

    def open(self) -> None:
        """Open the stream; fails after some seconds without an answer."""
        try:
            if self._check is not None:
                self._check()
            self._container = self._open_container()
        except (av.FFmpegError, OSError, ValueError) as error:
            raise InputError(self.name, f"cannot be opened ({self._reason(error, OPEN_SECONDS)})") from error
        try:
            video = self._find_video(self._container)
        except InputError:
            self.close()
            raise
        rate = video.average_rate or video.guessed_rate
        self.fps = float(rate) if rate and 1 <= rate <= 240 else None
        self._packets = self._container.demux(video)
        self._backlog = BacklogFilter()
        # Files and playlists arrive over http as fast as the network allows.
        needs_pacing = self._scheme in ("http", "https") and (
            _is_file(self._container) or "hls" in self._container.format.name
        )
        self._pacer = RealTimePacer() if needs_pacing else None

    def read(self) -> CapturedFrame | None:
        """Return the next frame; if one packet completes several, the last of them."""
        started, problem = self._clock(), "arrived"
        while not self._stopped.is_set():
            try:
                decoded, captured_at = self._decode_next()
                if decoded is not None:
                    return self._deliver(decoded, captured_at)
            except av.BlockingIOError:  # no frame yet, on macOS
                self._poll_again(started)
            except av.InvalidDataError:  # a lost packet; the next key frame repairs the image
                problem = "could be decoded"
            except (StopIteration, EOFError):
                if self._is_complete_file():
                    return None
                raise InputError(self.name, "the stream has ended") from None
            except (av.FFmpegError, OSError, ValueError) as error:
                raise InputError(self.name, f"cannot be read ({self._reason(error, READ_SECONDS)})") from error
            if self._clock() - started > FRAME_SECONDS:
                raise InputError(self.name, f"no frame {problem} within {FRAME_SECONDS:g} s")
        return None

    def stop(self) -> None:
        """End a waiting `read` at the next packet, or after its time-out."""
        self._stopped.set()

    def close(self) -> None:
        """Close the stream."""
        container, self._container = self._container, None
        if container is not None:
            container.close()
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _open_container(self) -> InputContainer:
        if self._scheme == "tcp":  # whoever sends may accept one connection only
            return self._open_guarded(f"{self._options['format_whitelist']},{INDEXED_FORMATS}")
        try:
            return self._open(self._url, self._format, self._options)
        except av.ArgumentError:  # the format is not in the list
            if self._scheme not in ("http", "https"):
                raise
        with suppress(av.InvalidDataError):  # it is no playlist
            return self._open_playlist()
        return self._open_guarded(INDEXED_FORMATS)

    def _open_playlist(self) -> InputContainer:
        options = self._options | {"format_whitelist": f"hls,{INDEXED_FORMATS},{self._options['format_whitelist']}"}
        if self._playlist_files is not None:
            options |= {"http_persistent": "0", "http_multiple": "0"}  # which work with FFmpeg's own files only
            self._playlist_files.allow(OPEN_SECONDS)
        return self._open(self._url, "hls", options, self._playlist_files)

    def _open_guarded(self, formats: str) -> InputContainer:
        """Open an mp4, which needs a check of its index before FFmpeg reads it, or another one of ``formats``."""
        raw_options = self._options | RAW_OPTIONS | {"format_whitelist": RAW_FORMAT}
        file = GuardedFile(self.name, lambda: self._open(self._url, RAW_FORMAT, raw_options), OPEN_SECONDS)
        try:
            container = self._open(file, None, self._options | {"format_whitelist": formats})
        except BaseException:
            file.close()
            raise
        self._file = file
        return container

    def _open(
        self,
        file: str | GuardedFile,
        format: str | None,
        options: Mapping[str, str],
        files: VerifiedFiles | None = None,
    ) -> InputContainer:
        timeout = (OPEN_SECONDS, READ_SECONDS)
        return av.open(file, "r", format, dict(options), io_open=files, timeout=timeout, metadata_errors="replace")

    def _find_video(self, container: InputContainer) -> VideoStream:
        if len(container.streams) >= MAX_STREAMS:
            raise InputError(self.name, f"has {MAX_STREAMS} streams or more, which is not supported")
        if not container.streams.video:
            raise InputError(self.name, "has no video")
        video = container.streams.video[0]
        limit_frame_size(self.name, video.codec_context)
        video.codec_context.thread_type = "SLICE"  # frame threads would delay the stream by a frame each
        return video

    def _decode_next(self) -> tuple[VideoFrame | None, float]:
        """Decode the next packet; return its last frame, None if there is none to show, and when the packet arrived."""
        if self._playlist_files is not None:
            self._playlist_files.allow(READ_SECONDS)
        if self._file is not None:
            self._file.allow(READ_SECONDS)
        before = self._clock()
        packet = next(self._packets)
        arrived_at = self._clock()
        action = self._action(packet, arrived_at, arrived_at - before)
        frames = [] if action is PacketAction.DROP else packet.decode()
        return (frames[-1] if frames and action is PacketAction.SHOW else None), arrived_at

    def _action(self, packet: "Packet[VideoStream]", arrived_at: float, waited_seconds: float) -> PacketAction:
        if self._pacer is not None or packet.size == 0:
            return PacketAction.SHOW
        ticks = packet.pts if packet.dts is None else packet.dts
        seconds = None if ticks is None or not packet.time_base else float(ticks * packet.time_base)
        return self._backlog.action(seconds, packet.is_keyframe, arrived_at, waited_seconds)

    def _deliver(self, frame: VideoFrame, captured_at: float) -> CapturedFrame | None:
        check_frame_size(self.name, frame.width, frame.height)
        if self._pacer is not None and frame.time is not None:
            self._last_seconds = frame.time
            if self._stopped.wait(self._pacer.wait_seconds(frame.time, self._clock())):
                return None
            captured_at = self._clock()
        return CapturedFrame(to_8_bit_rgb(frame, self._reformatter), captured_at)

    def _poll_again(self, started: float) -> None:
        if self._clock() - started > READ_SECONDS:
            raise InputError(self.name, "delivers no more frames") from None
        if self._container is not None:
            self._packets = self._container.demux(self._container.streams.video[0])
        self._stopped.wait(POLL_SECONDS)

    def _is_complete_file(self) -> bool:
        """Whether a file was read to its end, rather than cut off on the way."""
        if self._pacer is None or self._container is None or not _is_file(self._container):
            return False
        if not self._container.duration:
            return True  # FFmpeg compares the bytes received with the size of the file, and fails if some are missing
        start = self._container.start_time or 0
        return self._last_seconds > (start + self._container.duration) / av.time_base - END_SECONDS

    def _reason(self, error: Exception, timeout_seconds: float) -> str:
        # PyAV's word for a time-out: "Immediate exit requested"
        if not isinstance(error, (av.ExitError, TimeoutError)):
            # All that FFmpeg reports of a certificate that it does not accept.
            is_refused = isinstance(error, OSError) and error.errno == errno.EIO and "tls_verify" in self._options
            hint = "; the certificate may not be valid: --insecure accepts any" if is_refused else ""
            return f"{reason_of(error)}{hint}"
        hint = "; is someone sending?" if self._scheme in ("udp", "rtp") else ""
        return f"no answer within {timeout_seconds:g} s{hint}"


def _is_file(container: InputContainer) -> bool:
    """Whether the source has an end: it states a duration or, like an interrupted recording, only a size.

    A series of JPEG files from a camera (mpjpeg) has no end and no time stamps, whatever size it states.
    """
    has_size = container.size > 0 and container.format.name not in ("hls", "mpjpeg")
    return bool(container.duration) or has_size
