"""The process that reads uploads and stylizes single frames, started by `pipeline.studio.render.stills`.

    {"do": "probe", "path"}                                  what the clip is
    {"do": "frame", "path", "seconds"}                       a frame as it is
    {"do": "preview", "path", "seconds", "settings", "files"}
                                                             a stylized frame; ``files`` are the weight files of styles
                                                             that are not bundled, by name
    {"do": "thumbnail", "settings"}                          a frame of a sample clip, stylized
    {"do": "picture", "path", "name", "label"}               the style of a picture: a weight file, then a thumbnail
    {"do": "prepare"}                                        nothing; the next picture needs less time

Each is answered by one message: what was asked for, a JPEG as its bytes, or ``error`` with one line.
"""

import io
import logging
from collections.abc import Mapping
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image

import sample_videos
from models.registry import LoadedStyle
from pipeline.config import LONGEST_SECONDS, DecodeConfig, StylizeConfig
from pipeline.decode.decoder import decode
from pipeline.decode.source import open_source
from pipeline.errors import InputError, PipelineError
from pipeline.frames import Pixels
from pipeline.studio.answers import line_of
from pipeline.studio.pictures.reading import ramp_style, read_style, with_inset
from pipeline.studio.render.processes.parent import Parent
from pipeline.studio.settings import ViewerSettings, read_settings
from pipeline.stylize.frame_stylizer import FrameControls, FrameStylizer
from pipeline.stylize.stabilizer import PreparedFrame
from pipeline.stylize.style import bundled_styles, load_style_settings

if TYPE_CHECKING:
    from models.engines.engine import Engine
    from models.network import StyleNetwork

logger = logging.getLogger(__name__)

NICENESS = 0  # somebody is waiting for the picture
# Frames are stylized at their own size, so that strokes are as wide as they will be; larger ones would take seconds.
MOST_PX = 1920 * 1080
# Of the JPEG; pages show frames at about this width.
WIDTH_PX, QUALITY = 1280, 88
SAMPLE_HEIGHT_PX = 270
# How far before its end the last frame of a clip is looked for.
_BEFORE_END_SECONDS = (Fraction(0), Fraction(1, 10), Fraction(1), Fraction(10))


class Still(NamedTuple):
    """A frame, and the width of its pixels over their height."""

    pixels: Pixels
    aspect: Fraction


