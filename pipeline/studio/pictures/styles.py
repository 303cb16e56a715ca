"""Styles that were made of pictures: predicted once, stored as weight files, kept until nobody needs them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any

from pipeline.config.style_spec import style_name
from pipeline.errors import reason_of
from pipeline.studio.answers import RequestError
from pipeline.studio.render.arrival import checked_name, checked_size, write_body
from pipeline.studio.render.records import new_id, read_records, write_record
from pipeline.studio.render.space import Space
from pipeline.studio.render.stills import PictureAnswer, Stills
from pipeline.studio.settings import PICTURE, PICTURE_GONE
from pipeline.system.files.atomic import remove, write_atomically
from pipeline.system.files.reading import read_own
from pipeline.system.folders import make_private, remove_private

MOST_PICTURES, MOST_AT_ONCE = 40, 4
MOST_BYTES = 64_000_000
"""Size of the largest picture; a photo of 100 megapixels has half of it."""
_MOST_THUMBNAIL_BYTES = 2**20
_LONGEST_LABEL = 60
_RECORD, _WEIGHTS, _THUMBNAIL, _PICTURE = "picture.json", "style.safetensors", "thumbnail.jpg", "picture"


@dataclass(frozen=True, slots=True)
class PictureStyle:
    """A style that was made of a picture.

    Attributes:
        picture: its identifier.
        number: pictures are listed in the order of their numbers.
        name: of the picture's file as the browser called it.
        width: of the picture in pixels.
        height: of the picture in pixels.
        is_removed: whether it is no longer listed; it stays while something needs it.
    """

    picture: str
    number: int
    name: str
    width: int
    height: int
    is_removed: bool = False

    @property
    def style(self) -> str:
        """The name of the style in settings."""
        return f"{PICTURE}{self.picture}"

    def as_json(self) -> dict[str, Any]:
        """Return what the page shows."""
        return {
            "name": self.style,
            "picture": self.picture,
            "title": self.name,
            "source": f"your picture, {self.width} x {self.height}",
            "thumbnail": f"/api/pictures/{self.picture}/thumbnail.jpg",
        }


class PictureStyles:
    """The styles that were made of pictures.

    Args:
        folder: of the styles, private.
        space: counts the disk space.
        stills: reads what has arrived.
    """

    def __init__(self, folder: Path, space: Space, stills: Stills) -> None:
        self._folder, self._space, self._stills = folder, space, stills
        self._arriving = 0
        found = sorted(read_records(folder, _RECORD, PictureStyle), key=lambda style: style.number)
        self._styles = {style.style: style for style in found if (folder / style.picture / _WEIGHTS).is_file()}
        self._next_number = 1 + max((style.number for style in found), default=0)

    def listed(self) -> list[PictureStyle]:
        """Return the styles to choose from, the newest first."""
        return [style for style in reversed(self._styles.values()) if not style.is_removed]

    def names(self) -> Collection[str]:
        """Return the names of all styles here, those included that are no longer listed."""
        return self._styles.keys()

    def files(self, names: Iterable[str]) -> dict[str, str]:
        """Return the weight files of those of ``names`` that are styles of pictures."""
        styles = [self._styles[name] for name in names if name in self._styles]
        return {style.style: str(self._folder / style.picture / _WEIGHTS) for style in styles}

    def check(self, names: Iterable[str]) -> None:
        """Check that no style of a picture is missing.

        Raises:
            RequestError: one of ``names`` is that of a picture that was removed.
        """
        if any(name.startswith(PICTURE) and name not in self._styles for name in names):
            raise RequestError(404, PICTURE_GONE)

    def label(self, name: str) -> str:
        """Return a style for people and for names of files: a bundled one has the name that it has."""
        style = self._styles.get(name)
        return name if style is None else style_label(style.name)

    def thumbnail(self, picture: str) -> bytes:
        """Return a frame in a style as JPEG.

        Raises:
            RequestError: there is no such style.
        """
        style = self._find(picture)
        try:
            return read_own(str(self._folder / style.picture), _THUMBNAIL, most_bytes=_MOST_THUMBNAIL_BYTES)
        except OSError as error:
            raise RequestError(404, f"{style.name}: its thumbnail cannot be read ({reason_of(error)})") from error

    async def receive(self, name: str, size: int | None, body: AsyncIterator[bytes]) -> tuple[PictureStyle, str]:
        """Make a style of a picture that arrives; the picture itself is not kept.

        Args:
            name: of the file as the browser calls it.
            size: in bytes, as the browser says; None if it does not.
            body: the picture in pieces.

        Returns:
            The style, and what to know about it: one line, empty if there is nothing.

        Raises:
            RequestError: it is too large, there are too many, it does not arrive, or it is no picture.
        """
        name = checked_name(name, "picture")
        size = checked_size(name, size, MOST_BYTES, "scale it down")
        if self._arriving >= MOST_AT_ONCE:
            raise RequestError(429, f"{MOST_AT_ONCE} pictures are arriving already; wait until they are here")
        if len(self._styles) + self._arriving >= MOST_PICTURES:
            raise RequestError(507, f"{MOST_PICTURES} pictures are here already; remove some of them")
        self._arriving += 1
        try:
            with self._space.promised(size) as arrived:
                return await self._store(name, size, body, arrived)
        except OSError as error:
            raise RequestError(507, f"{name}: cannot be stored ({reason_of(error)}); free disk space") from error
        finally:
            self._arriving -= 1

    async def _store(
        self, name: str, size: int, body: AsyncIterator[bytes], arrived: Callable[[int], None]
    ) -> tuple[PictureStyle, str]:
        picture = new_id()
        folder = self._folder / picture
        make_private(folder)
        try:
            await write_body(str(folder / _PICTURE), name, size, body, arrived)
            answer = await self._stills.picture(str(folder / _PICTURE), name, style_label(name))
            style = PictureStyle(picture, self._next_number, name, answer.width, answer.height)
            self._next_number += 1
            await asyncio.to_thread(_write, folder, style, answer)
        except BaseException:
            remove_private(folder)
            raise
        self._styles[style.style] = style
        return style, answer.note

    def hide(self, picture: str) -> None:
        """Take a style from the list; it stays here until nothing needs it.

        Raises:
            RequestError: there is no such style.
        """
        style = replace(self._find(picture), is_removed=True)
        self._styles[style.style] = style
        with suppress(OSError):  # on a full disk it is listed again after a restart
            write_record(self._folder / picture, _RECORD, style)

    def remove_unneeded(self, needed: Collection[str]) -> list[str]:
        """Delete the styles that are neither listed nor among ``needed``; return their names."""
        gone = [name for name, style in self._styles.items() if style.is_removed and name not in needed]
        for name in gone:
            remove_private(self._folder / self._styles.pop(name).picture)
        return gone

    def _find(self, picture: str) -> PictureStyle:
        style = self._styles.get(f"{PICTURE}{picture}")
        if style is None:
            raise RequestError(404, "this picture is no longer here; reload the page")
        return style


def _write(folder: Path, style: PictureStyle, answer: PictureAnswer) -> None:
    """Write what is kept of a picture, and delete the picture.

    Raises:
        OSError: the disk is full.
    """
    write_atomically(str(folder / _WEIGHTS), answer.weights)
    write_atomically(str(folder / _THUMBNAIL), answer.thumbnail)
    write_record(folder, _RECORD, style)
    remove(str(folder / _PICTURE))


def style_label(name: str) -> str:
    """Return the name of the style of a picture, from that of its file."""
    return style_name(PurePath(name))[:_LONGEST_LABEL] or "picture"
