"""flowbrush as a library: a clip, a folder, or pictures one after another."""

from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from itertools import chain
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from pipeline.config import DecodeConfig, EncodeConfig, StylizeConfig, VideoConfig
from pipeline.frames import Frame, Pixels

if TYPE_CHECKING:
    from pipeline.batch.events import Emit, Ended
    from pipeline.progress import ProgressCallback
    from pipeline.summary import Notify, Summary


Style: TypeAlias = "str | StylizeConfig"
"""A style as ``--style`` takes it, or all that can be said about painting."""


def stylize_clip(
    source: str | Path,
    target: str | Path,
    style: Style,
    *,
    decode: DecodeConfig | None = None,
    encode: EncodeConfig | None = None,
    progress: "ProgressCallback | None" = None,
    notify: "Notify | None" = None,
) -> "Summary":
    """Paint a video as ``flowbrush video`` does.

    What a failure or an interruption leaves lies beside ``target``, and is gone on with when the same is called again.

    Args:
        source: path of a video.
        target: path of the result; the ending names the container.
        style: to paint in.
        decode: which part of the video is read, and how.
        encode: how the result is compressed, and whether it may replace another file.
        progress: called after each painted frame, in the calling thread.
        notify: called with each thing that the user should know, one line.

    Raises:
        PipelineError: one of its kinds, see `pipeline.errors`.
        ValueError: an argument that makes no sense.
    """
    from pipeline.run import stylize_video

    config = VideoConfig(
        source=str(source),
        target=str(target),
        stylize=_config(style),
        decode=decode or DecodeConfig(),
        encode=encode or EncodeConfig(),
    )
    return stylize_video(config, progress=progress or (lambda state: None), notify=notify or (lambda line: None))


def stylize_folder(
    source: str | Path,
    output: str | Path,
    style: str,
    *,
    options: Mapping[str, object] | None = None,
    workers: int = 1,
    emit: "Emit | None" = None,
) -> "Ended":
    """Paint all clips of a folder, and write a report, as ``flowbrush batch`` does.

    Clips that were painted before are skipped; one that fails is tried once more, and leaves the others alone.

    Args:
        source: a folder, with all below it; or a file, a pattern, a job file.
        output: folder of the results, which keep the folders of ``source``; made where it is missing.
        style: to paint in; several with commas between.
        options: of ``flowbrush video`` by their names, as ``{"strength": 0.8, "height": 360}``.
        workers: processes that paint; more than one import the calling script again, which must guard what it does by
            ``if __name__ == "__main__":``.
        emit: called with each event, one of the union ``Event``, in the calling thread.

    Returns:
        How many clips were painted, were done before, failed and are left, and the path of the report: the last event.

    Raises:
        PipelineError: there is no such folder, or outputs would replace something.
        ValueError: an option that makes no sense.
    """
    from pipeline.batch.config import BatchConfig, read_styles
    from pipeline.batch.session import plan, run_batch

    styles = read_styles([style])
    config = BatchConfig(
        inputs=(str(source),), output=Path(output), styles=styles, options=options or {}, workers=workers
    )
    return run_batch(config, plan(config), emit or (lambda event: None))


def stylize_frames(frames: Iterable[Pixels], style: Style, *, fps: float | Fraction = 30) -> Iterator[Pixels]:
    """Paint pictures one after another, as the frames of a clip; nothing is read or written.

    Some frames are painted ahead of the one that is yielded. Each is copied when it is taken, so that ``frames`` may
    give the same array again with another picture in it. What ``frames`` raises comes after the paintings of what it
    gave before.

    Args:
        frames: ``(height, width, 3)`` RGB each, uint8 or uint16, all of one size; cuts are found. Views, as
            ``bgr[..., ::-1]``, and either byte order will do.
        style: to paint in; one that does not fade.
        fps: of the frames, above 0.

    Returns:
        Painted pictures of the same size and type, in the same order; ``compare`` shows both.

    Raises:
        StyleError: no such style, or its weights cannot be used.
        DeviceError: the device or the engine is not to be had, or the memory does not suffice.
        ValueError: a fade, whose end is not known; a rate that is none; or a picture of another shape or type.
    """
    config = _config(style)
    if config.style_end is not None:
        raise ValueError("frames without a known number cannot fade; leave style_end out")
    if not (isfinite(fps) and fps > 0):
        raise ValueError(f"fps must be a number above 0, not {fps}")
    return _stylized(iter(frames), config, 1 / Fraction(fps))


def _stylized(frames: Iterator[Pixels], config: StylizeConfig, time_base: Fraction) -> Iterator[Pixels]:
    from pipeline.stylize.stylizer import Stylizer

    pictures = map(_copied, frames)
    first = next(pictures, None)
    if first is None:
        return
    height, width, _ = first.shape
    stylizer = Stylizer(config, height=height, width=width, is_16_bit=first.dtype.itemsize == 2)
    failure: Exception | None = None

    def items() -> Iterator[Frame]:
        nonlocal failure
        try:
            for number, pixels in enumerate(chain([first], pictures)):
                if (pixels.shape, pixels.dtype) != (first.shape, first.dtype):
                    came, was = (f"{each.shape} {each.dtype}" for each in (pixels, first))
                    raise ValueError(f"a frame is {came}, the first was {was}")
                yield Frame(pixels, number, time_base)
        except Exception as error:  # noqa: BLE001 - raised again behind the frames that came before
            failure = error

    for frame in stylizer(items()):
        yield frame.pixels
    if failure is not None:
        raise failure


def _copied(picture: Pixels) -> Pixels:
    """The picture in memory of its own, rows one after another, in the byte order of this machine."""
    import numpy as np

    pixels = np.array(picture, order="C")
    is_right = pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.dtype.name in ("uint8", "uint16")
    if not is_right or not pixels.size:
        raise ValueError(f"a frame is (height, width, 3), uint8 or uint16, not {pixels.shape} {pixels.dtype}")
    return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)


def _config(style: Style) -> StylizeConfig:
    return style if isinstance(style, StylizeConfig) else StylizeConfig(style=style)
