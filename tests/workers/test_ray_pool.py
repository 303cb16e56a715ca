"""The pool of workers on a Ray cluster: what it does with machines and answers. The cluster is a fake."""

import os
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import pytest

from pipeline.errors import DeviceError, InputError, InUseError
from pipeline.resume.fingerprint import software
from pipeline.workers.cluster import machines as cluster_machines
from pipeline.workers.cluster import ray_pool, tasks
from pipeline.workers.cluster.machines import WorkerSize, connect, size_workers
from pipeline.workers.cluster.ray_pool import RayPool
from pipeline.workers.cluster.ray_worker import Hello, Outcome
from pipeline.workers.protocol import SegmentJob, SegmentResult
from tests.support.workers.fake_ray import Died, FakeRay
from tests.support.workers.segment_jobs import config

MakePool = Callable[..., RayPool]
DONE = Outcome(SegmentResult((), {"engine": "eager"}))


@pytest.fixture
def make_pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[MakePool]:
    pools: list[RayPool] = []

    def make(ray: FakeRay, **settings: Any) -> RayPool:
        monkeypatch.setattr(ray_pool, "connect", lambda address: (ray, True))
        pools.append(RayPool("auto", **settings))
        return pools[-1]

    for module, name in ((ray_pool, "POLL_SECONDS"), (ray_pool, "GROW_SECONDS"), (tasks, "RETRY_SECONDS")):
        monkeypatch.setattr(module, name, 0.01)
    yield make
    for pool in pools:
        pool.close()


@pytest.fixture
def job(tmp_path: Path) -> SegmentJob:
    return SegmentJob(config(tmp_path / "in.mkv", tmp_path / "out.mkv"), {})


# --- sizes ---

GPU_MACHINE, CPU_MACHINE, HEAD = {"CPU": 16.0, "GPU": 2.0}, {"CPU": 8.0}, {"CPU": 4.0}


@pytest.mark.parametrize(
    ("machines", "settings", "size", "count"),
    [
        ([HEAD, GPU_MACHINE], {}, WorkerSize(8, 1.0), 2),
        ([HEAD, GPU_MACHINE], {"gpus_per_worker": 0.5}, WorkerSize(4, 0.5), 4),
        ([HEAD, GPU_MACHINE], {"gpus_per_worker": 0.1}, WorkerSize(1, 0.1), 16),
        ([HEAD, GPU_MACHINE], {"device": "cuda"}, WorkerSize(8, 1.0), 2),
        ([HEAD, GPU_MACHINE], {"device": "cpu"}, WorkerSize(4), 5),
        ([HEAD, CPU_MACHINE], {}, WorkerSize(4), 3),
        ([{}, CPU_MACHINE], {}, WorkerSize(8), 1),
        ([HEAD, CPU_MACHINE], {"workers": 2}, WorkerSize(4), 3),
        ([CPU_MACHINE, CPU_MACHINE], {"workers": 3}, WorkerSize(4), 4),
        ([HEAD], {"workers": 9}, WorkerSize(1), 4),
    ],
)
def test_workers_fill_the_machines(
    machines: list[dict[str, float]], settings: dict[str, Any], size: WorkerSize, count: int
) -> None:
    found = size_workers(machines, **{"device": "auto", "workers": None, "gpus_per_worker": 1.0, **settings})
    assert found == size
    assert sum(map(size.fitting, machines)) == count


def test_a_head_without_a_gpu_leaves_the_device_to_the_workers(make_pool: MakePool) -> None:
    pool = make_pool(ray := FakeRay([{"CPU": 0.0}, GPU_MACHINE]), gpus_per_worker=0.5)
    assert (ray.options["num_gpus"], ray.options["num_cpus"]) == (0.5, 4)
    assert (pool.workers, pool.threads, pool.sharers) == (4, 4, 2)


@pytest.mark.parametrize(
    ("machines", "device", "message"),
    [([CPU_MACHINE], "cuda", "no machine of the cluster has a GPU; add one"), ([{}], "auto", "--num-cpus 1 or more")],
)
def test_what_the_cluster_lacks_is_said(machines: list[dict[str, float]], device: str, message: str) -> None:
    with pytest.raises(DeviceError, match=message):
        size_workers(machines, device=device, workers=None, gpus_per_worker=1.0)


