"""Small pictures of a clip, before and after."""

import io
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

from PIL import Image

from pipeline.atomic import write_in_place
from pipeline.config import DecodeConfig, VideoConfig
from pipeline.decode.decoder import decode
from pipeline.decode.source import open_source
from pipeline.errors import PipelineError

HEIGHT_PX = 108


def draw_thumbnails(config: VideoConfig, seconds: float | None, before: Path, after: Path) -> None:
    """Write the same moment, in the middle, of a clip and of its painting; what cannot be read is left out.

    Args:
        config: of the run that painted it.
        seconds: how long the painting plays; None shows the first frame.
        before: where the picture of the clip goes.
        after: where that of the painting goes.
    """
    middle = Fraction(seconds or 0) / 2
    begin = config.decode.start_seconds or Fraction(0)
    for path, moment, file in ((config.source, begin + middle, before), (config.target, middle, after)):
        with suppress(PipelineError, OSError, ValueError):
            picture = _thumbnail(path, moment)
            file.parent.mkdir(parents=True, exist_ok=True)
            write_in_place(str(file), picture)


def _thumbnail(path: str, moment: Fraction) -> bytes:
    """The frame of a clip at ``moment``, as JPEG.

    Raises:
        InputError: there is none.
    """
    part = DecodeConfig(start_seconds=moment or None, height=HEIGHT_PX, threads=1)
    with open_source(path, part, reads_along=False) as source:
        frame = next(decode(source))
        aspect = float(source.info.sample_aspect_ratio)
    image = Image.fromarray(frame.pixels)
    if aspect != 1:
        image = image.resize((max(round(image.width * aspect), 1), image.height))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=80)
    return file.getvalue()
