"""Where clips are divided, how the parts fit together, and what is gone on with."""

import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import av
import numpy as np
import pytest

from pipeline.config import DecodeConfig, VideoConfig
from pipeline.decode.demuxer import MediaReader
from pipeline.decode.source import Source, open_source
from pipeline.errors import DeviceError, EncodeError, InputError, OutputError
from pipeline.progress import Progress
from pipeline.resume.manifest import Segment, job_dir_path
from pipeline.run import stylize_video
from pipeline.summary import Summary
from pipeline.workers import partition as seams
from pipeline.workers.boundary_frames import NEXT, BoundaryFrame
from pipeline.workers.long_clip import stylize_long_clip
from pipeline.workers.merge import SplitClip, Tolerance
from pipeline.workers.partition import WarmUp, count_jobs, find_boundaries
from pipeline.workers.protocol import SegmentJob, SegmentResult
from pipeline.workers.worker_process import Share
from tests.support.batching import streams_of
from tests.support.media import make_clip
from tests.support.segment_jobs import (
    SMALL_STYLE,
    InlineExecutor,
    Noisy,
    bound,
    config,
    difference,
    make_clips,
    two,
    warm_up_briefly,
)


@pytest.fixture(autouse=True)
def warm(monkeypatch: pytest.MonkeyPatch) -> None:
    warm_up_briefly(monkeypatch)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[int | None, Path]:
    return make_clips(tmp_path_factory.mktemp("clips"))


# --- seams ---


@pytest.mark.parametrize("stability", ["none", "smooth", "flow"])
def test_parts_that_begin_at_a_cut_are_what_one_worker_paints(
    tmp_path: Path, clips: dict[int | None, Path], stability: str, one_thread: None
) -> None:
    stylize = replace(SMALL_STYLE, stability=stability)
    whole, parts = tmp_path / "whole.mkv", tmp_path / "parts.mkv"
    stylize_video(config(clips[35], whole, stylize=stylize))
    engine = InlineExecutor()
    summary = stylize_long_clip(config(clips[35], parts, stylize=stylize), engine, count=two)
    begin = engine.jobs[1].start
    assert begin is not None
    assert begin.pts == begin.stylized_from_pts == begin.observed_from_pts
    assert begin.pts == 1167 or stability == "none"
    assert set(difference(whole, parts)) == {0}
    sounds = [[packet for packet in streams_of(path) if packet[0] == 1] for path in (whole, parts)]
    assert sounds[0] == sounds[1]
    assert (summary.frames, summary.frames_reused, summary.notices) == (60, 0, ())
    assert set(os.listdir(tmp_path)) == {"whole.mkv", "parts.mkv"}