def test_without_ray_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(DeviceError, match=r"pip install 'flowbrush\[cluster\]'"):
        connect("auto")


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ray without Ray: the addresses that were joined, ``local`` for a new one."""
    addresses: list[str] = []

    def init(address: str, **settings: object) -> None:
        addresses.append(address)
        if address.startswith("wrong"):
            raise RuntimeError("Version mismatch:\n  Python 3.9")
        if address.startswith("slow"):
            raise Exception("The current node timed out during startup.")

    ray = SimpleNamespace(init=init, is_initialized=lambda: False, exceptions=SimpleNamespace(RayError=OSError))
    monkeypatch.setitem(sys.modules, "ray", cast(ModuleType, ray))
    monkeypatch.setattr(cluster_machines, "ANSWER_SECONDS", 0.5)
    for name in ("RAY_ADDRESS", "RAY_TMPDIR", "RAY_AUTH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "")
    return addresses


def test_auto_joins_what_answers_here_and_starts_one_otherwise(
    started: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    place = tmp_path / "ray" / "ray_current_cluster"
    place.parent.mkdir()
    connect("auto")
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        place.write_text(address)
        connect("auto")
    connect("auto")  # that one has crashed
    assert started == ["local", address, "local"]


@pytest.mark.skipif(os.name != "posix", reason="files have owners there")
def test_auto_does_not_join_the_cluster_of_another_user(
    started: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    (tmp_path / "ray").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as server:
        (tmp_path / "ray" / "ray_current_cluster").write_text(f"127.0.0.1:{server.getsockname()[1]}")
        status = os.stat_result((0o100644, 1, 1, 1, os.geteuid() + 1, 0, 9, 0, 0, 0))
        monkeypatch.setattr(cluster_machines.os, "fstat", lambda descriptor: status)
        assert cluster_machines._running() == ""


def test_an_address_where_nothing_answers_is_said_at_once(started: list[str]) -> None:
    with pytest.raises(DeviceError, match="no Ray cluster answers at"):
        connect("127.0.0.1:1")
    with pytest.raises(DeviceError, match="no Ray cluster answers at nonsense"):
        connect("nonsense")
    assert started == []


def test_what_ray_says_when_it_refuses_is_one_line(started: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_machines, "_answers", lambda address: True)
    with pytest.raises(DeviceError, match=r"at wrong:1 cannot be joined \(Version mismatch: Python 3\.9\)"):
        connect("wrong:1")
    with pytest.raises(DeviceError, match=r"at slow:1 cannot be joined \(The current node timed out .*\)"):
        connect("slow:1")


# --- workers that come and go ---


def test_a_worker_with_other_software_is_not_used(make_pool: MakePool, job: SegmentJob) -> None:
    def hello(number: int) -> Hello:
        return Hello(f"node{number}", number, software() | ({"torch": "1.0"} if number == 0 else {}))

    ran: list[int] = []

    def run(number: int, job: SegmentJob) -> Outcome:
        ran.append(number)
        return DONE

    pool = make_pool(FakeRay([CPU_MACHINE] * 2, run, hello))
    results = [pool.submit(job).result(5) for _ in range(4)]
    assert set(ran) == {1}
    torch = (software()["torch"] or "").partition("+")[0]
    notice = results[-1].notices[0]
    assert notice.startswith(f"the worker on node0 is not used: it has torch 1.0 instead of {torch}")
    assert pool.processes() == [("node1", 1)]
    assert pool.workers == 1


def test_if_no_worker_can_be_used_the_jobs_fail_with_the_reason(make_pool: MakePool, job: SegmentJob) -> None:
    pool = make_pool(FakeRay([CPU_MACHINE], hello=lambda number: Hello("node", 1, {"torch": "1.0"})))
    error = pool.submit(job).exception(5)
    assert isinstance(error, DeviceError)
    assert "the worker on node is not used: it has flowbrush None instead of" in str(error)


def test_a_machine_without_flowbrush_is_named_in_one_line(make_pool: MakePool, job: SegmentJob) -> None:
    def hello(number: int) -> Hello:
        raise Died("in its creation task\n  File x\nModuleNotFoundError: No module named 'pipeline'")

    error = make_pool(FakeRay([CPU_MACHINE], hello=hello)).submit(job).exception(5)
    assert str(error) == (
        "a worker cannot start (ModuleNotFoundError: No module named 'pipeline'); install flowbrush on all machines"
    )


def test_workers_that_die_at_once_are_not_replaced_for_ever(make_pool: MakePool, job: SegmentJob) -> None:
    def hello(number: int) -> Hello:
        raise Died("killed")

    ray = FakeRay([CPU_MACHINE], hello=hello)
    assert "die while they start" in str(make_pool(ray).submit(job).exception(5))
    assert len(ray.actors) == ray_pool.MOST_FAILED_STARTS + 1


def test_a_job_whose_worker_dies_is_done_by_another(make_pool: MakePool, job: SegmentJob) -> None:
    def run(number: int, job: SegmentJob) -> Outcome:
        if number < 2:
            raise Died("the node is gone")
        return DONE

    pool = make_pool(FakeRay([CPU_MACHINE], run))
    assert pool.submit(job).result(5).notices == (
        "a worker on node0 died; another one resumed its work",
        "a worker on node1 died; another one resumed its work",
    )


def test_a_job_that_kills_its_workers_is_given_up(make_pool: MakePool, job: SegmentJob) -> None:
    def run(number: int, job: SegmentJob) -> Outcome:
        raise Died("out of memory")

    error = make_pool(ray := FakeRay([CPU_MACHINE], run)).submit(job).exception(5)
    assert f"{tasks.MOST_DEATHS} workers died with it (on node0, node1, node2, node3)" in str(error)
    assert isinstance(error, DeviceError)
    assert len(ray.actors) <= tasks.MOST_DEATHS + 1


def test_a_lock_that_a_dead_machine_left_is_waited_for(make_pool: MakePool, job: SegmentJob) -> None:
    tries: list[int] = []

    def run(number: int, job: SegmentJob) -> Outcome:
        tries.append(number)
        if len(tries) == 1:
            raise Died("the node is gone")
        return DONE if len(tries) > 3 else Outcome(error=InUseError("out.mkv", "another run is writing it"))

    pool = make_pool(FakeRay([CPU_MACHINE], run))
    assert len(pool.submit(job).result(5).notices) == 1
    assert len(tries) == 4
    tries[:] = [0] * 2
    assert isinstance(pool.submit(job).exception(5), InUseError)  # nobody has died: somebody else is writing


def test_errors_of_a_job_arrive_as_they_are(make_pool: MakePool, job: SegmentJob) -> None:
    pool = make_pool(FakeRay([CPU_MACHINE], lambda number, job: Outcome(error=InputError("in.mkv", "is broken"))))
    assert str(pool.submit(job).exception(5)) == "in.mkv: is broken"


def test_a_machine_that_joins_later_gets_a_worker(make_pool: MakePool, job: SegmentJob) -> None:
    busy: list[int] = []

    def run(number: int, job: SegmentJob) -> Outcome | None:
        busy.append(number)
        return DONE if number else None

    pool = make_pool(ray := FakeRay([CPU_MACHINE], run))
    pool.submit(job)
    waiting = pool.submit(job)
    assert pool.workers == 1
    ray.machines.append(CPU_MACHINE)
    assert waiting.result(5) is not None
    assert busy == [0, 1]
    assert pool.workers == 2


def test_cancelling_kills_the_worker_and_what_waits_is_done_by_its_successor(
    make_pool: MakePool, job: SegmentJob
) -> None:
    pool = make_pool(FakeRay([CPU_MACHINE], lambda number, job: DONE if number else None))
    running, waiting, kept = (pool.submit(job) for _ in range(3))
    while not running.running():
        pass
    pool.cancel([running, waiting])
    assert isinstance(running.exception(0), DeviceError)
    assert waiting.cancelled()
    assert kept.result(5) is not None


def test_a_closed_pool_cancels_everything(make_pool: MakePool, job: SegmentJob) -> None:
    pool = make_pool(FakeRay([CPU_MACHINE]))
    running, waiting = pool.submit(job), pool.submit(job)
    while not running.running():
        pass
    for _ in range(2):
        pool.close()
    assert isinstance(running.exception(0), DeviceError)
    assert waiting.cancelled()
    assert isinstance(pool.submit(job).exception(0), DeviceError)
