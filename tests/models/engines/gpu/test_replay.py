"""A network that is recorded once: the frames of one that is not, several in flight, and one line where it fails."""

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import models.engines.engine
from models.engines.build import build_engine, require_support
from models.engines.engine import EngineError, EngineSpec
from models.engines.gpu.overlap import FRAMES_IN_FLIGHT, overlapped
from models.engines.gpu.replay import WARM_UPS, CudaRecorder, Replayed
from models.engines.gpu.transfers import FrameTransfers
from models.frame_graph import zero_statistics
from models.network import StyleNetwork
from models.tiled.tiling import Tiling
from tests.support.late_streams import LateStreams
from tests.support.recorders import Failing, Repeating
from tests.support.tiny import TINY

CPU = torch.device("cpu")
ONE = torch.ones(())


def frame(level: int, height: int = 4) -> Tensor:
    return torch.full((height, 6, 3), level, dtype=torch.uint8)


def added(pixels: Tensor, style: Any, *controls: Tensor) -> tuple[Tensor, Tensor]:
    """Pixels plus the style, and the controls times ten."""
    return pixels + style[0], torch.stack(controls) * 10


def spec_of(height: int = 40, width: int = 48) -> EngineSpec:
    torch.manual_seed(1)
    network = StyleNetwork(TINY)
    return EngineSpec(network=network, height=height, width=width, device=CPU, precision="fp32")


def controls_of(spec: EngineSpec, keep: float = 0.0) -> tuple[Tensor, ...]:
    return zero_statistics(spec.network), torch.zeros(()), torch.ones(()), torch.tensor(keep)


def test_each_result_keeps_its_pixels_when_the_next_frame_is_run() -> None:
    run = Replayed(added, Repeating)
    style = (torch.tensor(3, dtype=torch.uint8),)
    results = [run(frame(level), style, ONE * level) for level in range(5)]
    assert [int(stylized.max()) for stylized, _ in results] == [3, 4, 5, 6, 7]
    assert [int(stylized.min()) for stylized, _ in results] == [3, 4, 5, 6, 7]
    assert [used.tolist() for _, used in results] == [[0], [10], [20], [30], [40]]


def test_what_the_caller_does_with_its_inputs_afterwards_changes_nothing() -> None:
    recorder = Repeating()
    run = Replayed(added, lambda: recorder)
    pixels, style = frame(1), (torch.tensor(3, dtype=torch.uint8),)
    run(pixels, style, ONE)
    pixels.fill_(100)
    recorder.replay()
    assert int(run(frame(2), style, ONE)[0].max()) == 5
    assert recorder.replays == 3


def test_a_new_style_is_used_from_its_first_frame_on() -> None:
    run = Replayed(added, Repeating)
    styles = [(torch.tensor(level, dtype=torch.uint8),) for level in (10, 20)]
    found = [int(run(frame(1), styles[index], ONE)[0].max()) for index in (0, 1, 1, 0)]
    assert found == [11, 21, 21, 11]


def test_the_network_is_recorded_once_and_its_kernels_are_not_started_again() -> None:
    calls = list[int]()

    def graph(pixels: Tensor, style: Any, *controls: Tensor) -> tuple[Tensor, Tensor]:
        calls.append(1)
        return added(pixels, style, *controls)

    recorders = [Repeating(), Repeating()]
    left = iter(recorders)
    run = Replayed(graph, lambda: next(left))
    style = (torch.tensor(3, dtype=torch.uint8),)
    for _ in range(4):
        run(frame(1), style, ONE)
    assert recorders[0].replays == 4
    assert recorders[1].replays == 0
    assert run.is_recorded


def test_a_frame_of_another_size_or_type_is_refused() -> None:
    run = Replayed(added, Repeating)
    style = (torch.tensor(3, dtype=torch.uint8),)
    run(frame(1), style, ONE)
    for other in (frame(1, height=1), frame(1, height=5), frame(1).to(torch.int32)):
        with pytest.raises(ValueError, match="the recorded network takes"):
            run(other, style, ONE)


def test_a_network_that_cannot_be_recorded_runs_as_it_is_with_one_line(caplog: pytest.LogCaptureFixture) -> None:
    run = Replayed(added, Failing)
    style = (torch.tensor(3, dtype=torch.uint8),)
    with caplog.at_level(logging.WARNING):
        found = [int(run(frame(level), style, ONE)[0].max()) for level in range(4)]
    assert found == [3, 4, 5, 6]
    assert not run.is_recorded
    assert len(caplog.records) == 1
    assert "operation not permitted when stream is capturing): it runs without one" in caplog.messages[0]
    assert "\n" not in caplog.messages[0]


def test_frames_in_flight_are_those_of_a_network_that_is_not_recorded() -> None:
    spec = spec_of()
    style, graph = spec.network.initial_style(), spec.frame_graph()
    frames = [torch.randint(0, 256, (40, 48, 3), dtype=torch.uint8) for _ in range(12)]
    streams = LateStreams()
    run = overlapped(Replayed(graph, Repeating), FrameTransfers(streams))
    tensors = style.tensors()
    with ThreadPoolExecutor(FRAMES_IN_FLIGHT) as threads:
        results = list(threads.map(lambda pixels: run(pixels, tensors, *controls_of(spec)), frames))
    for pixels, (stylized, used) in zip(frames, results, strict=True):
        with torch.inference_mode():
            expected, statistics = graph(pixels, tensors, *controls_of(spec))
        assert torch.equal(stylized.as_subclass(Tensor), expected)
        assert torch.equal(used.as_subclass(Tensor), statistics)


