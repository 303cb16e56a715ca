"""What is measured, the most important first."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

# A GPU that shows a precision at all is asked for it in this order.
PRECISIONS = ("bf16", "fp16", "fp32")
ENGINES = ("eager", "graph", "compile", "compile-graph", "autotune")


@dataclass(frozen=True)
class Settings:
    """How much is measured.

    Attributes:
        device: ``cuda``, ``cuda:N``, or ``cpu`` to try the script itself.
        work: folder for clips and compiled code.
        style: bundled style.
        heights: of the frames for the network, in pixels; multiples of 4, at 16:9.
        precisions: of the network.
        engines: of the network; see `benchmarks.gpu.networks.graph_of`.
        count: frames that a median is over.
        parity_height: of the frames that are compared with those of the CPU.
        command_heights: of the clips for the command.
        frames: of the shortest clip of the command; smaller frames get longer clips.
        stage_height: of the frames for noise filter, frames in flight and live sessions.
        stage_frames: that these are measured over.
        sessions: number of live sessions at once.
        live_seconds: how long they run.
        training_steps: steps before the first measured one; twice as many are measured.
        crop: side of the images to train on, in pixels.
        backend: of torch.compile; another one than inductor needs no compiler, and is not worth a measurement.
    """

    device: str
    work: str
    style: str = "great-wave"
    heights: tuple[int, ...] = (1080, 360, 2160, 720)
    precisions: tuple[str, ...] = PRECISIONS
    engines: tuple[str, ...] = ENGINES
    count: int = 100
    parity_height: int = 360
    command_heights: tuple[int, ...] = (1080, 360, 2160)
    frames: int = 120
    stage_height: int = 1080
    stage_frames: int = 200
    sessions: int = 16
    live_seconds: float = 4.0
    training_steps: int = 20
    crop: int = 256
    backend: str = "inductor"

    @property
    def compiles(self) -> bool:
        """Whether what is compiled is worth a measurement."""
        return "compile" in self.engines and self.backend == "inductor"


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        name: at its beginning.
        seconds: that it takes, roughly; it is not started with less time left.
        kind: which function measures it; see `benchmarks.gpu.worker.MEASURE`.
        arguments: of that function.
    """

    name: str
    seconds: float
    kind: str
    arguments: dict[str, Any] = field(default_factory=dict)


def width_for(height: int) -> int:
    """Return the width of a frame of about 16:9, as `benchmarks.clips.width_for` does without PyAV."""
    return round(height * 16 / 9 / 4) * 4


def size(height: int) -> str:
    return f"{width_for(height)}x{height}"


def all_rows(settings: Settings) -> list[Row]:
    """Return the rows in the order in which they are measured: if time runs out, the last are left out."""
    main, *others = settings.heights
    quick = [name for name in ("eager", "graph") if name in settings.engines]
    slow = [name for name in settings.engines if name not in quick]
    rows = [Row("machine", 10, "machine")]
    rows += [_parity(settings, engine, precision) for engine in quick for precision in settings.precisions]
    rows += _networks(quick, settings.precisions, (main,))
    rows += _commands(settings, settings.command_heights[:1])
    rows += _stages(settings)
    rows += _networks(slow, settings.precisions[:1], (main,))
    rows += [_parity(settings, engine, settings.precisions[0]) for engine in slow if engine == "compile"]
    rows += _networks(quick, settings.precisions, others)
    rows += [_training(settings, is_compiled) for is_compiled in (False, True)[: 1 + settings.compiles]]
    rows += _commands(settings, settings.command_heights[1:])
    rows += [
        _parity(settings, engine, precision)
        for engine in slow
        for precision in settings.precisions[engine == "compile" :]
    ]
    rows += [_live(settings, "compile")] if settings.compiles else []
    rows += _networks(slow, settings.precisions[:1], others)
    return [*rows, *_networks(slow, settings.precisions[1:], settings.heights)]


def _networks(engines: list[str], precisions: tuple[str, ...], heights: Any) -> Iterator[Row]:
    for height in heights:
        for precision in precisions:
            for engine in engines:
                name = f"network {size(height)} {precision} {engine}"
                arguments = {"height": height, "precision": precision, "engine": engine}
                yield Row(name, _compile_seconds(engine) + 3 + height / 500, "network", arguments)


def _parity(settings: Settings, engine: str, precision: str) -> Row:
    arguments = {"precision": precision, "engine": engine}
    name = f"parity {size(settings.parity_height)} {precision} {engine}"
    return Row(name, _compile_seconds(engine) + 4, "parity", arguments)


def _stages(settings: Settings) -> Iterator[Row]:
    at = size(settings.stage_height)
    yield Row(f"parity of a clip {size(settings.parity_height)} smooth", 8, "clip_parity")
    yield Row(f"noise filter {at}", 5, "noise_filter")
    yield Row(f"samples to RGB {at}", 3, "colors")
    yield Row(f"RGB to samples {at}", 3, "to_samples")
    for count in (1, 2, 3):
        yield Row(f"{count} frames in flight {at} eager", 8, "in_flight", {"count": count})
    yield _live(settings, "eager")


def _live(settings: Settings, engine: str) -> Row:
    name = f"{settings.sessions} live sessions {size(settings.stage_height)} {engine}"
    seconds = 2 * settings.live_seconds + 5 + _compile_seconds(engine)
    return Row(name, seconds, "live", {"engine": engine})


def _commands(settings: Settings, heights: tuple[int, ...]) -> Iterator[Row]:
    for height in heights:
        for name, seconds, kind in (
            ("first run", 60, "command"),
            ("second run", 25, "command"),
            ("NVDEC, NVENC", 25, "hardware_command"),
        ):
            yield Row(f"command {size(height)} {name}", seconds, kind, {"height": height})


def _training(settings: Settings, is_compiled: bool) -> Row:
    name = f"training {settings.crop}x{settings.crop} {'compile' if is_compiled else 'eager'}"
    return Row(name, 60 if is_compiled else 20, "training", {"is_compiled": is_compiled})


def _compile_seconds(engine: str) -> float:
    """Return how long the compiler takes, roughly; `autotune` tries the kernels of each convolution."""
    return {"compile": 25, "compile-graph": 25, "autotune": 80}.get(engine, 0)
