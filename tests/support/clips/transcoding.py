"""Decode and encode without a stylizer, in one thread."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.config import DecodeConfig, EncodeConfig
from pipeline.decode.decoder import decode
from pipeline.decode.source import Source, open_source
from pipeline.encode.output_plan import OutputPlan
from pipeline.encode.planner import plan_output
from pipeline.encode.writer import EncodeReport, encode
from pipeline.frames import Frame
from pipeline.media.packets import SidePackets

Change = Callable[[Iterator[Frame]], Iterator[Frame]]


def transcode(
    source: Source, plan: OutputPlan, *, change: Change = lambda frames: frames, tag: Mapping[str, str] | None = None
) -> EncodeReport:
    """Write all frames of ``source``, passed through ``change``, and its side packets according to ``plan``."""
    packets = SidePackets(capacity_bytes=2**40)  # one thread, which must not wait for itself
    return encode(change(decode(source, packets)), plan, tag=tag, side_packets=packets)


def transcode_file(
    path: str | Path,
    target: str | Path,
    *,
    change: Change = lambda frames: frames,
    tag: Mapping[str, str] | None = None,
    decoding: Mapping[str, Any] | None = None,
    **encoding: Any,
) -> tuple[EncodeReport, OutputPlan]:
    """Transcode the file ``path``, with these options of `DecodeConfig` and `EncodeConfig`; return report and plan."""
    with open_source(path, DecodeConfig(**(decoding or {}))) as source:
        plan = plan_output(source, target, EncodeConfig(**encoding))
        return transcode(source, plan, change=change, tag=tag), plan
