"""The command line: flags -> config -> run -> exit code. The only module that prints."""

import ctypes
import json
import logging
import os
import platform
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

# Threads that spin at OpenMP's barriers starve the decoder and the encoder; read when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import typer

if TYPE_CHECKING:
    from models.training.trainer import Report
    from pipeline.config import EncodeConfig
    from pipeline.meter import Progress

USAGE, INTERRUPTED = 2, 130

Precision = Literal["auto", "fp32", "bf16", "fp16"]
Engine = Literal["auto", "eager", "compile", "openvino"]
Compare = Literal["side", "split"]

app = typer.Typer(
    help="Turn a video into a painting that moves: same frames, same times, same sound.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    if version:
        from pipeline.doctor import own_version

        print(f"flowbrush {own_version()}")
        raise typer.Exit


@app.command()
def video(
    source: Annotated[str, typer.Argument(metavar="INPUT", help="A video, GIF or animated WebP; - reads a pipe.")],
    target: Annotated[str, typer.Argument(metavar="OUTPUT", help="The ending names the container; - writes mkv.")],
    style: Annotated[
        str, typer.Option(metavar="NAME|FILE", help="A bundled style, a .safetensors file, or FILE#NAME.")
    ],
    strength: Annotated[float, typer.Option(min=0, max=1, help="0 leaves the video as it is, 1 paints it.")] = 1.0,
    height: Annotated[int | None, typer.Option(metavar="PX", help="Scale to this height; the width follows.")] = None,
    start: Annotated[str | None, typer.Option(metavar="T", help="Begin here: 83.5, 1:23.5 or 0:01:23.5.")] = None,
    duration: Annotated[str | None, typer.Option(metavar="T", help="Paint only this long.")] = None,
    codec: Annotated[
        str, typer.Option(help="h264, h265, av1, vp9, prores, ffv1, an encoder's name, or auto: by the container.")
    ] = "auto",
    quality: Annotated[
        int | None, typer.Option(metavar="CRF", help="Constant quality, lower is better; each codec has its scale.")
    ] = None,
    preset: Annotated[
        str | None, typer.Option(metavar="NAME", help="The encoder's own balance of speed and size.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    precision: Annotated[Precision, typer.Option(help="Of the network; auto takes what the device is fast at.")] = (
        "auto"
    ),
    engine: Annotated[Engine, typer.Option(help="How the network runs; auto takes the fastest there is.")] = "auto",
    compare: Annotated[Compare | None, typer.Option(help="Show the original beside the painting.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing output.")] = False,
    no_tag: Annotated[bool, typer.Option("--no-tag", help="Do not name flowbrush in the output's metadata.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object at the end.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Print what happens inside.")] = False,
) -> None:
    """Paint a video: same frames, same times, same sound, new picture."""
    with _friendly(verbose):
        from pipeline.config import DecodeConfig, EncodeConfig, StylizeConfig, VideoConfig

        with _usage():
            encode = EncodeConfig(codec, quality, preset, overwrite=overwrite)
            _check_encoder(target, encode)
            config = VideoConfig(
                source=source,
                target=target,
                stylize=StylizeConfig(style, strength, device, precision, engine, compare),
                decode=DecodeConfig(_seconds(start), _seconds(duration), height),
                encode=encode,
                tag=not no_tag,
            )
        from pipeline.run import stylize_video

        with _Bar("painting", quiet) as bar:
            summary = stylize_video(config, progress=bar.frames, notify=bar.note)
    if as_json:
        result = asdict(summary) | {"startup_seconds": round(summary.first_frame_at - _launched_at(), 3)}
        print(json.dumps(result), file=sys.stderr if target == "-" else sys.stdout)
    elif not quiet:
        _say(f"{summary.output}: {summary.frames} frames at {summary.fps:.1f} fps, {summary.style}, {summary.engine}")


@app.command()
def styles(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False) -> None:
    """List the bundled styles: name, painting, painter, licence, measured figures."""
    with _friendly():
        from pipeline.stylize import bundled_styles

        cards = bundled_styles()
    if as_json:
        print(json.dumps({"styles": [asdict(card) for card in cards]}, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("name", "painting", "painter", "year", "licence", "measured", box=None, pad_edge=False)
    for card in cards:
        figures = "  ".join(f"{name} {value:g}" for name, value in card.figures.items())
        table.add_row(card.name, card.painting, card.painter, card.year, card.licence, figures)
    Console().print(table)
    print("Try one: flowbrush video INPUT OUTPUT --style NAME")


@app.command()
def train(
    paintings: Annotated[list[str], typer.Argument(metavar="PAINTING...", help="Pictures; NAME=FILE names the style.")],
    content: Annotated[list[Path], typer.Option(metavar="FOLDER", help="Photos to practise on; may be repeated.")],
    output: Annotated[Path, typer.Option(metavar="FILE", help="The weight file, .safetensors.")],
    loss_weights: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Weights of a loss network; may be repeated. Default: torchvision's VGG-19."),
    ] = None,
    painting_px: Annotated[int, typer.Option(metavar="PX", help="Short side at which the painting is seen.")] = 400,
    steps: Annotated[int, typer.Option(help="Optimiser steps in all.")] = 2000,
    batch: Annotated[int, typer.Option(help="Crops a step.")] = 4,
    crop_px: Annotated[int, typer.Option(metavar="PX", help="Side of a crop.")] = 256,
    style_weight: Annotated[float, typer.Option(help="Weight of the likeness to the painting.")] = 6.0,
    content_weight: Annotated[float, typer.Option(help="Weight of the likeness to the photo.")] = 1.0,
    variation_weight: Annotated[float, typer.Option(help="Weight of smoothness.")] = 5.0,
    preview_every: Annotated[
        int, typer.Option(metavar="N", help="Steps between validation, preview, checkpoint.")
    ] = 100,
    cards: Annotated[
        Path | None, typer.Option(metavar="FILE", help="JSON of painting, painter, year, status by style name.")
    ] = None,
    licence: Annotated[str, typer.Option(help="Licence of the weights, written into the file.")] = "not stated",
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:N or mps.")] = "cpu",
    no_compile: Annotated[bool, typer.Option("--no-compile", help="Do without torch.compile.")] = False,
    seed: Annotated[int, typer.Option(help="Of crops and first weights.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint beside the output.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing output.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Print what happens inside.")] = False,
) -> None:
    """Learn new styles from paintings and photos, into one weight file."""
    with _friendly(verbose):
        from pipeline.train import TrainConfig
        from pipeline.train import train as run

        with _usage():
            config = TrainConfig(
                paintings=_named(paintings),
                content=content,
                output=output,
                loss_weights=loss_weights or (),
                cards=cards,
                licence=licence,
                painting_px=painting_px,
                steps=steps,
                batch=batch,
                crop_px=crop_px,
                style_weight=style_weight,
                content_weight=content_weight,
                variation_weight=variation_weight,
                validate_every=preview_every,
                device=device,
                compile=not no_compile,
                resume=resume,
                overwrite=overwrite,
                seed=seed,
            )
            config.settings()
            config.weights()

        def left() -> str:
            if config.checkpoint.exists():
                return f"; {config.checkpoint} keeps the work, --resume goes on"
            return " before the first step; there is nothing to keep yet"

        with _Bar("training", quiet, left=left) as bar:
            result = run(config, bar.steps(config.steps), notify=bar.note)
    if not quiet:
        early = " (stopped early: validation grew worse)" if result.stopped_early else ""
        _say(f"{result.output}: {result.steps} steps{early}; look at {config.preview}")
        first = f"#{next(iter(config.paintings))}" if len(config.paintings) > 1 else ""
        _say(f"Try it: flowbrush video INPUT OUTPUT --style {result.output}{first}")


@app.command()
def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False) -> None:
    """Tell what works on this machine, and what to install for more."""
    with _friendly():
        from pipeline.doctor import examine

        findings = list(examine())
    if as_json:
        print(json.dumps({"findings": [asdict(finding) for finding in findings]}))
        return
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        print(f"{'ok' if finding.works else '--'}  {finding.name:{width}}  {finding.detail}")
        if finding.remedy:
            print(f"    {'':{width}}  -> {finding.remedy}")


class _Bar:
    """Progress on standard error where that is a terminal; notices and the end of an interrupted run as lines.

    Args:
        verb: what is being done.
        quiet: show nothing.
        left: says, when an interruption happens, what it leaves behind.
    """

    def __init__(
        self, verb: str, quiet: bool, *, left: Callable[[], str] = lambda: "; nothing of the output is kept"
    ) -> None:
        self._quiet = quiet
        self._left = left
        self._verb = verb

    def __enter__(self) -> "_Bar":
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

        self._console = Console(stderr=True)
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[state]}"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=self._quiet or not self._console.is_terminal,
            refresh_per_second=5,
        )
        self._bar.start()
        self._task = self._bar.add_task("loading the network", total=None, state="")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        self._bar.stop()
        if isinstance(error, KeyboardInterrupt):
            _say(f"interrupted{self._left()}")
            raise typer.Exit(INTERRUPTED) from None

    def note(self, notice: str) -> None:
        """Say ``notice`` above the bar."""
        if not self._quiet:
            self._bar.stop()
            _say(f"note: {notice}")
            self._bar.start()

    def frames(self, state: "Progress") -> None:
        """Show where a painting stands."""
        of = f"/{state.total}" if state.total else ""
        text = f"{state.frames}{of} frames  {state.fps:.1f} fps  waits for {state.bottleneck}"
        total = max(state.total, state.frames) if state.total else None
        self._bar.update(self._task, description=self._verb, total=total, completed=state.frames, state=text)

    def steps(self, total: int) -> "Callable[[Report], None]":
        """Show where a training of ``total`` steps stands; a line for each validation."""

        def show(report: "Report") -> None:
            losses = "  ".join(f"{name} {value:.3f}" for name, value in report.losses.items())
            text = f"{report.step}/{total} steps  {losses}"
            self._bar.update(self._task, description=self._verb, total=total, completed=report.step, state=text)
            if report.validation is not None:
                held = "  ".join(f"{name} {value:.3f}" for name, value in report.validation.items())
                best = "  best so far, saved" if report.best else ""
                if not self._quiet:
                    self._bar.console.print(f"step {report.step}  validation: {held}{best}", highlight=False)

        return show


