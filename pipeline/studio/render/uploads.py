"""Uploaded clips: streamed to disk, checked like a local file, and deleted when nobody needs them."""

import re
import time
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import reason_of
from pipeline.studio.answers import RequestError
from pipeline.studio.render.arrival import checked_name, checked_size, write_body
from pipeline.studio.render.records import new_id, read_records, write_record
from pipeline.studio.render.space import Space
from pipeline.studio.render.stills import Stills
from pipeline.system.folders import make_private, remove_private

# Uploads that may arrive at the same time, and clips that may lie here.
MOST_AT_ONCE, MOST_UPLOADS = 4, 200
# Clips that no job needs, and that no page has asked about.
UNUSED_SECONDS = 3600.0
_SUFFIX = re.compile(r"\.[a-z0-9]{1,8}", re.ASCII)
_RECORD = "upload.json"


@dataclass(frozen=True, slots=True)
class Upload:
    """An uploaded clip.

    Attributes:
        upload: its identifier.
        name: of the file as the browser called it.
        file: its name here.
        bytes: its size.
        width: of the upright frames in pixels.
        height: of the upright frames in pixels.
        frames: estimated number, None if unknown.
        seconds: estimated duration, None if unknown.
        fps: average frames per second, None if unknown.
        has_audio: whether there is an audio track.
    """

    upload: str
    name: str
    file: str
    bytes: int
    width: int
    height: int
    frames: int | None
    seconds: float | None
    fps: float | None
    has_audio: bool

    def as_json(self) -> dict[str, Any]:
        """Return what the page shows."""
        return {name: value for name, value in asdict(self).items() if name != "file"}


class Uploads:
    """The uploaded clips.

    Args:
        folder: of the uploads, private.
        space: counts the disk space.
        stills: reads what has arrived.
        most_bytes: size of the largest clip.
        clock: the time in seconds.
    """

    def __init__(
        self,
        folder: Path,
        space: Space,
        stills: Stills,
        *,
        most_bytes: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder, self._space, self._stills, self._clock = folder, space, stills, clock
        self._most_bytes = most_bytes
        self._arriving = 0
        self._uploads: dict[str, Upload] = {}
        self._used_at: dict[str, float] = {}
        for upload in read_records(folder, _RECORD, Upload):
            if Path(self.path(upload)).is_file():
                self._keep(upload)
            else:
                remove_private(folder / upload.upload)

    def find(self, upload_id: str) -> Upload:
        """Return an upload, and note that it is in use.

        Raises:
            RequestError: there is none.
        """
        upload = self._uploads.get(upload_id)
        if upload is None:
            raise RequestError(404, "this clip is no longer here; upload it again")
        self._used_at[upload_id] = self._clock()
        return upload

    def path(self, upload: Upload) -> str:
        """Return the path of a clip."""
        return str(self._folder / upload.upload / upload.file)

    async def receive(self, name: str, size: int | None, body: AsyncIterator[bytes]) -> Upload:
        """Store a clip that arrives, and return what it is.

        Args:
            name: of the file as the browser calls it.
            size: in bytes, as the browser says; None if it does not.
            body: the clip in pieces.

        Raises:
            RequestError: it is too large, there is no space, it does not arrive, or it is no clip.
        """
        name = checked_name(name, "clip")
        size = checked_size(name, size, self._most_bytes, "cut it, or start the studio with --max-upload")
        if self._arriving >= MOST_AT_ONCE:
            raise RequestError(429, f"{MOST_AT_ONCE} clips are arriving already; wait until they are here")
        if len(self._uploads) >= MOST_UPLOADS:
            raise RequestError(507, f"{MOST_UPLOADS} clips are here already; remove finished ones from the list")
        self._arriving += 1
        try:
            with self._space.promised(size) as arrived:
                return await self._store(name, size, body, arrived)
        except OSError as error:
            raise RequestError(507, f"{name}: cannot be stored ({reason_of(error)}); free disk space") from error
        finally:
            self._arriving -= 1

    async def _store(self, name: str, size: int, body: AsyncIterator[bytes], arrived: Callable[[int], None]) -> Upload:
        upload_id = new_id()
        folder = self._folder / upload_id
        suffix = Path(name).suffix.lower()
        file = f"clip{suffix if _SUFFIX.fullmatch(suffix) else ''}"
        make_private(folder)
        try:
            await write_body(str(folder / file), name, size, body, arrived)
            facts = await self._stills.probe(str(folder / file), name)
            upload = Upload(upload=upload_id, name=name, file=file, bytes=size, **facts)
            write_record(folder, _RECORD, upload)
        except BaseException:
            remove_private(folder)
            raise
        self._keep(upload)
        return upload

    def remove(self, upload_id: str) -> None:
        """Delete a clip, if it is here."""
        if self._uploads.pop(upload_id, None) is not None:
            self._used_at.pop(upload_id, None)
            remove_private(self._folder / upload_id)

    def remove_unused(self, needed: Collection[str]) -> None:
        """Delete the clips that are not among ``needed``, and that no page has asked about for an hour."""
        oldest = self._clock() - UNUSED_SECONDS
        for upload_id in [each for each, at in self._used_at.items() if at < oldest and each not in needed]:
            self.remove(upload_id)

    def _keep(self, upload: Upload) -> None:
        self._uploads[upload.upload] = upload
        self._used_at[upload.upload] = self._clock()
