"""Thumbnails of a clip and of its output, for the report."""

import io
import logging
from fractions import Fraction
from pathlib import Path

from PIL import Image

from pipeline.batch.inputs.jobs import Job
from pipeline.config import DecodeConfig
from pipeline.decode.decoder import decode
from pipeline.decode.source import open_source
from pipeline.system.files.atomic import write_atomically
from pipeline.system.folders import make_private
from pipeline.workers.stored.job import is_stored

logger = logging.getLogger(__name__)

# Of a thumbnail at most, whatever the clip says about the shape of its pixels.
HEIGHT_PX, WIDTH_PX = 108, 432


def draw_thumbnails(job: Job, seconds: float | None, before: Path, after: Path) -> None:
    """Write thumbnails of the middle of a clip and of its output.

    A file that cannot be read gets none; that is no error.

    Args:
        job: the clip and its output.
        seconds: duration of the output in seconds; None for thumbnails of the first frame.
        before: path of the clip's thumbnail.
        after: path of the output's thumbnail.
    """
    config = job.config
    if is_stored(config):  # it would have to be downloaded
        return
    middle = Fraction(seconds or 0) / 2
    start = config.decode.start_seconds or Fraction(0)
    for path, moment, thumbnail in ((config.source, start + middle, before), (config.target, middle, after)):
        try:
            job.check_source()
            data = _thumbnail(path, moment)
            make_private(thumbnail.parent)
            write_atomically(str(thumbnail), data)
        except Exception:
            logger.debug("%s: no thumbnail", path, exc_info=True)


def _thumbnail(path: str, moment: Fraction) -> bytes:
    """Return the frame of a clip at ``moment`` as JPEG.

    Raises:
        InputError: the clip cannot be read.
    """
    config = DecodeConfig(start_seconds=moment or None, height=HEIGHT_PX, threads=1)
    with open_source(path, config, with_side_packets=False) as source:
        frame = next(decode(source))
        aspect = source.info.sample_aspect_ratio
    image = Image.fromarray(frame.pixels)
    width = image.width * aspect
    scale = min(WIDTH_PX / width, Fraction(1))
    size = max(round(width * scale), 1), max(round(image.height * scale), 1)
    if size != image.size:
        image = image.resize(size)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=80)
    return file.getvalue()
