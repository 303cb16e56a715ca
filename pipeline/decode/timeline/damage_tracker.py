"""Finds damaged frames of a video: decoders reorder frames, work ahead, and report errors late or not at all."""

import os
from fractions import Fraction

from av.video.frame import VideoFrame

from pipeline.decode.timeline.sequence_header import CODECS as MPEG2_CODECS
from pipeline.decode.timeline.sequence_header import may_be_picture
from pipeline.media.damage import MARKED_CORRUPT, Damage, DamageLog
from pipeline.media.packets import VideoPacket

# Codecs in which each packet gives one frame, so that a packet without a frame was lost. The others have hidden frames,
# or frames of two packets, and report what they lose.
ONE_FRAME_PER_PACKET = frozenset({"hevc"})
# Those never have so many packets without a frame in a row. Decoders silently drop what they do not know, as after a
# change of the codec in a joined file.
MOST_HIDDEN = 8
# Packets whose frame may still come; older ones are forgotten.
MAX_PENDING = 256


class DamageTracker:
    """Compares the packets sent to a video decoder with the frames it returns.

    Args:
        codec: FFmpeg's name of the decoder.
        time_base: seconds per unit of pts.
        log: receives the damaged places.

    Attributes:
        packet_count: number of packets sent.
        frame_count: number of frames returned.
        end: end of the last frame in units of ``time_base``; None before the first.
        is_whole: whether reading started with the file.
    """

    def __init__(self, codec: str, time_base: Fraction, log: DamageLog) -> None:
        self.packet_count = 0
        self.frame_count = 0
        self.end: int | None = None
        self.is_whole = True
        self._time_base = time_base
        self._log = log
        self._reports_losses = codec not in ONE_FRAME_PER_PACKET
        self._max_delay = 2 * (os.cpu_count() or 1) + 2  # in packets, of a decoder's error
        self._pending: dict[int, int] = {}
        self._pending_keys: set[int] = set()
        self._is_mpeg2 = codec in MPEG2_CODECS
        self._foreign: set[int] = set()  # pts of packets that are of another codec
        self._has_frame = False

    def packet_sent(self, packet: VideoPacket) -> None:
        """Count ``packet`` before it is decoded; the empty packet at the end does not count."""
        if not packet.size:
            return
        index, self.packet_count = self.packet_count, self.packet_count + 1
        if packet.pts is not None and not packet.is_discard:
            self._pending[packet.pts] = index
            if packet.is_keyframe and not self._has_frame:
                self._pending_keys.add(packet.pts)
            if self._is_mpeg2 and not may_be_picture(packet):
                self._foreign.add(packet.pts)
            if len(self._pending) > MAX_PENDING:
                oldest = next(iter(self._pending))
                del self._pending[oldest]
                self._pending_keys.discard(oldest)
                self._foreign.discard(oldest)
        if packet.is_corrupt:
            self._add(index, packet.pts, MARKED_CORRUPT)

    def packet_failed(self, packet: VideoPacket, reason: str) -> None:
        """Add a packet that the decoder rejected."""
        self._add(self._last_index, packet.pts, reason)

    def frame_decoded(self, frame: VideoFrame) -> None:
        """Add the damage of ``frame``, and the packets before it that gave no frame."""
        self.frame_count += 1
        if frame.pts is None:
            return
        self.end = max(frame.pts + (frame.duration or 0), self.end or frame.pts)
        index = self._pending.pop(frame.pts, self._last_index)
        if frame.is_corrupt:
            self._add(index, frame.pts, "parts of the frame are lost and concealed")
        self._find_lost(frame.pts)

    def finish(self) -> None:
        """Add the packets that gave no frame by the end of the file."""
        self._find_lost(None)

    def add_here(self, reason: str) -> None:
        """Add damage at the place that reading has reached."""
        self._add(self.packet_count, self.end, reason)

    def seeked(self) -> None:
        """Start again from another place of the file."""
        self.is_whole = False
        self._pending.clear()
        self._pending_keys.clear()
        self._foreign.clear()
        self._has_frame = False

    @property
    def _last_index(self) -> int:
        return max(self.packet_count - 1, 0)

    def _find_lost(self, before: int | None) -> None:
        """Add packets whose frame cannot come any more, as a later one has come; None means all.

        Frames before the first one may depend on others that are not in the file: they are not lost, unless there is a
        key frame among them.
        """
        lost = sorted(pts for pts in self._pending if before is None or pts < before)
        silent: list[tuple[int, int]] = []
        if not self._has_frame and len(lost) > MOST_HIDDEN and not self._pending_keys.isdisjoint(lost):
            self._add(self._pending[lost[0]], lost[0], _silent_reason(len(lost)))
        for pts in lost:
            index = self._pending.pop(pts)
            if not self._has_frame:
                continue
            late = range(index, index + self._max_delay)
            if not self._log.move(late, index, pts * self._time_base):
                silent.append((index, pts))
        if not self._reports_losses:
            for index, pts in silent:
                self._add(index, pts, "the packet gave no frame")
        else:
            reported = silent if len(silent) > MOST_HIDDEN else [place for place in silent if place[1] in self._foreign]
            if reported:
                self._add(*reported[0], _silent_reason(len(reported)))
        self._foreign.difference_update(lost)
        if before is not None:
            self._has_frame = True
            self._pending_keys.clear()

    def _add(self, index: int, pts: int | None, reason: str) -> None:
        seconds = None if pts is None else pts * self._time_base
        self._log.add(Damage(index, seconds, reason, is_numbered=self.is_whole))


def _silent_reason(count: int) -> str:
    packets = "a packet" if count == 1 else f"{count} packets"
    return f"{packets} gave no frame; the codec may change here"
