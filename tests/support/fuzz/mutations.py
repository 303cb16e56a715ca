"""Changes of the bytes of a file: flipped bits, lost, repeated and foreign parts, extreme numbers."""

import random
from collections.abc import Callable
from pathlib import Path


def mutated(chance: random.Random, originals: list[Path]) -> tuple[str, bytes]:
    """Return name and bytes of one of ``originals`` with one to four changes."""
    original = chance.choice(originals)
    data = bytearray(original.read_bytes())
    for _ in range(chance.choice((1, 1, 2, 4))):
        if data:
            chance.choice(MUTATIONS)(data, chance, originals)
    return original.name, bytes(data)


def _flip(data: bytearray, chance: random.Random, _: list[Path]) -> None:
    for _ in range(chance.choice((1, 4, 32))):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _cut_short(data: bytearray, chance: random.Random, _: list[Path]) -> None:
    del data[chance.randrange(len(data)) :]


def _remove(data: bytearray, chance: random.Random, _: list[Path]) -> None:
    begin = chance.randrange(len(data))
    del data[begin : begin + chance.randrange(1, 2000)]


def _repeat(data: bytearray, chance: random.Random, _: list[Path]) -> None:
    begin = chance.randrange(len(data))
    part = data[begin : begin + chance.randrange(1, 4000)]
    place = chance.randrange(len(data))
    data[place:place] = part * chance.choice((1, 1, 5))


def _splice(data: bytearray, chance: random.Random, originals: list[Path]) -> None:
    other = chance.choice(originals).read_bytes()
    begin = chance.randrange(len(other))
    place = chance.randrange(len(data))
    data[place : place + chance.choice((0, 500, 4000))] = other[begin : begin + chance.randrange(1, 4000)]


def _noise(data: bytearray, chance: random.Random, _: list[Path]) -> None:
    begin = chance.randrange(len(data))
    length = min(chance.randrange(1, 400), len(data) - begin)
    data[begin : begin + length] = chance.randbytes(length)


def _number(data: bytearray, chance: random.Random, _: list[Path]) -> None:
    """Set a header field to an extreme value, at the start of the file or, as in an mp4, at its end."""
    length = chance.choice((1, 2, 4, 8))
    near = chance.randrange(min(3000, len(data)))
    place = near if chance.random() < 0.5 else len(data) - 1 - near
    most = 256**length
    value = chance.choice((0, 1, most - 1, most // 2, most // 2 - 1, chance.randrange(most)))
    data[place : place + length] = value.to_bytes(length, chance.choice(("big", "little")))


MUTATIONS: tuple[Callable[[bytearray, random.Random, list[Path]], None], ...] = (
    _flip,
    _flip,
    _cut_short,
    _remove,
    _repeat,
    _splice,
    _noise,
    _number,
    _number,
)
