"""What FFmpeg reads live: devices, streams, the screen. The newest picture counts; nothing is buffered on the way."""

import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from pipeline.color import EXACT, reading, swscale_matrix
from pipeline.errors import InputError, reason_of
from pipeline.frames import Pixels
from pipeline.live.address import shown
from pipeline.live.device import Taken
from pipeline.live.pace import Backlog, Pace, Use
from pipeline.opening import MOST_PIXELS, MOST_STREAMS, check_size, refuse_size

OPEN_SECONDS, READ_SECONDS = 10, 5
# In which packets come, but none can be decoded. Cameras send a key picture every ten seconds at the least.
PICTURE_SECONDS = 20.0
# macOS has no way to wait for a camera.
NOTHING_YET_SECONDS = 0.002
# How far FFmpeg reads ahead to find out what there is. (Its `nobuffer` would lose what it has read, and with the first
# key picture all up to the next.)
ANALYZED_MICROSECONDS, PROBED_BYTES = 500_000, 1_000_000
# Of what waits for the reader of UDP: two megabytes, in packets of 188 bytes.
FIFO_PACKETS = 11_000
# A last picture that begins so long before a file's end was the last; sound may be longer.
END_SECONDS = 2.0

# Protocols that a URL's scheme needs below it. A playlist that came from the net thus opens no file, nor anything that
# another protocol reaches.
PROTOCOLS = {
    "rtsp": "rtsp,rtp,udp,tcp",
    "rtsps": "rtsps,rtsp,rtp,udp,tcp,tls,srtp",
    "rtmp": "rtmp,tcp",
    "rtmps": "rtmps,tls,tcp",
    "http": "http,tcp,crypto",
    "https": "https,tls,tcp,crypto",
    "udp": "udp",
    "rtp": "rtp,udp",
    "tcp": "tcp",
}
DEMUXERS = (
    "rtsp,rtp,hls,mpegts,flv,live_flv,matroska,webm,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,mpjpeg,mjpeg,h264,hevc,m4v,"
    "mpegvideo,mpeg,ogg,nut,asf,av1,obu,ivf,yuv4mpegpipe"
)
DEVICE_FORMATS = ("v4l2", "avfoundation", "dshow")


class ContainerDevice:
    """See `pipeline.live.device.Device`.

    Args:
        name: as the user knows it.
        url: as FFmpeg takes it.
        format: FFmpeg's name of the demuxer; None where it is found out.
        options: of FFmpeg.
    """

    returns = True

    def __init__(self, name: str, url: str, format: str | None, options: Mapping[str, str]) -> None:
        self.name = name
        self.fps: float | None = None
        self._url, self._format, self._options = url, format, dict(options)
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
            "max_pixels": str(MOST_PIXELS),
            "max_streams": str(MOST_STREAMS),
        }
        options |= self._options
        try:
            self._container = av.open(
                self._url, "r", self._format, options, timeout=(OPEN_SECONDS, READ_SECONDS), metadata_errors="replace"
            )
        except (av.FFmpegError, OSError, ValueError) as error:
            raise InputError(self.name, f"cannot be opened ({reason_of(error)})") from error
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
        if len(container.streams) >= MOST_STREAMS:
            raise InputError(self.name, f"holds {MOST_STREAMS} streams or more; so many are not read")
        if not container.streams.video:
            raise InputError(self.name, "holds no video")
        video = container.streams.video[0]
        check_size(self.name, video.codec_context)
        video.codec_context.thread_type = "SLICE"
        return video

    def _find_pace(self, container: InputContainer) -> Pace | None:
        """What comes over http as fast as the net allows: a file, and a playlist's pieces."""
        is_http = self._url.partition("://")[0].lower() in ("http", "https")
        return Pace() if is_http and (container.duration or "hls" in container.format.name) else None

    def _demux(self) -> Iterator["Packet[VideoStream]"]:
        if self._container is None:
            raise InputError(self.name, "is not open")
        return self._container.demux(self._video)

    def read(self) -> Taken | None:
        """The next picture; of several that one packet completes, the last. None at a file's end, or when stopped."""
        begun = time.monotonic()
        is_damaged = False
        while not self._stopped.is_set():
            try:
                before = time.monotonic()
                packet = next(self._packets)
                at = time.monotonic()
                use = self._use_of(packet, at, at - before)
                frames = [] if use is Use.DROP else packet.decode()
                if frames and use is Use.SHOW:
                    return self._taken(frames[-1], at)
            except av.BlockingIOError:  # macOS has nothing yet
                if time.monotonic() - begun > READ_SECONDS:
                    raise InputError(self.name, "gives no more pictures") from None
                self._packets = self._demux()
                self._stopped.wait(NOTHING_YET_SECONDS)
            except av.InvalidDataError:
                is_damaged = True  # a packet was lost on the way; the next key picture mends it
            except (StopIteration, EOFError):
                if self._is_at_end():
                    return None
                raise InputError(self.name, "has ended") from None
            except (av.FFmpegError, OSError, ValueError) as error:
                raise InputError(self.name, f"is broken ({reason_of(error)})") from error
            if time.monotonic() - begun > PICTURE_SECONDS:
                reason = "can be decoded" if is_damaged else "came"
                raise InputError(self.name, f"none of its pictures {reason} within {PICTURE_SECONDS:g} s")
        return None

    def _use_of(self, packet: "Packet[VideoStream]", at: float, waited_seconds: float) -> Use:
        if self._pace is not None or packet.size == 0:
            return Use.SHOW
        ticks = packet.pts if packet.dts is None else packet.dts
        seconds = None if ticks is None or not packet.time_base else float(ticks * packet.time_base)
        return self._backlog.use_of(seconds, packet.is_keyframe, at, waited_seconds)

    def _taken(self, frame: VideoFrame, at: float) -> Taken | None:
        refuse_size(self.name, frame.width, frame.height)
        if self._pace is not None and frame.time is not None:
            self._last_seconds = frame.time
            if self._stopped.wait(self._pace.wait_seconds(frame.time, time.monotonic())):
                return None
            at = time.monotonic()
        return Taken(self._pixels(frame), at)

    def _is_at_end(self) -> bool:
        """Whether a file has come to its end, and was not broken off on the way."""
        if self._pace is None or self._container is None or not self._container.duration:
            return False
        begin = self._container.start_time or 0
        return self._last_seconds > (begin + self._container.duration) / av.time_base - END_SECONDS

    def _pixels(self, frame: VideoFrame) -> Pixels:
        color = reading(frame)
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


