"""Batches that run twice: what is finished is recorded and skipped."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import models.registry
from pipeline.batch.config import BatchConfig
from pipeline.batch.events import Failed, Finished, Skipped, Started
from pipeline.batch.session import plan
from pipeline.config import VideoConfig
from pipeline.errors import OutputError
from tests.support.batching import OPTIONS, batch_config, make_clips, outputs_of, run_here, while_stylizing


def test_finished_clips_are_skipped_until_something_changes(tmp_path: Path) -> None:
    make_clips(tmp_path, "a.mp4", "b.mp4")
    assert run_here(batch_config(tmp_path))[0].painted == 2
    ended, events = run_here(batch_config(tmp_path))
    assert (ended.painted, ended.done_before, outputs_of(events, Started)) == (0, 2, [])
    assert outputs_of(events, Skipped) == ["a_great-wave.mp4", "b_great-wave.mp4"]

    make_clips(tmp_path, "b.mp4", frames=7)
    make_clips(tmp_path, "c.mp4")
    ended, events = run_here(batch_config(tmp_path))  # an output made from another input fails its clip alone
    assert (ended.painted, ended.done_before, ended.failed) == (1, 1, 1)
    assert "b_great-wave.mp4" in next(event.error for event in events if isinstance(event, Failed))
    with pytest.raises(OutputError, match=r"2 more outputs.*other settings"):
        plan(batch_config(tmp_path, options={"strength": 0.5}))
    with pytest.raises(OutputError, match="leave it out"):
        plan(batch_config(tmp_path, options={"fresh": True}))
    (tmp_path / "in" / "c.mp4").unlink()
    replacing = batch_config(tmp_path, options={"overwrite": True})
    assert outputs_of(run_here(replacing)[1], Finished) == ["b_great-wave.mp4"]
    assert run_here(batch_config(tmp_path, options={"overwrite": True, "strength": 0.5}))[0].painted == 2
    (tmp_path / "out" / "a_great-wave.mp4").write_bytes(b"edited")
    assert outputs_of(run_here(batch_config(tmp_path, options={"overwrite": True, "strength": 0.5}))[1], Finished) == [
        "a_great-wave.mp4"
    ]
    fresh = batch_config(tmp_path, options={"overwrite": True, "strength": 0.5, "fresh": True})
    assert run_here(fresh)[0].painted == 2


def test_a_record_is_complete_before_the_work_folder_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill at any moment leaves one of them; the report's figures and thumbnails are completed later."""
    make_clips(tmp_path, "a.mp4")
    records: list[str] = []

    def read_record() -> None:
        assert (tmp_path / "out" / "a_great-wave.mp4.flowbrush").exists()
        records.extend(path.read_text() for path in (tmp_path / "out" / ".flowbrush-batch").glob("*.json"))

    while_stylizing(monkeypatch, after_output=read_record)
    run_here(batch_config(tmp_path))
    (record,) = (tmp_path / "out" / ".flowbrush-batch").glob("*.json")
    record.write_text(records[0])
    for thumbnail in record.parent.glob("*.jpg"):
        thumbnail.unlink()
    assert outputs_of(run_here(batch_config(tmp_path))[1], Skipped) == ["a_great-wave.mp4"]
    assert (tmp_path / "out" / "report.html").read_text().count("data:image/jpeg") == 2


def test_a_moved_batch_is_recognized_by_any_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_clips(tmp_path, "a.mp4")
    shutil.copy(models.registry.bundled()["great-wave"].path, tmp_path / "w.safetensors")
    monkeypatch.chdir(tmp_path)
    here = BatchConfig(inputs=("in",), output=Path("in"), styles=("w.safetensors#great-wave",), options=OPTIONS)
    assert run_here(here)[0].painted == 1
    style = f"{tmp_path / 'w.safetensors'}#great-wave"
    assert run_here(replace(here, inputs=(str(folder),), output=folder, styles=(style,)))[0].done_before == 1
    folder.rename(tmp_path / "moved")
    moved = replace(here, inputs=("moved",), output=Path("moved"))
    ended, events = run_here(moved)
    assert (ended.painted, ended.done_before, outputs_of(events, Started)) == (0, 1, [])
    others = plan(replace(moved, styles=("starry-night",))).steps
    assert [step.job.name for step in others] == ["a_starry-night.mp4"]  # not a stylized clip once more


def test_a_clip_that_is_only_touched_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_clips(tmp_path, "a.mp4")
    while_stylizing(monkeypatch, lambda output, frames: os.utime(folder / "a.mp4", (1, 1)))
    assert run_here(batch_config(tmp_path))[0].painted == 1
    assert run_here(batch_config(tmp_path))[0].done_before == 1


def test_outputs_in_the_folder_of_the_clips_are_no_inputs(tmp_path: Path) -> None:
    folder = make_clips(tmp_path, "a.mp4")
    here = BatchConfig(inputs=(str(folder),), output=folder, styles=("great-wave",), options=OPTIONS)
    assert run_here(here)[0].painted == 1
    ended, events = run_here(here)
    assert (ended.painted, ended.done_before) == (0, 1)
    assert outputs_of(events, Started) == []
    shutil.rmtree(folder / ".flowbrush-batch")
    assert outputs_of(run_here(replace(here, options=OPTIONS | {"overwrite": True}))[1], Started) == [
        "a_great-wave.mp4"
    ]


def test_options_reach_the_configuration_of_each_clip(tmp_path: Path) -> None:
    make_clips(tmp_path, "a.mp4")
    step = plan(batch_config(tmp_path, options={"stability": "none", "codec": "h265"})).steps[0]
    assert isinstance(step.job.config, VideoConfig)
    assert (step.job.config.stylize.stability, step.job.config.encode.codec) == ("none", "h265")
