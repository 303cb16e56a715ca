"""Live sessions at once, at their full size, on one network, as the viewers of a studio share one."""

import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import torch

from benchmarks.gpu.rows import Settings, width_for
from benchmarks.gpu.scenes import frames
from benchmarks.gpu.timing import torch_memory
from models.engines.gpu.overlap import FRAMES_IN_FLIGHT
from pipeline.config import StylizeConfig
from pipeline.live.controls import Snapshot
from pipeline.live.frames import CapturedFrame
from pipeline.live.stylize.live_network import LiveNetwork
from pipeline.live.stylize.live_stylizer import LiveStylizer
from pipeline.live.stylize.modes import Mode
from pipeline.live.stylize.style_mixer import load_style_mixer

PREPARE_SECONDS = 120.0
_SHOWN = Snapshot(weights=(1.0,), style=0, strength=1.0, keep_colors=False, mirror=False, show_original=False)


def live(settings: Settings, *, engine: str) -> str:
    """Return the rate of each session: in turn in one thread, as a studio does, and in several threads."""
    size = settings.stage_height, width_for(settings.stage_height)
    messages = list[str]()
    config = StylizeConfig(style=settings.style, device=settings.device)
    network = LiveNetwork(config, load_style_mixer([settings.style]), messages.append)
    mode = Mode(size, engine)
    try:
        seconds = _prepared_seconds(network, mode, messages)
        with torch_memory(torch.device(settings.device)) as memory:
            sessions = [LiveStylizer(network, size) for _ in range(settings.sessions)]
            rates = [_rate(settings, sessions, mode, threads) for threads in (1, FRAMES_IN_FLIGHT)]
            each = [f"{rate / len(sessions):.1f} fps each, {1000 / rate:.2f} ms a frame" for rate in rates]
            turns = f"in turn {each[0]}; in {FRAMES_IN_FLIGHT} threads {each[1]}"
            return f"{turns}, engine ready after {seconds:.1f} s{memory()}"
    finally:
        network.close()


def _prepared_seconds(network: LiveNetwork, mode: Mode, messages: list[str]) -> float:
    started = time.monotonic()
    while mode.engine not in network.engines.ready(mode.size):
        network.engines.prepare(mode)
        if messages or time.monotonic() > started + PREPARE_SECONDS:
            raise RuntimeError(messages[0] if messages else f"{mode.engine} is not ready after {PREPARE_SECONDS:g} s")
        time.sleep(0.05)
    return time.monotonic() - started


def _rate(settings: Settings, sessions: list[LiveStylizer], mode: Mode, threads: int) -> float:
    """Return the frames per second of all sessions, each of which has a thread of ``threads``."""
    pictures, end, counts = frames(settings.stage_height), threading.Event(), [0] * threads

    def run(number: int) -> None:
        own = sessions[number::threads]
        if not own:
            return
        own[0].network.use_this_thread(threads)
        for index, session in enumerate(itertools.cycle(own)):
            pixels = pictures[index // len(own) % len(pictures)]
            session.stylize(CapturedFrame(pixels, time.monotonic(), index), _SHOWN, mode)
            counts[number] += 1
            if end.is_set():
                return

    with ThreadPoolExecutor(threads) as pool:
        running = [pool.submit(run, number) for number in range(threads)]
        while min(counts) < min(len(sessions) // threads, 1) and not any(each.done() for each in running):
            time.sleep(0.01)
        started, before = time.perf_counter(), sum(counts)
        end.wait(settings.live_seconds)
        while sum(counts) == before and not any(each.done() for each in running):
            time.sleep(0.01)
        rate = (sum(counts) - before) / (time.perf_counter() - started)
        end.set()
        for each in running:
            each.result()
    return rate
