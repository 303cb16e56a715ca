"""Audio that the edit list of an mp4 or mov hides: outside of such files nothing would hide it again."""

from collections.abc import Iterator

from av.container import InputContainer
from av.stream import Stream

from pipeline.media.packets import StreamPacket

# A decoder needs the packets before the first audible one, its priming: Apple's AAC has 2112 samples, in three packets.
# More of them are audio that was cut away; a single one before the cut prepares the decoder.
PRIMING_PACKETS = 3


class HiddenAudio:
    """Finds the packets of audio streams that nobody hears; priming is not among them.

    Args:
        container: the opened file.
    """

    def __init__(self, container: InputContainer) -> None:
        is_mov = container.format.name.startswith("mov")
        self._needed = {stream.index: _priming(stream) for stream in container.streams.audio} if is_mov else {}

    def removed(self, packets: Iterator[StreamPacket]) -> Iterator[StreamPacket]:
        """Return ``packets`` without them."""
        return (packet for packet in packets if not self._is_hidden(packet)) if self._needed else packets

    def _is_hidden(self, packet: StreamPacket) -> bool:
        needed = self._needed.get(packet.stream_index)
        return needed is not None and packet.is_discard and (packet.dts, packet.pos) not in needed


def _priming(stream: Stream) -> set[tuple[int | None, int | None]]:
    """Return dts and place of the packets before the first audible one that its decoder needs.

    The dts alone does not tell: where only a part of the last packet is heard, FFmpeg gives all packets the time 0.
    """
    hidden: list[tuple[int, int]] = []
    for entry in stream.index_entries:
        if not entry.is_discard:
            break
        hidden.append((entry.timestamp, entry.pos))
    if stream.codec_context is not None and stream.codec_context.name.startswith("pcm_"):
        return set()
    return set(hidden if len(hidden) <= PRIMING_PACKETS else hidden[-1:])
