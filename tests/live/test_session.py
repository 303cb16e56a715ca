import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import psutil
import pytest

import cli
from pipeline.errors import DeviceError, InputError, StyleError
from pipeline.live.capture.device import CapturedFrame
from pipeline.live.capture.source import find_capture_device
from pipeline.live.config import LiveConfig, SinkConfig
from pipeline.live.controls import Controls
from pipeline.live.notices import Notices
from pipeline.live.session import run_live
from pipeline.live.sinks.outputs import make_audio
from pipeline.live.sinks.record import RecordSink
from pipeline.live.sinks.sink import SinkError
from pipeline.live.statistics import Latencies, LiveSummary
from pipeline.live.style_mixer import load_style_mixer, style_names
from pipeline.live.stylize_thread import StylizeThread
from pipeline.stylize.frame_stylizer import FrameStylizer
from tests.support.live import PLAIN, Blocking, Dying, FakeCamera, Memory, plain_config
from tests.support.media import Clip, Sound, make_clip

ROOT = Path(cli.__file__).parent

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """Whatever happens, a session leaves no thread behind."""
    before = {thread.name for thread in threading.enumerate()}
    yield
    end = time.monotonic() + 5
    while left := {thread.name for thread in threading.enumerate()} - before:
        assert time.monotonic() < end, f"threads are left: {left}"
        time.sleep(0.02)


# Pictures that a session of most tests lasts.
ENOUGH = 30


def run(
    *sinks: Memory,
    camera: FakeCamera | None = None,
    lines: list[str] | Notices | None = None,
    controls: Controls | None = None,
    **changes: object,
) -> LiveSummary:
    controls = controls or Controls(["great-wave"])
    lines = [] if lines is None else lines
    notify = lines if isinstance(lines, Notices) else lines.append
    if camera is None and sinks:
        sinks[0].quit_after(ENOUGH, controls)
    device = camera or FakeCamera(fps=60)
    changes.setdefault("fps_target", 240.0)  # otherwise pictures of a quick camera are left out on purpose
    return run_live(plain_config(**changes), sinks, controls, notify, device=device)


def test_pictures_come_through_painted_in_order_and_counted() -> None:
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


def test_a_sink_is_used_in_one_thread_of_its_own() -> None:
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
    # It goes on with the newest picture, not with those that it missed.
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
@pytest.mark.parametrize("error", [None, RuntimeError("boom\nand more")], ids=["told", "unforeseen"])
def test_a_sink_that_dies_is_left_out(at: int, error: Exception | None) -> None:
    steady, dying, lines = Memory("steady"), Dying(at=at, error=error), list[str]()
    summary = run(steady, dying, lines=lines)
    assert len(lines) == 1
    assert lines[0] == f"dying: {'boom' if error else 'the cable was pulled; put it back'}; going on without it"
    assert len(dying.frames) == at
    assert dying.closed == 1
    assert len(steady.frames) >= ENOUGH
    assert steady.closed == 1
    failures = {sink.name: sink.failure for sink in summary.sinks}
    assert failures["steady"] is None
    assert failures["dying"]


def test_with_its_last_sink_a_session_ends_and_the_error_is_said_once() -> None:
    first, last, lines = Dying(at=3, name="first"), Dying(at=9, name="last"), list[str]()
    with pytest.raises(SinkError, match="last: the cable was pulled"):
        run(last, first, camera=FakeCamera(), lines=lines)
    assert first.closed == last.closed == 1
    assert lines == ["first: the cable was pulled; put it back; going on without it"]


def test_what_fails_at_the_end_is_said_once() -> None:
    def fail(self: Memory) -> None:
        raise OSError("the disk is full")

    lines, memory = list[str](), Memory()
    failing = type("Failing", (Memory,), {"close": fail})
    run(memory, failing("file"), lines=lines)
    assert lines == ["file: cannot be finished (the disk is full)"]
    with pytest.raises(SinkError, match="the disk is full"):
        run(failing("file"), camera=FakeCamera(count=3), lines=lines)
    assert len(lines) == 1


