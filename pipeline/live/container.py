"""What FFmpeg reads live: devices, streams, the screen. The newest picture counts; nothing is buffered on the way."""

import os
import sys
import time
from collections.abc import Mapping
from urllib.parse import urlsplit, urlunsplit

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from pipeline.color import EXACT, reading, swscale_matrix
from pipeline.errors import InputError
from pipeline.frames import Pixels
from pipeline.live.device import Taken

OPEN_SECONDS, READ_SECONDS = 10, 5

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

    def open(self) -> None:
        """Open; a stream that does not answer is given up after some seconds."""
        # Pictures are decoded one by one: threads that decode several at a time hold back as many.
        options = {"fflags": "nobuffer", "flags": "low_delay"} | self._options
        try:
            self._container = av.open(
                self._url, "r", self._format, options, timeout=(OPEN_SECONDS, READ_SECONDS), metadata_errors="replace"
            )
        except (av.FFmpegError, OSError, ValueError) as error:
            raise InputError(self.name, f"cannot be opened ({_reason(error)})") from error
        if not self._container.streams.video:
            self.close()
            raise InputError(self.name, "holds no video")
        video = self._container.streams.video[0]
        video.codec_context.thread_type = "SLICE"
        rate = video.average_rate or video.guessed_rate
        self.fps = float(rate) if rate and 1 <= rate <= 240 else None
        self._packets = self._container.demux(video)
        self._waiting: list[VideoFrame] = []

    def read(self) -> Taken | None:
        """The next picture; of several that one packet completes, the last."""
        while True:
            try:
                packet = next(self._packets)
                at = time.monotonic()
                frames = packet.decode()
                if frames:
                    return Taken(self._pixels(frames[-1]), at)
            except av.InvalidDataError:
                continue  # a packet was lost on the way; the next key frame mends it
            except (StopIteration, EOFError):
                raise InputError(self.name, "has ended") from None
            except (av.FFmpegError, OSError, ValueError) as error:
                raise InputError(self.name, f"is broken ({_reason(error)})") from error

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
        """Nothing: a read ends with the next picture, or after its time-out."""

    def close(self) -> None:
        """Let go of it."""
        container, self._container = self._container, None
        if container is not None:
            container.close()


def stream(url: str) -> ContainerDevice:
    """A stream from the net; its name and password, if any, appear in no message.

    Raises:
        InputError: its scheme is not one that is opened.
    """
    scheme = url.partition("://")[0].lower()
    name = _without_password(url)
    if scheme not in PROTOCOLS:
        raise InputError(name, f"{scheme} is not opened; {', '.join(PROTOCOLS)} are")
    options = {"protocol_whitelist": PROTOCOLS[scheme], "format_whitelist": DEMUXERS}
    if scheme.startswith("rtsp"):
        options |= {"rtsp_transport": "tcp"}  # over UDP lost packets smear, and most cameras are behind a router
    if scheme in ("udp", "rtp"):
        options |= {"fifo_size": "100000", "overrun_nonfatal": "1"}
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


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
