"""The engine of a render: the frames of one clip are all stylized by the same one, also after an interruption."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from pipeline.config import StylizeConfig
from pipeline.errors import DeviceError
from pipeline.resume.work_folder.manifest import Manifest
from pipeline.stylize.device import gpu_name
from pipeline.stylize.stylizer import StylizeStage


def engine_of(stylizer: StylizeStage) -> dict[str, Any]:
    """Return what the stylizer runs on, as JSON types, with all that rounds otherwise: name of an NVIDIA GPU, code.

    The code is left out if it is unknown; see `models.engines.build.code_of`.
    """
    gpu = gpu_name(stylizer.device)
    return {
        "engine": stylizer.engine,
        "precision": stylizer.precision,
        "device": str(stylizer.device),
        "workers": stylizer.workers,
        "strip_rows": stylizer.tiling.rows if stylizer.tiling else None,
        **({} if gpu is None else {"gpu": gpu}),
        **({"code": stylizer.code} if stylizer.code else {}),
    }


def load_with_engine(
    manifest: Manifest, config: StylizeConfig, load: Callable[..., StylizeStage], *, may_change: bool = False
) -> StylizeStage:
    """Load a stylizer with the engine of the finished segments; without any, record its engine in ``manifest``.

    Manifests of earlier versions lack the code of the engine: it may be any then, and is recorded from here on.

    Args:
        manifest: of the render.
        config: with the engine that the user asks for.
        load: called with a config, and with ``may_change`` if the engine may change within the clip.
        may_change: whether ``auto`` may choose another engine once it is ready.

    Raises:
        DeviceError: the engine is not available, or is not the one that stylized the finished segments.
    """
    load = partial(load, may_change=True) if may_change and config.engine == "auto" else load
    if not manifest.segments:
        stylizer = load(config)
        manifest.engine, manifest.changes = engine_of(stylizer), []
        return stylizer
    before = manifest.engine_at(manifest.frames)
    if any(
        change["frame"] > manifest.frames for change in manifest.changes
    ):  # never written by us: states are lost first
        raise DeviceError(_unavailable(before, "another one took over from it in frames that are lost"))
    try:
        stylizer = load(replace(config, **{name: before[name] for name in ("engine", "precision", "device")}))
    except (DeviceError, ValueError) as error:
        raise DeviceError(_unavailable(before, str(error))) from error
    now = engine_of(stylizer)
    if not _is_same(before, now):
        raise DeviceError(_unavailable(before, f"this run would use {_text(now)}"))
    if "code" in now and "code" not in before:
        manifest.changes.append({"frame": manifest.frames, "engine": now})
    return stylizer


def record_engine(manifest: Manifest, changed: Mapping[str, str] | None) -> None:
    """Record in ``manifest`` which engine stylized the next segment, if it is another than before.

    Args:
        manifest: without the segment.
        changed: name and code of the engine; None if it is the one that the stylizer started with.
    """
    before = manifest.engine_at(manifest.frames)
    if changed is not None and changed["engine"] != before["engine"]:
        known = {name: value for name, value in changed.items() if value}
        same = {name: value for name, value in before.items() if name != "code"}
        manifest.changes.append({"frame": manifest.frames, "engine": same | known})


def _is_same(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Return whether two engines give the same frames; code that is unknown in either is not compared."""
    compared = (before.keys() | now.keys()) - (set() if "code" in before and "code" in now else {"code"})
    return all(before.get(name) == now.get(name) for name in compared)


def _unavailable(engine: Mapping[str, Any], reason: str) -> str:
    finished = f"the finished frames were stylized with {_text(engine)}, which is not available now ({reason})"
    return f"{finished}: make it available, or start from scratch with --fresh"


def _text(engine: Mapping[str, Any]) -> str:
    gpu = f" ({engine['gpu']})" if "gpu" in engine else ""
    text = f"{engine['engine']} {engine['precision']} on {engine['device']}{gpu}"
    text += f" by {engine['code']}" if "code" in engine else ""
    workers, rows = engine.get("workers"), engine.get("strip_rows")
    return text + (f" in {workers} workers" if workers else "") + (f" in strips of {rows} rows" if rows else "")