def stream(url: str) -> ContainerDevice:
    """A stream from the net; of its address scheme, host and port alone appear in messages.

    Raises:
        InputError: its scheme is not one that is opened.
    """
    scheme = url.partition("://")[0].lower()
    name = shown(url)
    if scheme not in PROTOCOLS:
        raise InputError(name, f"{scheme} is not opened; {', '.join(PROTOCOLS)} are")
    options = {"protocol_whitelist": PROTOCOLS[scheme], "format_whitelist": DEMUXERS}
    if scheme.startswith("rtsp"):
        options |= {"rtsp_transport": "tcp"}  # over UDP lost packets smear, and most cameras are behind a router
    if scheme in ("udp", "rtp"):
        options |= {"fifo_size": str(FIFO_PACKETS), "overrun_nonfatal": "1"}
    return ContainerDevice(name, url, None, options)


def device(source: str, size: tuple[int, int] | None, fps: float) -> ContainerDevice:
    """A camera by FFmpeg's own means: ``v4l2:/dev/video0``, ``avfoundation:0``, ``dshow:video=NAME``."""
    format, _, url = source.partition(":")
    options = {"framerate": f"{fps:g}"}
    if size is not None:
        options["video_size"] = f"{size[0]}x{size[1]}"
    return ContainerDevice(f"camera {source}", url, format, options)


def screen(fps: float) -> ContainerDevice:
    """The whole of the screen.

    Raises:
        InputError: it cannot be read here, Wayland for instance lets no program do so.
    """
    options = {"framerate": f"{fps:g}"}
    if sys.platform == "darwin":
        return ContainerDevice("screen", "Capture screen 0:none", "avfoundation", options | {"capture_cursor": "1"})
    if sys.platform == "win32":
        return ContainerDevice("screen", "desktop", "gdigrab", options)
    if os.environ.get("XDG_SESSION_TYPE") == "wayland" or os.environ.get("WAYLAND_DISPLAY"):
        raise InputError(
            "screen",
            "this desktop runs on Wayland, where no program may read the screen; log in with an Xorg session, or let "
            "OBS capture the screen and name its virtual camera as SOURCE",
        )
    display = os.environ.get("DISPLAY")
    if not display:
        raise InputError("screen", "there is no display here (DISPLAY is not set); run it on a desktop")
    return ContainerDevice("screen", display, "x11grab", options | {"draw_mouse": "1"})
