"""Viewers share one network: in turn, each at a size of its own, and never more of them than can be served."""

import asyncio
import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from models.registry import BUNDLED
from pipeline.config.style_spec import WeightedStyle
from pipeline.errors import DeviceError, PipelineError
from pipeline.frames import Pixels
from pipeline.live.controls import WeightFade
from pipeline.live.stylize.live_network import LiveNetwork
from pipeline.studio.live.messages import Messages
from pipeline.studio.live.network import (
    ASPECTS,
    SHORT_SIDES_PX,
    capacity,
    goal_of,
    load_network,
    output_size,
    shared_sizes,
    snapshot,
)
from pipeline.studio.live.room import FullError, LiveRoom
from pipeline.studio.live.statistics import Newcomers, Speed
from pipeline.studio.live.turns import Turns, turn_rate
from pipeline.studio.live.viewer import CROSS_FADE_SECONDS, Outbox, ReceivedFrame, Viewer
from pipeline.studio.settings import ViewerSettings, default_settings
from tests.support.live import wait_for
from tests.support.media import moving_square
from tests.support.studio.asynchronous import run_async
from tests.support.studio.viewers import EAGER, difference, open_room, until

pytestmark = pytest.mark.usefixtures("one_thread")

SIZES = [(height, width) for height, width in itertools.product((1, 90, 144, 360, 361, 540, 2160), (1, 160, 640, 3840))]


def frame(index: int = 0, *, height: int = 90, width: int = 160) -> ReceivedFrame:
    pixels = moving_square(index, height=height, width=width)
    return ReceivedFrame(height, width, lambda size: pixels, time.monotonic())


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_every_frame_has_a_size_of_the_few_that_have_engines() -> None:
    allowed = {size for across, down in ASPECTS for size in shared_sizes(10_000 * down, 10_000 * across)}
    assert len(allowed) == len(ASPECTS) * len(SHORT_SIDES_PX)
    assert all(side % 4 == 0 for size in allowed for side in size)
    for height, width in SIZES:
        out_height, out_width = output_size(height, width)
        assert out_height * out_width <= 1280 * 720 * 1.05
        assert out_height % 2 == out_width % 2 == 0
        sizes = shared_sizes(out_height, out_width)
        assert set(sizes) <= allowed
        assert sorted(sizes, reverse=True) == list(sizes)


def test_usual_cameras_are_stylized_at_their_own_size() -> None:
    assert shared_sizes(360, 640)[0] == (360, 640)
    assert shared_sizes(480, 640)[0] == (480, 640)
    assert shared_sizes(640, 360)[0] == (640, 360)
    assert shared_sizes(*output_size(1080, 1920))[0] == (720, 1280)
    assert shared_sizes(360, 640)[-1] == shared_sizes(90, 160)[-1] == (144, 256)


def test_as_many_viewers_as_get_eight_frames_a_second() -> None:
    assert [capacity(seconds) for seconds in (10.0, 0.1, 0.05, 0.01, 1e-9)] == [1, 1, 2, 10, 100]


def test_viewers_share_the_rate_before_frames_get_smaller() -> None:
    assert [turn_rate(viewers) / viewers for viewers in (1, 2, 3, 4)] == [30, 15, 12, 12]


def test_styles_fade_into_each_other_without_a_jump() -> None:
    fade = WeightFade({"a": 1.0}, CROSS_FADE_SECONDS)
    assert fade.weights({"a": 1.0}, 5.0) == {"a": 1.0}
    assert fade.weights({"b": 1.0}, 6.0) == {"a": 1.0, "b": 0.0}
    half = fade.weights({"b": 1.0}, 6.0 + CROSS_FADE_SECONDS / 2)
    assert half == pytest.approx({"a": 0.5, "b": 0.5})
    assert fade.weights({"c": 1.0}, 6.0 + CROSS_FADE_SECONDS / 2) == pytest.approx({**half, "c": 0.0})
    assert fade.weights({"c": 1.0}, 7.0) == {"c": 1.0}


def test_a_style_that_was_removed_gives_way_to_the_first() -> None:
    settings = ViewerSettings(styles=(WeightedStyle("mine", 0.5), WeightedStyle("b", 0.5)))
    assert goal_of(settings, ("a", "b", "mine")) == {"mine": 0.5, "b": 0.5}
    assert goal_of(settings, ("a", "b")) == {"b": 0.5}
    assert goal_of(settings, ("a", "c")) == {"a": 1.0}
    assert snapshot(settings, {"mine": 0.9, "b": 0.1}, ("a", "b")).weights == (0.0, 0.1)
    assert snapshot(settings, {"mine": 1.0}, ("a", "b")).weights == (0.0, 0.5)


def test_speed_of_the_last_seconds() -> None:
    clock = Clock()
    speed = Speed(clock)
    assert (speed.fps, speed.milliseconds) == (0.0, 0.0)
    for _ in range(31):
        speed.add(0.05)
        clock.now += 0.1
    assert speed.fps == pytest.approx(10)
    assert speed.milliseconds == pytest.approx(50)
    clock.now += 5
    assert (speed.fps, speed.milliseconds) == (0.0, 0.0)