def test_a_sink_that_hangs_at_the_end_is_left_alone() -> None:
    steady, hanging, lines = Memory("steady"), Blocking(60.0), list[str]()
    hanging.finish_seconds = 0.3
    run(steady, hanging, lines=lines)
    assert lines[-1].startswith("blocking: ")
    assert steady.closed == 1
    hanging.released.set()


def test_a_camera_that_goes_and_comes_back_leaves_its_last_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "pipeline.live.capture.thread.CaptureThread.__init__.__kwdefaults__", {"first_pause_seconds": 0.1}
    )
    memory, lines, controls = Memory(), list[str](), Controls(["great-wave"])
    camera = FakeCamera(fps=50, gone=(0.5, 1.5))
    summary = run(memory, camera=camera, lines=lines, controls=controls, seconds=2.5)
    gaps = memory.gaps()
    assert 0.9 < max(gaps) < 2.0
    assert memory.polled > 5  # a window goes on answering, a stream goes on being fed
    assert len(lines) == 2
    assert "reconnecting" in lines[0]
    assert "reconnected after" in lines[1]
    late = [taken - captured for _, captured, taken in memory.frames[-5:]]
    assert max(late) < 0.5
    assert summary.notices == tuple(lines)


def test_a_camera_that_is_not_there_ends_it() -> None:
    memory = Memory()
    with pytest.raises(InputError, match="not found"):
        run(memory, camera=FakeCamera(gone=(-1.0, 1e9)))
    assert memory.closed == 1  # what it took when it was made is let go


def test_it_ends_after_its_seconds() -> None:
    memory = Memory()
    begun = time.monotonic()
    ended: list[float] = []
    memory.close = lambda: (ended.append(time.monotonic()), time.sleep(0.2))  # type: ignore[assignment]
    summary = run(memory, camera=FakeCamera(), seconds=0.5)
    assert memory.frames
    assert 0.5 <= summary.seconds <= ended[0] - begun, "what the end takes is not in it"


def test_it_ends_when_controls_are_told_to() -> None:
    controls = Controls(["great-wave"])
    memory = Memory()
    memory.quit_after(10, controls)
    summary = run(memory, camera=FakeCamera(), controls=controls)
    assert summary.delivered >= 10
    assert memory.closed == 1


def test_an_interruption_is_an_ordinary_end() -> None:
    memory = Memory()
    memory.then(10, lambda: os.kill(os.getpid(), signal.SIGINT))
    summary = run(memory, camera=FakeCamera())
    assert summary.delivered >= 10
    assert memory.closed == 1


def test_a_recording_that_nobody_began_keeps_no_session() -> None:
    controls = Controls(["great-wave"])
    idle = RecordSink(controls, print)
    with pytest.raises(SinkError, match="the cable was pulled"):
        run(Dying(), idle, camera=FakeCamera(), controls=controls, seconds=5)  # type: ignore[arg-type]


def test_a_source_that_shows_nothing_ends_after_its_seconds() -> None:
    controls, lines = Controls(["great-wave"]), list[str]()
    late = threading.Timer(20, controls.quit)
    late.start()
    run(Memory(), camera=FakeCamera(fps=0.001), controls=controls, lines=lines, seconds=0.3)
    late.cancel()
    assert lines == ["fake camera: no picture came within 0.3 s"]


def test_what_is_let_go_while_nobody_is_reached_is_not_delivered() -> None:
    lost = Memory("lost")
    lost.is_connected = False
    reached = Memory("reached")
    summary = run(lost, reached, camera=FakeCamera(count=10))
    assert lost.frames
    assert [sink.delivered > 0 for sink in summary.sinks] == [False, True]


def test_a_second_interruption_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = []

    def interrupted(self: StylizeThread, timeout: float | None = None) -> None:
        threading.Thread.join(self, timeout)
        raise KeyboardInterrupt

    monkeypatch.setattr(StylizeThread, "join", interrupted)
    monkeypatch.setattr("pipeline.live.live_stylizer.LiveStylizer.close", lambda self: closed.append(self))
    memory = Memory()
    with pytest.raises(KeyboardInterrupt):
        run(memory, camera=FakeCamera(count=5))
    assert memory.closed == len(closed) == 1


