"""What FFmpeg reads live. The newest picture counts; nothing is buffered on the way."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from pipeline.decode.open import MAX_PIXELS, MAX_STREAMS, check_frame_size, limit_frame_size
from pipeline.errors import InputError, reason_of
from pipeline.frames import Pixels
from pipeline.live.capture.device import Taken
from pipeline.live.capture.pacing import Backlog, Pace, Use
from pipeline.media.colorspace import EXACT, source_color, swscale_matrix

OPEN_SECONDS, READ_SECONDS = 10, 5
# In which packets come, but none can be decoded. Cameras send a key picture every ten seconds at the least.
PICTURE_SECONDS = 20.0
# macOS has no way to wait for a camera.
NOTHING_YET_SECONDS = 0.002
# How far FFmpeg reads ahead to find out what there is. (Its `nobuffer` would lose what it has read, and with the first
# key picture all up to the next.)
ANALYZED_MICROSECONDS, PROBED_BYTES = 500_000, 1_000_000
# A last picture that begins so long before a file's end was the last; sound may be longer.
END_SECONDS = 2.0


class ContainerDevice:
    """See `pipeline.live.capture.device.Device`.

    Args:
        name: as the user knows it.
        url: as FFmpeg takes it.
        format: FFmpeg's name of the demuxer; None where it is found out.
        options: of FFmpeg.
        clock: tells when a picture came, in seconds.
    """

    returns = True

    def __init__(
        self,
        name: str,
        url: str,
        format: str | None,
        options: Mapping[str, str],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.fps: float | None = None
        self._url, self._format, self._options = url, format, dict(options)
        self._clock = clock
        self._container: InputContainer | None = None
        self._reformatter = VideoReformatter()
        self._stopped = threading.Event()
        self._last_seconds = 0.0

    def open(self) -> None:
        """Open; a stream that does not answer is given up after some seconds."""
        # Pictures are decoded one by one: threads that decode several at a time hold back as many.
        options = {
            "flags": "low_delay",
            "analyzeduration": str(ANALYZED_MICROSECONDS),
            "probesize": str(PROBED_BYTES),
            "max_pixels": str(MAX_PIXELS),
            "max_streams": str(MAX_STREAMS),
        }
        options |= self._options
        try:
            self._container = av.open(
                self._url, "r", self._format, options, timeout=(OPEN_SECONDS, READ_SECONDS), metadata_errors="replace"
            )
        except (av.FFmpegError, OSError, ValueError) as error:
            raise InputError(self.name, f"cannot be opened ({self._reason(error, OPEN_SECONDS)})") from error
        try:
            self._video = self._find_video(self._container)
        except InputError:
            self.close()
            raise
        rate = self._video.average_rate or self._video.guessed_rate
        self.fps = float(rate) if rate and 1 <= rate <= 240 else None
        self._packets = self._demux()
        self._backlog = Backlog()
        self._pace = self._find_pace(self._container)

    def _find_video(self, container: InputContainer) -> VideoStream:
        if len(container.streams) >= MAX_STREAMS:
            raise InputError(self.name, f"holds {MAX_STREAMS} streams or more; so many are not read")
        if not container.streams.video:
            raise InputError(self.name, "holds no video")
        video = container.streams.video[0]
        limit_frame_size(self.name, video.codec_context)
        video.codec_context.thread_type = "SLICE"
        return video

    def _find_pace(self, container: InputContainer) -> Pace | None:
        """What comes over http as fast as the net allows: a file, and a playlist's pieces."""
        is_http = self._scheme in ("http", "https")
        return Pace() if is_http and (_is_file(container) or "hls" in container.format.name) else None

    def _demux(self) -> Iterator["Packet[VideoStream]"]:
        if self._container is None:
            raise InputError(self.name, "is not open")
        return self._container.demux(self._video)

    def read(self) -> Taken | None:
        """The next picture; of several that one packet completes, the last. None at a file's end, or when stopped."""
        begun, damage = self._clock(), ""
        while not self._stopped.is_set():
            try:
                frame, at = self._decoded()
                if frame is not None:
                    return self._taken(frame, at)
            except av.BlockingIOError:  # macOS has nothing yet
                self._wait_for_more(begun)
            except av.InvalidDataError:
                damage = "can be decoded"  # a packet was lost on the way; the next key picture mends it
            except (StopIteration, EOFError):
                if self._is_at_end():
                    return None
                raise InputError(self.name, "has ended") from None
            except (av.FFmpegError, OSError, ValueError) as error:
                raise InputError(self.name, f"is broken ({self._reason(error, READ_SECONDS)})") from error
            if self._clock() - begun > PICTURE_SECONDS:
                raise InputError(self.name, f"none of its pictures {damage or 'came'} within {PICTURE_SECONDS:g} s")
        return None

    def _decoded(self) -> tuple[VideoFrame | None, float]:
        """Of the next packet the picture to show, None where there is none, and when the packet came."""
        before = self._clock()
        packet = next(self._packets)
        at = self._clock()
        use = self._use_of(packet, at, at - before)
        frames = [] if use is Use.DROP else packet.decode()
        return (frames[-1] if frames and use is Use.SHOW else None), at

    def _wait_for_more(self, begun: float) -> None:
        if self._clock() - begun > READ_SECONDS:
            raise InputError(self.name, "gives no more pictures") from None
        self._packets = self._demux()
        self._stopped.wait(NOTHING_YET_SECONDS)

    @property
    def _scheme(self) -> str:
        return self._url.partition("://")[0].lower()

    def _reason(self, error: Exception, seconds: float) -> str:
        """What went wrong; PyAV calls a time-out of ``seconds`` an exit that was asked for."""
        if not isinstance(error, av.ExitError):
            return reason_of(error)
        asks = "; is someone sending?" if self._scheme in ("udp", "rtp") else ""
        return f"nothing came within {seconds:g} s{asks}"

    def _use_of(self, packet: "Packet[VideoStream]", at: float, waited_seconds: float) -> Use:
        if self._pace is not None or packet.size == 0:
            return Use.SHOW
        ticks = packet.pts if packet.dts is None else packet.dts
        seconds = None if ticks is None or not packet.time_base else float(ticks * packet.time_base)
        return self._backlog.use_of(seconds, packet.is_keyframe, at, waited_seconds)

    def _taken(self, frame: VideoFrame, at: float) -> Taken | None:
        check_frame_size(self.name, frame.width, frame.height)
        if self._pace is not None and frame.time is not None:
            self._last_seconds = frame.time
            if self._stopped.wait(self._pace.wait_seconds(frame.time, self._clock())):
                return None
            at = self._clock()
        return Taken(self._pixels(frame), at)

    def _is_at_end(self) -> bool:
        """Whether a file has come to its end, and was not broken off on the way."""
        if self._pace is None or self._container is None or not _is_file(self._container):
            return False
        if not self._container.duration:
            return True  # FFmpeg knows from the size what was broken off, and says so
        begin = self._container.start_time or 0
        return self._last_seconds > (begin + self._container.duration) / av.time_base - END_SECONDS

    def _pixels(self, frame: VideoFrame) -> Pixels:
        color = source_color(frame)
        rgb = self._reformatter.reformat(
            frame,
            format="rgb24",
            src_colorspace=swscale_matrix(color.matrix),
            src_color_range=2 if color.full_range else 1,
            dst_color_range=2,
            interpolation=EXACT,
            threads=1,
        )
        return np.asarray(rgb.to_ndarray(), dtype=np.uint8)

    def stop(self) -> None:
        """End a read with the next packet, or after its time-out."""
        self._stopped.set()

    def close(self) -> None:
        """Let go of it."""
        container, self._container = self._container, None
        if container is not None:
            container.close()


def _is_file(container: InputContainer) -> bool:
    """Whether the whole of it is there; a recording that was broken off has a size alone.

    What a camera sends as a row of JPEG files has no end, nor times of its own, whatever size it states.
    """
    states_size = container.size > 0 and container.format.name not in ("hls", "mpjpeg")
    return bool(container.duration) or states_size
