"""Clips at URLs: as those on a disk, resumed by another machine, and nothing left in the store."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import VideoConfig
from pipeline.errors import InputError, OutputError
from pipeline.storage import mirror
from pipeline.system.urls import Store
from pipeline.workers.protocol import SegmentJob
from pipeline.workers.stored import clip as stored_clip
from pipeline.workers.stored.clip import stylize_clip
from tests.support.batching import streams_of
from tests.support.workers.segment_jobs import ANY_DIFFERENCE, BRIEF, InlineExecutor, config, make_clips, two
from tests.support.workers.stores import HAS_S3, memory_store, put, s3_server

pytestmark = pytest.mark.skipif(not HAS_S3, reason="fsspec, s3fs or moto is not installed")

TWO: dict[str, Any] = {"count": two, "warm_up": BRIEF, "tolerance": ANY_DIFFERENCE}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip with a scene cut where it is split, so that no warm-up is visible."""
    path = make_clips(tmp_path_factory.mktemp("clips"))[35]
    assert path is not None
    return path


@pytest.fixture(scope="module")
def expected(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    import torch

    path, threads = tmp_path_factory.mktemp("local") / "out.mkv", torch.get_num_threads()
    torch.set_num_threads(1)  # as in the tests
    stylize_clip(config(clip, path), InlineExecutor(), **TWO)
    torch.set_num_threads(threads)
    return streams_of(path)


@pytest.fixture(params=["memory", "s3"])
def url(request: pytest.FixtureRequest, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("FLOWBRUSH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(mirror, "PUSH_SECONDS", 0.05)
    monkeypatch.setattr(stored_clip, "PROGRESS_SECONDS", 0.05)
    with memory_store() if request.param == "memory" else s3_server(monkeypatch) as url:
        put(f"{url}/in/a.mkv", clip)
        yield url


def at(url: str) -> VideoConfig:
    return replace(config(Path("x.mkv"), Path("y.mkv")), source=f"{url}/in/a.mkv", target=f"{url}/out/a.mkv")


def result(url: str, folder: Path) -> Any:
    Store(f"{url}/out/a.mkv").download("", str(folder / "downloaded.mkv"))
    return streams_of(folder / "downloaded.mkv")


@pytest.mark.parametrize("joins", [False, True])
def test_a_clip_at_a_url_is_as_one_on_a_disk(
    url: str, joins: bool, expected: Any, tmp_path: Path, one_thread: None
) -> None:
    executor = InlineExecutor(joins=joins)
    frames: list[int] = []
    summary = stylize_clip(at(url), executor, **TWO, progress=lambda state: frames.append(state.frames))
    assert (summary.frames, summary.output) == (60, f"{url}/out/a.mkv")
    assert result(url, tmp_path) == expected
    assert [name for name, _ in Store(url).find()] == ["in/a.mkv", "out/a.mkv"]
    assert [job.config.source for job in executor.jobs] == [f"{url}/in/a.mkv"] * 2
    assert frames[-1] == 60
    assert not list((tmp_path / "cache" / "fetched").glob("flowbrush-*"))


class Machine(InlineExecutor):
    """Another machine, whose copies are elsewhere; its first job ends after a segment."""

    def submit(self, job: SegmentJob) -> Any:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("FLOWBRUSH_CACHE", os.environ["FLOWBRUSH_CACHE"] + "2")
            return super().submit(job)


def test_what_one_machine_finished_another_resumes(url: str, expected: Any, tmp_path: Path, one_thread: None) -> None:
    with pytest.raises(InputError, match="on this machine"):
        stylize_clip(at(url), InlineExecutor(fails={1}), **TWO)
    left = [name for name, _ in Store(f"{url}/out").find()]
    assert "a.mkv.flowbrush/job0000.flowbrush/manifest.jsonl" in left
    assert not any(name.endswith((".part", "lock")) for name in left if "stylized" not in name)
    summary = stylize_clip(at(url), Machine(), **(TWO | {"count": lambda info, workers: 7}))
    assert summary.frames_reused > 0
    assert result(url, tmp_path) == expected
    assert [name for name, _ in Store(url).find()] == ["in/a.mkv", "out/a.mkv"]


def test_an_input_that_changes_meanwhile_is_refused(url: str, clip: Path) -> None:
    class Late(InlineExecutor):
        def submit(self, job: SegmentJob) -> Any:
            Store(f"{url}/in/a.mkv").write("", clip.read_bytes() + b"more")
            return super().submit(job)

    with pytest.raises(InputError, match="sees another file there"):
        stylize_clip(at(url), Late(), **TWO)


def test_a_name_in_the_store_that_leads_elsewhere_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with memory_store() as url:
        Store(url).write("work/x", b"x")
        monkeypatch.setattr(Store, "find", lambda store: [("../../x", 1)])
        with pytest.raises(OutputError, match="not ours"):
            mirror.Mirror(f"{url}/work", str(tmp_path)).pull()