class StillStylizer:
    """Stylizes single frames; keeps the network and the engine of the last one."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._network: StyleNetwork | None = None
        self._core: FrameStylizer | None = None
        self._engine = lru_cache(maxsize=4)(self._build)
        self._load = lru_cache(maxsize=16)(load_style_settings)

    def stylize(self, pixels: Pixels, settings: ViewerSettings) -> Pixels:
        """Return the frame ``(height, width, 3)`` stylized.

        Raises:
            PipelineError: the style, the device or the memory does not allow it.
        """
        style = self._load(settings.spec)
        controls = FrameControls(style.style(0.0), settings.strength, settings.keep_colors)
        return self._stylize(pixels, settings.spec, style.network, controls)

    def stylize_in(self, pixels: Pixels, style: LoadedStyle) -> Pixels:
        """Return the frame ``(height, width, 3)`` in a style.

        Raises:
            PipelineError: the device or the memory does not allow it.
        """
        return self._stylize(pixels, style.metadata.name, style.network, FrameControls(style.style))

    def _stylize(self, pixels: Pixels, spec: str, network: "StyleNetwork", controls: FrameControls) -> Pixels:
        if self._core is None or network != self._network:
            config = StylizeConfig(style=spec, device=self._device, engine="eager", stability="none")
            self._network, self._core = network, FrameStylizer(network, config, logger.debug)
            self._engine.cache_clear()
        engine = self._engine(pixels.shape[0], pixels.shape[1])
        return self._core.stylize(PreparedFrame(pixels), controls, engine).pixels

    def _build(self, height: int, width: int) -> "Engine":
        from models.engines.build import build_engine

        assert self._core is not None  # noqa: S101 - set by the only caller
        return build_engine("eager", self._core.spec(height, width))


def probe(path: str) -> dict[str, object]:
    """Return what a clip is, as far as its header and its first frame say.

    Raises:
        InputError: it is no clip that can be stylized.
    """
    with open_source(path, with_side_packets=False) as source:
        info = source.info
        return {
            "width": info.width,
            "height": info.height,
            "frames": info.frame_count,
            "seconds": info.duration_seconds,
            "fps": float(info.average_rate) if info.average_rate else None,
            "has_audio": any(stream.type == "audio" for stream in source.other_streams),
        }


@lru_cache(maxsize=1)
def read_still(path: str, seconds: Fraction) -> Still:
    """Return the frame that is shown at a time; at or after the end of the clip, its last one or one shortly before.

    Raises:
        InputError: the clip cannot be read.
    """
    for before in _BEFORE_END_SECONDS:
        start = max(seconds - before, Fraction(0))
        try:
            return _read(path, start)
        except InputError:
            if not start:
                raise
    return _read(path, Fraction(0))


@lru_cache(maxsize=1)
def sample_still() -> Still:
    """Return the frame of the sample clip that thumbnails show."""
    config = DecodeConfig(start_seconds=sample_videos.SAMPLE_SECONDS, height=SAMPLE_HEIGHT_PX)
    with open_source(str(sample_videos.clip(sample_videos.SAMPLE)), config, with_side_packets=False) as source:
        return Still(next(decode(source)).pixels, source.info.sample_aspect_ratio)


def _read(path: str, seconds: Fraction) -> Still:
    with open_source(path, DecodeConfig(start_seconds=seconds or None), with_side_packets=False) as source:
        for frame in decode(source):
            return Still(_reduced(frame.pixels), source.info.sample_aspect_ratio)
    raise InputError(path, "has no frames; choose another clip")


def _reduced(pixels: Pixels) -> Pixels:
    """Return a frame with at most `MOST_PX` pixels."""
    height, width = pixels.shape[:2]
    if height * width <= MOST_PX:
        return pixels
    scale = (MOST_PX / (height * width)) ** 0.5
    size = max(round(width * scale), 16), max(round(height * scale), 16)
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX)).copy()


def as_jpeg(still: Still) -> bytes:
    """Return a frame as it is displayed: with square pixels, at most `WIDTH_PX` wide."""
    image = Image.fromarray(still.pixels)
    width = image.width * min(max(still.aspect, Fraction(1, 4)), Fraction(4))
    scale = min(WIDTH_PX / width, Fraction(1))
    size = max(round(width * scale), 1), max(round(image.height * scale), 1)
    file = io.BytesIO()
    if size != image.size:
        image = image.resize(size, Image.Resampling.LANCZOS)
    image.save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


class Service:
    """Answers messages.

    Args:
        device: on which frames are stylized, as ``--device`` names it.
    """

    def __init__(self, device: str) -> None:
        self._stylizer = StillStylizer(device)
        self._known = [style.name for style in bundled_styles()]

    def answer(self, message: Mapping[str, Any]) -> tuple[dict[str, object], bytes]:
        """Return the answer to a message, and its bytes."""
        try:
            match message["do"]:
                case "probe":
                    return probe(message["path"]), b""
                case "picture":
                    return self._picture(message)
                case "prepare":
                    self._stylizer.stylize_in(sample_still().pixels, ramp_style())
                    return {}, b""
            return {}, as_jpeg(self._still(message))
        except (PipelineError, ValueError) as error:
            return {"error": line_of(error, message.get("name", ""))}, b""
        except MemoryError:
            return {"error": "the memory of this machine is too small for this; upload something smaller"}, b""

    def _picture(self, message: Mapping[str, Any]) -> tuple[dict[str, object], bytes]:
        found = read_style(Path(message["path"]), message["name"], message["label"])
        sample = sample_still()
        frame = sample._replace(pixels=with_inset(self._stylizer.stylize_in(sample.pixels, found.style), found.small))
        facts = {"width": found.width, "height": found.height, "note": found.note, "weights": len(found.weights)}
        return facts, found.weights + as_jpeg(frame)

    def _still(self, message: Mapping[str, Any]) -> Still:
        if message["do"] == "thumbnail":
            still = sample_still()
        else:
            seconds = Fraction(min(max(message["seconds"], 0.0), float(LONGEST_SECONDS))).limit_denominator(10_000)
            still = read_still(message["path"], seconds)
        if message["do"] == "frame":
            return still
        files = message.get("files", {})
        settings = read_settings(message["settings"], [*self._known, *files]).located(files)
        return still._replace(pixels=self._stylizer.stylize(still.pixels, settings))


def main() -> None:
    """Answer messages until the studio ends."""
    parent = Parent(NICENESS)
    service = Service(parent.receive()["device"])
    while True:
        parent.send(*service.answer(parent.receive()))


if __name__ == "__main__":
    main()
