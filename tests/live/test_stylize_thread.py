"""Where the memory does not suffice: smaller pictures; where anything else fails: an end, and why."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

import models.engines.build
from models.network import StyleNetwork
from pipeline.errors import DeviceError
from pipeline.live import stylize_thread as painting
from pipeline.live.controls import Controls
from pipeline.live.frames import CapturedFrame
from pipeline.live.live_stylizer import LiveStylizer
from pipeline.live.mailbox import Mailbox
from pipeline.live.style_mixer import StyleMixer
from pipeline.live.stylize_thread import StylizeThread
from pipeline.stylize.device import OutOfMemoryError
from pipeline.stylize.stabilizer import Stabilizer
from tests.support.live import plain_config
from tests.support.media import moving_square
from tests.support.tiny import TINY

pytestmark = pytest.mark.usefixtures("one_thread")

SIZE = (144, 192)


def new(lines: list[str]) -> StylizeThread:
    """Of pictures of `SIZE`, which may be painted at 144, 120, 96 and 72 rows."""
    network = StyleNetwork(TINY).eval().requires_grad_(False)
    mixer = StyleMixer(("tiny",), network, None, (network.neutral_style(),), (0.0,))
    stylizer = LiveStylizer(plain_config(), mixer, SIZE, lines.append)
    capture: Any = SimpleNamespace(fps=30.0)
    return StylizeThread(plain_config(), stylizer, capture, Mailbox(), [], Controls(("tiny",)), lines.append)


def paint_all(thread: StylizeThread, count: int) -> None:
    for index in range(count):
        thread._stylize(CapturedFrame(moving_square(index, height=SIZE[0], width=SIZE[1]), 0.0, index))


def test_a_size_without_memory_is_given_back_and_a_smaller_one_painted(monkeypatch: pytest.MonkeyPatch) -> None:
    """One engine cannot even be built, the next cannot paint."""
    build, freed, lines = models.engines.build.build_engine, list[set[tuple[int, int]]](), list[str]()

    def greedy(name: Any, spec: Any) -> Any:
        if spec.height == 144:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        run = build(name, spec)

        def engine(*of_picture: Any) -> Any:
            if spec.height == 120:
                raise MemoryError
            return run(*of_picture)

        return engine

    thread = new(lines)
    engines = thread._stylizer.engines
    monkeypatch.setattr(models.engines.build, "build_engine", greedy)
    monkeypatch.setattr(painting, "free_memory", lambda device: freed.append(set(engines._slow)))
    paint_all(thread, 3)
    assert lines == [
        "the memory of cpu does not suffice: painting at 160x120 or less",
        "the memory of cpu does not suffice: painting at 128x96 or less",
    ]
    assert freed == [set(), set()], "let go of before memory is given back"
    assert set(engines._slow) == {(96, 128)}
    assert thread.working == (96, 128)
    assert thread.first_at is not None


def test_what_has_memory_in_its_name_is_not_too_little_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be ...")

    lines: list[str] = []
    thread = new(lines)
    monkeypatch.setattr(models.engines.build, "build_engine", lambda *_, **__: fail)
    with pytest.raises(DeviceError, match=r"^CUDA error: an illegal memory access was encountered$"):
        paint_all(thread, 1)
    assert not lines


def test_too_little_memory_around_the_network_is_told_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    lines: list[str] = []
    thread = new(lines)
    monkeypatch.setattr(Stabilizer, "finish", fail)
    with pytest.raises(OutOfMemoryError, match="cpu has too little memory; choose a smaller --height"):
        paint_all(thread, 4)
    assert len(lines) == 3
