"""Thumbnails of a clip and of its output, for the report."""

import io
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

from PIL import Image

from pipeline.config import DecodeConfig, VideoConfig
from pipeline.decode.decoder import decode
from pipeline.decode.source import open_source
from pipeline.errors import PipelineError
from pipeline.system.files import write_atomically

HEIGHT_PX = 108


def draw_thumbnails(config: VideoConfig, seconds: float | None, before: Path, after: Path) -> None:
    """Write thumbnails of the middle of a clip and of its output; files that cannot be read get none.

    Args:
        config: configuration of the run.
        seconds: duration of the output in seconds; None for thumbnails of the first frame.
        before: path of the clip's thumbnail.
        after: path of the output's thumbnail.
    """
    middle = Fraction(seconds or 0) / 2
    start = config.decode.start_seconds or Fraction(0)
    for path, moment, thumbnail in ((config.source, start + middle, before), (config.target, middle, after)):
        with suppress(PipelineError, OSError, ValueError):
            data = _thumbnail(path, moment)
            thumbnail.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(str(thumbnail), data)


def _thumbnail(path: str, moment: Fraction) -> bytes:
    """Return the frame of a clip at ``moment`` as JPEG.

    Raises:
        InputError: the clip cannot be read.
    """
    config = DecodeConfig(start_seconds=moment or None, height=HEIGHT_PX, threads=1)
    with open_source(path, config, with_side_packets=False) as source:
        frame = next(decode(source))
        aspect = float(source.info.sample_aspect_ratio)
    image = Image.fromarray(frame.pixels)
    if aspect != 1:
        image = image.resize((max(round(image.width * aspect), 1), image.height))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=80)
    return file.getvalue()
