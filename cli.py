"""The commands. Their options are the fields of the configurations; their work is done by `pipeline`."""

import io
import json
import os
import sys
from contextlib import nullcontext, suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.batch.config import BatchConfig
from pipeline.config import VideoConfig
from pipeline.console.batch_view import BatchView
from pipeline.console.command import configured
from pipeline.console.config import BenchmarkConfig, PreviewConfig
from pipeline.console.json_lines import JsonLines
from pipeline.console.progress_bar import NO_PARTIAL_OUTPUT, Bar
from pipeline.console.tables import (
    export_line,
    image_line,
    live_line,
    partial_training,
    pattern_line,
    print_cameras,
    print_findings,
    print_speed,
    print_styles,
    training_line,
    try_line,
    video_line,
)
from pipeline.console.terminal import INTERRUPTED, say, usage_errors
from pipeline.errors import DAMAGED_INPUT, notes_of
from pipeline.evaluate.config import EvaluateConfig
from pipeline.export.config import ExportConfig
from pipeline.image.config import ImageConfig
from pipeline.image.pattern_config import PatternConfig
from pipeline.live.config import LiveConfig, SinkConfig
from pipeline.studio.config import StudioConfig
from pipeline.system.process import exit_on_signal, keep_freed_memory, launched_at, silence_pillow, use_safe_path
from pipeline.train.config import TrainConfig
from pipeline.train.predictor.config import PredictorTrainConfig

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print the result and errors only.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Log what happens inside.")]

