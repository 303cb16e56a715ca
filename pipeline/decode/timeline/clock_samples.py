"""Whether the clock of a transport stream seems to run evenly from its start to its end, from a few places of the file.

FFmpeg takes the first and the last time of the file for its duration. Where that is wrong, all packets must be read.
"""

import os
from itertools import pairwise
from statistics import median
from typing import IO

SAMPLES = 16
# The standard asks for a clock reference every 0.1 s; at 20 Mbit/s that is one in 250 kB.
SAMPLE_BYTES = 2**18
PACKET_BYTES, SYNC = 188, 0x47
# The bit rate may vary: a part of the file may last so many times as long as most of them, and so many seconds more.
MOST_UNEVEN, MOST_UNEVEN_SECONDS = 10, 60


def is_even(path: str) -> bool:
    """Return whether no jump shows; True also if the file has no clock references that are found."""
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        places = sorted({*(size * number // SAMPLES for number in range(SAMPLES)), max(size - SAMPLE_BYTES, 0)})
        found = [seconds for place in places if (seconds := _reference(file, place)) is not None]
    steps = [after - before for before, after in pairwise(found)]
    return not steps or (min(steps) >= 0 and max(steps) <= MOST_UNEVEN * median(steps) + MOST_UNEVEN_SECONDS)


def _reference(file: IO[bytes], place: int) -> float | None:
    """Return the first program clock reference after ``place``, in seconds (ISO/IEC 13818-1, 2.4.3.5)."""
    file.seek(place)
    data = file.read(SAMPLE_BYTES)
    first = next((start for start in range(min(PACKET_BYTES, len(data))) if _is_packet_start(data, start)), None)
    if first is None:
        return None
    for start in range(first, len(data) - PACKET_BYTES + 1, PACKET_BYTES):
        has_adaptation, length, flags = data[start + 3] & 0x20, data[start + 4], data[start + 5]
        if data[start] == SYNC and has_adaptation and length >= 7 and flags & 0x10:
            return (int.from_bytes(data[start + 6 : start + 11]) >> 7) / 90_000
    return None


def _is_packet_start(data: bytes, start: int) -> bool:
    return all(byte == SYNC for byte in data[start : start + 5 * PACKET_BYTES : PACKET_BYTES])
