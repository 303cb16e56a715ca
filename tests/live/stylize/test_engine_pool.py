"""Which engine stylizes frames of a size, and when a faster one is prepared, fails, or is given up."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from pipeline.live.stylize.engine_pool import EnginePool
from pipeline.live.stylize.modes import Mode
from tests.support.live import wait_for

SIZE, OTHER = (48, 64), (64, 64)
EAGER, COMPILE, OPENVINO = Mode(SIZE, "eager"), Mode(SIZE, "compile"), Mode(SIZE, "openvino")


class Builder:
    """Builds engines that are just names; fast ones wait until `go_on` is set, and fail if they are ``broken``."""

    def __init__(self, *broken: str, for_all: str = "") -> None:
        self.prepared: list[str] = []
        self.looked: list[Mode] = []
        self.go_on = threading.Event()
        self.go_on.set()
        self.closed = False
        self._broken, self._for_all = broken, for_all

    def build(self, mode: Mode) -> Any:
        return f"{mode.engine} {mode.size}"

    def prepare_seconds(self, mode: Mode) -> float:
        self.looked.append(mode)
        return 0.0 if mode.engine in self.prepared else 4.0

    def is_for_all_modes(self, mode: Mode) -> bool:
        return mode.engine == self._for_all

    def prepare(self, mode: Mode) -> Any:
        self.prepared.append(mode.engine)
        assert self.go_on.wait(20)
        if mode.engine in self._broken or self.closed:
            raise RuntimeError(f"{mode.engine} is broken\nwith many lines")
        return f"{mode.engine} {mode.size} {mode.workers}"

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


def no_more(name: str = "prepare") -> bool:
    return not any(thread.name == name for thread in threading.enumerate())


def test_eager_is_used_until_a_fast_engine_is_ready(lines: list[str]) -> None:
    builder = Builder()
    builder.go_on.clear()
    pool = EnginePool(builder, ["compile", "openvino"], lines.append)
    assert pool.get(EAGER) == "eager (48, 64)"
    assert pool.ready(SIZE) == ["eager"]
    pool.prepare(COMPILE)
    pool.prepare(Mode(OTHER, "compile"))  # ignored while another of its kind is being prepared
    assert pool.ready(SIZE) == ["eager"]
    builder.go_on.set()
    wait_for(lambda: "compile" in pool.ready(SIZE))
    assert pool.ready(SIZE) == ["compile", "eager"]
    assert pool.ready(SIZE, 2) == pool.ready(OTHER) == ["eager"]
    assert pool.get(COMPILE) == "compile (48, 64) 1"
    pool.prepare(COMPILE)
    assert builder.prepared == ["compile"]
    assert not lines


def test_another_kind_of_engine_gets_ready_while_one_is_compiled(lines: list[str]) -> None:
    builder = Builder()
    builder.go_on.clear()
    pool = EnginePool(builder, ["compile", "openvino"], lines.append)
    pool.prepare(COMPILE)
    pool.prepare(OPENVINO)
    wait_for(lambda: len(builder.prepared) == 2)
    builder.go_on.set()
    wait_for(lambda: {*pool.ready(SIZE)} == {"compile", "openvino", "eager"})


def test_side_by_side_has_engines_of_its_own(lines: list[str]) -> None:
    pool = EnginePool(Builder(), ["openvino"], lines.append)
    pool.prepare(Mode(SIZE, "openvino", 2))
    wait_for(lambda: pool.ready(SIZE, 2) == ["openvino", "eager"])
    assert pool.ready(SIZE) == ["eager"]
    assert pool.get(Mode(SIZE, "openvino", 2)) == "openvino (48, 64) 2"


def test_where_the_engine_that_the_user_wants_is_ready_no_other_one_runs(lines: list[str]) -> None:
    pool = EnginePool(Builder(), ["openvino"], lines.append, is_given=True)
    assert pool.ready(SIZE) == ["eager"]
    pool.prepare(OPENVINO)
    wait_for(lambda: pool.ready(SIZE) == ["openvino"])
    assert pool.ready(OTHER) == ["eager"]


def test_how_long_an_engine_takes_is_looked_up_once_until_another_is_prepared(lines: list[str]) -> None:
    builder = Builder()
    pool = EnginePool(builder, ["compile"], lines.append)
    assert pool.prepare_seconds(COMPILE) == pool.prepare_seconds(COMPILE) == 4
    assert builder.looked == [COMPILE]
    pool.prepare(Mode(OTHER, "compile"))
    wait_for(lambda: pool.ready(OTHER) == ["compile", "eager"])
    assert pool.prepare_seconds(COMPILE) == 0, "it may be the same code"


def test_one_library_for_all_modes_is_ready_in_each_except_those_given_up(lines: list[str]) -> None:
    builder = Builder(for_all="compile")
    pool = EnginePool(builder, ["compile"], lines.append)
    pool.prepare(COMPILE)
    wait_for(lambda: pool.ready(OTHER, 2) == ["compile", "eager"])
    assert pool.ready(SIZE) == ["compile", "eager"]
    assert pool.get(Mode(OTHER, "compile", 2)) == "compile (64, 64)"
    pool.prepare(Mode(OTHER, "compile"))
    assert builder.prepared == ["compile"]
    pool.give_up(OTHER)
    assert pool.ready(OTHER) == ["eager"]


def test_an_engine_that_fails_is_reported_once(lines: list[str]) -> None:
    builder = Builder("compile", "openvino")
    pool = EnginePool(builder, ["compile", "openvino"], lines.append)
    assert pool.fast == ("compile", "openvino")
    pool.prepare(COMPILE)
    wait_for(lambda: pool.fast == ("openvino",) and no_more())
    pool.prepare(Mode(OTHER, "compile"))
    pool.prepare(OPENVINO)
    wait_for(lambda: pool.fast == () and no_more())
    assert builder.prepared == ["compile", "openvino"]
    assert lines == [
        "the engine compile is not available (compile is broken); using openvino",
        "the engine openvino is not available (openvino is broken); using eager",
    ]
    assert pool.ready(SIZE) == ["eager"]


def test_a_size_that_is_given_up_gets_no_engine_that_is_prepared_meanwhile(lines: list[str]) -> None:
    builder = Builder()
    builder.go_on.clear()
    pool = EnginePool(builder, ["openvino"], lines.append)
    pool.get(EAGER)
    pool.prepare(OPENVINO)
    wait_for(lambda: builder.prepared)
    pool.give_up(SIZE)
    builder.go_on.set()
    wait_for(no_more)
    assert pool.ready(SIZE) == ["eager"]
    pool.prepare(OPENVINO)
    assert builder.prepared == ["openvino"]


def test_without_a_fast_engine_nothing_is_prepared(lines: list[str]) -> None:
    builder = Builder()
    pool = EnginePool(builder, [], lines.append)
    pool.prepare(COMPILE)
    assert not builder.prepared


def test_closing_ends_the_preparation_without_a_message(lines: list[str]) -> None:
    builder = Builder()
    builder.go_on.clear()
    pool = EnginePool(builder, ["compile", "openvino"], lines.append)
    pool.prepare(COMPILE)
    wait_for(lambda: builder.prepared)
    pool.close()
    assert not lines
    pool.prepare(Mode(OTHER, "openvino"))
    assert builder.prepared == ["compile"]
