"""The configuration of a batch, and of each clip in it."""

import hashlib
import os
import re
import string
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Annotated

from pipeline.config import VideoConfig
from pipeline.config.optimize import OPTIMIZE_OPTIONS
from pipeline.config.options import Argument, Option, OptionsOf, check_settings, option_named
from pipeline.config.style_spec import (
    PICTURE_SUFFIXES,
    check_pictures,
    is_picture,
    parse_blend,
    parse_regions,
    parse_style,
)
from pipeline.system.folders import cache_folder
from pipeline.system.urls import join_url

NAME = "{stem}_{style}{suffix}"
NAME_FIELDS = ("stem", "style", "suffix", "ending")
STATE_FOLDER = ".flowbrush-batch"
# `pathlib` makes one slash of two; the name of a drive has one letter.
_URL_AS_PATH = re.compile(r"([A-Za-z][A-Za-z0-9+]+):/{1,2}(.*)")


def read_styles(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the styles of ``a,b``: one for each name, but names with weights (``a:0.7,b:0.3``) are one blend.

    Raises:
        ValueError: a blend cannot be read.
    """
    styles: list[str] = []
    for text in texts:
        if parse_regions(text) is not None:
            parse_style(text)
            styles.append(text)
            continue
        names = [part.style for part in parse_blend(text)]
        has_weights = ",".join(names) != re.sub(r"\s*,\s*", ",", text.strip())
        styles.extend([text] if has_weights else names)
    return tuple(dict.fromkeys(styles))


def read_style_images(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the styles of pictures, and of all pictures in folders: one for each, but a blend is one.

    Raises:
        ValueError: a name is not that of a picture, or a folder contains none.
    """
    styles: list[str] = []
    for text in texts:
        if os.path.isdir(text):
            styles += _pictures_in(text)
        else:
            check_pictures(text)
            styles += read_styles([text])
    return tuple(dict.fromkeys(styles))


def _pictures_in(folder: str) -> list[str]:
    names = [name for name in sorted(os.listdir(folder)) if is_picture(name) and not name.startswith(".")]
    if not names:
        raise ValueError(f"{folder}: contains no pictures ({', '.join(sorted(PICTURE_SUFFIXES))})")
    return [os.path.join(folder, name) for name in names]


def check_name(name: str) -> None:
    """Raise ValueError if ``name`` is not a template for the names of outputs."""
    try:
        fields = [field for _, field, _, _ in string.Formatter().parse(name) if field is not None]
    except ValueError as error:
        raise ValueError(f"name {name!r} cannot be read ({error})") from error
    unknown = [field for field in fields if field not in NAME_FIELDS]
    if unknown:
        known = ", ".join(f"{{{field}}}" for field in NAME_FIELDS)
        raise ValueError(f"name {name!r}: there is no {{{unknown[0]}}}; use {known}")
    path = PurePath(name)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"name {name!r} leads out of the output folder")


# Clips of a batch are not optimized; --refine has loss networks too.
_OPTIMIZED = tuple(name for name in OPTIMIZE_OPTIONS if name != "loss_weights")


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchConfig:
    """Which clips to stylize, in which styles, into which folder."""

    inputs: Annotated[
        tuple[str, ...],
        Argument(
            "Clips, image sequences (frames/%05d.png), folders, patterns, URLs, job files (.toml, .csv), or - for a "
            "list on standard input.",
            metavar="INPUT...",
        ),
    ]
    output: Annotated[
        Path, Option("Folder of the outputs, or its URL; subfolders of the inputs are kept.", metavar="FOLDER")
    ]
    styles: Annotated[
        tuple[str, ...],
        Option(
            "Stylize each clip in each of these; a:0.7,b:0.3 is one blend. Repeatable; job files may name their own.",
            name="style",
            metavar="STYLE[,STYLE...]",
            read=read_styles,
        ),
    ] = ()
    style_images: Annotated[
        tuple[str, ...],
        Option(
            "Stylize each clip in the style of each of these pictures, too; of a folder, of all pictures in it.",
            name="style_image",
            metavar="IMAGE[,IMAGE...]",
            read=read_style_images,
        ),
    ] = ()
    name: Annotated[
        str,
        Option(
            "Name of each output: {stem}, {style}, {suffix} (.mp4) and {ending} (of the input: mov).",
            metavar="TEMPLATE",
            check=check_name,
        ),
    ] = NAME
    keep_going: Annotated[bool, Option("Continue with the other clips after one fails.")] = True
    watch: Annotated[bool, Option("Keep looking for new clips in the folders.")] = False
    workers: Annotated[
        int | None,
        Option("Number of processes; long clips are divided. Default: one for each GPU, else 1.", min=1),
    ] = None
    cluster: Annotated[
        str | None,
        Option(
            "Use a Ray cluster: auto for the one that this machine belongs to, or else one on this machine alone.",
            metavar="auto|ADDRESS",
        ),
    ] = None
    gpus_per_worker: Annotated[float, Option("On a cluster: part of a GPU for each worker.", above=0, max=1)] = 1.0
    options: Annotated[Mapping[str, object], OptionsOf(VideoConfig, without=("style", "style_image", *_OPTIMIZED))] = (
        field(default_factory=dict)
    )

    def __post_init__(self) -> None:
        check_settings(self)
        if not self.inputs:
            raise ValueError("give at least one file, folder, pattern or job file")
        named = {option_named(VideoConfig, name): value for name, value in self.options.items()}
        object.__setattr__(self, "options", named)
        object.__setattr__(self, "styles", tuple(dict.fromkeys((*self.styles, *self.style_images))))
        if self.watch and not any(os.path.isdir(text) for text in self.inputs):
            raise ValueError("--watch needs a folder to look at")

    @property
    def output_url(self) -> str:
        """URL of the output folder, empty if it is a path."""
        found = _URL_AS_PATH.match(self.output.as_posix())
        return f"{found[1]}://{found[2]}" if found else ""

    @property
    def output_folder(self) -> Path:
        """Folder of the reports and the state folder; of an output folder at a URL, a local copy of these."""
        if not self.output_url:
            return self.output
        return cache_folder() / "batches" / hashlib.sha256(self.output_url.encode()).hexdigest()[:32]

    @property
    def state_folder(self) -> Path:
        """Folder of the records, thumbnails and the lock of the batch."""
        return self.output_folder / STATE_FOLDER

    @property
    def state_url(self) -> str:
        """URL of the state folder, empty if the output folder is a path."""
        return join_url(self.output_url, STATE_FOLDER) if self.output_url else ""

    def target(self, name: str) -> str:
        """Return the path or URL of an output."""
        return join_url(self.output_url, name) if self.output_url else str(self.output / name)
