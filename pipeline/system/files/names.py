"""What a name stands for before a file is made or opened there: taken, a link, or outside of a folder."""

import errno
import os
import stat
from collections.abc import Sequence
from pathlib import Path


def why_taken(path: str | os.PathLike[str]) -> str:
    """Return why an output cannot get the name ``path`` without replacing what is there; empty if nothing is.

    A link is not followed, even one that leads nowhere: whoever made it has chosen where the output would appear.
    """
    if os.path.islink(path):
        return "is a link; remove it, give another name or --overwrite"
    return "exists already; give another name or --overwrite" if os.path.lexists(path) else ""


def destination(path: str, *, may_replace: bool) -> str:
    """Return the absolute path at which the output ``path`` appears.

    Links to its folder are followed, a link in its own place only if it may be replaced: it is the user's then.
    """
    if may_replace:
        return os.path.realpath(path)
    folder, name = os.path.split(path)
    return os.path.join(os.path.realpath(folder), name)


def is_inside(path: str | os.PathLike[str], folder: str | os.PathLike[str]) -> bool:
    """Return whether ``path``, which may not exist yet, lies in ``folder`` once all links are followed."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def why_outside(path: str | os.PathLike[str], folder: str | os.PathLike[str] | None) -> str:
    """Return why a file that was found in ``folder`` must not be opened; empty if it still lies there.

    Whoever owns the folder may have put a link in its place since then. None is for a file that the user named.
    """
    if folder is None or is_inside(path, folder):
        return ""
    return f"a link leads out of {folder}; to include the file, name the file itself"


def describe_links(paths: Sequence[str | os.PathLike[str]], folder: str | os.PathLike[str]) -> str:
    """Return a notice on files that are left out, since links lead to them out of the ``folder`` that the user named.

    Whoever can make a link there would choose the file otherwise.
    """
    one = "leads out of {} and is skipped; to include it, name the file itself"
    more = "and {} more links lead out of {} and are skipped; to include one, name the file itself"
    text = one.format(folder) if len(paths) == 1 else more.format(len(paths) - 1, folder)
    return f"{paths[0]} {text}"


def check_name(path: str) -> None:
    """Check that a file of ours can be made or opened at ``path``.

    Raises:
        OSError: a link or something else that is not a regular file has that name.
    """
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        what = "a link" if stat.S_ISLNK(mode) else "not a regular file"
        raise OSError(errno.EPERM, f"{os.path.basename(path)} is {what}; remove it", path)
