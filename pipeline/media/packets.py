"""Names for PyAV's packets: `av.Packet` is generic in the type stubs but not at run time."""

from typing import TYPE_CHECKING

from av.packet import Packet

if TYPE_CHECKING:
    from av.stream import Stream
    from av.video.stream import VideoStream

    StreamPacket = Packet[Stream]
    VideoPacket = Packet[VideoStream]
else:
    StreamPacket = VideoPacket = Packet
