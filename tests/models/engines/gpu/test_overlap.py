"""The network on a device: several frames in flight, each with its own result."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

import models.engines.engine
from models.engines.build import build_engine
from models.engines.engine import EngineSpec
from models.engines.gpu.overlap import FRAMES_IN_FLIGHT, overlapped, repeatable_kernels
from models.engines.gpu.transfers import FrameTransfers
from models.frame_graph import zero_statistics
from models.network import Architecture, StyleNetwork
from models.tiled.tiling import Tiling
from tests.support.late_streams import LateStreams

TINY = Architecture(widths=(4, 6, 8), blocks=1, kernel=3)


def frame(level: int) -> Tensor:
    return torch.full((4, 6, 3), level, dtype=torch.uint8)


def inverted(pixels: Tensor, *arguments: object) -> tuple[Tensor, Tensor]:
    return 255 - pixels, pixels.float().mean()


def wait_for(is_true: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not is_true():
        assert time.monotonic() < end
        time.sleep(0.002)


def test_frames_are_started_while_others_have_not_come_back() -> None:
    streams, started = LateStreams(), list[int]()
    streams.may_end.clear()

    def graph(pixels: Tensor) -> tuple[Tensor, Tensor]:
        started.append(int(pixels.max()))
        return inverted(pixels)

    run = overlapped(graph, FrameTransfers(streams))
    with ThreadPoolExecutor(FRAMES_IN_FLIGHT) as threads:
        results = [threads.submit(run, frame(level)) for level in range(FRAMES_IN_FLIGHT)]
        wait_for(lambda: len(started) == FRAMES_IN_FLIGHT)
        assert not any(result.done() for result in results)
        streams.may_end.set()
        for level, result in enumerate(results):
            stylized, used = result.result(timeout=20)
            assert torch.equal(stylized, 255 - frame(level))
            assert float(used) == level


def test_the_network_is_called_by_one_thread_at_a_time() -> None:
    inside = threading.Semaphore(1)

    def graph(pixels: Tensor) -> tuple[Tensor, Tensor]:
        assert inside.acquire(blocking=False)
        time.sleep(0.01)
        inside.release()
        return inverted(pixels)

    run = overlapped(graph, FrameTransfers(LateStreams()))
    with ThreadPoolExecutor(3) as threads:
        levels = [int(stylized.max()) for stylized, _ in threads.map(run, map(frame, range(6)))]
    assert levels == [255, 254, 253, 252, 251, 250]


def test_a_frame_that_is_on_the_device_is_not_uploaded_again() -> None:
    streams = LateStreams()
    transfers = FrameTransfers(streams)
    stylized, _ = overlapped(inverted, transfers)(transfers.upload(frame(7)))
    assert len(streams.uploaded) == 1
    assert torch.equal(stylized, 255 - frame(7))


@pytest.mark.parametrize("where", ["network", "copy"])
def test_after_an_error_the_next_frame_is_stylized(where: str) -> None:
    streams, fails = LateStreams(), [True]

    def graph(pixels: Tensor) -> tuple[Tensor, Tensor]:
        if where == "network" and fails[0]:
            raise torch.OutOfMemoryError("CUDA out of memory")
        streams.error = RuntimeError("CUDA error: out of memory") if where == "copy" and fails[0] else None
        return inverted(pixels)

    run = overlapped(graph, FrameTransfers(streams))
    with pytest.raises(RuntimeError, match="out of memory"):
        run(frame(1))
    fails[0], streams.error = False, None
    for level in range(2, 6):
        assert torch.equal(run(frame(level))[0], 255 - frame(level))


def test_the_kernels_are_repeatable_within_and_as_before_after() -> None:
    cudnn = torch.backends.cudnn
    before = cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32
    with repeatable_kernels():
        assert (cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32) == (True, False, False)
    assert (cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32) == before


def test_strips_and_whole_frames_are_those_of_an_engine_without_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(1)
    network = StyleNetwork(TINY)
    style, pixels = network.initial_style(), torch.randint(0, 256, (40, 48, 3), dtype=torch.uint8)
    spec = EngineSpec(network=network, height=40, width=48, device=torch.device("cpu"), precision="fp32")
    controls = (zero_statistics(network), torch.zeros(()), torch.ones(()), torch.zeros(()))
    for each in (spec, replace(spec, tiling=Tiling(16))):
        expected, statistics = build_engine("eager", each)(pixels, style, *controls)
        transfers = FrameTransfers(LateStreams())
        monkeypatch.setattr(models.engines.engine, "transfers_of", lambda device, found=transfers: found)
        stylized, used = build_engine("eager", each)(pixels, style, *controls)
        monkeypatch.undo()
        assert torch.equal(stylized.as_subclass(Tensor), expected)
        assert torch.equal(used.as_subclass(Tensor), statistics)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("engine", ["eager", "compile"])
def test_a_gpu_gives_the_same_frame_each_time(engine: str, precision: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = StyleNetwork()
    style, device = network.initial_style(), torch.device("cuda")
    settings = {"network": network, "height": 120, "width": 160, "device": device, "cache": tmp_path}
    run = build_engine(engine, EngineSpec(precision=precision, **settings))
    zero = torch.zeros((), device=device)
    controls = (zero_statistics(network, device), zero.clone(), zero + 1, zero.clone())
    frames = [torch.randint(0, 256, (120, 160, 3), dtype=torch.uint8) for _ in range(8)]
    alone = [run(pixels, style, *controls) for pixels in frames]
    with ThreadPoolExecutor(FRAMES_IN_FLIGHT) as threads:
        together = list(threads.map(lambda pixels: run(pixels, style, *controls), frames))
    for (first, used), (again, used_again) in zip(alone, together, strict=True):
        assert torch.equal(first, again)
        assert torch.equal(used, used_again)
