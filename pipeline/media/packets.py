"""Packets of streams: names for PyAV's types, and the queue in which side packets bypass the stylizer."""

import threading
from collections import deque
from typing import TYPE_CHECKING

from av.packet import Packet

if TYPE_CHECKING:
    from av.stream import Stream
    from av.video.stream import VideoStream

    StreamPacket = Packet[Stream]
    VideoPacket = Packet[VideoStream]
else:  # `av.Packet` is generic in the type stubs but not at run time
    StreamPacket = VideoPacket = Packet


class SidePackets:
    """A bounded queue for packets of all streams but the video, from the demuxer past the stylizer to the muxer.

    Each packet is stored with the number of the frame that follows it in the input, counted from 0. The consumer takes
    the packets before it writes that frame, so that their order in the output is that of the input.

    It cannot deadlock as long as the consumer also takes packets while it waits for a frame: if the producer waits for
    space, either the oldest packet is due, or the frame for which the consumer waits is on its way already.

    Args:
        capacity_bytes: the producer waits while this much, or more, is in the queue.

    Attributes:
        changed: notified whenever packets are added or taken.
    """

    PACKET_OVERHEAD_BYTES = 1024

    def __init__(self, capacity_bytes: int = 16 * 2**20) -> None:
        self.changed = threading.Condition()
        self._capacity_bytes = capacity_bytes
        self._bytes = 0
        self._packets: deque[tuple[int, StreamPacket]] = deque()
        self._is_closed = False

    def put(self, packet: StreamPacket, frame_number: int) -> None:
        """Add a packet that precedes the frame ``frame_number``; wait for space. Packets are dropped after `close`."""
        with self.changed:
            self.changed.wait_for(lambda: self._is_closed or self._bytes < self._capacity_bytes)
            if not self._is_closed:
                self._packets.append((frame_number, packet))
                self._bytes += packet.size + self.PACKET_OVERHEAD_BYTES
                self.changed.notify_all()

    def has_before(self, frame_number: int) -> bool:
        """Return whether there is a packet that precedes the frame ``frame_number``."""
        return bool(self._packets) and self._packets[0][0] <= frame_number

    def take_before(self, frame_number: int) -> list[StreamPacket]:
        """Remove and return the packets that precede the frame ``frame_number``, in their order."""
        taken: list[StreamPacket] = []
        with self.changed:
            while self.has_before(frame_number):
                taken.append(self._packets.popleft()[1])
                self._bytes -= taken[-1].size + self.PACKET_OVERHEAD_BYTES
            self.changed.notify_all()
        return taken

    def close(self) -> None:
        """Release a waiting producer, and drop what it still adds."""
        with self.changed:
            self._is_closed = True
            self.changed.notify_all()
