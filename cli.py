"""The command line: flags -> config -> run -> exit code. The only module that prints."""

import inspect
import io
import json
import logging
import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

# Threads that spin at OpenMP's barriers starve the decoder and the encoder; read when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import typer

from pipeline.arguments import read_paintings, read_seconds
from pipeline.console.batch_view import BatchView
from pipeline.console.progress_bar import Bar
from pipeline.errors import DAMAGED_INPUT, notes_of, printable
from pipeline.process import ends_soon, keep_freed_memory, launched_at, set_up_logging

if TYPE_CHECKING:
    from pipeline.batch.events import Event
    from pipeline.batch.plan import BatchPlan
    from pipeline.config import EncodeConfig
    from pipeline.live.statistics import LiveSummary
    from pipeline.train.train import Trained

USAGE, INTERRUPTED = 2, 130

Precision = Annotated[
    Literal["auto", "fp32", "bf16", "fp16"],
    typer.Option(help="Of the network; auto takes what the device is fast at."),
]
Engine = Annotated[
    Literal["auto", "eager", "compile", "openvino"],
    typer.Option(help="How the network runs; auto takes the fastest there is."),
]
Compare = Literal["side", "split"]
Stability = Annotated[
    Literal["none", "smooth", "flow"],
    typer.Option(help="What holds the paint still: smooth costs little; flow is stillest and slower."),
]
StrokeSize = Annotated[
    float, typer.Option(metavar="0.25..4", help="2 makes strokes twice as large, and is twice as fast.")
]
Streams = Literal["all", "audio", "none"]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object at the end.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print the result and errors only.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Print what happens inside.")]

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
        from pipeline.console.doctor import own_version

        print(f"flowbrush {own_version()}")
        raise typer.Exit


