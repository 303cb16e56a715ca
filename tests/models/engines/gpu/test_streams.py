"""What is asked of CUDA: which stream does what, and what waits for what."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from models.engines.gpu.streams import CudaStreams

CPU = torch.device("cpu")


class Recorder:
    """Stands for ``torch.cuda``; `log` is what was asked for, in order, each with the stream that was current."""

    def __init__(self) -> None:
        self.log: list[tuple[str, ...]] = []
        self.names = iter(("in", "out"))
        self.current = [Stream(self, "network")]

    def add(self, *words: str) -> None:
        self.log.append((*words, f"on {self.current[-1].name}"))


class Stream:
    def __init__(self, recorder: Recorder, name: str) -> None:
        self.recorder, self.name = recorder, name

    def wait_event(self, event: "Event") -> None:
        self.recorder.add(f"{self.name} waits for {event.name}")

    def wait_stream(self, stream: "Stream") -> None:
        self.recorder.add(f"{self.name} waits for {stream.name}")


class Event:
    def __init__(self, recorder: Recorder, *, blocking: bool = False) -> None:
        assert blocking, "a thread that waits must not occupy a core"
        self.recorder, self.name = recorder, "an event of nothing"

    def record(self, stream: Stream) -> None:
        self.name = f"event of {stream.name}"
        self.recorder.add(f"record {self.name}")

    def synchronize(self) -> None:
        self.recorder.add(f"thread waits for {self.name}")


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()

    @contextmanager
    def stream(chosen: Stream) -> Iterator[None]:
        recorder.current.append(chosen)
        yield
        recorder.current.pop()

    @contextmanager
    def device(chosen: torch.device) -> Iterator[None]:
        recorder.add(f"device {chosen}")
        yield

    def empty(shape: tuple[int, ...], *, dtype: torch.dtype, pin_memory: bool) -> torch.Tensor:
        assert pin_memory
        return torch.zeros(shape, dtype=dtype)

    to, copy = torch.Tensor.to, torch.Tensor.copy_

    def recorded_to(tensor: torch.Tensor, *arguments: Any, **settings: Any) -> torch.Tensor:
        recorder.add("allocate and copy" if settings.get("non_blocking") else "copy and wait")
        return to(tensor, *arguments, **settings).clone()

    def recorded_copy(tensor: torch.Tensor, *arguments: Any, **settings: Any) -> torch.Tensor:
        recorder.add("copy" if settings.get("non_blocking") else "copy and wait")
        return copy(tensor, *arguments, **settings)

    monkeypatch.setattr(torch.cuda, "Stream", lambda device: Stream(recorder, next(recorder.names)))
    monkeypatch.setattr(torch.cuda, "Event", lambda **settings: Event(recorder, **settings))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: recorder.current[-1])
    monkeypatch.setattr(torch.cuda, "stream", stream)
    monkeypatch.setattr(torch.cuda, "device", device)
    monkeypatch.setattr(torch, "empty", empty)
    monkeypatch.setattr(torch.Tensor, "to", recorded_to)
    monkeypatch.setattr(torch.Tensor, "copy_", recorded_copy)
    monkeypatch.setattr(
        torch.Tensor, "record_stream", lambda tensor, stream: recorder.add(f"keep the memory for {stream.name}")
    )
    return recorder


def test_a_copy_in_runs_beside_the_network_which_waits_for_it(recorder: Recorder) -> None:
    streams = CudaStreams(CPU)
    host = streams.pinned((2, 3), torch.uint8)
    _, done = streams.copy_in(host)
    done.synchronize()
    assert recorder.log == [
        ("device cpu", "on network"),
        ("allocate and copy", "on in"),
        ("record event of in", "on in"),
        ("network waits for event of in", "on network"),
        ("keep the memory for network", "on network"),
        ("thread waits for event of in", "on network"),
    ]


def test_a_copy_out_waits_for_the_network_and_keeps_its_result(recorder: Recorder) -> None:
    streams = CudaStreams(CPU)
    host = streams.pinned((2, 3), torch.uint8)
    done = streams.copy_out(torch.ones(2, 3, dtype=torch.uint8), host)
    done.synchronize()
    assert recorder.log[1:] == [
        ("out waits for network", "on network"),
        ("copy", "on out"),
        ("keep the memory for out", "on out"),
        ("record event of out", "on out"),
        ("thread waits for event of out", "on network"),
    ]
    assert host.tolist() == [[1, 1, 1]] * 2


def test_what_stands_for_cuda_has_the_names_of_cuda() -> None:
    for owner, names in (
        (torch.cuda, ("Stream", "Event", "current_stream", "stream", "device")),
        (torch.cuda.Stream, ("wait_event", "wait_stream")),
        (torch.cuda.Event, ("record", "synchronize")),
        (torch.Tensor, ("record_stream", "pin_memory")),
    ):
        assert not [name for name in names if not hasattr(owner, name)]
