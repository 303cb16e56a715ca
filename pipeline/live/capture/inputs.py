"""What FFmpeg reads live, by name: streams of the net, cameras by its own means, the screen."""

import os
import sys

from pipeline.errors import InputError
from pipeline.live.capture.address import shown
from pipeline.live.capture.stream import ContainerDevice

# Of what waits for the reader of UDP: two megabytes, in packets of 188 bytes.
FIFO_PACKETS = 11_000

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
