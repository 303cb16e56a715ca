"""A Ray cluster: how it is joined, and how large workers fit on its machines."""

import contextlib
import importlib
import logging
import os
import secrets
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import DeviceError, first_line
from pipeline.system.files.reading import open_input
from pipeline.system.process import safe_path

_ROOT = Path(__file__).resolve().parents[3]
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",  # reports nothing to anybody
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # prints nothing on standard output, which belongs to events
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # warns of nothing
}
# A machine of the same network answers much sooner.
ANSWER_SECONDS = 5.0

Machines = Sequence[Mapping[str, float]]
"""The resources of each machine, as Ray counts them: ``CPU``, ``GPU``."""


@dataclass(frozen=True, slots=True)
class WorkerSize:
    """What a worker takes of a machine.

    Attributes:
        cpus: number of cores, 1 or more.
        gpus: number of GPUs, 0 to 1.
    """

    cpus: int
    gpus: float = 0.0

    def fitting(self, machine: Mapping[str, float]) -> int:
        """Return how many workers fit on a machine."""
        counts = [machine.get("CPU", 0.0) / self.cpus]
        if self.gpus:
            counts.append(machine.get("GPU", 0.0) / self.gpus)
        return int(min(counts) + 1e-6)


def size_workers(machines: Machines, *, device: str, workers: int | None, gpus_per_worker: float) -> WorkerSize:
    """Return the size of workers that use all of a cluster.

    Args:
        machines: of the cluster.
        device: of the clips, as the user named it; what ``auto`` is, the machines decide, not the one that plans.
        workers: number of workers that should fit; None for one per GPU or its part, or per machine without GPUs.
        gpus_per_worker: part of a GPU for each worker, more than 0 and at most 1.

    Raises:
        DeviceError: the cluster lacks what ``device`` names.
    """
    with_gpu = [machine for machine in machines if machine.get("GPU", 0) >= gpus_per_worker]
    if device.startswith("cuda") and not with_gpu:
        raise DeviceError("no machine of the cluster has a GPU; add one, or use --device auto")
    if with_gpu and (device == "auto" or device.startswith("cuda")):
        shares = (machine.get("CPU", 0.0) / machine["GPU"] * gpus_per_worker for machine in with_gpu)
        return WorkerSize(max(int(min(shares)), 1), gpus_per_worker)
    cores = [int(machine.get("CPU", 0)) for machine in machines if machine.get("CPU", 0) >= 1]
    if not cores:
        raise DeviceError("no machine of the cluster has a core for workers; start Ray with --num-cpus 1 or more")
    if workers is None:
        return WorkerSize(min(cores))
    sizes = (WorkerSize(cpus) for cpus in range(max(cores), 0, -1))
    return next((size for size in sizes if sum(map(size.fitting, machines)) >= workers), WorkerSize(1))


def connect(address: str) -> tuple[Any, bool]:
    """Join a Ray cluster, or start one on this machine.

    Args:
        address: ``auto`` for the Ray that runs on this machine, or else a new one of this process; or HOST:PORT.

    Returns:
        The module `ray`, and whether this process is to leave the cluster at the end.

    Raises:
        DeviceError: Ray is not installed, nothing answers at the address, or other versions do.
    """
    for name, value in _ENVIRONMENT.items():  # read by the import
        os.environ.setdefault(name, value)
    try:
        ray = importlib.import_module("ray")
    except ImportError as error:
        raise DeviceError(f"--cluster needs Ray ({first_line(error)}): pip install 'flowbrush[cluster]'") from error
    if ray.is_initialized():
        return ray, False
    found = _running() if address == "auto" else address
    if not _answers(found) and address != "auto":
        raise DeviceError(f"no Ray cluster answers at {address}; start it, or use --cluster auto")
    # Ray has all workers import from this process's working folder, which may be somebody else's.
    with safe_path, contextlib.chdir(_ROOT):
        if _answers(found):
            _join(ray, found)
        else:
            _start(ray)
    return ray, True


def _running() -> str:
    """Return the address of the Ray that this user, or root, has started on this machine; empty if there is none.

    Ray itself would take any that it finds, or wait minutes for one that has crashed.
    """
    if address := os.environ.get("RAY_ADDRESS", ""):
        return address
    path = Path(os.environ.get("RAY_TMPDIR") or "/tmp", "ray", "ray_current_cluster")  # noqa: S108 - Ray writes it there
    try:
        with open_input(path) as file:
            is_ours = os.name != "posix" or os.fstat(file.fileno()).st_uid in (0, os.geteuid())
            return file.read(1000).decode().strip() if is_ours else ""
    except (OSError, UnicodeError):
        return ""


def _answers(address: str) -> bool:
    """Return whether something listens at an address, without which Ray would wait for minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    try:
        socket.create_connection((host, int(port)), ANSWER_SECONDS).close()
    except (OSError, ValueError, OverflowError):
        return False
    return True


def _join(ray: Any, address: str) -> None:
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:  # Ray raises bare ones too, such as for a machine too busy to start it
        raise DeviceError(f"the Ray cluster at {address} cannot be joined ({_reason(error)})") from error


def _start(ray: Any) -> None:
    """Start a cluster that only processes of this user can use, and that ends with this process."""
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    try:
        ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:  # Ray raises bare ones too, such as for a machine too busy to start it
        raise DeviceError(f"Ray cannot be started ({_reason(error)})") from error


def _reason(error: Exception) -> str:
    """Return the message on one line, without the advice in the lines after the first sentence."""
    return " ".join(str(error).split())[:200] or type(error).__name__
