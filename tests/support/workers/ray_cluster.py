"""A Ray cluster for tests: machines that are processes here, with a token that nobody else has."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

# Ray gives the process of an actor this name, followed by a method while it runs one.
WORKER = "ray::RayWorker"


class Cluster:
    """A head and more machines, each with one core; a context manager."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        self.address = f"127.0.0.1:{port}"
        self._token = secrets.token_hex(32)
        self.environment = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self._token}
        self._machines: list[subprocess.Popen[bytes]] = []
        self._head = ("--head", "--port", str(port), "--include-dashboard=false")
        self._machines.append(self._start(*self._head))

    def add_machine(self) -> None:
        self._machines.append(self._start("--address", self.address))

    def _start(self, *arguments: str) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", *arguments]
        command += ["--num-cpus=1", "--object-store-memory=80000000", "--disable-usage-stats", "--block"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.Popen(command, env=self.environment, **quiet)

    def wait(self) -> None:
        """Return when the head has joined its own cluster: its port answers long before that on a busy machine.

        There it may also end, when its agents take longer to start than it waits; then it is started again.
        """
        for _ in range(20):
            if self._can_be_joined():
                return
            if self._machines[0].poll() is not None:
                self._machines[0] = self._start(*self._head)
            time.sleep(1)
        raise TimeoutError(f"the head at {self.address} does not get ready")

    def _can_be_joined(self) -> bool:
        """Return whether a process can join the cluster; False once the head has ended: Ray would try for minutes."""
        join = f"import ray; ray.init(address={self.address!r}, log_to_driver=False)"
        command = [sys.executable, "-c", f"{join}; assert ray.cluster_resources()['CPU']"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen(command, env=self.environment, **quiet)
        while process.poll() is None and self._machines[0].poll() is None:
            time.sleep(0.1)
        process.kill()
        return process.wait() == 0

    def busy_workers(self) -> list[int]:
        """Return the ids of the processes of the workers that run a job."""
        return self.workers(f"{WORKER}.run")

    def workers(self, name: str = WORKER) -> list[int]:
        """Return the ids of the processes of all workers."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                is_worker = (folder / "cmdline").read_bytes().startswith(name.encode())
                if is_worker and self._token.encode() in (folder / "environ").read_bytes():
                    found.append(int(folder.name))
            except OSError:
                continue
        return found

    def __enter__(self) -> "Cluster":
        self.wait()
        return self

    def __exit__(self, *error: object) -> None:
        for machine in self._machines:
            machine.send_signal(signal.SIGTERM)
        for machine in self._machines:
            try:
                machine.wait(30)
            except subprocess.TimeoutExpired:
                machine.kill()
                machine.wait()
