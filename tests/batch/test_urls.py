"""Batches from a folder at a URL into one at a URL, on a server that speaks S3."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.batch.config import BatchConfig
from pipeline.batch.events import Finished, Skipped
from pipeline.batch.inputs.clips import find_clips
from pipeline.batch.inputs.places import clear_remains, is_placed
from pipeline.batch.session import plan
from pipeline.errors import InputError, OutputError
from pipeline.resume.work_folder.manifest import NAME, Manifest
from pipeline.system.urls import Store
from tests.support.batching import OPTIONS, make_clips, outputs_of, run_here, streams_of
from tests.support.workers.stores import HAS_S3, memory_store, put, s3_server

pytestmark = pytest.mark.skipif(not HAS_S3, reason="fsspec, s3fs or moto is not installed")


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("FLOWBRUSH_CACHE", str(tmp_path / "cache"))
    folder = make_clips(tmp_path, "a.mp4", "sub/b.mkv")
    with s3_server(monkeypatch) as url:
        for name in ("a.mp4", "sub/b.mkv"):
            put(f"{url}/in/{name}", folder / name)
        Store(f"{url}/in").write("notes.txt", b"no video")
        yield url


def config(url: str, **changes: object) -> BatchConfig:
    values = {"inputs": (f"{url}/in",), "output": Path(f"{url}/out"), "styles": ("great-wave",), "options": OPTIONS}
    return BatchConfig(**{**values, **changes})  # type: ignore[arg-type]


def names(url: str) -> list[str]:
    return [name for name, _ in Store(f"{url}/out").find()]


OUTPUTS = ["a_great-wave.mp4", "sub/b_great-wave.mkv"]


@pytest.mark.slow
def test_a_batch_at_urls_is_as_one_in_folders_and_is_skipped_the_next_time(
    url: str, tmp_path: Path, one_thread: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended, events = run_here(config(url))
    assert (ended.painted, ended.failed, ended.report) == (2, 0, f"{url}/out/report.html")
    assert sorted(outputs_of(events, Finished)) == OUTPUTS
    shown = [name for name in names(url) if not name.startswith(".")]
    assert shown == [OUTPUTS[0], "report.html", "report.json", OUTPUTS[1]]
    run_here(
        BatchConfig(inputs=(str(tmp_path / "in"),), output=tmp_path / "out", styles=("great-wave",), options=OPTIONS)
    )
    for name in OUTPUTS:
        Store(f"{url}/out/{name}").download("", str(tmp_path / "downloaded"))
        here = streams_of(tmp_path / "out" / name)
        assert [packet[:3] for packet in streams_of(tmp_path / "downloaded")] == [packet[:3] for packet in here]
    report = json.loads(Store(f"{url}/out").read("report.json", 2**20) or b"")
    assert {clip["source"] for clip in report["clips"]} == {f"{url}/in/a.mp4", f"{url}/in/sub/b.mkv"}

    monkeypatch.setenv("FLOWBRUSH_CACHE", str(tmp_path / "another-machine"))
    downloads: list[str] = []
    monkeypatch.setattr(Store, "download", lambda store, name, path: downloads.append(path))
    ended, events = run_here(config(url))
    assert sorted(outputs_of(events, Skipped)) == OUTPUTS
    assert ended.done_before == 2
    assert not downloads


def test_a_file_of_somebody_else_is_not_replaced(url: str) -> None:
    Store(f"{url}/out").write(OUTPUTS[0], b"precious")
    with pytest.raises(OutputError, match=r"a_great-wave\.mp4: exists already"):
        plan(config(url))


def test_inputs_at_urls_are_files_patterns_and_folders() -> None:
    with memory_store() as url:
        for name in ("a.mp4", "b.mov", "sub/c.mkv", "notes.txt", "out/a.mp4", ".hidden/a.mp4", "a.mp4.flowbrush/0.mp4"):
            Store(url).write(name, b"x")
        found = find_clips([url], Path(f"{url}/out"))
        assert [(file.path, str(file.folder)) for file in found] == [
            (f"{url}/a.mp4", "."),
            (f"{url}/b.mov", "."),
            (f"{url}/sub/c.mkv", "sub"),
        ]
        assert [file.path for file in find_clips([f"{url}/a.mp4", f"{url}/a.mp4"])] == [f"{url}/a.mp4"]
        assert len(find_clips([f"{url}/*.m*"])) == 2
        for missing in (f"{url}/no.mp4", f"{url}/no*.mp4", "nothing://a/b"):
            with pytest.raises(InputError, match=r"nothing|no such file"):
                find_clips([missing])


def test_a_url_keeps_its_slashes(tmp_path: Path) -> None:
    batch = config("s3://bucket/a", output=Path("s3://bucket/b/c"))
    assert batch.output_url == "s3://bucket/b/c"
    assert batch.target("d/e.mp4") == "s3://bucket/b/c/d/e.mp4"
    assert config("s3://bucket/a", output=tmp_path).output_url == ""
    assert config("s3://bucket/a", output=Path("out")).target("e.mp4") == "out/e.mp4"


def test_an_output_that_nobody_recorded_is_ours(url: str, tmp_path: Path) -> None:
    """The worker has put it into the store, and was killed before the record was written."""
    target = f"{url}/out/film.mp4"
    Store(target).write("", b"12345")
    assert not is_placed(target)
    for size in (6, 5):
        Manifest({}, output_signature=(size, 1)).write(str(tmp_path))
        put(f"{target}.flowbrush/{NAME}", tmp_path / NAME)
        assert is_placed(target) == (size == 5)
    clear_remains(target)
    assert [name for name, _ in Store(f"{url}/out").find()] == ["film.mp4"]
