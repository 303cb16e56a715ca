"""Uploads and jobs on disk: a folder each, with a record of what it is."""

import json
import logging
import re
import secrets
from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pipeline.errors import reason_of
from pipeline.system.files.atomic import write_atomically
from pipeline.system.files.reading import read_own
from pipeline.system.folders import make_private, remove_private

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    T = TypeVar("T", bound=DataclassInstance)
else:
    T = TypeVar("T")

logger = logging.getLogger(__name__)

_ID = re.compile(r"[0-9a-f]{24}", re.ASCII)
_MOST_BYTES = 2**17


def new_id() -> str:
    """Return a name for the folder of an upload or a job, which nobody can guess."""
    return secrets.token_hex(12)


def write_record(folder: Path, name: str, record: "DataclassInstance") -> None:
    """Write a record into its folder, which is made if it does not exist.

    Raises:
        OSError: the disk is full.
    """
    make_private(folder)
    write_atomically(str(folder / name), json.dumps(asdict(record)).encode())


def read_records(root: Path, name: str, kind: type[T]) -> Iterator[T]:
    """Yield the records in the folders of ``root``.

    A folder without a record is deleted: the studio ended before it was complete. One whose record cannot be used, as
    after a change of the version or on a failing disk, is reported and stays; what has another name is not ours.

    Args:
        root: folder of the folders.
        name: of the file with the record.
        kind: of the record; its first field is the name of its folder.
    """
    for folder in sorted(path for path in root.iterdir() if _ID.fullmatch(path.name)):
        try:
            yield _read(folder, name, kind)
        except FileNotFoundError:
            remove_private(folder)
        except (OSError, ValueError) as error:
            logger.warning("%s: cannot be used (%s); remove it if you do not need it", folder, reason_of(error))


def _read(folder: Path, name: str, kind: type[T]) -> T:
    """Return the record in a folder; fields that it lacks have their defaults.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no record of this kind.
    """
    try:
        values = json.loads(read_own(str(folder), name, most_bytes=_MOST_BYTES))
        record = kind(**{field.name: values[field.name] for field in fields(kind) if field.name in values})
    except (TypeError, RecursionError) as error:
        raise ValueError(f"{name} lacks something") from error
    if getattr(record, fields(kind)[0].name) != folder.name:
        raise ValueError(f"{name} is of something else")
    return record
