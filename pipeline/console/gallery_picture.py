"""The gallery on one frame of a clip: a labelled tile for each style, in one picture."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import sample_videos
from models.registry import StyleMetadata
from pipeline.config import DecodeConfig, StylizeConfig
from pipeline.console.config import PreviewConfig
from pipeline.decode.decoder import decode
from pipeline.decode.source import open_source
from pipeline.errors import InputError
from pipeline.frames import Pixels, VideoInfo
from pipeline.media.stills import check_image_target, write_image
from pipeline.stylize.style import bundled_styles, find_style, load_style_settings, styles_in
from pipeline.stylize.stylizer import Stylizer

SAMPLE, SAMPLE_SECONDS = "harbor", Fraction(3)
TILE_PIXELS, LONGEST_TILE_PX, NARROWEST_TILE_PX = 480 * 270, 720, 240
MARGIN_PX, NAME_PX, PAINTER_PX, LABEL_PX = 14, 20, 15, 54
PAGE_ASPECT = 1.5
PAPER, INK, FAINT_INK = "#f6f4ef", "#1d1d1b", "#6b6963"

ProgressCallback = Callable[[int, int], None]
"""``(tiles drawn, tiles in all)``."""


@dataclass(frozen=True, slots=True)
class Tile:
    """A picture and what stands below it.

    Attributes:
        pixels: ``(height, width, 3)`` uint8 RGB; all tiles of a page have one size.
        title: in ink.
        subtitle: smaller, below.
    """

    pixels: Pixels
    title: str
    subtitle: str = ""


def draw_preview(target: Path, config: PreviewConfig, *, progress: ProgressCallback = lambda done, total: None) -> int:
    """Paint one frame in every style, as large as the clip is, and draw all of them onto one page.

    Args:
        target: the image to write; its extension selects the format.
        config: which frame and styles.
        progress: called after each tile.

    Returns:
        The number of tiles, the original among them.

    Raises:
        PipelineError: one of its kinds, see `pipeline.errors`; an existing target before anything is painted.
    """
    check_image_target(target, overwrite=config.overwrite)
    styles = [card.name for card in bundled_styles()]
    styles += [style for file in config.style_files for style in styles_in(file)]
    cards = [find_style(style) for style in styles]
    pixels, aspect = _pick_frame(config)
    tiles = [Tile(pixels, "original")]
    for card, stylized in zip(cards, _paintings(pixels, styles, config.device), strict=True):
        tiles.append(Tile(stylized, *_label(card)))
        progress(len(tiles), len(cards) + 1)
    write_image(target, draw_page(tiles, aspect))
    return len(tiles)


def draw_page(tiles: Sequence[Tile], aspect: float, *, columns: int | None = None, area: int = TILE_PIXELS) -> Pixels:
    """Draw ``tiles`` in rows: ``(height, width, 3)`` uint8 RGB.

    Args:
        tiles: at least one.
        aspect: width of a tile's picture over its height, as it is shown.
        columns: tiles in a row; None takes the number that makes the page about half as wide again as high.
        area: of a tile's picture, in pixels.
    """
    width, height = _tile_size(aspect, area)
    cell = max(width, NARROWEST_TILE_PX), height + LABEL_PX
    columns = columns or _columns(len(tiles), cell)
    rows = -(-len(tiles) // columns)
    size = (columns * (cell[0] + MARGIN_PX) + MARGIN_PX, rows * (cell[1] + MARGIN_PX) + MARGIN_PX)
    page = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(page)
    for index, tile in enumerate(tiles):
        row, column = divmod(index, columns)
        left, top = MARGIN_PX + column * (cell[0] + MARGIN_PX), MARGIN_PX + row * (cell[1] + MARGIN_PX)
        picture = Image.fromarray(tile.pixels).resize((width, height), Image.Resampling.LANCZOS)
        page.paste(picture, (left + (cell[0] - width) // 2, top))
        _write(draw, (left, top + height + 5), tile.title, NAME_PX, INK, cell[0])
        _write(draw, (left, top + height + 8 + NAME_PX), tile.subtitle, PAINTER_PX, FAINT_INK, cell[0])
    return np.asarray(page, np.uint8)


def _pick_frame(config: PreviewConfig) -> tuple[Pixels, float]:
    """The frame, and its width over its height as players show it."""
    name, at = config.clip or str(sample_videos.clip(SAMPLE)), config.at_seconds
    if at is None and config.clip is None:
        at = SAMPLE_SECONDS
    elif at is None and name != "-":
        with open_source(name) as source:
            at = Fraction((source.info.duration_seconds or 0) / 2).limit_denominator(1000)
    with open_source(name, DecodeConfig(start_seconds=at or None)) as source:
        for frame in decode(source):
            return frame.pixels, _aspect(source.info)
    raise InputError(name, "holds no frame")


def _aspect(info: VideoInfo) -> float:
    return float(info.width * info.sample_aspect_ratio / info.height)


def _paintings(pixels: Pixels, styles: Sequence[str], device: str) -> Iterator[Pixels]:
    """``pixels`` in each style; the network stays for as long as the next style has the same."""
    from models.blend import networks_differ

    stylizer: Stylizer | None = None
    for style in styles:
        look = load_style_settings(style)
        if stylizer is None or networks_differ(stylizer.style.network, look.network):
            config = StylizeConfig(style=style, device=device, engine="eager")  # compiling takes longer than all frames
            stylizer = Stylizer(config, height=pixels.shape[0], width=pixels.shape[1])
        stylizer.style = look
        yield stylizer.stylize(pixels)


def _label(card: StyleMetadata) -> tuple[str, str]:
    return card.name, ", ".join(text for text in (card.painter, card.painting) if text)


def _tile_size(aspect: float, area: int) -> tuple[int, int]:
    """Width and height in pixels: of one area whatever the shape, but never too long."""
    height = math.sqrt(area / aspect)
    scale = min(1.0, LONGEST_TILE_PX / height, LONGEST_TILE_PX / (height * aspect))
    return max(round(height * aspect * scale), 1), max(round(height * scale), 1)


def _columns(count: int, cell: tuple[int, int]) -> int:
    """How many tiles a row takes for a page of about `PAGE_ASPECT`, with few empty places."""

    def misfit(columns: int) -> float:
        rows = -(-count // columns)
        empty = rows * columns - count
        return abs(math.log(columns * cell[0] / (rows * cell[1]) / PAGE_ASPECT)) + empty / count

    return min(range(1, count + 1), key=misfit)


def _write(draw: ImageDraw.ImageDraw, place: tuple[int, int], text: str, size: int, ink: str, width: int) -> None:
    """One line of at most ``width`` pixels; what does not fit is cut off at an ellipsis."""
    font = ImageFont.load_default(size)
    shown = text
    while shown and draw.textlength(shown if shown == text else f"{shown}...", font=font) > width:
        shown = shown[:-1]
    draw.text(place, shown if shown == text else f"{shown.rstrip()}...", font=font, fill=ink)