@pytest.mark.parametrize("stability", ["smooth", "flow"])
def test_elsewhere_a_part_warms_up_and_stays_within_the_bound(
    tmp_path: Path, stability: str, one_thread: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = make_clip(tmp_path / "in.mkv", Noisy(pts=range(0, 260 * 512, 512)))
    stylize = replace(SMALL_STYLE, stability=stability)
    whole, parts = tmp_path / "whole.mkv", tmp_path / "parts.mkv"
    stylize_video(config(clip, whole, stylize=stylize))
    engine = InlineExecutor()
    warm_up, tolerance = WarmUp(observed=50), Tolerance()
    summary = stylize_long_clip(
        config(clip, parts, stylize=stylize), engine, count=two, warm_up=warm_up, tolerance=tolerance
    )
    begin = engine.jobs[1].start
    assert begin is not None
    assert (begin.pts - begin.stylized_from_pts, begin.stylized_from_pts - begin.observed_from_pts) == (5000, 1667)
    assert begin.pts % 500 == 0  # where a segment of one worker begins
    found = difference(whole, parts)
    assert not any(found[: 30 * begin.pts // 1000])
    assert 0 < max(found) < 4
    assert summary.notices == ()


def let_seams_show(monkeypatch: pytest.MonkeyPatch, *, longer: int) -> None:
    """Too little is painted before a part; the second time ``longer`` times as much is."""
    bound(monkeypatch, 1, 4)
    monkeypatch.setattr(seams, "WARM_UP", WarmUp(0, 1, longer))


def test_a_part_whose_seam_shows_is_painted_again(
    tmp_path: Path, clips: dict[int | None, Path], one_thread: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_seams_show(monkeypatch, longer=28)
    whole, target = tmp_path / "whole.mkv", tmp_path / "out.mkv"
    stylize_video(config(clips[None], whole))
    engine = InlineExecutor()
    summary = stylize_long_clip(config(clips[None], target), engine, count=two)
    assert summary.notices == ("after 1.00 s a boundary would be visible: stylizing that part again",)
    first, again = engine.jobs[1].start, engine.jobs[3].start
    assert first is not None
    assert again is not None
    assert (again.pts, again.stylized_from_pts, first.stylized_from_pts) == (1000, 67, 967)
    assert 0 < max(difference(whole, target)) < 8


def test_a_seam_that_shows_all_the_same_is_said(
    tmp_path: Path, clips: dict[int | None, Path], one_thread: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_seams_show(monkeypatch, longer=1)
    summary = stylize_long_clip(config(clips[None], tmp_path / "out.mkv"), InlineExecutor(), count=two)
    (notice,) = summary.notices
    found = re.fullmatch(r"after 1.00 s, at a boundary .* differs by up to (\d+) levels .*", notice)
    assert found is not None
    assert int(found[1]) >= 4


def test_long_clips_alone_are_divided(clips: dict[int | None, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    with open_source(clips[None]) as source:
        info = source.info
    assert count_jobs(info, 2) == 1
    monkeypatch.setattr(seams, "SHORTEST_JOB_FRAMES", 20)
    assert [count_jobs(info, workers) for workers in (1, 2, 3, 9)] == [1, 2, 3, 3]
    assert count_jobs(info, 2, are_busy=True) == 1


def test_only_what_lies_around_the_seams_is_decoded(
    tmp_path: Path, clips: dict[int | None, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    restart, begun = Source.restart, list[Fraction | None]()
    monkeypatch.setattr(Source, "restart", lambda self, seconds: begun.append(seconds) or restart(self, seconds))
    decode = DecodeConfig(start_seconds=Fraction(1, 2))
    with open_source(clips[None], decode) as source:
        (seam,) = find_boundaries(source, config(clips[None], tmp_path / "out.mkv", decode=decode), 2)
        assert source.first_frame_seconds == 0
    assert None not in begun
    assert len(begun) == 1
    assert seam.pts == 1000


def unknown_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in an mkv whose first three frames come before zero: read from the beginning, all others are three later."""
    read = MediaReader.read

    def reading(self: MediaReader) -> Iterator[Any]:
        for item in read(self):
            if isinstance(item, av.VideoFrame) and not self._tracker.is_whole:
                item.pts = (item.pts or 0) - 100
            yield item

    monkeypatch.setattr(MediaReader, "read", reading)


def test_parts_that_do_not_meet_are_painted_again_from_the_beginning(
    tmp_path: Path, one_thread: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_clip(tmp_path / "in.mkv", Noisy(pts=range(0, 120 * 512, 512), options={"g": "10", "crf": "12"}))
    whole, target = tmp_path / "whole.mkv", tmp_path / "out.mkv"
    stylize_video(config(source, whole))
    unknown_times(monkeypatch)
    engine = InlineExecutor()
    summary = stylize_long_clip(config(source, target), engine, count=lambda info, workers: 3)
    assert len(engine.jobs) == 6
    assert len(summary.notices) == 2
    assert max(difference(whole, target)) < 30  # frames are the same; the warm-up is short


@dataclass
class Apart(InlineExecutor):
    """Each part is told to end before another frame than the next begins with."""

    def submit(self, job: SegmentJob) -> "Future[SegmentResult]":
        future = super().submit(job)
        if job.end_pts is not None:
            path = Path(job_dir_path(job.config.target, job.number)) / NEXT
            BoundaryFrame(np.zeros((48, 64, 3), np.uint8), job.end_pts + 33, "").write(str(path))
        return future


def test_parts_that_never_meet_are_no_clip(tmp_path: Path, clips: dict[int | None, Path]) -> None:
    engine, target = Apart(), tmp_path / "out.mkv"
    with pytest.raises(EncodeError, match=r"after 1\.00 s .* do not meet; run it with --workers 1"):
        stylize_long_clip(config(clips[None], target), engine, count=two)
    assert len(engine.jobs) == 4
    assert not target.exists()


def test_where_nothing_leads_into_the_middle_one_worker_paints(
    tmp_path: Path, clips: dict[int | None, Path], one_thread: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MediaReader, "seek", lambda self, seconds: sum(1 for _ in self._packets()) and None)
    engine = InlineExecutor()
    summary = stylize_long_clip(config(clips[None], tmp_path / "out.mkv"), engine, count=two)
    assert summary.notices == (
        "the clip cannot be split, as seeking does not reach its middle: one worker stylizes it",
    )
    assert (len(engine.jobs), summary.frames) == (1, 60)


def test_a_seek_that_fails_leaves_the_reader_at_the_beginning(
    tmp_path: Path, clips: dict[int | None, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(self: MediaReader, seconds: Fraction) -> None:
        assert sum(1 for _ in self._packets()) > 60
        raise av.error.PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(MediaReader, "seek", failing)
    with open_source(clips[None]) as source:
        source.restart(Fraction(1))
        assert sum(isinstance(item, av.VideoFrame) for item in source.items()) == 60


# --- going on ---


def test_a_part_is_lengthened_once_however_often_it_is_gone_on_with(
    tmp_path: Path, clips: dict[int | None, Path], one_thread: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound(monkeypatch, 0, 0)
    monkeypatch.setattr(seams, "WARM_UP", WarmUp(0, 2))
    engine = InlineExecutor()
    lengthen = SplitClip.redo_misfits

    def dying(*given: Any) -> bool:
        assert lengthen(*given)
        raise KeyboardInterrupt

    with monkeypatch.context() as dies:
        dies.setattr(SplitClip, "redo_misfits", dying)
        with pytest.raises(KeyboardInterrupt):
            stylize_long_clip(config(clips[None], tmp_path / "out.mkv"), engine, count=two)
    again = InlineExecutor()
    stylize_long_clip(config(clips[None], tmp_path / "out.mkv"), again, count=two)
    warm = [1000 - task.start.stylized_from_pts for task in (*engine.jobs, *again.jobs) if task.start is not None]
    assert warm == [67, 200]


def begin_alone(source: Path, target: Path) -> None:
    def stop(state: Progress) -> None:
        if state.frames >= 40:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stylize_video(config(source, target), progress=stop)


def test_what_one_worker_began_one_goes_on_with(
    tmp_path: Path, clips: dict[int | None, Path], one_thread: None
) -> None:
    alone, target, said = tmp_path / "alone.mkv", tmp_path / "out.mkv", list[str]()
    stylize_video(config(clips[None], alone))
    begin_alone(clips[None], target)
    engine, finished = InlineExecutor(), Mock()
    summary = stylize_long_clip(config(clips[None], target), engine, count=two, notify=said.append, finished=finished)
    assert (summary.frames_reused, engine.jobs) == (30, [])
    finished.assert_called_once_with()
    assert said == ["one worker started this clip: one worker resumes it"]
    assert streams_of(target) == streams_of(alone)

    begin_alone(clips[None], target.with_name("b.mkv"))
    changed = replace(config(clips[None], target.with_name("b.mkv")), segment_seconds=Fraction(1, 4))
    assert stylize_long_clip(changed, engine, count=two).frames_reused == 0
    assert len(engine.jobs) == 2


@pytest.mark.parametrize("begins", [stylize_video, partial(stylize_long_clip, executor=InlineExecutor(), count=two)])
@pytest.mark.parametrize("ends", [stylize_video, partial(stylize_long_clip, executor=InlineExecutor(), count=two)])
def test_whole_work_is_put_together_by_either(
    tmp_path: Path,
    clips: dict[int | None, Path],
    begins: Callable[[VideoConfig], Summary],
    ends: Callable[[VideoConfig], Summary],
    one_thread: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    target = tmp_path / "out.mkv"
    with monkeypatch.context() as full:
        full.setattr(
            "pipeline.resume.resumable.replace_atomically", Mock(side_effect=OSError(28, "No space left on device"))
        )
        with pytest.raises(EncodeError):
            begins(config(clips[35], target))
    monkeypatch.setattr("pipeline.resume.fingerprint._processor", lambda: "another")
    summary = ends(config(clips[35], target))
    assert (summary.frames, summary.frames_reused) == (60, 60)
    assert os.listdir(tmp_path) == ["out.mkv"]


# --- room and memory ---


def test_what_parts_have_painted_needs_no_room_any_more(
    tmp_path: Path, clips: dict[int | None, Path], one_thread: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, seen = tmp_path / "out.mkv", list[int]()
    with pytest.raises(InputError):
        stylize_long_clip(config(clips[None], target), InlineExecutor(fails={1}), count=two)

    def full(folder: str, finished: list[Segment], *rest: Any, **more: Any) -> None:
        seen.append(sum(len(segment.pts) for segment in finished))
        raise OutputError(str(target), "no room")

    monkeypatch.setattr("pipeline.resume.store.check_space", full)
    with pytest.raises(OutputError) as caught:
        stylize_long_clip(config(clips[None], target), InlineExecutor(), count=two)
    assert seen == [30]
    assert caught.value.__notes__[0].startswith("1 s of ")


def test_workers_share_the_memory_as_they_did_when_the_clip_was_divided(
    tmp_path: Path, clips: dict[int | None, Path], one_thread: None
) -> None:
    target, again = tmp_path / "out.mkv", InlineExecutor(sharers=3)
    with pytest.raises(InputError):
        stylize_long_clip(config(clips[None], target), InlineExecutor(sharers=2, fails={1}), count=two)
    stylize_long_clip(config(clips[None], target), again, count=two)
    assert [task.sharers for task in again.jobs] == [2, 2]

    clip = config(clips[None], target, stylize=replace(SMALL_STYLE, max_memory=3000))
    task = Share(None, 1).limit(SegmentJob(clip, {}, sharers=3))
    assert task.config.stylize.max_memory == 1000
    with pytest.raises(DeviceError, match="memory is too little") as caught:
        stylize_long_clip(replace(clip, target=str(tmp_path / "b.mkv")), InlineExecutor(sharers=3), count=two)
    assert caught.value.__notes__ == ["3 workers share the memory"]
