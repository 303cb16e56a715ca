"""Read a clip with the code under test, and damage clips."""

import os
import sys
import threading
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest

from pipeline.config import DecodeConfig
from pipeline.decode.decoder import decode
from pipeline.decode.source import open_source
from pipeline.frames import Frame
from pipeline.media.damage import Damage
from pipeline.media.packets import SidePackets
from tests.support.media import moving_square


def read(path: str | Path, **config: Any) -> tuple[list[Frame], dict[int, list[tuple[Fraction, bytes]]]]:
    """Return the frames, and times and bytes of the side packets by stream index."""
    side_packets = SidePackets()
    packets: dict[int, list[tuple[Fraction, bytes]]] = {}
    with open_source(path, DecodeConfig(**config)) as source:
        frames = list(decode(source, side_packets))
        for packet in side_packets.take_before(len(frames)):
            packets.setdefault(packet.stream_index, []).append(((packet.pts or 0) * packet.time_base, bytes(packet)))
    return frames, packets


def read_piped(
    path: Path, monkeypatch: pytest.MonkeyPatch, **config: Any
) -> tuple[list[Frame], dict[int, list[tuple[Fraction, bytes]]]]:
    """As `read`, through a pipe on standard input."""
    receiver, sender = os.pipe()

    def feed() -> None:
        with suppress(BrokenPipeError), open(sender, "wb") as file:
            file.write(path.read_bytes())

    thread = threading.Thread(target=feed)
    thread.start()
    with open(receiver, "rb") as file:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=file))
        found = read("-", **config)
    thread.join()
    return found


def count_frames(path: Path, **config: Any) -> tuple[int, list[Damage]]:
    """Return the number of frames that decode, and the damage."""
    with open_source(path, DecodeConfig(**config)) as source:
        count = sum(isinstance(item, av.VideoFrame) for item in source.items())
        return count, list(source.damage)


def square_error(frames: list[Frame], numbers: Any = None, **size: int) -> float:
    """Return the largest mean difference between a frame and the `moving_square` that it shows."""
    numbers = range(len(frames)) if numbers is None else numbers
    return max(
        float(np.abs(frame.pixels.astype(int) - moving_square(number, **size)).mean())
        for frame, number in zip(frames, numbers, strict=True)
    )


def video_packets(path: Path) -> list[tuple[int, int, Fraction]]:
    """Return byte offset, size and seconds of the video packets."""
    with av.open(str(path)) as container:
        found = [packet for packet in container.demux(video=0) if packet.size]
        return [(packet.pos or 0, packet.size, (packet.pts or 0) * packet.time_base) for packet in found]


def spoil(path: Path, number: int, data: bytes, *, at: float = 0.0) -> Fraction:
    """Overwrite a video packet with ``data``, from a fraction of its length on; return its time in seconds."""
    place, size, seconds = video_packets(path)[number]
    content = bytearray(path.read_bytes())
    start = place + int(size * at)
    data = data[: place + size - start]
    content[start : start + len(data)] = data
    path.write_bytes(content)
    return seconds


def truncate(path: Path, share: float) -> Path:
    """Keep this share of the file."""
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    return path


def index_first(path: Path, target: Path) -> Path:
    """Copy the streams of ``path`` into an mp4 or mov with its index at the front."""
    with av.open(str(path)) as before, av.open(str(target), "w", options={"movflags": "+faststart"}) as after:
        streams = [after.add_stream_from_template(stream) for stream in before.streams]
        for packet in before.demux():
            if packet.size:
                packet.stream = streams[packet.stream_index]
                after.mux(packet)
    return target
