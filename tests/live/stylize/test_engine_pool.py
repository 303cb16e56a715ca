"""Which engine stylizes frames of a size, and when a faster one is prepared, fails, or is given up."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from pipeline.live.stylize.engine_builder import Size
from pipeline.live.stylize.engine_pool import EnginePool
from tests.support.live import wait_for

SIZE, OTHER = (48, 64), (64, 64)


class Builder:
    """Builds engines that are just names; fast ones wait until `go_on` is set, and fail if they are ``broken``."""

    def __init__(self, *broken: str) -> None:
        self.prepared: list[str] = []
        self.go_on = threading.Event()
        self.go_on.set()
        self.closed = False
        self._broken = broken

    def build(self, name: str, size: Size) -> Any:
        return f"{name} {size}"

    def prepare(self, name: str, size: Size) -> Any:
        self.prepared.append(name)
        assert self.go_on.wait(20)
        if name in self._broken or self.closed:
            raise RuntimeError(f"{name} is broken\nwith many lines")
        return f"{name} {size}"

    def close(self) -> None:
        self.closed = True
        self.go_on.set()


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    wait_for(lambda: not any(thread.name == "prepare" for thread in threading.enumerate()))


def test_eager_is_used_until_a_fast_engine_is_ready(lines: list[str]) -> None:
    builder = Builder()
    builder.go_on.clear()
    pool = EnginePool(builder, ["compile", "openvino"], lines.append)
    assert pool.get(SIZE) == ("eager", "eager (48, 64)")
    assert pool.can_be_faster(SIZE)
    pool.prepare(SIZE)
    pool.prepare(OTHER)  # ignored while another is being prepared
    assert pool.get(SIZE)[0] == "eager"
    builder.go_on.set()
    wait_for(lambda: pool.ready)
    assert pool.ready == {SIZE}
    assert pool.get(SIZE) == ("compile", "compile (48, 64)")
    assert not pool.can_be_faster(SIZE)
    assert builder.prepared == ["compile"]
    assert not lines


def test_an_engine_that_fails_is_reported_once_and_the_next_is_tried(lines: list[str]) -> None:
    builder = Builder("compile", "openvino")
    pool = EnginePool(builder, ["compile", "openvino"], lines.append)
    pool.prepare(SIZE)
    wait_for(lambda: not pool.can_be_faster(SIZE))
    pool.prepare(SIZE)
    pool.prepare(OTHER)
    assert builder.prepared == ["compile", "openvino"]
    assert [line.partition(" (")[0] for line in lines] == [
        "the engine compile is not available",
        "the engine openvino is not available",
    ]
    assert lines[0].endswith("(compile is broken); using openvino")
    assert lines[1].endswith("using eager")
    assert pool.get(SIZE)[0] == "eager"
    assert not pool.can_be_faster(OTHER)


def test_a_size_that_is_given_up_gets_no_engine_that_is_prepared_meanwhile(lines: list[str]) -> None:
    builder = Builder()
    builder.go_on.clear()
    pool = EnginePool(builder, ["openvino"], lines.append)
    pool.get(SIZE)
    pool.prepare(SIZE)
    wait_for(lambda: builder.prepared)
    pool.give_up(SIZE)
    builder.go_on.set()
    wait_for(lambda: not any(thread.name == "prepare" for thread in threading.enumerate()))
    assert not pool.ready
    assert not pool.can_be_faster(SIZE)


def test_without_a_fast_engine_nothing_is_prepared(lines: list[str]) -> None:
    builder = Builder()
    pool = EnginePool(builder, [], lines.append)
    pool.prepare(SIZE)
    assert not builder.prepared
    assert not pool.can_be_faster(SIZE)


def test_closing_ends_the_preparation_without_a_message(lines: list[str]) -> None:
    builder = Builder()
    builder.go_on.clear()
    pool = EnginePool(builder, ["compile", "openvino"], lines.append)
    pool.prepare(SIZE)
    wait_for(lambda: builder.prepared)
    pool.close()
    assert not lines
    pool.prepare(OTHER)
    assert builder.prepared == ["compile"]
