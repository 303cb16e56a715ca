"""Files in a store: a server that speaks S3, the memory of this process, and what is not installed."""

import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.errors import DeviceError
from pipeline.system.urls import Store, StoreError, is_url
from tests.support.workers.stores import HAS_S3, memory_store, s3_server

pytestmark = pytest.mark.skipif(not HAS_S3, reason="fsspec, s3fs or moto is not installed")


@pytest.fixture(params=["memory", "s3"])
def url(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with memory_store() if request.param == "memory" else s3_server(monkeypatch) as url:
        yield url


def test_files_are_written_found_read_and_removed(url: str, tmp_path: Path) -> None:
    store = Store(f"{url}/film.flowbrush")
    assert store.find() == []
    assert store.signature() is None
    (tmp_path / "a").write_bytes(b"abc")
    store.upload(str(tmp_path / "a"), "job/a.mp4")
    store.write("manifest.json", b"{}")
    Store(f"{url}/film.flowbrush.mp4").write("", b"not below")
    assert store.find() == [("job/a.mp4", 3), ("manifest.json", 2)]
    assert store.read("manifest.json", 2) == b"{}"
    with pytest.raises(StoreError, match="larger than 1 bytes"):
        store.read("manifest.json", 1)
    assert store.read("no", 10) is None
    size, time_ns, version = Store(f"{url}/film.flowbrush/manifest.json").signature() or (0, 0, "")
    assert size == 2
    assert time_ns > 10**18
    assert Store(f"{url}/film.flowbrush").signature() is None  # a folder
    store.write("manifest.json", b"[]")
    assert Store(f"{url}/film.flowbrush/manifest.json").signature() != (size, time_ns, version)
    store.download("job/a.mp4", str(tmp_path / "b"))
    assert (tmp_path / "b").read_bytes() == b"abc"
    store.remove("job/a.mp4")
    store.remove("job/a.mp4")
    assert store.find() == [("manifest.json", 2)]
    with pytest.raises(StoreError, match="there is no such file"):
        store.download("job/a.mp4", str(tmp_path / "b"))


def test_a_pattern_finds_urls(url: str) -> None:
    for name in ("a.mp4", "b.mp4", "c.mov"):
        Store(f"{url}/in").write(name, b"x")
    found = Store(f"{url}/in/*.mp4").match()
    assert [Store(each).read("", 9) for each in found] == [b"x", b"x"]
    assert [each.rpartition("/")[2] for each in found] == ["a.mp4", "b.mp4"]


def test_a_store_that_does_not_answer_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with s3_server(monkeypatch) as url:
        with pytest.raises(StoreError) as caught:
            Store("s3://no-such-bucket/a").write("b", b"")
        assert "\n" not in str(caught.value.strerror)
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        from s3fs import S3FileSystem

        S3FileSystem.clear_instance_cache()
        with pytest.raises(StoreError):
            Store(f"{url}/a").signature()
        S3FileSystem.clear_instance_cache()


@pytest.mark.parametrize("url", ["file:///etc/passwd", "local://a", "simplecache::s3://a/b"])
def test_urls_that_lead_to_files_of_this_machine_are_refused(url: str) -> None:
    with pytest.raises(StoreError, match="plain path"):
        Store(url)


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(DeviceError, match="pip install gcsfs"):
        Store("gs://bucket/a.mp4")
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(DeviceError, match=r"pip install s3fs"):
        Store("s3://bucket/a.mp4")


def test_an_unknown_kind_of_url_is_one_line() -> None:
    with warnings.catch_warnings(), pytest.raises(StoreError, match="nothing"):
        Store("nothing://a/b")


@pytest.mark.parametrize(("path", "is_one"), [("s3://b/a", True), ("C:/a", False), ("a/b", False), ("/a://b", False)])
def test_paths_are_no_urls(path: str, is_one: bool) -> None:
    assert is_url(path) == is_one
