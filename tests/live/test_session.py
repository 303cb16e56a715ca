"""A session with fake cameras and sinks: order, latency, failures, and how it ends."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.engines.build import build_engine
from models.engines.engine import Engine, EngineSpec
from pipeline.errors import DeviceError, InputError, StyleError
from pipeline.live.capture.device import CapturedFrame
from pipeline.live.capture.source import find_capture_device
from pipeline.live.config import LiveConfig, SinkConfig
from pipeline.live.controls import Controls
from pipeline.live.session import LiveSession
from pipeline.live.sinks.outputs import make_audio
from pipeline.live.sinks.record import RecordSink
from pipeline.live.sinks.sink import SinkError
from pipeline.live.statistics import LiveSummary
from pipeline.notices import Notices
from pipeline.stylize.engine.bounded_engine import BuildEngine
from tests.support.live import PLAIN, Blocking, Dying, FakeCamera, Memory, plain_config
from tests.support.media import Audio, Clip, make_clip

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """A session ends all of its threads, whatever happens."""
    before = {thread.name for thread in threading.enumerate()}
    yield
    end = time.monotonic() + 5
    while left := {thread.name for thread in threading.enumerate()} - before:
        assert time.monotonic() < end, f"threads still run: {left}"
        time.sleep(0.02)


# Frames of a session in most tests.
ENOUGH = 30

WrapEngine = Callable[[EngineSpec, Engine], Engine]


def building(wrap: WrapEngine) -> BuildEngine:
    """Builds engines that ``wrap`` makes from real ones."""
    return lambda name, spec: wrap(spec, build_engine(name, spec))


def run(
    *sinks: Memory,
    camera: FakeCamera | None = None,
    lines: list[str] | Notices | None = None,
    controls: Controls | None = None,
    build: BuildEngine | None = None,
    **changes: object,
) -> LiveSummary:
    controls = controls or Controls(["great-wave"])
    lines = [] if lines is None else lines
    notify = lines if isinstance(lines, Notices) else lines.append
    if camera is None and sinks:
        sinks[0].quit_after(ENOUGH, controls)
    device = camera or FakeCamera(fps=60)
    changes.setdefault("fps_target", 240.0)  # by default, frames of a fast camera are skipped
    return LiveSession(plain_config(**changes), sinks, controls, notify, device=device, build=build).run()


def test_frames_are_stylized_in_order_and_counted() -> None:
    memory, lines = Memory(), list[str]()
    camera = FakeCamera(fps=25, count=20)
    summary = run(memory, camera=camera, lines=lines)
    indices = [index for index, _, _ in memory.frames]
    assert indices == sorted(set(indices))
    assert indices[-1] == 19
    assert memory.size == (64, 48)
    assert memory.fps == 25
    assert memory.closed == 1
    assert memory.last is not None
    assert memory.last.pixels.shape == memory.last.original.shape == (48, 64, 3)
    assert memory.last.original[0, 0, 0] == 19
    assert np.abs(memory.last.pixels.astype(int) - memory.last.original).mean() > 5
    assert summary.captured == 20
    assert summary.delivered == len(indices)
    assert summary.dropped == 20 - len(indices)
    assert summary.size == (64, 48)
    assert summary.engine == "eager"
    assert 0 < (summary.latency_ms["p50"] or 0) <= (summary.latency_ms["p95"] or 0) <= (summary.latency_ms["p99"] or 0)
    assert summary.fps is not None
    assert not lines
    assert camera.closed == camera.opened == 1
    json.dumps(asdict(summary))


def test_each_sink_has_its_own_thread() -> None:
    first, second = Memory("first"), Memory("second")
    run(first, second)
    assert len(first.write_threads) == len(second.write_threads) == 1
    assert threading.get_ident() not in first.write_threads | second.write_threads
    assert first.write_threads != second.write_threads
    assert min(len(first.frames), len(second.frames)) > ENOUGH / 2
    assert first.closed == second.closed == 1


def test_a_sink_that_blocks_delays_no_other() -> None:
    steady, blocking, lines = Memory("steady"), Blocking(1.0), list[str]()
    blocking.blocked_seconds = 0.2
    summary = run(steady, blocking, camera=FakeCamera(fps=50, count=100), lines=lines)
    assert [line.split(":")[0] for line in lines] == ["blocking"]
    assert max(steady.gaps()) < 0.9 <= max(blocking.gaps())
    # It continues with the newest frame, not with those that it missed.
    after = int(np.argmax(blocking.gaps())) + 2
    index, captured_at, taken_at = blocking.frames[after]
    assert taken_at - captured_at < 0.9
    assert index - blocking.frames[after - 2][0] > 20
    by_name = {sink.name: sink for sink in summary.sinks}
    assert by_name["blocking"].dropped > 20
    assert by_name["steady"].delivered > by_name["blocking"].delivered
    assert summary.delivered == by_name["steady"].delivered
    assert blocking.closed == 1


@pytest.mark.parametrize("at", [0, 5], ids=["at the start", "in the middle"])
@pytest.mark.parametrize("error", [None, RuntimeError("boom\nand more")], ids=["expected", "unexpected"])
def test_the_session_goes_on_without_a_sink_that_fails(at: int, error: Exception | None) -> None:
    steady, dying, lines = Memory("steady"), Dying(at=at, error=error), list[str]()
    summary = run(steady, dying, lines=lines)
    assert len(lines) == 1
    assert lines[0] == f"dying: {'boom' if error else 'the cable was pulled; put it back'}; continuing without it"
    assert len(dying.frames) == at
    assert dying.closed == 1
    assert len(steady.frames) >= ENOUGH
    assert steady.closed == 1
    failures = {sink.name: sink.failure for sink in summary.sinks}
    assert failures["steady"] is None
    assert failures["dying"]


def test_the_session_ends_with_its_last_sink_and_reports_the_error_once() -> None:
    first, last, lines = Dying(at=3, name="first"), Dying(at=9, name="last"), list[str]()
    with pytest.raises(SinkError, match="last: the cable was pulled"):
        run(last, first, camera=FakeCamera(), lines=lines)
    assert first.closed == last.closed == 1
    assert lines == ["first: the cable was pulled; put it back; continuing without it"]


def test_a_failure_at_the_end_is_reported_once() -> None:
    def fail(self: Memory) -> None:
        raise OSError("the disk is full")

    lines, memory = list[str](), Memory()
    failing = type("Failing", (Memory,), {"close": fail})
    run(memory, failing("file"), lines=lines)
    assert lines == ["file: cannot be finished (the disk is full)"]
    with pytest.raises(SinkError, match="the disk is full"):
        run(failing("file"), camera=FakeCamera(count=3), lines=lines)
    assert len(lines) == 1


def test_a_sink_that_hangs_at_the_end_is_abandoned() -> None:
    steady, hanging, lines = Memory("steady"), Blocking(60.0), list[str]()
    hanging.finish_seconds = 0.3
    run(steady, hanging, lines=lines)
    assert lines[-1].startswith("blocking: ")
    assert steady.closed == 1
    hanging.released.set()


def test_a_camera_that_fails_and_comes_back_is_reconnected() -> None:
    memory, lines, controls = Memory(), list[str](), Controls(["great-wave"])
    camera = FakeCamera(fps=50, unplugged=(0.5, 0.9))
    summary = run(memory, camera=camera, lines=lines, controls=controls, seconds=2.5)
    assert 0.4 < max(memory.gaps()) < 1.5
    assert memory.polled > 2, "meanwhile a window handles its events, and a stream is fed"
    assert len(lines) == 2
    assert "reconnecting" in lines[0]
    assert "reconnected after" in lines[1]
    late = [taken - captured for _, captured, taken in memory.frames[-5:]]
    assert max(late) < 0.5
    assert summary.notices == tuple(lines)


def test_a_missing_camera_ends_the_session() -> None:
    memory = Memory()
    with pytest.raises(InputError, match="not found"):
        run(memory, camera=FakeCamera(unplugged=(-1.0, 1e9)))
    assert memory.closed == 1, "a sink that was never opened is closed too"


def test_the_session_ends_after_its_seconds() -> None:
    memory = Memory()
    started = time.monotonic()
    ended: list[float] = []
    memory.close = lambda: (ended.append(time.monotonic()), time.sleep(0.2))  # type: ignore[assignment]
    summary = run(memory, camera=FakeCamera(), seconds=0.5)
    assert memory.frames
    assert 0.5 <= summary.seconds <= ended[0] - started, "without the time that the end takes"


def test_the_controls_end_the_session() -> None:
    controls = Controls(["great-wave"])
    memory = Memory()
    memory.quit_after(10, controls)
    summary = run(memory, camera=FakeCamera(), controls=controls)
    assert summary.delivered >= 10
    assert memory.closed == 1


def test_an_interruption_ends_the_session_without_an_error() -> None:
    memory = Memory()
    memory.then(10, lambda: os.kill(os.getpid(), signal.SIGINT))
    summary = run(memory, camera=FakeCamera())
    assert summary.delivered >= 10
    assert memory.closed == 1


def test_a_recording_that_was_not_started_does_not_keep_the_session() -> None:
    controls = Controls(["great-wave"])
    idle = RecordSink(controls, print)
    with pytest.raises(SinkError, match="the cable was pulled"):
        run(Dying(), idle, camera=FakeCamera(), controls=controls, seconds=5)  # type: ignore[arg-type]


def test_a_source_without_frames_ends_after_its_seconds() -> None:
    controls, lines = Controls(["great-wave"]), list[str]()
    late = threading.Timer(20, controls.quit)
    late.start()
    run(Memory(), camera=FakeCamera(fps=0.001), controls=controls, lines=lines, seconds=0.3)
    late.cancel()
    assert len(lines) == 1
    assert lines[0].startswith("fake camera: no frame arrived")


def test_frames_that_reach_nobody_do_not_count_as_delivered() -> None:
    lost = Memory("lost")
    lost.is_connected = False
    reached = Memory("reached")
    summary = run(lost, reached, camera=FakeCamera(count=10))
    assert lost.frames
    assert [sink.delivered > 0 for sink in summary.sinks] == [False, True]


def test_a_second_interruption_leaves_nothing_open() -> None:
    """It comes while the session waits for the frame that is being stylized."""
    memory, camera, calls = Memory(), FakeCamera(), iter(range(1000))

    def interrupting(spec: EngineSpec, engine: Engine) -> Engine:
        def interrupt(*inputs: Any) -> Any:
            if next(calls) == 5:
                os.kill(os.getpid(), signal.SIGINT)
                threading.Timer(0.4, os.kill, (os.getpid(), signal.SIGINT)).start()
                time.sleep(1.5)
            return engine(*inputs)

        return interrupt

    with pytest.raises(KeyboardInterrupt):
        run(memory, camera=camera, build=building(interrupting))
    assert memory.closed == camera.closed == 1


class Deaf(FakeCamera):
    """Delivers two frames; the next read ignores `stop` for five seconds."""

    def read(self) -> CapturedFrame | None:
        if self.index == 2:
            self.released.wait(5)
        return super().read()

    released = threading.Event()


def test_a_source_that_hangs_does_not_keep_the_session() -> None:
    memory, camera = Memory(), Deaf()
    run(memory, camera=camera, seconds=0.3)
    assert memory.closed == 1
    assert camera.is_open, "the session did not wait for the source"
    camera.released.set()


def test_messages_of_sinks_are_part_of_the_notices() -> None:
    lines = list[str]()
    notices, memory = Notices(lines.append), Memory()
    memory.then(1, lambda: notices("memory: recording"))
    assert run(memory, lines=notices, camera=FakeCamera(count=5)).notices == tuple(lines) == ("memory: recording",)


def test_an_error_of_the_engine_ends_the_session() -> None:
    def failing(spec: EngineSpec, engine: Engine) -> Engine:
        def fail(*inputs: Any) -> Any:
            raise RuntimeError("the GPU has fallen off the bus")

        return fail

    memory = Memory()
    with pytest.raises(DeviceError, match="fallen off"):
        run(memory, camera=FakeCamera(), build=building(failing))
    assert memory.closed == 1


def test_too_little_memory_makes_the_working_size_smaller() -> None:
    def scarce(spec: EngineSpec, engine: Engine) -> Engine:
        def fail(*inputs: Any) -> Any:
            raise RuntimeError("CUDA out of memory")

        return fail if spec.height > 100 else engine

    memory = Memory()
    summary = run(memory, camera=FakeCamera(size=(128, 128), fps=20, count=20), build=building(scarce))
    assert memory.frames
    assert summary.size == (128, 128)
    assert summary.stylized_size[1] <= 100


def test_an_unknown_style_ends_the_session() -> None:
    camera = FakeCamera()
    with pytest.raises(StyleError, match="no style is named"):
        run(Memory(), camera=camera, controls=Controls(["great-wafe"]))
    assert camera.opened == camera.closed


def test_a_session_needs_a_sink() -> None:
    with pytest.raises(ValueError, match="needs a sink"):
        run()


def test_latency_does_not_grow_where_stylizing_is_too_slow() -> None:
    """Ten times as many frames as can be stylized: the last ones are delivered as soon as the first ones."""

    def slow(spec: EngineSpec, engine: Engine) -> Engine:
        def run_slowly(*inputs: Any) -> Any:
            time.sleep(0.05)
            return engine(*inputs)

        return run_slowly

    memory = Memory()
    summary = run(memory, camera=FakeCamera(fps=200), seconds=3, build=building(slow))
    late = [taken - captured for _, captured, taken in memory.frames]
    assert summary.dropped > summary.delivered
    assert np.median(late[-10:]) < np.median(late[5:15]) + 0.05


def test_the_output_keeps_its_size_whatever_the_working_size() -> None:
    memory = Memory()
    summary = run(memory, camera=FakeCamera(size=(98, 130), count=20), height=64)
    assert memory.size == (84, 64)
    assert memory.last is not None
    assert memory.last.pixels.shape == memory.last.original.shape == (64, 84, 3)
    assert summary.stylized_size == summary.size == (84, 64)


def test_frames_above_the_wanted_rate_are_skipped() -> None:
    memory = Memory()
    run(memory, camera=FakeCamera(fps=100), seconds=3, fps_target=20.0)
    late = [at for _, at, _ in memory.frames if at > memory.frames[0][1] + 1]
    assert len(late) / (late[-1] - late[0]) < 25


def test_the_controls_reach_the_frame() -> None:
    """Strength 0 returns the frame, mirrored on demand; the styles differ."""

    def last(controls: Controls) -> Memory:
        memory = Memory()
        run(memory, controls=controls, camera=FakeCamera(fps=10, count=4))
        return memory

    plain = last(Controls(["great-wave"], strength=0.0)).last
    mirrored = last(Controls(["great-wave"], strength=0.0, mirror=True)).last
    assert plain is not None
    assert mirrored is not None
    assert np.array_equal(plain.pixels, plain.original)
    assert np.array_equal(mirrored.original, plain.original[:, ::-1])
    assert np.array_equal(mirrored.pixels, mirrored.original)
    wave, scream = last(Controls(["great-wave"])).last, last(Controls(["the-scream", "great-wave"])).last
    grey = last(Controls(["great-wave"], keep_colors=True)).last
    assert wave is not None
    assert scream is not None
    assert grey is not None
    assert np.abs(wave.pixels.astype(int) - scream.pixels).mean() > 5
    kept = np.abs((grey.pixels.astype(int) - grey.original)[..., 0] - (grey.pixels.astype(int) - grey.original)[..., 2])
    assert np.median(kept) <= 1  # all channels move alike


def test_audio_reaches_the_sinks_that_take_it(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mkv", Clip(audio=[Audio()]))

    class Hearing(Memory):
        def __init__(self) -> None:
            super().__init__("hearing")
            self.heard: list[float] = []

        def write_audio(self, frame: object) -> None:
            self.heard.append(float(frame.pts * frame.time_base))  # type: ignore[attr-defined]

    def listen(*, audio: bool) -> Hearing:
        hearing = Hearing()
        config, outputs = LiveConfig(source=str(clip), stylize=PLAIN, realtime=True), SinkConfig(null=True, audio=audio)
        playback = find_capture_device(config)
        source = make_audio(outputs, config, playback, print)
        LiveSession(config, [hearing, Memory()], Controls(["great-wave"]), audio=source, device=playback).run()
        return hearing

    hearing = listen(audio=True)
    assert len(hearing.heard) > 20
    first = min(captured for _, captured, _ in hearing.frames)
    assert hearing.heard[0] == pytest.approx(first, abs=0.5)
    assert not listen(audio=False).heard
