"""One frame in every style: a page of tiles with captions."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import sample_videos
from pipeline.config import DecodeConfig, StylizeConfig
from pipeline.console.config import PreviewConfig
from pipeline.decode.decoder import decode
from pipeline.decode.source import open_source
from pipeline.errors import InputError
from pipeline.frames import Pixels, VideoInfo
from pipeline.media.stills import check_image_target, write_image
from pipeline.stylize.style import bundled_styles, find_style, load_style_settings, styles_in
from pipeline.stylize.stylizer import Stylizer

TILE_PIXELS, LONGEST_TILE_PX, NARROWEST_TILE_PX = 480 * 270, 720, 240
MARGIN_PX, TITLE_PX, SUBTITLE_PX, CAPTION_PX = 14, 20, 15, 54
PAGE_ASPECT = 1.5
PAPER, INK, FAINT_INK = "#f6f4ef", "#1d1d1b", "#6b6963"

ProgressCallback = Callable[[int, int], None]
"""Called with the number of finished tiles, and of all tiles."""


@dataclass(frozen=True, slots=True)
class Tile:
    """A frame with its caption.

    Attributes:
        pixels: ``(height, width, 3)`` uint8 RGB; the same size for all tiles of a page.
        title: first line of the caption.
        subtitle: second line, smaller and lighter.
    """

    pixels: Pixels
    title: str
    subtitle: str = ""


def draw_preview(target: Path, config: PreviewConfig, *, progress: ProgressCallback = lambda done, total: None) -> int:
    """Stylize one frame in every style at full size, draw all results onto one page, and return the number of tiles.

    Args:
        target: the image to write; its extension selects the format.
        config: which frame, and which styles besides the bundled ones.
        progress: called after each tile.

    Raises:
        PipelineError: see the subclasses in `pipeline.errors`. An existing target is reported before any work.
    """
    check_image_target(target, overwrite=config.overwrite)
    styles = [style.name for style in bundled_styles()]
    styles += [style for file in config.style_files for style in styles_in(file)]
    styles += config.style_images
    tiles, aspect = make_tiles(config, styles, progress=progress)
    write_image(target, draw_page(tiles, aspect))
    return len(tiles)


def make_tiles(
    config: PreviewConfig, styles: Sequence[str], *, progress: ProgressCallback = lambda done, total: None
) -> tuple[list[Tile], float]:
    """Return a tile of the original frame and one for each of ``styles``, and the frame's width over its height."""
    found = [find_style(style) for style in styles]
    pixels, aspect = _pick_frame(config)
    tiles = [Tile(pixels, "original")]
    for style, stylized in zip(found, _stylized(pixels, styles, config), strict=True):
        tiles.append(Tile(stylized, style.name, ", ".join(text for text in (style.painter, style.painting) if text)))
        progress(len(tiles), len(found) + 1)
    return tiles, aspect


def draw_page(tiles: Sequence[Tile], aspect: float, *, columns: int | None = None, area: int = TILE_PIXELS) -> Pixels:
    """Return a page of ``tiles`` in rows, ``(height, width, 3)`` uint8 RGB.

    Args:
        tiles: at least one.
        aspect: displayed width of a frame over its height.
        columns: tiles in a row; None makes the page about 1.5 times as wide as high.
        area: of a displayed frame, in pixels.
    """
    width, height = _tile_size(aspect, area)
    cell = max(width, NARROWEST_TILE_PX), height + CAPTION_PX
    columns = columns or _columns(len(tiles), cell)
    rows = -(-len(tiles) // columns)
    size = (columns * (cell[0] + MARGIN_PX) + MARGIN_PX, rows * (cell[1] + MARGIN_PX) + MARGIN_PX)
    page = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(page)
    for index, tile in enumerate(tiles):
        row, column = divmod(index, columns)
        left, top = MARGIN_PX + column * (cell[0] + MARGIN_PX), MARGIN_PX + row * (cell[1] + MARGIN_PX)
        frame = Image.fromarray(tile.pixels).resize((width, height), Image.Resampling.LANCZOS)
        page.paste(frame, (left + (cell[0] - width) // 2, top))
        _write(draw, (left, top + height + 5), tile.title, TITLE_PX, INK, cell[0])
        _write(draw, (left, top + height + 8 + TITLE_PX), tile.subtitle, SUBTITLE_PX, FAINT_INK, cell[0])
    return np.asarray(page, np.uint8)


def _pick_frame(config: PreviewConfig) -> tuple[Pixels, float]:
    """The frame, and its displayed width over its height."""
    name, at = config.clip or str(sample_videos.clip(sample_videos.SAMPLE)), config.at_seconds
    if at is None and config.clip is None:
        at = sample_videos.SAMPLE_SECONDS
    elif at is None and name != "-":
        with open_source(name) as source:
            at = Fraction((source.info.duration_seconds or 0) / 2).limit_denominator(1000)
    with open_source(name, DecodeConfig(start_seconds=at or None)) as source:
        for frame in decode(source):
            return frame.pixels, _aspect(source.info)
    raise InputError(name, "has no frames; choose another clip")


def _aspect(info: VideoInfo) -> float:
    return float(info.width * info.sample_aspect_ratio / info.height)


def _stylized(pixels: Pixels, styles: Sequence[str], preview: PreviewConfig) -> Iterator[Pixels]:
    """``pixels`` in each style; consecutive styles of equal networks share a stylizer."""
    stylizer: Stylizer | None = None
    for style in styles:
        settings = load_style_settings(style, dials=preview.dials)
        if stylizer is None or stylizer.style.network != settings.network:
            config = StylizeConfig(
                style=style, device=preview.device, engine="eager"
            )  # compiling takes longer than all frames
            stylizer = Stylizer(config, height=pixels.shape[0], width=pixels.shape[1])
        stylizer.style = settings
        yield stylizer.stylize(pixels)


def _tile_size(aspect: float, area: int) -> tuple[int, int]:
    """Width and height in pixels, with the same area for every aspect and a limited length."""
    height = math.sqrt(area / aspect)
    scale = min(1.0, LONGEST_TILE_PX / height, LONGEST_TILE_PX / (height * aspect))
    return max(round(height * aspect * scale), 1), max(round(height * scale), 1)


def _columns(count: int, cell: tuple[int, int]) -> int:
    """The number of columns whose page is closest to `PAGE_ASPECT`, with few empty cells."""

    def misfit(columns: int) -> float:
        rows = -(-count // columns)
        empty = rows * columns - count
        return abs(math.log(columns * cell[0] / (rows * cell[1]) / PAGE_ASPECT)) + empty / count

    return min(range(1, count + 1), key=misfit)


def _write(draw: ImageDraw.ImageDraw, place: tuple[int, int], text: str, size: int, ink: str, width: int) -> None:
    """Draw one line of at most ``width`` pixels; a longer text ends in an ellipsis."""
    font = ImageFont.load_default(size)
    shown = text
    while shown and draw.textlength(shown if shown == text else f"{shown}...", font=font) > width:
        shown = shown[:-1]
    draw.text(place, shown if shown == text else f"{shown.rstrip()}...", font=font, fill=ink)
