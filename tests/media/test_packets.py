"""Side packets bypass the stylizer: in their order, with bounded memory, and without a deadlock."""

import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from pipeline.decode.decoder import decode
from pipeline.decode.source import open_source
from pipeline.encode.planner import plan_output
from pipeline.encode.writer import FileWriter
from pipeline.frames import Frame
from pipeline.media.packets import SidePackets
from pipeline.run import render_frames
from pipeline.threads import ordered_map
from tests.support.media import Audio, Clip, make_clip

PACKET_BYTES = 100


def packet(number: int) -> Any:
    return av.Packet(bytes([number]) * PACKET_BYTES)


def test_packets_come_before_the_frame_that_follows_them() -> None:
    packets = SidePackets()
    for number, frame in enumerate((0, 0, 2, 3)):
        packets.put(packet(number), frame)
    assert [bytes(each)[0] for each in packets.take_before(1)] == [0, 1]
    assert not packets.has_before(1)
    assert [bytes(each)[0] for each in packets.take_before(3)] == [2, 3]


def test_the_producer_waits_for_space_until_the_queue_is_closed() -> None:
    packets, added = SidePackets(capacity_bytes=2 * PACKET_BYTES), list[int]()

    def produce() -> None:
        for number in range(6):
            packets.put(packet(number), number)
            added.append(number)

    thread = threading.Thread(target=produce)
    thread.start()
    taken = packets.take_before(0) or packets.take_before(1)
    thread.join(0.2)
    assert thread.is_alive()
    assert len(added) <= len(taken) + 2
    packets.close()
    thread.join(10)
    assert len(added) == 6


class Copy:
    """A stylizer with two workers that changes nothing."""

    def __call__(self, frames: Iterator[Frame], state: object = None) -> Iterator[Frame]:
        return ordered_map(lambda frame: frame, frames, prepare=lambda frame: frame, workers=2, ahead=2)


def remuxed(source_path: Path, target: Path, capacity_bytes: int) -> list[tuple[int, int | None, bytes]]:
    packets = SidePackets(capacity_bytes)
    with open_source(source_path) as source:
        plan = plan_output(source, target)
        with FileWriter(plan, side_packets=packets) as writer:
            copy: Any = Copy()
            render_frames(decode(source, packets), copy, writer, depth=2, stop=packets.close)
            writer.finish()
    with av.open(str(target)) as container:
        return [(each.stream_index, each.dts, bytes(each)) for each in container.demux() if each.size]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("seconds", [1, 30])
def test_a_queue_for_one_packet_gives_the_same_file(tmp_path: Path, seconds: int) -> None:
    """Also if the audio continues long after the last frames: stylized, they must not wait for the end of the input."""
    clip = Clip(pts=range(0, 12 * 512, 512), audio=[Audio(seconds=Fraction(seconds)), Audio(hertz=880)])
    source = make_clip(tmp_path / "in.mkv", clip)
    large, small = (remuxed(source, tmp_path / f"{size}.mkv", size) for size in (2**30, 1))
    assert small == large


def test_a_failing_stage_ends_a_producer_that_waits_for_space(tmp_path: Path) -> None:
    class Failing(Copy):
        def __call__(self, frames: Iterator[Frame], state: object = None) -> Iterator[Frame]:
            yield next(frames)
            raise RuntimeError("the stylizer failed")

    source_path = make_clip(tmp_path / "in.mkv", Clip(audio=[Audio(seconds=Fraction(30))]))
    packets = SidePackets(capacity_bytes=1)
    failing: Any = Failing()
    with open_source(source_path) as source:
        writer = FileWriter(plan_output(source, tmp_path / "out.mkv"), side_packets=packets)
        with pytest.raises(RuntimeError, match="the stylizer failed"), writer:
            render_frames(decode(source, packets), failing, writer, depth=2, stop=packets.close)
    assert [path.name for path in tmp_path.iterdir()] == ["in.mkv"]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("flowbrush-")]
