"""Time and memory of a device."""

import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

POLL_SECONDS = 0.05


def median_ms(call: Callable[[], object], device: torch.device, *, count: int, warm_up: int = 10) -> float:
    """Return the milliseconds that ``call`` takes on ``device``; the wall clock's where there are no CUDA events."""
    for _ in range(min(warm_up, count)):
        call()
    if device.type != "cuda":
        return wall_ms(call, device, count=count, warm_up=0)
    marks = [(torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)) for _ in range(count)]
    for start, end in marks:
        start.record(torch.cuda.current_stream(device))
        call()
        end.record(torch.cuda.current_stream(device))
    torch.cuda.synchronize(device)
    return statistics.median(start.elapsed_time(end) for start, end in marks)


def wall_ms(call: Callable[[], object], device: torch.device, *, count: int, warm_up: int = 10) -> float:
    """Return the milliseconds from ``call`` until ``device`` is done, median."""
    for _ in range(min(warm_up, count)):
        call()
    return statistics.median(1000 * seconds_of(call, device) for _ in range(count))


def seconds_of(call: Callable[[], object], device: torch.device) -> float:
    """Return the seconds that ``call`` and the device take."""
    synchronize(device)
    started = time.perf_counter()
    call()
    synchronize(device)
    return time.perf_counter() - started


def synchronize(device: torch.device) -> None:
    """Wait for the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextmanager
def torch_memory(device: torch.device) -> Iterator[Callable[[], str]]:
    """Yield what returns, as text, the most memory that torch took on the GPU since then; empty for a CPU."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        yield lambda: f", {torch.cuda.max_memory_allocated(device) / 1e6:.0f} MB of the GPU"
    else:
        yield lambda: ""


@contextmanager
def whole_memory(device: torch.device) -> Iterator[Callable[[], str]]:
    """Yield what returns, as text, the most memory that other processes took on the GPU since then."""
    if device.type != "cuda":
        yield lambda: ""
        return
    free, done = [torch.cuda.mem_get_info(device)[0]], threading.Event()

    def poll() -> None:
        while not done.wait(POLL_SECONDS):
            free.append(torch.cuda.mem_get_info(device)[0])

    thread = threading.Thread(target=poll, daemon=True)
    thread.start()
    try:
        yield lambda: f", {(free[0] - min(free)) / 1e6:.0f} MB of the GPU"
    finally:
        done.set()
        thread.join()
