"""Files at URLs: object stores and servers, through fsspec (``s3://``, ``gs://``, ``sftp://``, ``memory://``, ...)."""

import importlib
import re
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.errors import DeviceError, PipelineError, first_line

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+]+://")
# These lead to files of this machine, past the checks of their paths.
_LOCAL = ("file", "local")
# These have no folders, and a file appears complete or not at all.
_OBJECT_STORES = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "oss", "memory")


class StoreError(OSError):
    """A store does not answer, or does not do what it is asked; ``strerror`` says why in one line."""


def is_url(path: object) -> bool:
    """Return whether ``path`` is a URL, which is read and written through fsspec."""
    return _URL.match(str(path)) is not None


def join_url(url: str, *names: str) -> str:
    """Return the URL of something below ``url``."""
    return "/".join([url.rstrip("/"), *names])


class Store:
    """The store behind a URL, for that URL and all below it.

    Args:
        url: of a file or folder.

    Attributes:
        path: of that in the store.

    Raises:
        DeviceError: fsspec, or what it needs for this kind of URL, is not installed.
        StoreError: there is no such kind of URL, or the store does not answer.
    """

    def __init__(self, url: str) -> None:
        protocol = url.partition("://")[0]
        if protocol in _LOCAL or "::" in url:
            raise StoreError(0, "give a plain path, or the URL of a store", url)
        try:
            core = importlib.import_module("fsspec.core")
            with store_errors(url):
                self._files, self.path = core.url_to_fs(url)
        except ImportError as error:
            raise DeviceError(f"{url}: cannot be opened ({first_line(error)}); {_advice(protocol)}") from error
        self._url = url
        self._is_object_store = protocol in _OBJECT_STORES

    def signature(self) -> tuple[int, int, str] | None:
        """Return size in bytes, modification time in nanoseconds, and version of the file; None if there is none.

        Raises:
            StoreError: the store does not answer.
        """
        with store_errors(self._url):
            self._files.invalidate_cache()
            try:
                facts = self._files.info(self.path)
            except FileNotFoundError:
                return None
            if facts["type"] != "file":
                return None
            time = next(
                (facts[name] for name in ("mtime", "LastModified", "last_modified", "created") if name in facts), 0
            )
            seconds = time.timestamp() if hasattr(time, "timestamp") else float(time)
            return int(facts["size"]), round(seconds * 1e6) * 1000, str(facts.get("ETag") or facts.get("etag") or "")

    def find(self) -> list[tuple[str, int]]:
        """Return names and sizes of all files below the URL, sorted; names are relative to it. Empty if there are none.

        Raises:
            StoreError: the store does not answer.
        """
        with store_errors(self._url):
            self._files.invalidate_cache()
            try:
                found = self._files.find(self.path, detail=True)
            except FileNotFoundError:
                return []
            start = self.path.rstrip("/") + "/"
            return sorted(
                (name.removeprefix(start), int(facts["size"]))
                for name, facts in found.items()
                if name.startswith(start)
            )

    def match(self) -> list[str]:
        """Return the URLs of the files that match the URL, which is a pattern.

        Raises:
            StoreError: the store does not answer.
        """
        with store_errors(self._url):
            self._files.invalidate_cache()
            found = self._files.glob(self.path, detail=True)
            files = sorted(name for name, facts in found.items() if facts["type"] == "file")
            return [str(self._files.unstrip_protocol(name)) for name in files]

    def read(self, name: str, most_bytes: int) -> bytes | None:
        """Return the content of the file ``name`` below the URL, None if there is none.

        Raises:
            StoreError: it is larger than ``most_bytes``, or the store does not answer.
        """
        with store_errors(self._url):
            try:
                content = bytes(self._files.cat_file(self._below(name), end=most_bytes + 1))
            except FileNotFoundError:
                return None
        if len(content) > most_bytes:
            raise StoreError(0, f"{name} is larger than {most_bytes} bytes", self._url)
        return content

    def write(self, name: str, content: bytes) -> None:
        """Write a small file below the URL; like all files, it appears complete or not at all.

        Raises:
            StoreError: the store does not answer.
        """
        with store_errors(self._url), self._complete(self._below(name)) as path:
            self._files.pipe_file(path, content)

    def download(self, name: str, path: str) -> None:
        """Write the file ``name`` below the URL, or that at the URL if it is empty, into a file that exists here.

        Raises:
            StoreError: there is none, or the store does not answer.
        """
        with store_errors(self._url):
            self._files.get_file(self._below(name), path)

    def upload(self, path: str, name: str) -> None:
        """Write a file of this machine to ``name`` below the URL, or to the URL if it is empty.

        Raises:
            StoreError: the store does not answer.
        """
        with store_errors(self._url), self._complete(self._below(name)) as written:
            self._files.put_file(path, written)

    def remove(self, name: str) -> None:
        """Remove the file ``name`` below the URL, if there is one.

        Raises:
            StoreError: the store does not answer.
        """
        with store_errors(self._url):
            try:
                self._files.rm_file(self._below(name))
            except FileNotFoundError:
                return

    def _below(self, name: str) -> str:
        return f"{self.path.rstrip('/')}/{name}" if name else str(self.path)

    @contextmanager
    def _complete(self, path: str) -> Iterator[str]:
        """Context with the path to write to; where stores need that, it is another one, renamed at the end."""
        if self._is_object_store:
            yield path
            return
        self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
        yield f"{path}.part"
        self._files.mv(f"{path}.part", path)


@contextmanager
def store_errors(url: str) -> Iterator[None]:
    """Context in which all errors of a store become `StoreError`; `FileNotFoundError` too, unless it is caught inside.

    Each library has its own errors: botocore's and paramiko's are not even `OSError`.

    Raises:
        StoreError: see there.
    """
    try:
        yield
    except (PipelineError, StoreError, ImportError):
        raise
    except Exception as error:
        raise StoreError(getattr(error, "errno", None) or 0, _reason(error), url) from error


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file, folder or bucket"
    return first_line(error) or type(error).__name__


def _advice(protocol: str) -> str:
    package = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "sftp": "paramiko", "ssh": "paramiko"}.get(
        protocol
    )
    return f"pip install {package}" if package else "pip install 'flowbrush[cluster]', and what fsspec names"