@app.command()
def video(
    source: Annotated[str, typer.Argument(metavar="INPUT", help="A video, GIF or animated WebP; - reads a pipe.")],
    target: Annotated[str, typer.Argument(metavar="OUTPUT", help="The ending names the container; - writes mkv.")],
    style: Annotated[
        str, typer.Option(metavar="NAME|FILE", help="A bundled style, a .safetensors file, FILE#NAME, or a:0.7,b:0.3.")
    ],
    style_end: Annotated[
        str | None, typer.Option(metavar="NAME|FILE", help="Fade to this style until the last frame.")
    ] = None,
    strength: Annotated[float, typer.Option(min=0, max=1, help="0 leaves the video as it is, 1 paints it.")] = 1.0,
    keep_colors: Annotated[
        bool, typer.Option("--keep-colors", help="Keep the video's colours; paint only light and dark.")
    ] = False,
    stroke_size: StrokeSize = 1.0,
    stability: Stability = "smooth",
    mask: Annotated[
        str | None, typer.Option(metavar="FILE", help="A picture or clip: white is painted, black stays as it was.")
    ] = None,
    height: Annotated[int | None, typer.Option(metavar="PX", help="Scale to this height; the width follows.")] = None,
    start: Annotated[str | None, typer.Option(metavar="T", help="Begin here: 83.5, 1:23.5 or 0:01:23.5.")] = None,
    duration: Annotated[str | None, typer.Option(metavar="T", help="Stylize only this long.")] = None,
    codec: Annotated[
        str, typer.Option(help="h264, h265, av1, vp9, prores, ffv1, an encoder's name, or auto: by the container.")
    ] = "auto",
    quality: Annotated[
        int | None, typer.Option(metavar="CRF", help="Constant quality, lower is better; each codec has its scale.")
    ] = None,
    preset: Annotated[
        str | None, typer.Option(metavar="NAME", help="The encoder's own balance of speed and size.")
    ] = None,
    device: Device = "auto",
    precision: Precision = "auto",
    engine: Engine = "auto",
    max_memory: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Stay within 4G or 500M; large frames are painted in strips.")
    ] = None,
    compare: Annotated[Compare | None, typer.Option(help="Show the original beside the painting.")] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="A damaged input is an error; else it is painted as far as it decodes.")
    ] = False,
    streams: Annotated[
        Streams, typer.Option(help="What comes along besides the picture: all that OUTPUT can hold, audio, or none.")
    ] = "all",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing output.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Throw away what an unfinished run has kept.")] = False,
    no_tag: Annotated[bool, typer.Option("--no-tag", help="Do not name flowbrush in the output's metadata.")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Paint a video: same frames, same times, same sound, new picture."""
    with _friendly(verbose):
        from pipeline.config import DecodeConfig, EncodeConfig, StylizeConfig, VideoConfig
        from pipeline.stylize.memory_budget import read_size

        with _usage():
            encode = EncodeConfig(codec=codec, quality=quality, preset=preset, overwrite=overwrite, streams=streams)
            _check_encoder(target, encode)
            config = VideoConfig(
                source=source,
                target=target,
                stylize=StylizeConfig(
                    style=style,
                    strength=strength,
                    device=device,
                    precision=precision,
                    engine=engine,
                    compare=compare,
                    style_end=style_end,
                    keep_colors=keep_colors,
                    stroke_size=stroke_size,
                    stability=stability,
                    max_memory=None if max_memory is None else read_size(max_memory),
                ),
                decode=DecodeConfig(
                    start_seconds=read_seconds(start),
                    duration_seconds=read_seconds(duration),
                    height=height,
                    strict=strict,
                ),
                encode=encode,
                mask=mask,
                tag=not no_tag,
                fresh=fresh,
            )
        from pipeline.resume.resumable import is_resumable
        from pipeline.resume.work_dir import describe_partial_output
        from pipeline.run import stylize_video

        bar = Bar("painting", quiet, say=_say)

        def at_last() -> None:
            left = describe_partial_output(target, is_fresh=fresh)
            bar.stop()
            _say(f"interrupted; {left or 'nothing of the output is kept'}")

        soon = ends_soon(at_last, INTERRUPTED) if is_resumable(config) else nullcontext()
        with soon, bar:
            summary = stylize_video(config, progress=bar.frames, notify=bar.note)
    if as_json:
        result = asdict(summary) | {"startup_seconds": round(summary.first_frame_at - launched_at(), 3)}
        print(json.dumps(result), file=sys.stderr if target == "-" else sys.stdout)
    elif not quiet:
        _say(f"{summary.output}: {summary.frames} frames at {summary.fps:.1f} fps, {summary.style}, {summary.engine}")
    if summary.damage:
        raise typer.Exit(DAMAGED_INPUT)


@app.command()
def live(
    style: Annotated[
        str, typer.Option(metavar="NAME|FILE", help="A bundled style, a .safetensors file, FILE#NAME, or a:0.7,b:0.3.")
    ],
    source: Annotated[
        str,
        typer.Argument(
            metavar="[SOURCE]", help="A camera's index or device, a URL, screen, a file; @FILE: it is in there."
        ),
    ] = "0",
    window: Annotated[
        bool | None, typer.Option("--window/--no-window", help="Show it. Default: where there is a display.")
    ] = None,
    virtual_camera: Annotated[
        bool, typer.Option("--virtual-camera", help="Be a camera for other programs, a video call for instance.")
    ] = False,
    record: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Record into this file, with sound; the ending names the kind.")
    ] = None,
    stream: Annotated[
        str | None, typer.Option(metavar="URL", help="Send it: rtmp, rtsp, udp; @FILE: the URL is in there.")
    ] = None,
    null: Annotated[bool, typer.Option("--null", help="Send it nowhere, to measure.")] = False,
    seconds: Annotated[float | None, typer.Option(metavar="N", help="End by itself after so long.")] = None,
    strength: Annotated[float, typer.Option(min=0, max=1, help="0 leaves the picture as it is, 1 paints it.")] = 1.0,
    keep_colors: Annotated[
        bool, typer.Option("--keep-colors", help="Keep the picture's colours; paint only light and dark.")
    ] = False,
    mirror: Annotated[bool, typer.Option("--mirror", help="Swap left and right.")] = False,
    stroke_size: StrokeSize = 1.0,
    stability: Stability = "smooth",
    fps_target: Annotated[
        float | None, typer.Option(metavar="FPS", help="Pictures a second. Default: the camera's, at most 30.")
    ] = None,
    latency_target: Annotated[
        float, typer.Option(metavar="MS", help="From camera to picture; the resolution follows.")
    ] = 100.0,
    height: Annotated[
        int | None, typer.Option(metavar="PX", help="Stylize and show at this height, whatever it takes.")
    ] = None,
    camera_size: Annotated[
        str | None, typer.Option(metavar="WxH", help="Ask the camera for this size: 1280x720.")
    ] = None,
    realtime: Annotated[bool, typer.Option("--realtime", help="Play a file at its own pace.")] = False,
    loop: Annotated[bool, typer.Option("--loop", help="Start the file again at its end.")] = False,
    clean: Annotated[bool, typer.Option("--clean", help="No figures in the window.")] = False,
    stills: Annotated[Path | None, typer.Option(metavar="FOLDER", help="For stills (key s). Default: here.")] = None,
    no_sound: Annotated[bool, typer.Option("--no-sound", help="Record and stream the picture alone.")] = False,
    microphone: Annotated[
        str | None, typer.Option(metavar="NAME", help="Whose sound. Default: the system's usual microphone.")
    ] = None,
    device: Device = "auto",
    precision: Precision = "auto",
    engine: Engine = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing recording.")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Paint a camera as it happens: in a window, a video call, a recording, a stream. Ctrl-C ends it."""
    with _friendly(verbose):
        from pipeline.config import StylizeConfig
        from pipeline.live.capture.address import read_address
        from pipeline.live.config import LiveConfig, read_size
        from pipeline.live.notices import Notices
        from pipeline.live.sinks.outputs import Outputs

        note = Notices(lambda line: None if quiet else _say(f"note: {line}"))
        with _usage():
            source = read_address(source)
            stream = stream and read_address(stream)
            outputs = Outputs(
                window=window,
                virtual_camera=virtual_camera,
                record=record,
                stream=stream,
                null=null,
                clean=clean,
                stills=stills,
                overwrite=overwrite,
                audio=not no_sound,
                microphone=microphone,
            )
            config = LiveConfig(
                source=source,
                stylize=StylizeConfig(
                    style=style,
                    device=device,
                    precision=precision,
                    engine=engine,
                    stroke_size=stroke_size,
                    stability=stability,
                ),
                camera_size=read_size(camera_size),
                height=height,
                fps_target=fps_target,
                latency_target_ms=latency_target,
                seconds=seconds,
                realtime=realtime,
                loop=loop,
            )
        from pipeline.live.capture.source import find_capture_device
        from pipeline.live.controls import Controls
        from pipeline.live.session import run_live
        from pipeline.live.sinks.outputs import check_record, make_audio, make_sinks
        from pipeline.live.style_mixer import style_names

        with _usage():
            check_record(outputs, source)
        live_device = find_capture_device(config)
        controls = Controls(
            style_names(style),
            strength=strength,
            keep_colors=keep_colors,
            mirror=mirror,
            recording=record is not None,
        )
        sound = make_audio(outputs, config, live_device, note)
        with _usage():
            sinks = make_sinks(outputs, controls, note, audio=sound is not None)
        summary = run_live(config, sinks, controls, note, audio=sound, device=live_device)
    if as_json:
        print(json.dumps(asdict(summary)))
    elif not quiet:
        _say(_what_was_shown(summary))


@app.command()
def cameras(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False) -> None:
    """List the cameras of this machine, with their sizes and rates."""
    with _friendly():
        from pipeline.live.capture.camera_list import list_cameras

        found = list_cameras()
    if as_json:
        print(json.dumps({"cameras": [asdict(camera) for camera in found]}))
        return
    for camera in found:
        print(f"{camera.index}  {camera.name}  ({camera.device})")
        for mode in camera.modes:
            rates = ", ".join(f"{fps:g}" for fps in mode.fps)
            print(f"   {mode.width}x{mode.height}" + (f"  {rates} fps" if rates else ""))
    if not found:
        print(
            "No camera was found. Plug one in, close programs that have it; on Linux your user needs the group video. "
            "Without a camera: flowbrush live screen, a URL, or FILE --realtime."
        )


def _takes_options_of(other: Callable[..., None], *but: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorator: a command takes the options of ``other`` too, as keywords, apart from those named in ``but``."""

    def extended(command: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(command)
        taken = [name for name, parameter in own.parameters.items() if parameter.kind is not parameter.VAR_KEYWORD]
        others = inspect.signature(other).parameters
        parameters = [own.parameters[name] for name in taken]
        parameters += [parameter for name, parameter in others.items() if name not in (*but, *taken)]
        command.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return command

    return extended


@app.command()
@_takes_options_of(video, "source", "target", "as_json")
def batch(
    inputs: Annotated[
        list[str],
        typer.Argument(metavar="INPUT...", help="Clips, folders, patterns, a job file (.toml, .csv), or - for a list."),
    ],
    output: Annotated[Path, typer.Option(metavar="FOLDER", help="Where the paintings go, folders kept as they are.")],
    style: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME[,NAME...]", help="Paint in each of these; a:0.7,b:0.3 is one blend; repeatable."),
    ] = None,
    name: Annotated[
        str,
        typer.Option(metavar="TEMPLATE", help="Of the outputs: {stem}, {style}, {suffix} and {ending} of the clip."),
    ] = "{stem}_{style}{suffix}",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be done, with frames, time and space; do nothing.")
    ] = False,
    keep_going: Annotated[
        bool, typer.Option("--keep-going/--no-keep-going", help="Whether one that fails leaves the others alone.")
    ] = True,
    watch: Annotated[bool, typer.Option("--watch", help="Keep looking for new clips in the folders.")] = False,
    workers: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Processes that paint, long clips in parts. Default: one a GPU, else 1."),
    ] = None,
    json_lines: Annotated[bool, typer.Option("--json-lines", help="Print what happens, one JSON object a line.")] = (
        False
    ),
    quiet: Quiet = False,
    verbose: Verbose = False,
    **of_video: Any,
) -> None:
    """Paint many clips: what is done is skipped, what was interrupted goes on, what fails is reported."""
    with _friendly(verbose):
        from pipeline.batch.jobs import BatchConfig
        from pipeline.batch.options import read_styles
        from pipeline.batch.runner import is_busy
        from pipeline.batch.session import plan, run_batch

        view = BatchView(quiet, say=_say, show=_json_lines() if json_lines else None)
        with _usage():
            chosen = read_styles(style or ())
            config = BatchConfig(
                inputs=tuple(inputs),
                output=output,
                styles=chosen,
                name=name,
                options=of_video,
                keep_going=keep_going,
                watch=watch,
                workers=workers,
            )
        left = "nothing was begun"
        with Bar("looking at", quiet, say=_say, left=lambda: left, first="looking for clips") as bar, _usage():
            planned = plan(config, looked_at=lambda done, total: bar.counts(done, total, "clips"))
        if dry_run:
            _print_plan(planned, view)
            return
        try:
            with ends_soon(view.say_what_is_left, INTERRUPTED), view:
                ended = run_batch(config, planned, view, owns_process=True)
        except KeyboardInterrupt as error:
            _say(f"interrupted{notes_of(error)}")
            if is_busy():  # in the middle of something long, which a kill leaves whole
                sys.stdout.flush()
                os._exit(INTERRUPTED)
            raise typer.Exit(INTERRUPTED) from None
    view.print_table(ended)
    if ended.failed or ended.left:
        raise typer.Exit(1)


def _json_lines() -> "Callable[[Event], None]":
    """Prints events; when nobody reads them any more, or the disk is full, the batch goes on without."""
    from pipeline.batch.events import as_json

    is_read = True

    def show(event: "Event") -> None:
        nonlocal is_read
        if not is_read:
            return
        try:
            print(json.dumps(as_json(event)), flush=True)
        except OSError as error:
            is_read = False
            with suppress(OSError):  # what is still to be written would fail once more at the end
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            _say(f"note: what happens is not printed any more ({error.strerror}); the batch goes on")

    return show


def _print_plan(planned: "BatchPlan", view: "BatchView") -> None:
    """What a batch would do, a line a clip."""
    from pipeline.batch.events import Noted
    from pipeline.batch.plan import seconds_for
    from pipeline.batch.report import length
    from pipeline.resume.disk_space import size_text

    whole = planned.event()
    view(whole)
    if view.shows_json:
        for line in planned.notes:
            view(Noted(None, line))
        return
    for step in planned.steps:
        clip = step.clip
        if clip.fault is not None:
            print(printable(f"{step.job.name}: cannot be read: {clip.fault}"))
            continue
        frames = f"{clip.frames} frames" if clip.frames else "frames not known"
        what = "done" if step.is_done else f"about {length(seconds_for(step))}, {size_text(step.bytes)}"
        print(printable(f"{step.job.name}: {clip.width}x{clip.height}, {frames}: {what}"))
    for line in planned.notes:
        print(printable(f"note: {line}"))
    ignored = f"; {whole.ignored} other files are no video" if whole.ignored else ""
    print(f"{whole.clips} outputs, {whole.done} of them done; {whole.frames} frames to paint", end=", ")
    print(f"about {length(whole.seconds)} and {size_text(whole.bytes)}{ignored}")


@app.command()
def styles(
    preview: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw all styles on one frame into this picture.")
    ] = None,
    clip: Annotated[str | None, typer.Option(metavar="FILE", help="Whose frame; default: a sample clip.")] = None,
    at: Annotated[str | None, typer.Option(metavar="T", help="Which frame; default: in the middle.")] = None,
    style_file: Annotated[
        list[str] | None, typer.Option(metavar="FILE", help="Show the styles of this file too; may be repeated.")
    ] = None,
    device: Device = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing preview.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the bundled styles, or draw them on a frame of your own clip."""
    if preview is not None:
        _preview(preview, clip, at, style_file or [], device, overwrite, as_json)
        return
    with _friendly():
        from pipeline.stylize.style import bundled_styles

        with _usage():
            if clip or at or style_file:
                raise ValueError("--clip, --at and --style-file belong to --preview")
        cards = bundled_styles()
    if as_json:
        print(json.dumps({"styles": [asdict(card) for card in cards]}))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("name", "painting", "painter", "year", "licence", "measured", box=None, pad_edge=False)
    for card in cards:
        figures = "  ".join(f"{name} {value:g}" for name, value in card.figures.items())
        table.add_row(card.name, card.painting, card.painter, card.year, card.licence, figures)
    Console().print(table)
    print("Try one: flowbrush video INPUT OUTPUT --style NAME")


def _preview(
    target: Path, clip: str | None, at: str | None, files: list[str], device: str, overwrite: bool, as_json: bool
) -> None:
    with _friendly():
        from pipeline.console.gallery_picture import PreviewConfig, draw_preview

        with _usage():
            config = PreviewConfig(
                target=target,
                clip=clip,
                at_seconds=read_seconds(at),
                style_files=files,
                device=device,
                overwrite=overwrite,
            )
        with Bar("painting", as_json, say=_say) as bar:
            tiles = draw_preview(config, progress=lambda done, total: bar.counts(done, total, "tiles"))
    if as_json:
        print(json.dumps({"preview": str(target), "tiles": tiles}))
    else:
        _say(f"{target}: {tiles} tiles, the original first")


@app.command()
def evaluate(
    original: Annotated[str, typer.Argument(metavar="ORIGINAL", help="The clip that was painted; - reads a pipe.")],
    stylized: Annotated[str, typer.Argument(metavar="STYLIZED", help="What was made of it, frame by frame.")],
    painting: Annotated[
        Path | None, typer.Option(metavar="IMAGE", help="The painting; without it there is no style score.")
    ] = None,
    loss_weights: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Weights of a loss network. Default: torchvision's VGG-19.")
    ] = None,
    frames: Annotated[
        int, typer.Option(metavar="N", min=0, help="Compare about N pairs, spread over the clip; 0 compares all.")
    ] = 300,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Draw the flicker over time, with the scene cuts.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing plot.")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Measure a painted clip: how still, how much like the painting, how much of the scene is left.

    e_stab = sqrt(mean over pairs of mean(M * (O_t - W(O_(t-1)))^2) / mean(M)), pixels in 0..1; lower is stiller.
    W follows the optical flow of ORIGINAL; the mask M leaves out what is hidden, seams of motion and the border.

    E_warp is the same without the root. Both are given for neighbouring frames and for frames 10 apart; the e_stab of
    ORIGINAL itself stands beside them: wrong flow and noise, the least that can be reached.

    style = mean over VGG-19 relu1_1, relu2_1, relu3_1 of |G(O) - G(painting)|^2 / |G(painting)|^2, G = F F' / (C H W).

    content = mean((F(O) - F(ORIGINAL))^2) / var(F(ORIGINAL)) at relu3_1; of both, lower is nearer.

    The scores stand together: less paint is stiller for free.
    """
    with _friendly(verbose):
        from pipeline.evaluate.evaluate import EvaluateConfig
        from pipeline.evaluate.evaluate import evaluate as run
        from pipeline.evaluate.plot import check_plot, write_plot
        from pipeline.evaluate.scores import figures

        with _usage():
            config = EvaluateConfig(
                original=original, stylized=stylized, painting=painting, loss_weights=loss_weights, frames=frames
            )
        if plot is not None:
            check_plot(plot, overwrite=overwrite)
        with Bar("measuring", quiet, say=_say, left=lambda: "nothing was measured to the end") as bar:
            scores = run(config, bar.counts, notify=bar.note)
        if plot is not None:
            write_plot(plot, scores)
    if as_json:
        result = asdict(scores)
        del result["curve"]
        print(json.dumps(result))
    else:
        print("\n".join(figures(scores)))


@app.command()
def train(
    paintings: Annotated[
        list[str], typer.Argument(metavar="PAINTING...", help="Pictures or clips; NAME=FILE names the style.")
    ],
    output: Annotated[Path, typer.Option(metavar="FILE", help="The weight file, .safetensors.")],
    content: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="PATH", help="Clips, photos or folders to practise on; repeatable. Default: sample clips."
        ),
    ] = None,
    minutes: Annotated[float | None, typer.Option(help="Time to train for. Default: 9 a painting.")] = None,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps in all. Default: 650 a painting.")] = None,
    stroke_size: Annotated[float, typer.Option(metavar="TIMES", help="2 gives strokes twice as large.")] = 1.0,
    stillness: Annotated[
        float, typer.Option(metavar="TIMES", min=0, help="2 weighs stillness twice as much: calmer, less paint.")
    ] = 1.0,
    start: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Weight file to begin with. Default: the bundled styles.")
    ] = None,
    from_scratch: Annotated[bool, typer.Option("--from-scratch", help="Start with random weights.")] = False,
    no_early_end: Annotated[
        bool, typer.Option("--no-early-end", help="Go on to the end even where nothing improves.")
    ] = False,
    loss_weights: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Weights of a loss network; may be repeated. Default: torchvision's VGG-19."),
    ] = None,
    painting_px: Annotated[
        int, typer.Option(metavar="PX", help="Short side at which the painting is seen at stroke size 1.")
    ] = 400,
    batch: Annotated[int, typer.Option(help="Pairs of frames a step.")] = 2,
    crop_px: Annotated[int, typer.Option(metavar="PX", help="Side of a crop.")] = 256,
    style_weight: Annotated[float, typer.Option(help="Weight of the likeness to the painting.")] = 14.0,
    content_weight: Annotated[float, typer.Option(help="Weight of the likeness to the photo.")] = 0.7,
    variation_weight: Annotated[float, typer.Option(help="Weight of smoothness.")] = 2.0,
    network_rate: Annotated[
        float | None, typer.Option(metavar="SHARE", help="Of the rate, for the network. Default: 0.3; from scratch 1.")
    ] = None,
    vectors_first: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="Of the run, for the style alone. Default: 0.2; from scratch 0."),
    ] = None,
    preview_every: Annotated[int, typer.Option(metavar="N", help="Steps between validation, preview, checkpoint.")] = (
        50
    ),
    cards: Annotated[
        Path | None, typer.Option(metavar="FILE", help="JSON of painting, painter, year, status by style name.")
    ] = None,
    licence: Annotated[str, typer.Option(help="Licence of the weights, written into the file.")] = "not stated",
    device: Device = "auto",
    no_compile: Annotated[bool, typer.Option("--no-compile", help="Do without torch.compile.")] = False,
    seed: Annotated[int, typer.Option(help="Of crops and first weights.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint beside the output.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing output.")] = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Learn a style of your own from a painting, in minutes; several make one weight file."""
    with _friendly(verbose):
        from models.registry import BUNDLED
        from pipeline.train.data import CLIP_ENDINGS
        from pipeline.train.train import TrainConfig
        from pipeline.train.train import train as run

        with _usage():
            if from_scratch and start is not None:
                raise ValueError("--start and --from-scratch exclude each other")
            config = TrainConfig(
                paintings=read_paintings(paintings),
                output=output,
                content=content or (),
                loss_weights=loss_weights or (),
                start=None if from_scratch else start or BUNDLED,
                cards=cards,
                licence=licence,
                painting_px=painting_px,
                stroke_size=stroke_size,
                steps=steps,
                minutes=minutes,
                batch=batch,
                crop_px=crop_px,
                style_weight=style_weight,
                content_weight=content_weight,
                variation_weight=variation_weight,
                stillness=stillness,
                network_rate=network_rate,
                vectors_first=vectors_first,
                plateau=0 if no_early_end else None,
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
                return f"{config.checkpoint} keeps the work, --resume goes on"
            return "before the first step there is nothing to keep"

        with Bar("training", quiet, say=_say, left=left, first="reading, compiling") as bar:
            result = run(config, bar.steps, notify=bar.note)
    if not quiet:
        _say(f"{result.output}: {_what_was_done(result)}; look at {config.preview}")
        first = f"#{next(iter(config.paintings))}" if len(config.paintings) > 1 else ""
        example = next((str(path) for path in config.content if path.suffix.lower() in CLIP_ENDINGS), "INPUT.mp4")
        command = ["flowbrush", "video", example, "painted.mp4", "--style", f"{result.output}{first}"]
        _say(f"Try it: {shlex.join(command)}")


@app.command()
def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False) -> None:
    """Tell what works on this machine, and what to install for more."""
    with _friendly():
        from pipeline.console.doctor import examine

        findings = list(examine())
    if as_json:
        print(json.dumps({"findings": [asdict(finding) for finding in findings]}))
        return
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        print(f"{'ok' if finding.works else '--'}  {finding.name:{width}}  {finding.detail}")
        if finding.remedy:
            print(f"    {'':{width}}  -> {finding.remedy}")


@contextmanager
def _friendly(verbose: bool = False) -> Iterator[None]:
    """What a user can mend ends in one line and an exit code; a bug keeps its traceback."""
    from pipeline.errors import PipelineError

    set_up_logging(logging.DEBUG if verbose else logging.ERROR)
    signal.signal(signal.SIGTERM, _terminated)
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup ignores it
        signal.signal(signal.SIGHUP, _terminated)
    try:
        yield
    except PipelineError as error:
        _fail(f"{error}{notes_of(error)}", error.exit_code)
    except KeyboardInterrupt as error:
        _say(f"interrupted{notes_of(error)}")
        raise typer.Exit(INTERRUPTED) from None


@contextmanager
def _usage() -> Iterator[None]:
    """A value that an option does not take is a mistake in the usage."""
    try:
        yield
    except ValueError as error:
        _fail(f"{error}; see flowbrush --help", USAGE)


def _check_encoder(target: str, config: "EncodeConfig") -> None:
    """Codec, quality and preset exist; whether this container and machine can do them is found out later."""
    from pipeline.media.codecs import encoder_for, encoder_options
    from pipeline.media.containers import container_for

    try:
        container = container_for(target)
    except ValueError:
        return  # the plan says it, as an error of the output
    encoder_options(encoder_for(config.codec, container), config.quality, config.preset)


def _terminated(number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


def _fail(message: str, code: int) -> NoReturn:
    _say(f"flowbrush: {message.strip()}")
    raise typer.Exit(code)


def _say(line: str) -> None:
    if sys.stderr is not None:  # print takes None for standard output, which may be the video
        print(printable(line), file=sys.stderr)


def _what_was_done(result: "Trained") -> str:
    reasons = {
        "minutes": " (the time was used up; --minutes gives it more)",
        "plateau": " (ended early: it had stopped to improve)",
        "worse": " (ended early: validation grew worse)",
    }
    took = f"{result.steps} steps in {result.seconds / 60:.1f} minutes{reasons.get(result.ended, '')}"
    return f"{took}, judged by {' and '.join(result.loss_networks)}"


def _what_was_shown(summary: "LiveSummary") -> str:
    if not summary.delivered or summary.fps is None:
        return f"{summary.captured} pictures came, {summary.delivered} were shown"
    latency = summary.latency_ms
    return (
        f"{summary.delivered} pictures at {summary.fps:.1f} fps, {summary.dropped} dropped; "
        f"latency {latency['p50']:.0f} ms, 95 % within {latency['p95']:.0f} ms; {summary.engine}"
    )


def main() -> Any:
    """Entry point of the command ``flowbrush``."""
    keep_freed_memory()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name in the output, where the terminal knows ASCII alone
    return app()


if __name__ == "__main__":
    main()
