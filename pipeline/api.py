"""flowbrush as a library: stylize a clip, a folder, a picture, or frames in memory."""

from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from itertools import chain
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from pipeline.config import DecodeConfig, EncodeConfig, RefineConfig, StylizeConfig, VideoConfig
from pipeline.frames import Frame, Pixels

if TYPE_CHECKING:
    from pipeline.batch.events import Emit, Ended
    from pipeline.image.summary import PictureResult
    from pipeline.notices import Notify
    from pipeline.progress import ProgressCallback
    from pipeline.summary import Summary

Style: TypeAlias = "str | StylizeConfig"
"""A style as ``--style`` takes it, or a configuration with all controls."""


def stylize_clip(
    source: str | Path,
    target: str | Path,
    style: Style,
    *,
    refine: RefineConfig | None = None,
    decode: DecodeConfig | None = None,
    encode: EncodeConfig | None = None,
    progress: "ProgressCallback | None" = None,
    notify: "Notify | None" = None,
) -> "Summary":
    """Stylize a video, like ``flowbrush video``.

    After a failure or an interruption, the partial output is kept beside ``target``; the same call resumes it.

    Args:
        source: path of the video.
        target: path of the output; its extension selects the container.
        style: the style, or a configuration.
        refine: how to improve the style of a picture on the video first.
        decode: which part of the video to read, and how.
        encode: how to compress the output, and whether it may replace an existing file.
        progress: called after each stylized frame, in the calling thread.
        notify: called with each notice for the user, one line.

    Raises:
        PipelineError: see the subclasses in `pipeline.errors`.
        ValueError: an argument is wrong.
    """
    from pipeline.run import stylize_video

    config = VideoConfig(
        source=str(source),
        target=str(target),
        stylize=_config(style),
        refine=refine or RefineConfig(),
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
    """Stylize all clips of a folder and write a report, like ``flowbrush batch``.

    Clips that an earlier call finished are skipped. A clip that fails is retried once, after the others.

    Args:
        source: a folder, which is searched with its subfolders; or a file, a pattern or a job file.
        output: folder of the outputs, with the subfolders of ``source``; created if missing.
        style: the style; several are separated by commas.
        options: options of ``flowbrush video`` by name, such as ``{"strength": 0.8, "height": 360}``.
        workers: number of processes. With more than one, the calling script is imported again by each, so it must
            guard its own work with ``if __name__ == "__main__":``.
        emit: called with each event, a member of the union ``Event``, in the calling thread.

    Returns:
        The last event: the numbers of clips stylized, done before, failed and left, and the path of the report.

    Raises:
        PipelineError: the folder does not exist, or an output would replace another file.
        ValueError: an option is wrong.
    """
    from pipeline.batch.config import BatchConfig, read_styles
    from pipeline.batch.session import plan, run_batch

    config = BatchConfig(
        inputs=(str(source),),
        output=Path(output),
        styles=read_styles([style]),
        options=options or {},
        workers=workers,
    )
    return run_batch(config, plan(config), emit or (lambda event: None))


def stylize_image(
    source: str | Path,
    target: str | Path,
    style: Style,
    *,
    mask: str | Path | None = None,
    quality: int = 95,
    overwrite: bool = False,
    notify: "Notify | None" = None,
) -> "PictureResult":
    """Stylize a picture, like ``flowbrush image``: of any size, upright, in sRGB, with its metadata.

    Args:
        source: path of the picture.
        target: path of the output; its extension selects the format.
        style: the style, or a configuration without ``style_end``; its ``stability`` does not count.
        mask: picture that is white where to stylize, black where not; scaled to the size of ``source``.
        quality: of JPEG and WebP, 1 to 100.
        overwrite: whether to replace an existing output.
        notify: called with each notice for the user, one line.

    Returns:
        The size and the bits of the output, and how long it took.

    Raises:
        PipelineError: see the subclasses in `pipeline.errors`.
        ValueError: an argument is wrong.
    """
    from pipeline.image.config import ImageConfig
    from pipeline.image.run import stylize_images

    config = ImageConfig(
        inputs=(str(source),),
        output=str(target),
        stylize=_config(style),
        mask=None if mask is None else str(mask),
        quality=quality,
        overwrite=overwrite,
    )
    return stylize_images(config, notify=notify or (lambda line: None)).pictures[0]


def stylize_frames(frames: Iterable[Pixels], style: Style, *, fps: float | Fraction = 30) -> Iterator[Pixels]:
    """Stylize arrays as the frames of one clip, without reading or writing files.

    A few frames are read ahead of the one that is yielded. Each is copied when it is read, so ``frames`` may reuse
    its buffer. An exception from ``frames`` is raised after all frames before it have been yielded.

    Args:
        frames: ``(height, width, 3)`` RGB, uint8 or uint16, all of one shape and type. Views such as
            ``bgr[..., ::-1]`` and both byte orders are accepted. Scene cuts are detected.
        style: the style, or a configuration without ``style_end``.
        fps: frame rate, above 0.

    Returns:
        Stylized frames of the same shape and type, in the same order; wider if ``compare`` is ``side``.

    Raises:
        StyleError: the style does not exist, or its weights cannot be used.
        DeviceError: the device or the engine is not available, or there is too little memory.
        ValueError: the style fades, ``fps`` is wrong, or a frame has another shape or type.
    """
    config = _config(style)
    if config.style_end is not None:
        raise ValueError("a fade needs a known number of frames; leave style_end out")
    if not (isfinite(fps) and fps > 0):
        raise ValueError(f"fps must be a number above 0, not {fps}")
    return _stylized(iter(frames), config, 1 / Fraction(fps))


def _stylized(frames: Iterator[Pixels], config: StylizeConfig, time_base: Fraction) -> Iterator[Pixels]:
    from pipeline.stylize.make import make_stylizer

    arrays = map(_copied, frames)
    first = next(arrays, None)
    if first is None:
        return
    height, width, _ = first.shape
    stylizer = make_stylizer(config, height=height, width=width, is_16_bit=first.dtype.itemsize == 2)
    failure: Exception | None = None

    def items() -> Iterator[Frame]:
        nonlocal failure
        try:
            for number, pixels in enumerate(chain([first], arrays)):
                if (pixels.shape, pixels.dtype) != (first.shape, first.dtype):
                    came, was = (f"{each.shape} {each.dtype}" for each in (pixels, first))
                    raise ValueError(f"a frame is {came}, the first was {was}")
                yield Frame(pixels, number, time_base)
        except Exception as error:  # noqa: BLE001 - raised again after the frames before it
            failure = error

    for frame in stylizer(items()):
        yield frame.pixels
    if failure is not None:
        raise failure


def _copied(frame: Pixels) -> Pixels:
    """A contiguous copy of ``frame`` in native byte order."""
    import numpy as np

    pixels = np.array(frame, order="C")
    is_right = pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.dtype.name in ("uint8", "uint16")
    if not is_right or not pixels.size:
        raise ValueError(f"a frame is (height, width, 3), uint8 or uint16, not {pixels.shape} {pixels.dtype}")
    return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)


def _config(style: Style) -> StylizeConfig:
    return style if isinstance(style, StylizeConfig) else StylizeConfig(style=style)
