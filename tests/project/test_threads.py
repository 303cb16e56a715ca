import threading
import time
from collections.abc import Iterator

import pytest

from pipeline.threads import ordered_map, prefetch


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("flowbrush-")}


def as_it_is(number: int) -> int:
    return number


def test_items_and_order_are_those_of_the_source() -> None:
    assert list(prefetch(range(100), depth=3)) == list(range(100))
    assert not threads()


def test_an_error_comes_after_the_items_before_it() -> None:
    def source() -> Iterator[int]:
        yield 1
        yield 2
        raise OSError("the disk is gone")

    items = prefetch(source(), depth=8)
    assert [next(items), next(items)] == [1, 2]
    with pytest.raises(OSError, match="the disk is gone"):
        next(items)
    assert not threads()
    with pytest.raises(StopIteration):
        next(items)


def test_never_more_than_depth_items_wait() -> None:
    made = []

    def source() -> Iterator[int]:
        for number in range(50):
            made.append(number)
            yield number

    with prefetch(source(), depth=3) as items:
        for taken, _ in enumerate(items, 1):
            time.sleep(0.002)
            assert len(made) <= taken + 3 + 1


def test_closing_early_ends_the_thread_and_closes_the_source_there() -> None:
    closed_in: list[str] = []

    def source() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed_in.append(threading.current_thread().name)

    items = prefetch(source(), depth=2, name="endless")
    assert next(items) == 1
    items.close()
    items.close()
    assert closed_in == ["flowbrush-endless"]
    assert not threads()


def test_a_chain_ends_whichever_link_dies() -> None:
    def endless() -> Iterator[int]:
        while True:
            yield 1

    def failing(numbers: Iterator[int]) -> Iterator[int]:
        for count, number in enumerate(numbers):
            if count == 5:
                raise ValueError("the middle died")
            yield number

    with (
        pytest.raises(ValueError, match="the middle died"),
        prefetch(endless(), depth=2, name="first") as first,
        prefetch(failing(first), depth=2, name="second") as second,
    ):
        for _ in second:
            pass
    assert not threads()


def test_waiting_is_counted_on_the_side_that_waits() -> None:
    def slow() -> Iterator[int]:
        for number in range(5):
            time.sleep(0.02)
            yield number

    with prefetch(slow(), depth=2) as items:
        list(items)
        assert items.starved_seconds > 0.05
        assert items.blocked_seconds < 0.02

    with prefetch(range(5), depth=1) as items:
        for _ in items:
            time.sleep(0.02)
        assert items.blocked_seconds > 0.05


def test_a_source_that_cannot_be_iterated_fails_in_the_consumer() -> None:
    class Broken:
        def __iter__(self) -> Iterator[int]:
            raise RuntimeError("no iterator")

    items = prefetch(Broken())
    with pytest.raises(RuntimeError, match="no iterator"):
        next(items)
    assert not threads()


def test_depth_must_be_positive() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        prefetch([], depth=0)


def test_mapped_items_keep_their_order_however_long_each_takes() -> None:
    def slow_when_even(number: int) -> int:
        time.sleep(0.02 if number % 2 == 0 else 0)
        return -number

    assert list(ordered_map(slow_when_even, range(20), prepare=as_it_is, workers=3)) == [
        -number for number in range(20)
    ]
    assert not threads()


def test_mapping_runs_at_once_and_takes_no_more_than_it_needs() -> None:
    taken: list[int] = []
    together = threading.Barrier(3, timeout=10)

    def source() -> Iterator[int]:
        for number in range(30):
            taken.append(number)
            yield number

    def meet(number: int) -> int:
        together.wait()
        return number

    for given, _ in enumerate(ordered_map(meet, source(), prepare=as_it_is, workers=3), 1):
        assert len(taken) <= given + 3


def test_a_failing_item_is_raised_in_its_place_and_ends_the_threads() -> None:
    def fails_at_5(number: int) -> int:
        if number == 5:
            raise ValueError("five")
        return number

    got: list[int] = []
    with pytest.raises(ValueError, match="five"):
        got.extend(ordered_map(fails_at_5, range(100), prepare=as_it_is, workers=2))
    assert got == [0, 1, 2, 3, 4]
    assert not threads()


def test_leaving_a_map_early_ends_its_threads() -> None:
    numbers = ordered_map(as_it_is, range(1000), prepare=as_it_is, workers=2)
    assert next(numbers) == 0
    numbers.close()  # type: ignore[attr-defined]
    assert not threads()
