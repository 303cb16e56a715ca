"""Items that run at once: finished in the order of their start, without waiting for new ones; failures are raised."""

import threading
from collections.abc import Callable

import pytest

from pipeline.live.stylize.side_by_side import SideBySide
from tests.support.live import wait_for


def new(run: Callable[[int], object], finish: Callable[[int], object], workers: int = 2) -> SideBySide[int]:
    return SideBySide(run, finish, workers=workers, initializer=lambda: None)


def test_items_run_at_once_and_are_finished_in_order() -> None:
    second_ran, finished = threading.Event(), list[int]()

    def run(item: int) -> None:
        if item == 0:
            assert second_ran.wait(20)
        else:
            second_ran.set()
            assert finished == []

    side = new(run, finished.append)
    side.start(0)
    side.start(1)
    wait_for(lambda: len(finished) == 2)  # without another call
    side.wait(0)
    side.close()
    assert finished == [0, 1]


def test_waiting_ends_when_a_thread_is_free() -> None:
    go_on = [threading.Event(), threading.Event()]
    side = new(lambda item: go_on[item].wait(20), lambda item: None)
    side.wait(0)
    side.start(0)
    side.wait(1)
    side.start(1)
    threading.Timer(0.05, go_on[0].set).start()
    side.wait(1)
    assert go_on[0].is_set()
    go_on[1].set()
    side.wait(0)
    side.close()


def test_one_item_at_a_time_is_finished() -> None:
    busy, most = list[int](), list[int]()

    def finish(item: int) -> None:
        busy.append(item)
        most.append(len(busy))
        busy.pop()

    side = new(lambda item: None, finish, workers=3)
    for item in range(100):
        side.wait(2)
        side.start(item)
    side.close()
    assert most == [1] * 100


@pytest.mark.parametrize("where", ["run", "finish"])
def test_the_first_failure_is_raised_once_and_nothing_after_it_is_finished(where: str) -> None:
    finished = list[int]()

    def fail(item: int) -> None:
        if item == 1:
            raise MemoryError("of item 1")

    def finish(item: int) -> None:
        if where == "finish":
            fail(item)
        finished.append(item)

    side = new(fail if where == "run" else lambda item: None, finish)
    for item in range(3):
        side.start(item)
    with pytest.raises(MemoryError, match="of item 1"):
        side.wait(0)
    assert finished == [0]
    side.start(3)
    side.wait(0)
    side.close()
    assert finished == [0, 3]
    assert not any(thread.name.startswith("stylize") for thread in threading.enumerate())
