"""The studio's folder: its token, its certificate, uploads and jobs. Private, and of limited size.

token                       of the link
certificate.pem, key.pem    generated
uploads/ID/                 a clip and what is known about it
jobs/ID/                    a job, and its result or partial output
picture-styles/ID/          the style of a picture, and its thumbnail
"""

import os
import secrets
from contextlib import AbstractContextManager
from pathlib import Path

from pipeline.errors import OutputError, reason_of
from pipeline.studio.config import StudioConfig
from pipeline.system.files.atomic import write_atomically
from pipeline.system.files.reading import read_own
from pipeline.system.folders import data_folder, make_private
from pipeline.system.lock import hold_lock

SUBFOLDERS = ("uploads", "jobs", "picture-styles")
_TOKEN, _TOKEN_BYTES = "token", 24


def open_folder(config: StudioConfig) -> Path:
    """Return the folder of the studio, made with its token if it does not exist, as an absolute path.

    Raises:
        OutputError: it cannot be made, others can write to it, or something else has its uploads or jobs there.
    """
    shown = config.folder or "its folder"
    try:
        root = Path(os.path.abspath(config.folder)) if config.folder else data_folder() / "studio"
        make_private(root)
        _check_ours(root)
        read_token(root)
        for name in SUBFOLDERS:
            make_private(root / name)
    except OSError as error:
        reason = f"cannot be the studio's folder ({reason_of(error)}); choose another --folder"
        raise OutputError(error.filename or shown, reason) from error
    return root


def _check_ours(root: Path) -> None:
    """Check that a studio put there what lies in the folders of clips and jobs: it deletes what it does not know.

    Raises:
        OutputError: it was not.
    """
    if (root / _TOKEN).exists():
        return
    for name in SUBFOLDERS:
        folder = root / name
        if folder.is_dir() and any(folder.iterdir()):
            raise OutputError(folder, "has files that are not a studio's; choose another --folder")


def lock_folder(root: Path) -> AbstractContextManager[None]:
    """Return a context in which no other studio uses the folder.

    Raises:
        OutputError: on entering, if another one does.
    """
    return hold_lock(
        str(root / "lock"),
        root,
        what="studio",
        does="uses this folder; stop it, or choose another --folder",
        unusable="the folder cannot be locked ({}); choose another --folder",
    )


def read_token(root: Path, *, is_new: bool = False) -> str:
    """Return the token of the link, which stays the same from start to start.

    Args:
        root: the studio's folder.
        is_new: whether to make another one.

    Raises:
        OutputError: it cannot be stored.
    """
    if not is_new:
        try:
            token = read_own(str(root), _TOKEN, most_bytes=1000).decode("ascii", "replace").strip()
        except OSError:
            token = ""
        if len(token) >= _TOKEN_BYTES:
            return token
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    try:
        write_atomically(str(root / _TOKEN), token.encode(), is_secret=True)
    except OSError as error:
        raise OutputError(root / _TOKEN, f"the token cannot be stored ({reason_of(error)})") from error
    return token