def test_who_waits_is_counted_until_it_is_let_in_or_gives_up() -> None:
    clock = Clock()
    newcomers = Newcomers(10.0, clock)
    newcomers.add()
    clock.now += 5
    newcomers.add()
    assert newcomers.waiting == 2
    newcomers.admit()
    assert newcomers.waiting == 1
    clock.now += 12
    assert newcomers.waiting == 0
    newcomers.admit()


def test_an_outbox_holds_the_newest_frame() -> None:
    async def test() -> None:
        taken: list[int] = []
        outbox = Outbox(asyncio.get_running_loop(), lambda: taken.append(1))
        first, second = moving_square(0), moving_square(1)
        waiting = asyncio.ensure_future(outbox.get())
        await asyncio.sleep(0)
        threading.Thread(target=outbox.put, args=(first,)).start()
        assert await waiting is first
        outbox.put(first)
        assert not outbox.is_empty
        outbox.put(second)
        assert await outbox.get() is second
        assert outbox.is_empty
        assert len(taken) == 2
        waiting = asyncio.ensure_future(outbox.get())
        await asyncio.sleep(0)
        outbox.close()
        assert await waiting is None
        assert await outbox.get() is None

    run_async(test())


class FakeViewer(Viewer):
    """Takes its turns without a network, and notes them."""

    def __init__(self, name: str, turns: list[str], *, fails: Exception | None = None) -> None:
        loop = asyncio.new_event_loop()
        super().__init__(default_settings("great-wave"), loop, lambda: None, print)
        loop.close()
        self.name, self._turns, self._fails = name, turns, fails
        self.has_frame = True

    @property
    def is_ready(self) -> bool:
        return self.has_frame and not self.failure

    def stylize(self, network: LiveNetwork, turns_per_second: float) -> None:
        self._turns.append(self.name)
        if self._fails:
            raise self._fails
        if len(self._turns) >= 12:
            self.has_frame = False


def run_turns(viewers: list[FakeViewer], done: Callable[[], object]) -> list[tuple[Viewer, str]]:
    """Let viewers take turns until ``done``; return those that failed."""
    failed: list[tuple[Viewer, str]] = []

    def fail(viewer: Viewer, reason: str) -> None:
        viewer.failure = reason
        failed.append((viewer, reason))

    network: Any = type("Network", (), {"use_this_thread": lambda self: None, "close": lambda self: None})()
    turns = Turns(lambda: network, lambda result: None, fail)
    for viewer in viewers:
        turns.add(viewer)
    turns.start()
    wait_for(done)
    for viewer in viewers:
        turns.remove(viewer)
        turns.remove(viewer)
    turns.close()
    turns.join(5)
    assert not turns.is_alive()
    return failed


def test_each_has_one_turn_before_anybody_has_a_second_one() -> None:
    log: list[str] = []
    viewers = [FakeViewer(name, log) for name in "abc"]
    run_turns(viewers, lambda: len(log) >= 14)
    assert log[:9] == list("abcabcabc")


def test_a_viewer_that_fails_disturbs_nobody(caplog: pytest.LogCaptureFixture) -> None:
    log: list[str] = []
    memory, bug = DeviceError("cpu has too little memory"), ZeroDivisionError("a bug")
    viewers = [FakeViewer("a", log, fails=memory), FakeViewer("b", log), FakeViewer("c", log, fails=bug)]
    failed = run_turns(viewers, lambda: len(log) >= 12)
    assert log[:3] == list("abc")
    assert set(log[3:]) == {"b"}
    assert [reason for _, reason in failed] == [
        "cpu has too little memory",
        "the studio failed at this frame; reload the page",
    ]
    assert "ZeroDivisionError" in caplog.text


def test_messages_of_a_page_are_limited() -> None:
    viewer = FakeViewer("a", [])
    messages = Messages(viewer, lambda: ("great-wave",))
    answers = [messages.answer('{"type": "ping", "id": 1}') for _ in range(200)]
    assert answers[0] == {"type": "pong", "id": 1}
    assert answers.count(None) > 100
    for wrong in (b"\xff", None, 7, '{"type": []}'):
        answer = Messages(viewer, lambda: ("great-wave",)).answer(wrong)
        assert answer is not None
        assert answer["type"] == "notice"


def with_room(test: Callable[[LiveRoom], Any], **room: Any) -> None:
    async def run() -> None:
        async with open_room(**room) as opened:
            await test(opened)

    run_async(run())


async def stylized(viewer: Viewer, index: int = 0, **size: int) -> Pixels:
    viewer.put(frame(index, **size))
    pixels = await asyncio.wait_for(viewer.outbox.get(), 20)
    assert pixels is not None
    return pixels


