"""Checks of what works on this machine, with remedies for what does not."""

import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from pipeline.errors import PipelineError, first_line

NVENC = ("h264_nvenc", "hevc_nvenc", "av1_nvenc")


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check.

    Attributes:
        name: what was checked.
        works: False if something is missing.
        detail: versions, names, or what is missing.
        remedy: what to install or change; empty if there is nothing to do.
    """

    name: str
    works: bool
    detail: str
    remedy: str = ""


def examine() -> Iterator[Finding]:
    """Yield a finding for everything that flowbrush can use; a check that fails is a finding too."""
    checks = (
        _system,
        _torch,
        _cpu,
        _speed,
        _cuda,
        _mps,
        _compile,
        _openvino,
        _styles,
        _encoders,
        _nvdec,
        _nvenc,
        _opencv,
        _studio,
        _cache,
    )
    for check in checks:
        try:
            yield check()
        except Exception as error:  # noqa: BLE001 - a broken installation may raise anything
            remedy = "reinstall flowbrush in a new environment"
            yield Finding(check.__name__.strip("_"), False, first_line(error), remedy)


def _system() -> Finding:
    machine = f"{platform.system()} {platform.machine()}"
    return Finding("system", True, f"{machine}, Python {platform.python_version()}, flowbrush {own_version()}")


def own_version() -> str:
    """Return the version of flowbrush, or ``(not installed)``."""
    try:
        return version("flowbrush")
    except PackageNotFoundError:
        return "(not installed)"


def _torch() -> Finding:
    return Finding("torch", True, f"{version('torch')}, torchvision {version('torchvision')}, PyAV {version('av')}")


def _cpu() -> Finding:
    import torch

    from models.engines.capabilities import native_precision

    precision = native_precision(torch.device("cpu"))
    detail = f"{cpu_class()}, runs in {precision}"
    remedy = "" if precision == "bf16" else "a CPU with bf16 instructions is about twice as fast"
    return Finding("cpu", True, detail, remedy)


# The fastest first: what torch.cpu.get_capabilities calls them.
_CLASSES = (
    ("AMX", "amx_tile"),
    ("AVX512-BF16", "avx512_bf16"),
    ("AVX512", "avx512_f"),
    ("AVX-VNNI", "avx_vnni"),
    ("AVX2", "avx2"),
    ("ARM SVE and bf16", "sve_bf16"),
    ("ARM NEON and bf16", "bf16"),
    ("ARM NEON", "neon"),
)


def cpu_class() -> str:
    """Return what decides the speed of the processor: threads, and its most capable class of instructions."""
    import torch

    capabilities: dict[str, Any] = dict(getattr(torch.cpu, "get_capabilities", dict)())  # torch returns a view
    capabilities["sve_bf16"] = capabilities.get("sve", False) and capabilities.get("bf16", False)
    capabilities["neon"] = platform.machine().lower() in ("aarch64", "arm64")
    known = torch.backends.cpu.get_cpu_capability()
    is_limited = known == "AVX2"  # by ATEN_CPU_CAPABILITY, if the processor has more
    names = (name for name, key in _CLASSES if capabilities.get(key) and not (is_limited and "512" in name + key))
    return f"{torch.get_num_threads()} threads, {next(names, known)}"


def _speed() -> Finding:
    from pipeline.console.benchmark import describe, stored

    measured = stored()
    if not measured:
        return Finding("speed", False, "not measured", "flowbrush benchmark measures it in half a minute")
    return Finding("speed", True, describe(measured))


def _cuda() -> Finding:
    import torch

    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    remedy = "" if names else "an NVIDIA GPU and its driver; not needed"
    return Finding("cuda", bool(names), ", ".join(names) or "no device", remedy)


def _mps() -> Finding:
    import torch

    works = torch.backends.mps.is_available()
    return Finding("mps", works, "available" if works else "no device", "" if works else "an Apple GPU; not needed")


def _compile() -> Finding:
    from models.engines.capabilities import compiler, python_headers

    found, headers = compiler(), python_headers()
    missing = [name for name, path in (("C++ compiler", found), ("Python headers", headers)) if path is None]
    if missing:
        remedy = "Debian: apt install g++ python3-dev; the network then runs about 1.5 times as fast on a CPU"
        return Finding("engine compile", False, f"no {' and no '.join(missing)}", remedy)
    return Finding("engine compile", True, str(found))


def _openvino() -> Finding:
    try:
        return Finding("engine openvino", True, version("openvino"))
    except PackageNotFoundError:
        remedy = "pip install 'flowbrush[cpu]': fast without a C++ compiler"
        return Finding("engine openvino", False, "not installed", remedy)


def _styles() -> Finding:
    from models.registry import bundled

    return Finding("styles", True, ", ".join(bundled()))


def _encoders() -> Finding:
    import av

    from pipeline.media.codecs import ENCODERS

    software = [name for name in ENCODERS if name not in NVENC]
    missing = [name for name in software if name not in av.codecs_available]
    detail = ", ".join(name for name in software if name not in missing)
    remedy = "pip install --force-reinstall av: its wheels contain all of them" if missing else ""
    return Finding("encoders", not missing, detail + (f"; missing: {', '.join(missing)}" if missing else ""), remedy)


def _nvdec() -> Finding:
    from pipeline.media.hardware import decoder_fault

    fault = decoder_fault("cuda")
    remedy = "" if fault is None else "an NVIDIA GPU with a decoder; not needed, software is the default"
    return Finding("nvdec", fault is None, fault or "--hwaccel cuda decodes h264", remedy)


def _nvenc() -> Finding:
    from pipeline.media.hardware import encoder_fault

    working = [name for name in NVENC if encoder_fault(name) is None]
    remedy = "" if working else "an NVIDIA GPU with an encoder; not needed, software encoders are the default"
    return Finding("nvenc", bool(working), ", ".join(working) or "no hardware encoder works", remedy)


def _opencv() -> Finding:
    try:
        import cv2
    except ImportError as error:
        remedy = "install libGL and GLib (Debian: apt install libgl1 libglib2.0-0); `flowbrush video` needs neither"
        return Finding("opencv", False, str(error), remedy)
    backend = next((b for b in ("QT", "GTK", "WIN32UI", "COCOA") if _has_gui(cv2.getBuildInformation(), b)), "")
    if not backend:
        return Finding("opencv window", False, f"OpenCV {cv2.__version__} has no window", "pip install opencv-python")
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return Finding("opencv window", False, f"OpenCV {cv2.__version__}, {backend}, no display", "a desktop session")
    return Finding("opencv window", True, f"OpenCV {cv2.__version__}, {backend}")


def _has_gui(build: str, backend: str) -> bool:
    lines = (line.split(":", 1) for line in build.splitlines() if ":" in line)
    return any(name.strip().startswith(backend) and value.strip().startswith("YES") for name, value in lines)


def _studio() -> Finding:
    from pipeline.studio.server import check_extra

    try:
        check_extra()
    except PipelineError:
        return Finding("studio", False, "not installed", 'pip install "flowbrush[studio]"')
    return Finding("studio", True, f"FastAPI {version('fastapi')}, aiortc {version('aiortc')}")


def _cache() -> Finding:
    from pipeline.system.files.atomic import new_temporary, remove
    from pipeline.system.folders import cache_folder

    try:
        folder = cache_folder()
        remove(new_temporary(str(folder / "probe")))
    except OSError as error:
        remedy = "set FLOWBRUSH_CACHE to a private folder; only the engine eager works without one"
        return Finding("cache", False, f"{error.filename or 'no folder'} ({error.strerror})", remedy)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return Finding("cache", True, f"{folder}, {size / 2**20:.0f} MiB; may be deleted at any time")
