"""Sources that FFmpeg reads: network streams, cameras by FFmpeg's device names, the screen."""

import os
import sys
from functools import partial

from pipeline.errors import InputError
from pipeline.live.capture.connection.address import redacted
from pipeline.live.capture.connection.rtsp import check_redirections
from pipeline.live.capture.connection.tls import SCHEMES, VerifiedFiles, tls_context, verification
from pipeline.live.capture.ffmpeg_device import OPEN_SECONDS, FFmpegDevice

# Bound of FFmpeg's UDP receive queue in packets of 188 bytes: two megabytes.
UDP_QUEUE_PACKETS = 11_000

# The protocols that each URL scheme may use. A playlist from the network can therefore open no local file, nor
# anything else that another protocol reaches.
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
    "rtsp,rtp,mpegts,flv,live_flv,matroska,webm,mpjpeg,mjpeg,h264,hevc,m4v,mpegvideo,mpeg,ogg,nut,asf,av1,obu,ivf,"
    "yuv4mpegpipe"
)
CAMERA_FORMATS = ("v4l2", "avfoundation", "dshow")


def network_stream(url: str, *, insecure: bool = False) -> FFmpegDevice:
    """Return a stream from the network. Messages show only scheme, host and port of ``url``.

    Args:
        url: the address.
        insecure: whether to accept any certificate of an encrypted source.

    Raises:
        InputError: the scheme is not supported.
    """
    scheme = url.partition("://")[0].lower()
    name = redacted(url)
    if scheme not in PROTOCOLS:
        raise InputError(name, f"{scheme} is not supported; use {', '.join(PROTOCOLS)}")
    options = {"protocol_whitelist": PROTOCOLS[scheme], "format_whitelist": DEMUXERS}
    is_verified = scheme in SCHEMES and not insecure
    if is_verified:
        options |= verification()
    check = None
    if scheme.startswith("rtsp"):
        # Packets lost over UDP smear the frame, and most cameras are behind a router.
        options["rtsp_transport"] = "tcp"
        check = partial(check_redirections, url, tls_context(insecure=insecure), OPEN_SECONDS)
    if scheme in ("udp", "rtp"):
        options |= {"fifo_size": str(UDP_QUEUE_PACKETS), "overrun_nonfatal": "1"}
    playlist_files = VerifiedFiles() if is_verified and scheme == "https" else None
    return FFmpegDevice(name, url, None, options, check=check, playlist_files=playlist_files)


def ffmpeg_camera(source: str, size: tuple[int, int] | None, fps: float) -> FFmpegDevice:
    """Return a camera by FFmpeg's name: ``v4l2:/dev/video0``, ``avfoundation:0``, ``dshow:video=NAME``.

    Args:
        source: FFmpeg's input format and the device, joined by a colon.
        size: width and height to request in pixels; None for the camera's default.
        fps: frame rate to request.
    """
    format, _, device = source.partition(":")
    options = {"framerate": f"{fps:g}"}
    if size is not None:
        options["video_size"] = f"{size[0]}x{size[1]}"
    return FFmpegDevice(f"camera {source}", device, format, options)


def screen(fps: float) -> FFmpegDevice:
    """Return the whole screen, captured ``fps`` times a second.

    Raises:
        InputError: the desktop does not allow it, as on Wayland, or there is no display.
    """
    options = {"framerate": f"{fps:g}"}
    if sys.platform == "darwin":
        return FFmpegDevice("screen", "Capture screen 0:none", "avfoundation", options | {"capture_cursor": "1"})
    if sys.platform == "win32":
        return FFmpegDevice("screen", "desktop", "gdigrab", options)
    if os.environ.get("XDG_SESSION_TYPE") == "wayland" or os.environ.get("WAYLAND_DISPLAY"):
        raise InputError(
            "screen",
            "Wayland does not let programs read the screen; log in with an Xorg session, or capture the screen with "
            "OBS and use its virtual camera as SOURCE",
        )
    display = os.environ.get("DISPLAY")
    if not display:
        raise InputError("screen", "no display (DISPLAY is not set); run this on a desktop")
    return FFmpegDevice("screen", display, "x11grab", options | {"draw_mouse": "1"})
