"""Run `flowbrush video` as a user does, in a separate process, and say what machine it ran on."""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


class CommandError(RuntimeError):
    """`flowbrush video` did not work; the message is its last line."""


def stylize(clip: Path, target: Path, *options: str, env: dict[str, str] | None = None) -> dict[str, Any]:
    """Stylize ``clip`` into ``target``; returns the object that ``--json`` prints.

    Args:
        clip: the input.
        target: the output, replaced where it is there.
        options: of `flowbrush video`.
        env: variables on top of the user's own.
    """
    command = [sys.executable, str(ROOT / "cli.py"), "video", str(clip), str(target), *options]
    return json.loads(output_of([*command, "--json", "--overwrite", "--quiet"], env))


def output_of(command: list[str], env: dict[str, str] | None = None) -> str:
    """Run ``command``, and return what it printed.

    Raises:
        CommandError: its exit code is not 0.
    """
    done = subprocess.run(command, env=os.environ | (env or {}), capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["it says nothing"]
        raise CommandError(f"exit code {done.returncode}: {lines[-1]}")
    return done.stdout


def machine() -> dict[str, Any]:
    """What the figures depend on: processor, cores, versions, and how busy the machine is already."""
    import torch

    return {
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "load_average": [round(load, 2) for load in os.getloadavg()] if hasattr(os, "getloadavg") else None,
    }


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()


def machine_line(facts: dict[str, Any]) -> str:
    """`machine` in a line."""
    loads = facts["load_average"]
    load = f"load average at start {loads[0]:.2f} {loads[1]:.2f} {loads[2]:.2f}" if loads else "load unknown"
    return (
        f"{facts['cpu']}, {facts['cores']} cores, {facts['torch_threads']} torch threads, torch {facts['torch']}, "
        f"Python {facts['python']}, {load}"
    )


def verdict(is_met: bool, figure: str, goal: str) -> str:
    """A line that holds a figure against what was wanted."""
    return f"{'MET' if is_met else 'NOT MET'}: {figure} (wanted: {goal})"
