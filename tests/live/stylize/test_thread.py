"""Frames side by side come out in order; too little memory makes them smaller; any other failure ends the thread."""

import gc
import threading
import weakref
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from models.engines.build import build_engine
from models.engines.engine import EngineSpec
from models.network import StyleNetwork
from pipeline.errors import DeviceError
from pipeline.live.controls import Controls
from pipeline.live.frames import CapturedFrame
from pipeline.live.stylize.control.mode_control import ModeControl
from pipeline.live.stylize.live_network import LiveNetwork
from pipeline.live.stylize.live_stylizer import LiveStylizer
from pipeline.live.stylize.modes import Mode
from pipeline.live.stylize.style_mixer import StyleMixer
from pipeline.live.stylize.thread import StylizeThread
from pipeline.stylize.device import OutOfMemoryError
from pipeline.stylize.engine.bounded_engine import BuildEngine
from tests.support.live import PLAIN, plain_config
from tests.support.media import moving_square
from tests.support.tiny import TINY

pytestmark = pytest.mark.usefixtures("one_thread")

SIZE = (144, 192)


def new_stylizer(lines: list[str], build: BuildEngine | None = None) -> LiveStylizer:
    """Of frames of `SIZE`."""
    network = StyleNetwork(TINY)
    mixer = StyleMixer(("tiny",), network, (network.initial_style(),))
    return LiveStylizer(LiveNetwork(PLAIN, mixer, lines.append, build=build), SIZE)


def run(stylizer: LiveStylizer, lines: list[str], count: int, *sinks: Any) -> StylizeThread:
    """Run a thread over ``count`` frames, in this thread; the frames may be stylized at 144, 120, 96 and 72 rows."""
    frames = [CapturedFrame(moving_square(index, height=SIZE[0], width=SIZE[1]), 0.0, index) for index in range(count)]
    capture: Any = SimpleNamespace(fps=30.0)
    mailbox: Any = SimpleNamespace(get=lambda: frames.pop(0) if frames else None)
    thread = StylizeThread(plain_config(), stylizer, capture, mailbox, sinks, Controls(("tiny",)), lines.append)
    thread.run()
    return thread


def test_too_little_memory_releases_the_engines_of_a_size_and_a_smaller_one_is_used() -> None:
    """One engine cannot be built, the next cannot run."""
    lines: list[str] = []
    engines: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()

    def greedy(name: Any, spec: EngineSpec) -> Any:
        if spec.height == 144:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        run = build_engine(name, spec)

        def engine(*arguments: Any) -> Any:
            if spec.height == 120:
                raise MemoryError
            return run(*arguments)

        engines[spec.height] = engine
        return engine

    thread = run(new_stylizer(lines, greedy), lines, 3)
    assert thread.error is None
    assert [line.partition("at ")[2] for line in lines] == ["160x120 or less", "128x96 or less"]
    gc.collect()
    assert set(engines) == {96}, "the engines of the larger sizes are released"
    assert thread.working == (96, 128)
    assert thread.first_at is not None


def test_an_error_that_mentions_memory_is_not_taken_for_too_little() -> None:
    def failing(name: Any, spec: EngineSpec) -> Any:
        def engine(*arguments: Any) -> Any:
            raise RuntimeError("CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be ...")

        return engine

    lines: list[str] = []
    thread = run(new_stylizer(lines, failing), lines, 1)
    assert isinstance(thread.error, DeviceError)
    assert str(thread.error) == "CUDA error: an illegal memory access was encountered"
    assert not lines


def test_too_little_memory_at_the_smallest_size_ends_the_thread() -> None:
    class TooLarge:
        """A result that does not fit into memory: it is not only the network that needs some."""

        def numpy(self) -> Any:
            raise MemoryError

    def failing(name: Any, spec: EngineSpec) -> Any:
        return lambda *arguments: (TooLarge(), None)

    lines: list[str] = []
    thread = run(new_stylizer(lines, failing), lines, 4)
    assert isinstance(thread.error, OutOfMemoryError)
    assert len(lines) == 3


def test_frames_side_by_side_are_delivered_in_order_and_look_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first of two frames takes longer than the second."""
    delivered: dict[int, list[tuple[int, Any]]] = {}
    for workers in (1, 2):
        torch.manual_seed(0)  # of the weights
        running = threading.Semaphore(0)
        lines: list[str] = []

        def build(name: Any, spec: EngineSpec, *, workers: int = workers, running: Any = running) -> Any:
            run, count = build_engine(name, spec), iter(range(100))

            def engine(*arguments: Any) -> Any:
                if workers > 1 and next(count) % 2 == 0:
                    assert running.acquire(timeout=20), "another frame is stylized meanwhile"
                else:
                    running.release()
                return run(*arguments)

            return engine

        monkeypatch.setattr(
            ModeControl, "choose", lambda self, now, ready, workers=workers: Mode(SIZE, "eager", workers)
        )
        stylizer = new_stylizer(lines, build)
        stylizer.network.most_workers = 2
        frames = delivered.setdefault(workers, [])
        sink: Any = SimpleNamespace(
            put=lambda frame, frames=frames: frames.append((frame.index, frame.pixels)),
            delivers=False,
            finish=lambda: None,
        )
        thread = run(stylizer, lines, 8, sink)
        assert thread.error is None
        assert not lines
    assert [index for index, _ in delivered[2]] == list(range(8))
    for (_, one), (_, other) in zip(delivered[1], delivered[2], strict=True):
        assert np.array_equal(one, other)


def test_too_little_memory_side_by_side_makes_the_size_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        ModeControl,
        "choose",
        lambda self, now, ready: Mode(self.mode.size, "eager", 2 if self.mode.size == SIZE else 1),
    )

    def greedy(name: Any, spec: EngineSpec) -> Any:
        def fail(*arguments: Any) -> Any:
            raise MemoryError

        return fail if spec.height == SIZE[0] else build_engine(name, spec)

    lines: list[str] = []
    stylizer = new_stylizer(lines, greedy)
    stylizer.network.most_workers = 2
    thread = run(stylizer, lines, 6)
    assert thread.error is None
    assert [line.partition("at ")[2] for line in lines] == ["160x120 or less"]
    assert thread.mode.size == (120, 160)


def test_what_the_session_has_measured_is_kept() -> None:
    lines: list[str] = []
    stylizer = new_stylizer(lines)
    run(stylizer, lines, 8)
    assert Mode(SIZE, "eager") in stylizer.network.stored_costs().known
