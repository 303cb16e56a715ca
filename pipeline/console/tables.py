"""What commands print of their results."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import printable
from pipeline.train.shared_options import checkpoint_of, preview_of

if TYPE_CHECKING:
    from models.registry import StyleMetadata
    from pipeline.batch.plan import BatchPlan, Step
    from pipeline.console.benchmark import Measurement
    from pipeline.console.doctor import Finding
    from pipeline.export.export import ExportSummary
    from pipeline.image.pattern import PatternSummary
    from pipeline.image.summary import ImageSummary
    from pipeline.live.capture.camera_list import Camera
    from pipeline.live.statistics import LiveSummary
    from pipeline.summary import Summary
    from pipeline.train.config import TrainConfig
    from pipeline.train.train import TrainSummary

WHY_TRAINING_ENDED = {
    "minutes": " (the time is used up; --minutes gives more)",
    "plateau": " (ended early: validation no longer improved)",
    "worse": " (ended early: validation became worse)",
}


def print_styles(styles: Sequence["StyleMetadata"]) -> None:
    """Print a line for each style."""
    rows = [("name", "artwork", "artist", "year", "licence")]
    rows += [(style.name, style.painting, style.painter, style.year, style.licence) for style in styles]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(f"{text:{width}}" for text, width in zip(row, widths, strict=True)).rstrip())
    print("Try one: flowbrush video INPUT OUTPUT --style NAME")


def print_cameras(cameras: Sequence["Camera"]) -> None:
    """Print each camera with its sizes and rates."""
    for camera in cameras:
        print(f"{camera.index}  {camera.name}  ({camera.device})")
        for mode in camera.modes:
            rates = ", ".join(f"{fps:g}" for fps in mode.fps)
            print(f"   {mode.width}x{mode.height}" + (f"  {rates} fps" if rates else ""))
    if not cameras:
        print(
            "No camera was found. Connect one, and close programs that use it; on Linux, add your user to the group "
            "video. Without a camera: flowbrush live screen, a URL, or FILE --realtime."
        )


def print_findings(findings: Sequence["Finding"]) -> None:
    """Print what works on this machine, and a remedy for what does not."""
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        print(f"{'ok' if finding.works else '--'}  {finding.name:{width}}  {finding.detail}")
        if finding.remedy:
            print(f"    {'':{width}}  -> {finding.remedy}")


def print_speed(measured: Sequence["Measurement"]) -> None:
    """Print the speed of each engine at each size, and what else could be measured."""
    print("engine    precision  size       frames a second  first frame")
    for each in measured:
        size = f"{each.width}x{each.height}"
        print(f"{each.engine:9} {each.precision:10} {size:10} {each.fps:15.3g}  {each.first_frame_seconds:9.1f} s")
    if all(each.engine != "compile" for each in measured):
        print(
            "--engine compile measures the fastest one, which long clips use; the first time it compiles for a minute."
        )


def print_plan(planned: "BatchPlan") -> None:
    """Print what a batch would do, a line for each clip."""
    from pipeline.batch.report import format_duration
    from pipeline.resume.disk_space import size_text

    whole = planned.event()
    for step in planned.steps:
        print(printable(_planned_clip(step)))
    for line in planned.notes:
        print(printable(f"note: {line}"))
    ignored = f"; {whole.ignored} other files are not videos" if whole.ignored else ""
    print(f"{whole.clips} outputs, {whole.done} of them done; {whole.frames} frames to stylize", end=", ")
    print(f"about {format_duration(whole.seconds)} and {size_text(whole.bytes)}{ignored}")


def _planned_clip(step: "Step") -> str:
    from pipeline.batch.plan import estimate_seconds
    from pipeline.batch.report import format_duration
    from pipeline.resume.disk_space import size_text

    clip = step.clip
    if clip.error is not None:
        return f"{step.job.name}: cannot be read: {clip.error}"
    frames = f"{clip.frames} frames" if clip.frames else "unknown number of frames"
    what = "done" if step.is_done else f"about {format_duration(estimate_seconds(step))}, {size_text(step.bytes)}"
    return f"{step.job.name}: {clip.width}x{clip.height}, {frames}: {what}"


def video_line(summary: "Summary") -> str:
    """Return a line on a stylized clip."""
    return f"{summary.output}: {summary.frames} frames at {summary.fps:.1f} fps, {summary.style}, {summary.engine}"


def image_line(summary: "ImageSummary") -> str:
    """Return a line on stylized pictures."""
    first, *more = summary.pictures
    if not more:
        bits = ", 16 bits" if first.bits == 16 else ""
        return f"{first.output}: {first.width}x{first.height}{bits} in {first.seconds:.1f} s, {summary.style}"
    counts = {"stylized": "stylized", "exists": "kept", "failed": "failed"}
    words = [f"{count} {word}" for name, word in counts.items() if (count := summary.count(name))]  # type: ignore[arg-type]
    return f"{len(summary.pictures)} pictures: {', '.join(words)}, {summary.style}, {summary.seconds:.1f} s"


def pattern_line(summary: "PatternSummary") -> str:
    """Return a line on a texture."""
    size = f"{summary.width}x{summary.height}"
    return f"{summary.output}: {size} after {summary.steps} steps in {summary.seconds:.1f} s; {summary.reason}"


def live_line(summary: "LiveSummary") -> str:
    """Return a line on a live session."""
    if not summary.delivered or summary.fps is None:
        return f"{summary.captured} frames captured, {summary.delivered} shown"
    latency = summary.latency_ms
    return (
        f"{summary.delivered} frames at {summary.fps:.1f} fps, {summary.dropped} dropped; "
        f"latency {latency['p50']:.0f} ms, 95 % within {latency['p95']:.0f} ms; {summary.engine}"
    )


def export_line(summary: "ExportSummary") -> str:
    """Return a line on an export."""
    from pipeline.export.export import describe
    from pipeline.resume.disk_space import size_text

    size = "any size" if summary.size is None else f"{summary.size[1]}x{summary.size[0]}"
    what = f"{summary.style}, {size}, {summary.precision}, {size_text(summary.bytes)}"
    checked = f"differs from PyTorch by {describe(summary.difference)} (allowed: {describe(summary.tolerance)})"
    return f"{summary.output}: {what}; {checked}"


def partial_training(output: Path) -> str:
    """Return what an interrupted training leaves."""
    checkpoint = checkpoint_of(output)
    if checkpoint.exists():
        return f"{checkpoint} has the progress so far; --resume continues"
    return "no step was finished, so there is no checkpoint"


def training_line(result: "TrainSummary") -> str:
    """Return a line on a training."""
    took = f"{result.steps} steps in {result.seconds / 60:.1f} minutes{WHY_TRAINING_ENDED.get(result.ended, '')}"
    judges = " and ".join(result.loss_networks)
    return f"{result.output}: {took}, judged by {judges}; see {preview_of(result.output)}"


def try_line(config: "TrainConfig") -> str:
    """Return a line with a command that uses the first of the trained styles."""
    from pipeline.train.data import CLIP_ENDINGS

    first = f"#{next(iter(config.paintings))}" if len(config.paintings) > 1 else ""
    example = next((str(path) for path in config.content if path.suffix.lower() in CLIP_ENDINGS), "INPUT.mp4")
    command = ["flowbrush", "video", example, "stylized.mp4", "--style", f"{config.output}{first}"]
    return f"Try it: {shlex.join(command)}"
