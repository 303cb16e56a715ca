"""Clips of a batch share engines, and overlap."""

import gc
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import models.engines.build
import models.engines.capabilities
from pipeline.batch.events import Event, Finished, Started
from pipeline.stylize.fair_lock import FairLock
from pipeline.stylize.stylizer import Stylizer
from tests.support.batching import batch_config, make_clips, outputs_in, run_here


def test_one_engine_for_each_frame_size_whatever_the_style(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[tuple[int, int]] = []
    build = models.engines.build.build_engine

    def count(name: Any, spec: Any) -> Any:
        built.append((spec.width, spec.height))
        return build(name, spec)

    monkeypatch.setattr(models.engines.build, "build_engine", count)
    make_clips(tmp_path, "a.mp4", "c.mp4")
    make_clips(tmp_path, "b.mp4", width=80)
    ended, _ = run_here(batch_config(tmp_path, ("great-wave", "starry-night", "great-wave:0.5,minotaur:0.5")))
    assert (ended.painted, ended.failed, ended.left) == (9, 0, 0)
    assert sorted(built) == [(64, 48), (80, 48)]


def test_styles_that_share_an_engine_differ(tmp_path: Path) -> None:
    make_clips(tmp_path, "a.mp4")
    run_here(batch_config(tmp_path, ("great-wave", "starry-night")))
    first, second = (path.read_bytes() for path in outputs_in(tmp_path / "out").values())
    assert first != second


def test_neighbors_overlap(tmp_path: Path) -> None:
    make_clips(tmp_path, *(f"{number}.mp4" for number in range(5)), frames=20)
    _, events = run_here(batch_config(tmp_path))
    second = next(place for place, event in enumerate(events) if isinstance(event, Started) and "1" in event.output)
    assert second < next(place for place, event in enumerate(events) if isinstance(event, Finished))


def test_the_memory_of_a_clip_is_freed(tmp_path: Path) -> None:
    """Frames and stylizers refer to each other; Python's own collections would come too late."""
    alive: list[int] = []

    def count(event: Event) -> None:
        if isinstance(event, Started):
            alive.append(sum(issubclass(type(each), Stylizer) for each in gc.get_objects()))

    make_clips(tmp_path, *(f"{number}.mp4" for number in range(8)))
    gc.collect()
    gc.disable()
    try:
        run_here(batch_config(tmp_path), count)
    finally:
        gc.enable()
    assert max(alive) <= 4


def test_the_garbage_collector_of_a_host_process_is_left_alone(tmp_path: Path) -> None:
    make_clips(tmp_path, "a.mp4")
    gc.freeze()
    frozen = gc.get_freeze_count()
    try:
        run_here(batch_config(tmp_path))
        assert gc.get_freeze_count() == pytest.approx(frozen, rel=0.01)
    finally:
        gc.unfreeze()


def test_a_turn_is_given_in_the_order_of_asking_and_ends_with_the_batch() -> None:
    stopped, order, threads = threading.Event(), [], []
    turn = FairLock(stopped)

    def take(number: int) -> None:
        with turn:
            order.append(number)

    with turn:
        for number in range(4):
            threads.append(threading.Thread(target=take, args=(number,)))
            threads[-1].start()
            while len(turn._queue) < number + 2:
                time.sleep(0.01)
        assert order == []
    for thread in threads:
        thread.join()
    assert order == [0, 1, 2, 3]
    with turn:
        stopped.set()
        with pytest.raises(KeyboardInterrupt):
            turn.take()


def test_nine_sizes_are_all_compiled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Dynamo would run the ninth uncompiled, as it counts by code object."""
    import torch

    from models.engines.engine import EngineSpec
    from models.frame_graph import zero_statistics
    from models.network import StyleNetwork
    from tests.support.tiny import TINY

    compiled: list[int] = []
    real = torch.compile

    def backend(graph: Any, example: Any) -> Any:
        compiled.append(1)
        return graph.forward

    def cheap(module: Any, **settings: Any) -> Any:
        return real(module, dynamic=False, backend=backend)

    monkeypatch.setattr(torch, "compile", cheap)
    monkeypatch.setattr(models.engines.capabilities, "can_compile", lambda device: True)
    network, device = StyleNetwork(TINY), torch.device("cpu")
    for number in range(9):
        height = 16 + 4 * number
        spec = EngineSpec(network=network, height=height, width=16, device=device, precision="fp32", cache=tmp_path)
        engine = models.engines.build.build_engine("compile", spec)
        pixels = torch.from_numpy(np.zeros((height, 16, 3), np.uint8))
        engine(pixels, network.neutral_style(), zero_statistics(network, device), *(torch.zeros(()) for _ in range(4)))
    assert len(compiled) == 9
