"""What the studio changes in aiortc: the names are there; where they are not, live video goes over a WebSocket."""

import inspect
import logging
import threading

import pytest
from aiortc.codecs import h264, vpx

from pipeline.studio.answers import RequestError
from pipeline.studio.live import aiortc_changes
from pipeline.studio.live.aiortc_changes import MOST_ENCODED, DecoderQueue, why_not, without_names
from pipeline.studio.live.room import LiveRoom
from pipeline.studio.live.routes import live_router
from pipeline.studio.live.webrtc import answer_offer
from tests.support.studio.asynchronous import run_async
from tests.support.studio.viewers import EAGER

ADAPT = "adapt pipeline/studio/live/aiortc_changes.py to this aiortc, and the version in pyproject.toml"


class Renamed:
    """A receiver of a later aiortc."""

    def __init__(self) -> None:
        self._decoding_queue = None


def test_the_installed_aiortc_has_the_names_that_are_used() -> None:
    assert not why_not(), ADAPT
    for codec in (h264, vpx):
        for name in ("DEFAULT_BITRATE", "MIN_BITRATE", "MAX_BITRATE"):
            assert inspect.getsource(codec).count(name) > 1, ADAPT


def test_an_aiortc_with_other_names_is_not_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(aiortc_changes, "RTCRtpReceiver", Renamed)
    room = LiveRoom(EAGER)
    with caplog.at_level(logging.WARNING):
        live_router(room)
    (line,) = caplog.messages
    assert "decoder_queue, so live video goes over a WebSocket; for WebRTC: pip install" in line
    with pytest.raises(RequestError) as refused:
        run_async(answer_offer(room, {"sdp": "v=0", "type": "offer"}))
    assert (refused.value.status, refused.value.message) == (501, line)


def test_frames_that_the_decoder_has_no_time_for_are_dropped_and_a_key_frame_is_asked_for() -> None:
    lost = threading.Event()
    waiting = DecoderQueue(lost)
    for number in range(MOST_ENCODED):
        waiting.put(number)
    assert not lost.is_set()
    waiting.put("newest")
    assert lost.is_set()
    assert (waiting.get(), waiting.qsize()) == ("newest", 0)


def test_the_end_does_not_wait_for_frames() -> None:
    waiting = DecoderQueue(threading.Event())
    waiting.put("frame")
    waiting.put(None)
    assert (waiting.get(), waiting.qsize()) == (None, 0)


def test_candidates_that_are_names_are_left_out() -> None:
    address = "a=candidate:1 1 udp 2113937151 192.0.2.9 5000 typ host\r\n"
    name = "a=candidate:2 1 udp 2113937151 0c2b9a52-6b3f-4d0e-9b5c-1f2e3d4c5b6a.local 5001 typ host generation 0\r\n"
    end = "a=end-of-candidates\r\n"
    assert without_names(f"v=0\r\n{address}{name}{end}a=mid:0\r\n") == f"v=0\r\n{address}a=mid:0\r\n"
    assert without_names(f"{address}{end}") == f"{address}{end}"