app = typer.Typer(
    help="Turn a video into a moving painting: same frames, same timestamps, same audio.",
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
@configured
def video(config: VideoConfig, as_json: AsJson = False, quiet: Quiet = False, verbose: Verbose = False) -> None:
    """Stylize a video. Number of frames, timestamps and audio stay the same."""
    from pipeline.media.codecs import check_encoder
    from pipeline.resume.resumable import is_resumable
    from pipeline.resume.work_folder.work_dir import describe_partial_output
    from pipeline.run import stylize_video
    from pipeline.stylize.make import make_stylizer

    with usage_errors():
        check_encoder(config.target, config.encode)
    bar = Bar("stylizing", quiet)

    def report_end() -> None:
        bar.stop()
        say(f"interrupted; {describe_partial_output(config.target, is_fresh=config.fresh) or NO_PARTIAL_OUTPUT}")

    with exit_on_signal(report_end, INTERRUPTED) if is_resumable(config) else nullcontext(), bar:
        make = partial(make_stylizer, report=bar.optimized)
        stylize = partial(stylize_video, refining=bar.refinement, tracking=bar.tracked)
        summary = stylize(config, progress=bar.frames, notify=bar.note, make=make)
    if as_json:
        result = asdict(summary) | {"startup_seconds": round(summary.first_frame_at - launched_at(), 3)}
        print(json.dumps(result), file=sys.stderr if config.target == "-" else sys.stdout)
    elif not quiet:
        say(video_line(summary))
    if summary.damage:
        raise typer.Exit(DAMAGED_INPUT)


@app.command()
@configured
def image(config: ImageConfig, as_json: AsJson = False, quiet: Quiet = False, verbose: Verbose = False) -> None:
    """Stylize photos and other pictures, one or many, of any size. Metadata, transparency and 16 bits stay."""
    from pipeline.image.run import stylize_images
    from pipeline.stylize.make import make_stylizer

    with Bar("stylizing", quiet, left=lambda: "finished pictures are kept", first="reading") as bar, usage_errors():
        make = partial(make_stylizer, report=bar.optimized)
        summary = stylize_images(config, progress=bar.pictures, notify=bar.note, make=make)
    if as_json:
        print(json.dumps(summary.as_json()))
    elif not quiet:
        say(image_line(summary))
    if summary.count("failed"):
        raise typer.Exit(1)


@app.command()
@configured
def pattern(config: PatternConfig, as_json: AsJson = False, quiet: Quiet = False, verbose: Verbose = False) -> None:
    """Make a texture in the manner of a painting, for print, cloth or a 3D surface; seamless if it shall wrap."""
    from pipeline.image.pattern import make_pattern

    with Bar("optimizing", quiet, left=lambda: "no texture is written", first="reading") as bar, usage_errors():
        summary = make_pattern(config, report=bar.optimized, notify=bar.note)
    if as_json:
        print(json.dumps(asdict(summary)))
    elif not quiet:
        say(pattern_line(summary))


@app.command()
@configured
def live(
    config: LiveConfig, outputs: SinkConfig, as_json: AsJson = False, quiet: Quiet = False, verbose: Verbose = False
) -> None:
    """Stylize a camera live: in a window, a video call, a recording or a stream. Ctrl-C ends it."""
    from pipeline.live.capture.source import find_capture_device
    from pipeline.live.controls import Controls
    from pipeline.live.session import LiveSession
    from pipeline.live.sinks.outputs import check_sinks, make_audio, make_sinks
    from pipeline.live.stylize.style_mixer import style_names
    from pipeline.notices import Notices

    notify = Notices(lambda line: None if quiet else say(f"note: {line}"))
    with usage_errors():
        check_sinks(outputs, config.source)
    device = find_capture_device(config)
    controls = Controls(
        style_names(config.stylize.style, config.stylize.dials),
        strength=config.stylize.strength,
        keep_colors=config.stylize.keep_colors,
        mirror=config.mirror,
        recording=outputs.record is not None,
    )
    audio = make_audio(outputs, config, device, notify)
    with usage_errors():
        sinks = make_sinks(outputs, controls, notify, has_audio=audio is not None)
    summary = LiveSession(config, sinks, controls, notify, audio=audio, device=device).run()
    if as_json:
        print(json.dumps(asdict(summary)))
    elif not quiet:
        say(live_line(summary))


@app.command()
@configured
def studio(config: StudioConfig, verbose: Verbose = False) -> None:
    """Stylize a webcam or a clip from a browser tab. Prints a link; Ctrl-C ends it, jobs resume at the next start."""
    from pipeline.studio.server import serve

    if serve(config, say):
        sys.stdout.flush()
        os._exit(0)  # torch aborts where Python ends during its work


@app.command()
@configured
def cameras(as_json: AsJson = False) -> None:
    """List the cameras of this machine, with their sizes and frame rates."""
    from pipeline.live.capture.camera_list import list_cameras

    found = list_cameras()
    if as_json:
        print(json.dumps({"cameras": [asdict(camera) for camera in found]}))
    else:
        print_cameras(found)


@app.command()
@configured
def batch(
    config: BatchConfig,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the clips with frames, time and disk space, and do nothing.")
    ] = False,
    json_lines: Annotated[bool, typer.Option("--json-lines", help="Print events, one JSON object a line.")] = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Stylize many clips: skip those that are done, resume those that were interrupted, report those that fail."""
    from pipeline.batch.runner import is_busy
    from pipeline.batch.session import plan, run_batch

    view = BatchView(quiet, emit=JsonLines() if json_lines else None)
    with Bar("reading", quiet, left=lambda: "nothing was started", first="looking for clips") as bar, usage_errors():
        planned = plan(config, progress=lambda done, total: bar.counts(done, total, "clips"))
    if dry_run:
        view.show_plan(planned)
        return
    try:
        with exit_on_signal(view.report_interruption, INTERRUPTED), view:
            ended = run_batch(config, planned, view, owns_process=True)
    except KeyboardInterrupt as error:
        if not is_busy():
            raise
        say(f"interrupted{notes_of(error)}")  # a thread is in the middle of something that may take long
        sys.stdout.flush()
        os._exit(INTERRUPTED)
    view.print_table(ended)
    if ended.failed or ended.left:
        raise typer.Exit(1)


@app.command()
@configured
def styles(
    config: PreviewConfig,
    preview: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Show one frame in every style, in this image.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the bundled styles, or show all of them on a frame of your own clip."""
    if preview is None:
        from pipeline.stylize.style import bundled_styles

        with usage_errors():
            if config.clip or config.at_seconds is not None or config.style_files or config.style_images:
                raise ValueError("--clip, --at, --style-file and --style-image belong to --preview")
        found = bundled_styles()
        if as_json:
            print(json.dumps({"styles": [asdict(style) for style in found]}))
        else:
            print_styles(found)
        return
    from pipeline.console.preview import draw_preview

    with Bar("stylizing", quiet=as_json) as bar:
        tiles = draw_preview(preview, config, progress=lambda done, total: bar.counts(done, total, "tiles"))
    if as_json:
        print(json.dumps({"preview": str(preview), "tiles": tiles}))
    else:
        say(f"{preview}: {tiles} tiles, the original first")


@app.command()
@configured
def evaluate(
    config: EvaluateConfig,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Draw flicker over time, with the scene cuts.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing plot.")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Measure a stylized clip: how stable it is, how close to the style image, and how much of the content it keeps.

    e_stab = sqrt(mean over pairs of mean(M * (O_t - W(O_(t-1)))^2) / mean(M)), pixels in 0..1; lower is more stable.
    W warps by the optical flow of ORIGINAL; the mask M leaves out occlusions, motion boundaries and the border.

    E_warp is the same without the root. Both are given for neighboring frames and for frames 10 apart, beside the
    e_stab of ORIGINAL: errors of the flow and noise, which is the lowest value that can be reached.

    style = mean over VGG-19 relu1_1, relu2_1, relu3_1 of |G(O) - G(image)|^2 / |G(image)|^2, G = F F' / (C H W).

    content = mean((F(O) - F(ORIGINAL))^2) / var(F(ORIGINAL)) at relu3_1. For both, lower is closer.

    strokes = style without color, for fine, middle and large strokes; share = how much of the way from ORIGINAL to the
    style image is gone, 1 is all; structure = the same at relu4_1; rank = place of the style image among --among.

    Read the scores together: a weaker style is always more stable.
    """
    from pipeline.evaluate.evaluate import evaluate as measure
    from pipeline.evaluate.plot import check_plot, write_plot
    from pipeline.evaluate.scores import figures

    if plot is not None:
        check_plot(plot, overwrite=overwrite)
    with Bar("measuring", quiet, left=lambda: "there are no scores yet") as bar:
        scores = measure(config, bar.counts, notify=bar.note)
    if plot is not None:
        write_plot(plot, scores)
    if as_json:
        print(json.dumps({name: value for name, value in asdict(scores).items() if name != "curve"}))
    else:
        print("\n".join(figures(scores)))


@app.command()
@configured
def train(config: TrainConfig, quiet: Quiet = False, verbose: Verbose = False) -> None:
    """Train styles of your own from images, in minutes; several go into one weight file."""
    from pipeline.train.train import train as learn

    with usage_errors():
        config.settings()
        config.weights()
    with Bar("training", quiet, left=lambda: partial_training(config.output), first="reading, compiling") as bar:
        result = learn(config, bar.steps, notify=bar.note)
    if not quiet:
        say(training_line(result))
        say(try_line(config))


@app.command()
@configured
def train_predictor(config: PredictorTrainConfig, quiet: Quiet = False, verbose: Verbose = False) -> None:
    """Train the network that turns any picture into a style, from folders of paintings; takes hours."""
    from pipeline.train.predictor.train import train_predictor as learn

    with usage_errors():
        config.settings()
        config.weights()
    with Bar("training", quiet, left=lambda: partial_training(config.output), first="reading, compiling") as bar:
        result = learn(config, bar.steps, notify=bar.note)
    if not quiet:
        say(training_line(result))


@app.command()
@configured
def export(config: ExportConfig, as_json: AsJson = False, quiet: Quiet = False, verbose: Verbose = False) -> None:
    """Write a style as an ONNX file for other programs, and check it against PyTorch first."""
    from pipeline.export.export import export as write

    with Bar("exporting", quiet, left=lambda: "nothing was written", first="tracing"):
        summary = write(config)
    if as_json:
        print(json.dumps(asdict(summary), default=str))
    elif not quiet:
        say(export_line(summary))


@app.command()
@configured
def benchmark(config: BenchmarkConfig, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Measure how fast this machine stylizes, at 360p, 720p and 1080p; takes about half a minute."""
    from pipeline.console.benchmark import measure, store
    from pipeline.console.doctor import cpu_class

    cpu = cpu_class()  # before the measurements, which set the number of threads
    with Bar("measuring", quiet or as_json, left=lambda: "nothing was measured") as bar:
        measured = list(measure(config, lambda done, total: bar.counts(done, total, "measurements")))
    with suppress(OSError):
        store(measured)
    if as_json:
        print(json.dumps({"cpu": cpu, "measurements": [asdict(each) for each in measured]}))
    else:
        print(f"cpu: {cpu}")
        print_speed(measured)


@app.command()
@configured
def doctor(as_json: AsJson = False) -> None:
    """Report what works on this machine, and what to install for more."""
    from pipeline.console.doctor import examine

    findings = list(examine())
    if as_json:
        print(json.dumps({"findings": [asdict(finding) for finding in findings]}))
    else:
        print_findings(findings)


def main() -> Any:
    """Run the command ``flowbrush``."""
    use_safe_path()
    keep_freed_memory()
    silence_pillow()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name that the terminal's encoding lacks
    return app()


if __name__ == "__main__":
    main()