@contextmanager
def _friendly(verbose: bool = False) -> Iterator[None]:
    """What a user can mend ends in one line and an exit code; a bug keeps its traceback."""
    from pipeline.errors import PipelineError

    logging.basicConfig(level=logging.DEBUG if verbose else logging.ERROR, format="%(name)s: %(message)s")
    logging.getLogger("torch.utils.cpp_extension").disabled = not verbose  # speaks of CUDA where there is none
    signal.signal(signal.SIGTERM, _terminated)
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup ignores it
        signal.signal(signal.SIGHUP, _terminated)
    try:
        yield
    except PipelineError as error:
        _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        _fail("interrupted", INTERRUPTED)


@contextmanager
def _usage() -> Iterator[None]:
    """A value that an option does not take is a mistake in the usage."""
    try:
        yield
    except ValueError as error:
        _fail(f"{error}; see flowbrush --help", USAGE)


def _check_encoder(target: str, config: "EncodeConfig") -> None:
    """Codec, quality and preset exist; whether this container and machine can do them is found out later."""
    from pipeline.codecs import container_for, encoder_for, encoder_options

    try:
        container = container_for(target)
    except ValueError:
        return  # the plan says it, as an error of the output
    encoder_options(encoder_for(config.codec, container), config.quality, config.preset)


