"""What this machine can run: engines, compilers, precisions."""

import importlib.util
import os
import platform
import shutil
import subprocess
import sysconfig
from functools import lru_cache
from pathlib import Path

import torch

from models.engines.engine import EngineError, EngineName, Precision


def available_engines(device: torch.device) -> list[EngineName]:
    """Return the engines that this machine can run on ``device``, the fastest first."""
    engines: list[EngineName] = ["eager"]
    if device.type == "cpu" and importlib.util.find_spec("openvino") is not None:
        engines.insert(0, "openvino")
    if can_compile(device):
        engines.insert(0, "compile")
    return engines


def can_compile(device: torch.device) -> bool:
    """Return whether torch.compile works: it needs a C++ compiler and Python's headers on the CPU, Triton on CUDA."""
    if device.type == "cuda":
        return importlib.util.find_spec("triton") is not None
    return device.type == "cpu" and compiler() is not None and python_headers() is not None


def require_compiler(device: torch.device) -> None:
    """Check that torch.compile works on ``device``.

    Raises:
        EngineError: what it needs is missing.
    """
    if not can_compile(device):
        missing = "Triton" if device.type == "cuda" else "a C++ compiler and Python's headers"
        raise EngineError(f"torch.compile needs {missing}, not found here; use --engine eager")


def compiler() -> str | None:
    """Return the path of the C++ compiler that torch.compile would use, or None."""
    names = (os.environ.get("CXX"), "g++", "clang++", "c++", "cl")
    return next((found for name in names if name and (found := shutil.which(name))), None)


def compiler_version() -> str:
    """Return the version of `compiler`, as ``g++ (Debian 12.2.0-14) 12.2.0``; its path if it does not print one."""
    found = compiler() or ""
    return _version_of(found) or found


@lru_cache(maxsize=4)
def _version_of(compiler: str) -> str:
    try:
        done = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=False)  # noqa: S603
    except OSError:
        return ""
    return next(iter(done.stdout.splitlines()), "").strip()


def python_headers() -> Path | None:
    """Return the path of ``Python.h``, which code made by torch.compile includes, or None."""
    header = Path(sysconfig.get_path("include"), "Python.h")
    return header if header.exists() else None


def native_precision(device: torch.device) -> Precision:
    """Return the fastest precision of ``device`` without visible loss."""
    if device.type == "cuda":
        return "bf16" if torch.cuda.get_device_capability(device) >= (8, 0) else "fp16"
    if device.type == "mps":
        return "fp16"
    return "bf16" if _has_bf16_instructions() else "fp32"


def _has_bf16_instructions() -> bool:
    """Return whether the CPU has bf16 instructions; without them bf16 runs, but slower than float32."""
    if platform.machine().lower() in ("x86_64", "amd64"):
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def instructions() -> str:
    """Return which instructions of the CPU torch's kernels and our C++ choose between, as ``AVX512 bf16 AMX``."""
    found = [torch.backends.cpu.get_cpu_capability()]
    if platform.machine().lower() in ("x86_64", "amd64"):
        found += ["bf16"] if torch.cpu._is_avx512_bf16_supported() else []
        found += ["AMX"] if torch.cpu._is_amx_tile_supported() else []
    return " ".join(found)


def processor(device: torch.device) -> str:
    """Return what the code is made for: on Linux all instructions of the CPU, as machines may share a cache."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    instructions = next((line for line in lines if line.startswith(("flags", "Features"))), platform.processor())
    return f"{torch.backends.cpu.get_cpu_capability()} {instructions}"
