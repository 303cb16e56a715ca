"""Decode and encode without a stylizer, in one thread."""

from collections.abc import Callable, Iterator, Mapping

from pipeline.decode.decoder import decode
from pipeline.decode.source import Source
from pipeline.encode.output_plan import OutputPlan
from pipeline.encode.writer import EncodeReport, encode
from pipeline.frames import Frame
from pipeline.media.packets import SidePackets

Change = Callable[[Iterator[Frame]], Iterator[Frame]]


def transcode(
    source: Source, plan: OutputPlan, *, change: Change = lambda frames: frames, tag: Mapping[str, str] | None = None
) -> EncodeReport:
    """Write all frames of ``source``, passed through ``change``, and its side packets as ``plan`` says."""
    packets = SidePackets(capacity_bytes=2**40)  # one thread, which must not wait for itself
    return encode(change(decode(source, packets)), plan, tag=tag, side_packets=packets)
