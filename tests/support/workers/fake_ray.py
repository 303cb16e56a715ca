"""Ray without Ray: actors whose answers a test writes, for what a real cluster does rarely."""

import time
from collections.abc import Callable
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

from pipeline.resume.fingerprint import software
from pipeline.workers.cluster.ray_worker import Hello, Outcome


class RayError(Exception):
    pass


class RayActorError(RayError):
    pass


class Died(Exception):
    """Raised by an answer of a test: the process of the worker has died."""


class FakeActor:
    def __init__(self, ray: "FakeRay", number: int) -> None:
        self.number = number
        self.pending: Future[Any] | None = None
        self.hello = SimpleNamespace(remote=lambda: self._ask(lambda: ray.hello(self.number)))
        self.run = SimpleNamespace(remote=lambda job: self._ask(lambda: ray.run(self.number, job)))

    def _ask(self, answer: Callable[[], Any]) -> "Future[Any]":
        self.pending = future = Future[Any]()
        try:
            said = answer()
        except Died as error:
            future.set_exception(RayActorError(f"The actor died.\n{error}"))
        else:
            if said is not None:
                future.set_result(said)
        return future

    def kill(self) -> None:
        if self.pending is not None and not self.pending.done():
            self.pending.set_exception(RayActorError("killed"))


class FakeRay:
    """Stands for the module.

    Args:
        machines: resources of each machine.
        hello: returns what a worker says when it is ready, by its number; may raise `Died`.
        run: returns what it says at the end of a job; None never ends, unless it is killed.
    """

    exceptions = SimpleNamespace(RayError=RayError, RayActorError=RayActorError)

    def __init__(
        self,
        machines: list[dict[str, float]],
        run: Callable[[int, Any], Outcome | None] = lambda number, job: None,
        hello: Callable[[int], Hello | None] = lambda number: Hello(f"node{number}", number, software()),
    ) -> None:
        self.machines, self.run, self.hello = machines, run, hello
        self.actors: list[FakeActor] = []
        self.options: dict[str, Any] = {}

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Alive": True, "Resources": machine} for machine in self.machines]

    def remote(self, kind: type) -> Any:
        def start(*arguments: object) -> FakeActor:
            self.actors.append(FakeActor(self, len(self.actors)))
            return self.actors[-1]

        def options(**values: Any) -> Any:
            self.options = values
            return SimpleNamespace(remote=start)

        return SimpleNamespace(options=options)

    def wait(self, answers: list["Future[Any]"], *, num_returns: int, timeout: float) -> tuple[list[Any], list[Any]]:
        deadline = time.monotonic() + timeout
        while not (done := [answer for answer in answers if answer.done()]) and time.monotonic() < deadline:
            time.sleep(0.001)
        return done[:num_returns], []

    def get(self, answer: "Future[Any]") -> Any:
        return answer.result(0)

    def kill(self, actor: FakeActor) -> None:
        actor.kill()

    def shutdown(self) -> None:
        pass
