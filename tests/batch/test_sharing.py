"""Clips of a batch share engines and workers, and overlap."""

import gc
import threading
import time
from collections import Counter
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import models.engines.build
import models.engines.capabilities
import models.engines.compile
from pipeline.batch.events import Event, Finished, Started
from pipeline.batch.session import plan, run_batch
from pipeline.config import StylizeConfig
from pipeline.frames import Frame
from pipeline.stylize.engine.engine_cache import EngineCache, FairLock
from pipeline.stylize.stylizer import Stylizer
from pipeline.workers import partition
from pipeline.workers.long_clip import stylize_long_clip
from pipeline.workers.stored import clip
from tests.support.batching import batch_config, make_clips, outputs_in, run_here
from tests.support.media import make_clip
from tests.support.workers.segment_jobs import InlineExecutor, Noisy


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


def test_a_fair_lock_is_given_in_the_order_of_the_requests_until_it_is_closed() -> None:
    lock, order, threads, refused = FairLock(), list[int](), list[threading.Thread](), list[int]()

    def take(number: int) -> None:
        try:
            with lock:
                order.append(number)
        except KeyboardInterrupt:
            refused.append(number)

    def start(*numbers: int) -> None:
        for number in numbers:
            threads.append(threading.Thread(target=take, args=(number,)))
            threads[-1].start()
            time.sleep(0.1)

    def join() -> None:
        while threads:
            threads.pop().join()

    with lock:
        start(0, 1, 2, 3)
        assert order == []
    join()
    assert order == [0, 1, 2, 3]
    with lock:
        start(4, 5)
        lock.close()
        join()
    with pytest.raises(KeyboardInterrupt), lock:
        pass
    assert (order, sorted(refused)) == ([0, 1, 2, 3], [4, 5])


def test_one_clip_is_stylized_at_a_time_and_none_while_an_engine_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    config = StylizeConfig(style="great-wave", engine="eager", device="cpu", precision="fp32")
    cache, build = EngineCache(), models.engines.build.build_engine
    first, second = (cache.stylizer(config, height=16, width=16) for _ in range(2))
    frames = [Frame(np.zeros((16, 16, 3), np.uint8), pts, Fraction(1, 30)) for pts in range(3)]
    now: list[str] = []

    def stylize(stylizer: Stylizer) -> None:
        for _ in stylizer(frames):
            now.append("frame")

    def note_build(name: Any, spec: Any) -> Any:
        now.append("build")
        return build(name, spec)

    monkeypatch.setattr(models.engines.build, "build_engine", note_build)
    running = first(frames)
    next(running)
    threads = [
        threading.Thread(target=stylize, args=(second,)),
        threading.Thread(target=cache.stylizer, args=(config,), kwargs={"height": 20, "width": 16}),
        threading.Thread(target=cache.stylizer, args=(config,), kwargs={"height": 16, "width": 16}),
    ]
    for thread in threads:
        thread.start()
        time.sleep(0.3)
    assert now == []
    assert len(list(running)) == 2
    for thread in threads:
        thread.join()
    assert now == ["frame", "frame", "frame", "build"]


def test_clips_are_split_only_if_workers_would_be_idle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partition, "SHORTEST_JOB_FRAMES", 20)
    brief = partition.WarmUp(observed=6, stylized=12)
    monkeypatch.setattr(clip, "stylize_long_clip", partial(stylize_long_clip, warm_up=brief))
    for count in (2, 5):
        folder = tmp_path / str(count)
        (folder / "in").mkdir(parents=True)
        for number in range(count):
            make_clip(folder / "in" / f"{number}.mkv", Noisy(pts=range(0, 60 * 512, 512), cut=35))
        config, executor = batch_config(folder), InlineExecutor(workers=2)
        run_batch(config, plan(config), executor=executor)
        jobs = Counter(job.config.target for job in executor.jobs)
        if count == 2:
            assert set(jobs.values()) == {2}
        else:
            assert jobs[executor.jobs[0].config.target] == 1


def test_any_number_of_sizes_is_compiled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Dynamo would run the ninth uncompiled (here the third), as it counts by code object."""
    import torch
    import torch._dynamo

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
    with torch._dynamo.config.patch(recompile_limit=2):  # monkeypatch would leave it deleted
        for number in range(3):
            height = 16 + 4 * number
            spec = EngineSpec(network=network, height=height, width=16, device=device, precision="fp32", cache=tmp_path)
            engine = models.engines.compile.trace(spec)
            pixels, statistics = torch.zeros(height, 16, 3, dtype=torch.uint8), zero_statistics(network, device)
            engine(pixels, network.initial_style(), statistics, *(torch.zeros(()) for _ in range(3)))
    assert len(compiled) == 3