class Deaf(FakeCamera):
    """Gives two pictures; the next read heeds nobody before its own time is over."""

    def read(self) -> CapturedFrame | None:
        if self.index == 2:
            self.released.wait(5)
        return super().read()

    released = threading.Event()


def test_a_source_that_does_not_answer_keeps_no_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.live.session.CAPTURE_SECONDS", 0.1)
    memory, camera = Memory(), Deaf()
    run(memory, camera=camera, seconds=0.3)
    assert memory.closed == 1
    assert camera.is_open, "the session has waited for the source"
    camera.released.set()


def test_what_sinks_say_stands_among_the_notices() -> None:
    lines = list[str]()
    notices, memory = Notices(lines.append), Memory()
    memory.then(1, lambda: notices("memory: recording"))
    assert run(memory, lines=notices, camera=FakeCamera(count=5)).notices == tuple(lines) == ("memory: recording",)


def test_what_the_painter_dies_of_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise DeviceError("the memory of cuda does not suffice")

    monkeypatch.setattr("pipeline.live.live_stylizer.LiveStylizer.stylize", fail)
    memory = Memory()
    with pytest.raises(DeviceError, match="does not suffice"):
        run(memory, camera=FakeCamera())
    assert memory.closed == 1


def test_too_little_memory_is_a_reason_to_paint_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    call = FrameStylizer.__call__

    def scarce(self: FrameStylizer, pixels: np.ndarray, *arguments: object) -> object:
        if pixels.shape[0] > 100:
            raise RuntimeError("CUDA out of memory")
        return call(self, pixels, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(FrameStylizer, "__call__", scarce)
    memory = Memory()
    summary = run(memory, camera=FakeCamera(size=(128, 128), fps=20, count=20))
    assert memory.frames
    assert summary.size == (128, 128)
    assert summary.stylized_size[1] <= 100


def test_a_style_that_is_not_there_ends_it() -> None:
    camera = FakeCamera()
    with pytest.raises(StyleError, match="no style is named"):
        run(Memory(), camera=camera, controls=Controls(["great-wafe"]))
    assert camera.opened == camera.closed


def test_without_a_sink_there_is_no_session() -> None:
    with pytest.raises(ValueError, match="needs a sink"):
        run()


def test_latency_does_not_grow_where_painting_is_too_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten times as many pictures as can be painted: each that comes out is as new as the first ones were."""
    from pipeline.live.live_stylizer import LiveStylizer

    stylize = LiveStylizer.stylize

    def slow(self: LiveStylizer, *arguments: object) -> object:
        time.sleep(0.05)
        return stylize(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(LiveStylizer, "stylize", slow)
    memory = Memory()
    summary = run(memory, camera=FakeCamera(fps=200), seconds=3)
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


def test_fewer_pictures_than_the_camera_gives_can_be_wanted() -> None:
    memory = Memory()
    run(memory, camera=FakeCamera(fps=100), seconds=3, fps_target=20.0)
    late = [at for _, at, _ in memory.frames if at > memory.frames[0][1] + 1]
    assert len(late) / (late[-1] - late[0]) < 25


def test_controls_reach_the_picture() -> None:
    """Strength 0 gives the picture back, mirrored where that is wanted; the styles differ."""

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


def test_styles_between_two_are_between_them() -> None:
    mixer = load_style_mixer(["great-wave", "the-scream", "mondrian"])
    first, share = mixer.mix((0.5, 0.5, 0.0))
    assert share == 0
    expected = mixer.styles[0].lerp(mixer.styles[1], 0.5)
    for got, wanted in zip(first.tensors(), expected.tensors(), strict=True):
        assert np.allclose(got.numpy(), wanted.numpy(), atol=1e-6)
    third, _ = mixer.mix((0.2, 0.3, 0.5))
    mean = sum(weight * style.shift for weight, style in zip((0.2, 0.3, 0.5), mixer.styles, strict=True))
    assert np.allclose(third.shift.numpy(), mean, atol=1e-5)
    with pytest.raises(ValueError, match="above 0"):
        mixer.mix((0.0, 0.0, 0.0))


def test_all_bundled_styles_can_be_chosen_and_the_wanted_one_is_first() -> None:
    names = style_names("mondrian")
    assert names[0] == "mondrian"
    assert len(names) == len(set(names)) == 11
    assert style_names("mondrian:0.5,the-scream:0.5")[0] == "mondrian:0.5,the-scream:0.5"
    assert load_style_mixer(names).end_network is None


def test_sound_reaches_the_sinks_that_take_it_and_no_others(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mkv", Clip(sounds=[Sound()]))

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
        run_live(config, [hearing, Memory()], Controls(["great-wave"]), audio=source, device=playback)
        return hearing

    hearing = listen(audio=True)
    assert len(hearing.heard) > 20
    first = min(captured for _, captured, _ in hearing.frames)
    assert hearing.heard[0] == pytest.approx(first, abs=0.5)
    assert not listen(audio=False).heard


def test_percentiles_are_exact_to_half_a_millisecond() -> None:
    latencies = Latencies()
    assert latencies.summary() == {"p50": None, "p95": None, "p99": None}
    for number in range(1, 1001):
        latencies.add(number / 1000)
    found = latencies.summary()
    assert found["p50"] == pytest.approx(500, abs=1)
    assert found["p95"] == pytest.approx(950, abs=1)
    assert found["p99"] == pytest.approx(990, abs=1)
    latencies.add(1e6)
    assert latencies.percentile(1.0) == 10_000


COMMAND = ["--style", "great-wave", "--null", "--engine", "eager", "--device", "cpu", "--realtime", "--loop"]


def test_the_command_prints_its_figures(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4")
    command = [sys.executable, str(ROOT / "cli.py"), "live", str(clip), *COMMAND, "--seconds", "1", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert {"fps", "latency_ms", "captured", "delivered", "dropped"} <= figures.keys()
    assert {"p50", "p95", "p99"} == figures["latency_ms"].keys()
    assert figures["captured"] == figures["delivered"] + figures["dropped"]
    assert not done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_command_with_its_figures(tmp_path: Path, number: signal.Signals) -> None:
    clip = make_clip(tmp_path / "clip.mp4")
    command = [sys.executable, str(ROOT / "cli.py"), "live", str(clip), *COMMAND, "--json"]

    def heed_interruptions() -> None:  # a shell's background jobs ignore them
        signal.signal(signal.SIGINT, signal.default_int_handler)

    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heed_interruptions
    )
    end = time.monotonic() + 60
    while not any(file.path == str(clip) for file in psutil.Process(process.pid).open_files()):
        assert time.monotonic() < end
        time.sleep(0.05)
    time.sleep(2)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert json.loads(out)["captured"] >= 0
    assert "Traceback" not in err


def test_the_command_refuses_in_one_line(tmp_path: Path) -> None:
    clip, link = make_clip(tmp_path / "clip.mp4"), tmp_path / "link.mp4"
    link.symlink_to(clip)
    data, address = clip.read_bytes(), tmp_path / "address"
    address.write_text(f"{link}\n", encoding="utf-8")
    environment = {key: value for key, value in os.environ.items() if key not in ("DISPLAY", "WAYLAND_DISPLAY")}
    plain = ["--style", "great-wave"]
    for arguments, code, said in (
        ([str(clip), *plain], 2, "nowhere"),
        ([str(clip), *plain, "--null"], 3, "--realtime"),
        ([str(clip), *plain, "--null", "--loop"], 2, "--loop"),
        ([str(clip), *plain, "--null", "--camera-size", "big"], 2, "big"),
        ([str(clip), "--style", "great-wafe", "--null", "--realtime"], 5, "great-wafe"),
        (
            [f"@{address}", *plain, "--realtime", "--seconds", "1", "--record", str(clip), "--overwrite"],
            2,
            "--record",
        ),
    ):
        done = subprocess.run(
            [sys.executable, str(ROOT / "cli.py"), "live", *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env=environment,
        )
        assert done.returncode == code, done.stderr
        assert said in done.stderr
        assert done.stderr.count("\n") == 1
        assert clip.read_bytes() == data