def _terminated(number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


def _fail(message: str, code: int) -> NoReturn:
    _say(f"flowbrush: {' '.join(message.split())}")
    raise typer.Exit(code)


def _say(line: str) -> None:
    if sys.stderr is not None:  # print takes None for standard output, which may be the video
        print(line, file=sys.stderr)


def _seconds(text: str | None) -> Fraction | None:
    """Exact seconds of ``83.5``, ``1:23.5`` or ``0:01:23.5``."""
    if text is None:
        return None
    parts = text.split(":")
    try:
        if not 1 <= len(parts) <= 3 or not all(part.replace(".", "", 1).isdigit() for part in parts):
            raise ValueError
        return sum((Fraction(part) * 60**power for power, part in enumerate(reversed(parts))), Fraction(0))
    except ValueError:
        raise ValueError(f"{text!r} is no time; write 83.5, 1:23.5 or 0:01:23.5") from None


def _named(paintings: list[str]) -> dict[str, Path]:
    """``NAME=FILE`` or ``FILE`` to a path by style name."""
    named: dict[str, Path] = {}
    for text in paintings:
        name, separator, file = text.partition("=")
        path = Path(file if separator else text)
        name = name if separator else path.stem.lower().replace("_", "-").replace(" ", "-")
        if name in named:
            raise ValueError(f"two paintings are named {name!r}; write NAME=FILE")
        named[name] = path
    return named


def _launched_at() -> float:
    """Wall-clock time at which this process began; where the system does not tell, when this module was loaded."""
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        uptime = float(Path("/proc/uptime").read_text().split()[0])
        return time.time() - uptime + int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        return _LOADED_AT


_LOADED_AT = time.time()


def _keep_freed_memory() -> None:
    """Let glibc reuse the large buffers of each frame instead of giving them back and having them cleared again.

    Without this the kernel clears 17 MB a frame at 640x360, a seventh of all the time. From mallopt(3):
    M_TRIM_THRESHOLD is -1, M_TOP_PAD -2, M_MMAP_THRESHOLD -3, M_ARENA_MAX -8.
    """
    if sys.platform == "linux" and platform.libc_ver()[0] == "glibc":
        mallopt = ctypes.CDLL(None).mallopt
        for parameter, value in ((-1, 2**31 - 1), (-2, 64 * 2**20), (-3, 2**30), (-8, 1)):
            mallopt(parameter, value)


def main() -> Any:
    """Entry point of the command ``flowbrush``."""
    _keep_freed_memory()
    return app()


if __name__ == "__main__":
    main()
