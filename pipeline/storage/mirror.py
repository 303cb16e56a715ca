"""The work folder of a clip or a segment job at a URL, and its local copy, in which this process works.

What is finished goes to the store as it is finished, the manifest last, so that another machine can resume.
"""

import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from pipeline.errors import OutputError
from pipeline.resume.work_folder.manifest import NAME
from pipeline.system.files.atomic import write_atomically
from pipeline.system.files.reading import file_signature, read_own
from pipeline.system.folders import make_private
from pipeline.system.urls import Store, StoreError

logger = logging.getLogger(__name__)
T = TypeVar("T")

# How often what is new goes to the store.
PUSH_SECONDS = 5.0
# Of a file in a work folder: a state of frames of 100 million pixels is the largest.
MOST_BYTES = 2**32
SEGMENTS = (".mp4", ".mov", ".mkv")
_DATA = (".safetensors", *SEGMENTS)


class Mirror:
    """A folder at a URL and its local copy.

    Args:
        url: of the folder.
        path: of the local copy.
        progress: name of a small file that is pushed as well, empty for none.

    Raises:
        OutputError: the store does not answer.
    """

    def __init__(self, url: str, path: str, *, progress: str = "") -> None:
        self._url = url
        self._path = path
        self._progress = progress
        self._pushed: dict[str, object] = {}
        self._store = self._try(lambda: Store(url))

    def pull(self, is_wanted: Callable[[str], bool] = lambda name: True) -> None:
        """Copy the files that are in the store, in its subfolders too.

        Raises:
            OutputError: the store does not answer, or has a name that is not ours.
        """
        for name, _ in self._try(self._store.find):
            if is_wanted(name) and not name.endswith(".part"):
                if ".." in Path(name).parts or len(Path(name).parts) > 2 or os.path.isabs(name):
                    raise OutputError(self._url, f"contains {name!r}, which is not ours; remove it")
                self.pull_file(name)

    def pull_file(self, name: str) -> None:
        """Copy one file from the store, if it is there.

        Raises:
            OutputError: the store does not answer, or the disk is full.
        """
        path = os.path.join(self._path, name)
        content = self._try(lambda: self._store.read(name, MOST_BYTES))
        if content is not None:
            try:
                make_private(os.path.dirname(path))
                write_atomically(path, content)
            except OSError as error:
                raise OutputError(path, f"cannot be written ({error.strerror}); free disk space") from error
            if "/" not in name:  # subfolders belong to others
                self._pushed[name] = file_signature(path)

    def push(self) -> None:
        """Copy to the store what is new here, the manifest after what it names; remove what is gone here.

        Raises:
            OutputError: the store does not answer.
        """
        with suppress(FileNotFoundError):  # a file has just been removed: the next time, it is not missed
            manifest = self._content(NAME)
            names = {name for name in os.listdir(self._path) if name.endswith(_DATA)}
            for name in sorted(names):
                signature = file_signature(os.path.join(self._path, name))
                if self._pushed.get(name) != signature:
                    self._try(lambda name=name: self._store.upload(os.path.join(self._path, name), name))  # type: ignore[misc]
                    self._pushed[name] = signature
            for name, content in ((NAME, manifest), (self._progress, self._content(self._progress))):
                if content is not None and self._pushed.get(name) != content:
                    self._try(lambda name=name, content=content: self._store.write(name, content))  # type: ignore[misc]
                    self._pushed[name] = content
            for name in self._pushed.keys() - {*names, NAME, self._progress}:
                self._try(lambda name=name: self._store.remove(name))  # type: ignore[misc]
                del self._pushed[name]

    def push_as(self, path: str, url: str) -> None:
        """Copy a file of this machine to a URL.

        Raises:
            OutputError: the store does not answer.
        """
        self._try(lambda: Store(url).upload(path, ""))

    @contextmanager
    def pushed_meanwhile(self) -> Iterator[None]:
        """Context in which a thread pushes every few seconds; at the end, all is pushed.

        Raises:
            OutputError: the store does not answer at the end; meanwhile, a failure is logged.
        """
        ended = threading.Event()

        def push_now_and_then() -> None:
            while not ended.wait(PUSH_SECONDS):
                try:
                    self.push()
                except OutputError as error:
                    logger.warning("%s", error)

        thread = threading.Thread(target=push_now_and_then, name="flowbrush-push", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            self.push()

    def clear(self) -> None:
        """Remove the folder from the store.

        Raises:
            OutputError: the store does not answer.
        """
        for name, _ in self._try(self._store.find):
            self._try(lambda name=name: self._store.remove(name))  # type: ignore[misc]

    def _content(self, name: str) -> bytes | None:
        """Return the content of a small file here, None if there is none."""
        with suppress(OSError):
            return read_own(self._path, name, most_bytes=MOST_BYTES) if name else None
        return None

    def _try(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except StoreError as error:
            raise OutputError(self._url, f"its store fails ({error.strerror}); run the same command again") from error