def test_an_engine_that_is_asked_for_it_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = spec_of()
    style, pixels = spec.network.initial_style(), torch.randint(0, 256, (40, 48, 3), dtype=torch.uint8)
    recorders, transfers = list[Repeating](), FrameTransfers(LateStreams())

    def make(device: torch.device) -> Repeating:
        recorders.append(Repeating())
        return recorders[-1]

    monkeypatch.setattr(models.engines.engine, "transfers_of", lambda device: transfers)
    monkeypatch.setattr(models.engines.engine, "CudaRecorder", make)
    for is_recorded in (False, True):
        engine = replace(spec, is_recorded=is_recorded).torch_engine(spec.frame_graph())
        found = [engine(pixels, style, *controls_of(spec, keep))[0].as_subclass(Tensor) for keep in (0.0, 1.0)]
        assert [recorder.replays for recorder in recorders] == [2] * is_recorded
        expected = [build_engine("eager", spec)(pixels, style, *controls_of(spec, keep))[0] for keep in (0.0, 1.0)]
        assert all(torch.equal(*pair) for pair in zip(found, expected, strict=True))
        assert not torch.equal(*expected)


@pytest.mark.parametrize("change", [{}, {"tiling": Tiling(16)}, {"has_regions": True}])
def test_a_recorded_engine_is_for_whole_frames_on_a_gpu(change: dict[str, Any]) -> None:
    spec = replace(spec_of(), is_recorded=True, device=torch.device("cuda" if change else "cpu"), **change)
    with pytest.raises(EngineError, match="CUDA graphs are for whole frames"):
        require_support("eager", spec)
    require_support("eager", replace(spec_of(), is_recorded=True, device=torch.device("cuda")))


# --- what is asked of CUDA ---


class FakeCuda:
    """Stands for ``torch.cuda``; `log` is what was asked for, each with the stream that was current."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, fails: bool = False) -> None:
        self.log, self.current, self.fails = list[str](), ["network"], fails
        fake = self

        class Stream:
            def __init__(self, name: str) -> None:
                self.name = name

            def wait_stream(self, other: "Stream") -> None:
                fake.add(f"{self.name} waits for {other.name}")

        class Graph:
            def replay(self) -> None:
                fake.add("replay")

        @contextmanager
        def stream(chosen: Stream) -> Iterator[None]:
            before = list(fake.current)
            fake.current.append(chosen.name)
            try:
                yield
            finally:
                fake.current[:] = before

        @contextmanager
        def device(chosen: torch.device) -> Iterator[None]:
            yield

        class Recording:
            """As torch's: the stream stays current where the recording cannot be ended."""

            def __init__(self, graph: Graph, *, stream: Stream, capture_error_mode: str) -> None:
                assert capture_error_mode == "thread_local"
                self.stream = stream

            def __enter__(self) -> None:
                fake.current.append(self.stream.name)
                fake.add("begin")

            def __exit__(self, *error: object) -> None:
                if fake.fails:
                    raise RuntimeError("CUDA error: operation failed due to a previous error during capture")
                fake.add("end")
                fake.current.pop()

        monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
        monkeypatch.setattr(torch.cuda, "Stream", lambda device: Stream("side"))
        monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Stream(fake.current[-1]))
        monkeypatch.setattr(torch.cuda, "stream", stream)
        monkeypatch.setattr(torch.cuda, "device", device)
        monkeypatch.setattr(torch.cuda, "graph", Recording)

    def add(self, what: str) -> None:
        self.log.append(f"{what} on {self.current[-1]}")

    def work(self) -> tuple[Tensor, ...]:
        self.add("work")
        return (ONE,)


def test_the_network_warms_up_and_is_recorded_beside_the_stream_that_repeats_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cuda = FakeCuda(monkeypatch)
    recorder = CudaRecorder(CPU)
    assert recorder.record(cuda.work) == (ONE,)
    recorder.replay()
    assert cuda.log == [
        "side waits for network on network",
        *["work on side"] * WARM_UPS,
        "network waits for side on network",
        "begin on side",
        "work on side",
        "end on side",
        "replay on network",
    ]


def test_a_recording_that_fails_leaves_the_stream_that_was_current(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = FakeCuda(monkeypatch, fails=True)
    with pytest.raises(RuntimeError, match="during capture"):
        CudaRecorder(CPU).record(cuda.work)
    assert cuda.current == ["network"]


def test_what_stands_for_cuda_has_the_names_of_cuda() -> None:
    import inspect

    assert {"stream", "capture_error_mode"} <= set(inspect.signature(torch.cuda.graph).parameters)
    assert hasattr(torch.cuda.CUDAGraph, "replay")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("engine", ["eager", "compile"])
def test_a_recorded_network_gives_the_frames_of_one_that_is_not(engine: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    network, device = StyleNetwork(), torch.device("cuda")
    spec = EngineSpec(network=network, height=120, width=160, device=device, precision="bf16", cache=tmp_path)
    zero = torch.zeros((), device=device)
    controls = (zero_statistics(network, device), zero.clone(), zero + 1, zero.clone())
    frames, style = (
        [torch.randint(0, 256, (120, 160, 3), dtype=torch.uint8) for _ in range(12)],
        network.initial_style(),
    )
    plain, recorded = (build_engine(engine, replace(spec, is_recorded=each)) for each in (False, True))  # type: ignore[arg-type]
    expected = [plain(pixels, style, *controls) for pixels in frames]
    with ThreadPoolExecutor(FRAMES_IN_FLIGHT) as threads:
        found = list(threads.map(lambda pixels: recorded(pixels, style, *controls), frames))
    for (stylized, used), (wanted, statistics) in zip(found, expected, strict=True):
        assert torch.equal(stylized, wanted)
        assert torch.equal(used, statistics)