def test_the_state_of_one_viewer_does_not_reach_the_other() -> None:
    """What a viewer sees is what it would see alone."""

    async def alone(room: LiveRoom, order: str) -> list[Pixels]:
        viewer, other = await room.admit(), await room.admit()
        shown = []
        for who in order:
            if who == "a":
                shown.append(await stylized(viewer, len(shown)))
            else:
                await stylized(other, 7, height=96, width=96)
        room.leave(viewer)
        room.leave(other)
        return shown

    async def test(room: LiveRoom) -> None:
        single, shared = await alone(room, "aaaa"), await alone(room, "abbababb" + "a")
        assert all(np.array_equal(a, b) for a, b in zip(single, shared, strict=True))
        assert difference(single[0], single[1]) > 0

    with_room(test)


def test_there_is_room_for_the_measured_number_and_not_for_more() -> None:
    async def test(room: LiveRoom) -> None:
        assert room.most >= 1
        viewers = [await room.admit() for _ in range(room.most)]
        assert room.free == 0
        with pytest.raises(FullError, match=r"taken; the page tries again"):
            await room.admit()
        with pytest.raises(FullError, match="and 1 waits already"):
            await room.admit()
        room.leave(viewers[0])
        room.leave(viewers[0])
        assert room.free == 1
        assert len({viewer.id for viewer in viewers}) == room.most

    with_room(test, most=None)


def test_the_style_of_a_picture_comes_and_goes_while_viewers_watch() -> None:
    minotaur = str(BUNDLED / "minotaur.safetensors")

    async def test(room: LiveRoom) -> None:
        viewer, other = await room.admit(), await room.admit()
        before = await stylized(viewer)
        room.add_style("picture-1", minotaur)
        room.add_style("picture-2", "no/such.safetensors")
        assert room.names[-2:] == ("picture-1", "picture-2")
        viewer.settings = default_settings("picture-1")
        assert room.used_styles == {"picture-1", room.names[0]}
        await until(lambda: viewer.settings is not None and len(lines) == 1)
        assert lines[0].endswith("live viewers do not get this style")
        first = await stylized(viewer)
        assert difference(first, before) < 12, "it is faded in"
        await asyncio.sleep(CROSS_FADE_SECONDS)
        mine = await stylized(viewer)
        assert difference(mine, before) > 12
        other.settings = default_settings("minotaur")
        await stylized(other)
        await asyncio.sleep(CROSS_FADE_SECONDS)
        assert difference(mine, await stylized(other)) < 4
        room.remove_style("picture-1")
        assert room.names[-1] == "picture-2"
        await stylized(viewer)
        await asyncio.sleep(CROSS_FADE_SECONDS)
        assert difference(await stylized(viewer), before) < 4, "the first style again"

    lines: list[str] = []
    with_room(test, notify=lines.append)


def test_pictures_of_an_earlier_run_are_styles_from_the_start() -> None:
    async def test(room: LiveRoom) -> None:
        assert room.names[-1] == "picture-1"
        viewer, other = await room.admit(), await room.admit()
        viewer.settings, other.settings = default_settings("picture-1"), default_settings("minotaur")
        assert np.array_equal(await stylized(viewer), await stylized(other))

    with_room(test, pictures={"picture-1": str(BUNDLED / "minotaur.safetensors")})


def test_a_silent_viewer_is_told_and_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.studio.live.room.SILENT_SECONDS", 0.2)
    monkeypatch.setattr("pipeline.studio.live.room.WATCH_SECONDS", 0.05)

    class Connection:
        def __init__(self) -> None:
            self.messages: list[Any] = []
            self.closed = 0

        def send(self, message: Any) -> None:
            self.messages.append(message)

        async def close(self) -> None:
            self.closed += 1

    async def test(room: LiveRoom) -> None:
        viewer, connection = await room.admit(), Connection()
        room.connect(viewer, connection)
        viewer.put(frame())
        await until(lambda: room.free == 4, 5)
        assert connection.closed == 1
        assert connection.messages[0]["type"] == "stats"
        assert connection.messages[-1]["text"].startswith("no frame came for 0.2 s")

    with_room(test)


def test_a_network_that_cannot_run_is_an_error_of_one_line() -> None:
    async def test() -> None:
        room = LiveRoom(replace(EAGER, device="cuda:99"), most=1)
        with pytest.raises(PipelineError, match="not started"):
            await room.admit()
        with pytest.raises(PipelineError, match="--viewers 0"):
            await LiveRoom(EAGER, most=0).admit()
        async with room.open():
            with pytest.raises(PipelineError, match="cuda:99"):
                await room.admit()

    run_async(test())


def test_a_style_of_another_network_is_left_out(tiny_style: Any) -> None:
    lines: list[str] = []
    network = load_network(EAGER, ("great-wave", str(tiny_style), "minotaur"), lines.append)
    assert network.mixer.names == ("great-wave", "minotaur")
    assert "cannot be mixed" in lines[0]
    network.close()
