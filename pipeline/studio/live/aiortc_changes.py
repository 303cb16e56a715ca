"""What the studio changes in aiortc and aioice, which have no options for it; known to work with aiortc 1.16.

The reasons are in ``docs/decisions/studio.md``. Where a later aiortc has other names, live video goes over a WebSocket.
"""

import contextlib
import queue
import re
from typing import Any

import aioice.ice
from aiortc import RTCRtpReceiver, __version__
from aiortc.codecs import h264, vpx

# aiortc starts low and stays below 3 (H.264) and 1.5 Mbit/s (VP8), at which the strokes of a brush turn into blocks.
FIRST_BITRATE, LEAST_BITRATE, MOST_BITRATE = 2_500_000, 500_000, 8_000_000
# Encoded frames that wait for the decoder: a second of video.
MOST_ENCODED = 30
LOOPBACK = ("127.0.0.1", "::1")
_QUEUE, _LOST = "_RTCRtpReceiver__decoder_queue", "_RTCRtpReceiver__decoder_error"
_NAMED_CANDIDATE = re.compile(r"a=candidate:(?:\S+ ){4}\S+\.local .*\r?\n", re.ASCII | re.IGNORECASE)
_NO_MORE_CANDIDATES = re.compile(r"a=end-of-candidates\r?\n", re.ASCII)


class DecoderQueue(queue.Queue[Any]):
    """The queue before a decoder of aiortc, which is unbounded there: one that is full is emptied.

    What comes next does not decode well until the next key frame, which the event asks the browser for.

    Args:
        lost: set when frames are dropped; aiortc then asks for a key frame.
    """

    def __init__(self, lost: Any) -> None:
        super().__init__()
        self._lost = lost

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Put in an encoded frame, or None to end the decoder, which then does not decode what waits."""
        if item is None or self.qsize() >= MOST_ENCODED:
            with contextlib.suppress(queue.Empty):
                while True:
                    self.get_nowait()
            self._lost.set()
        super().put(item)


def bound_decoder_queue(receiver: RTCRtpReceiver) -> None:
    """Replace the unbounded queue before the decoder of a receiver that receives nothing yet."""
    setattr(receiver, _QUEUE, DecoderQueue(getattr(receiver, _LOST)))


def raise_bitrates() -> None:
    """Raise the bitrates of aiortc's encoders, which are variables of its modules."""
    bitrates = {"DEFAULT_BITRATE": FIRST_BITRATE, "MIN_BITRATE": LEAST_BITRATE, "MAX_BITRATE": MOST_BITRATE}
    for codec in (h264, vpx):
        vars(codec).update(bitrates)


def stay_on_loopback() -> None:
    """Open the ports of all further connections of this process for programs on this machine alone."""

    def addresses(use_ipv4: bool, use_ipv6: bool) -> list[str]:
        return list(LOOPBACK)

    aioice.ice.get_host_addresses = addresses


def without_names(sdp: str) -> str:
    """Return an offer without candidates that are names: to look these up, all of the network is asked.

    Without the permission for the camera, browsers hide their addresses behind such names.
    """
    shortened = _NAMED_CANDIDATE.sub("", sdp)
    return sdp if shortened == sdp else _NO_MORE_CANDIDATES.sub("", shortened)


def why_not() -> str:
    """Return why WebRTC cannot be used with the installed aiortc, in one line; empty if it can."""
    users: dict[str, Any] = {
        _QUEUE: RTCRtpReceiver.__init__,
        _LOST: RTCRtpReceiver.__init__,
        "get_host_addresses": aioice.ice.Connection.gather_candidates,
    }
    missing = [name for name, user in users.items() if name not in user.__code__.co_names]
    if not missing:
        return ""
    remedy = 'so live video goes over a WebSocket; for WebRTC: pip install "aiortc==1.16.*"'
    return f"aiortc {__version__} has no {missing[0]}, {remedy}"


raise_bitrates()
