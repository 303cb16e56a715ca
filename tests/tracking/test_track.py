"""The mask of key frames in a render: numbers and times, resuming, workers, and what is refused."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.batch.config import BatchConfig
from pipeline.batch.inputs.jobs import make_jobs
from pipeline.config import DecodeConfig, VideoConfig
from pipeline.decode.decoder import decode
from pipeline.decode.masks.mask import open_mask
from pipeline.decode.source import open_source
from pipeline.errors import InputError
from pipeline.media.mask_record import MaskRecord, MaskRecordWriter
from pipeline.resume.work_folder.manifest import work_dir_path
from pipeline.run import stylize_video
from pipeline.tracking.track import track_mask
from tests.support.interrupted.resuming import UNSTYLIZED, at_frame, config, interrupt, interrupt_at
from tests.support.tracking import overlap, square, write_keys, write_square
from tests.support.workers.segment_jobs import InlineExecutor, difference, split_in_two
from tests.support.workers.segment_jobs import config as split_config

COUNT = 24
SHOWN = replace(UNSTYLIZED, strength=1.0, threads=1)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_square(tmp_path_factory.mktemp("clip") / "square.mkv", COUNT)


def masks_of(run: VideoConfig, path: Path) -> tuple[list[np.ndarray], list[str]]:
    """Track the mask of ``run``; return the mask of each frame that is stylized, and the notices."""
    notices: list[str] = []
    path.touch()
    with open_source(run.source, run.decode) as source:
        track_mask(run, source, str(path), report=lambda frames, total: None, notify=notices.append)
        with open_mask(replace(run, mask=str(path)), source.info) as mask:
            assert mask is not None
            found = [mask.amount(frame.pixels, frame.seconds)[..., 0] * 255 for frame in decode(source)]
    return found, notices


def overlaps(masks: list[np.ndarray], first: int = 0) -> list[float]:
    return [overlap(mask.astype(np.uint8), square(first + number)[1]) for number, mask in enumerate(masks)]


def tracking(source: Path | str, target: Path, keys: str, **changes: Any) -> VideoConfig:
    return config(Path(source), target, mask=keys, mask_track=True, **({"stylize": SHOWN} | changes))


def test_each_frame_has_its_mask(tmp_path: Path, clip: Path) -> None:
    keys = write_keys(tmp_path / "keys", 0, COUNT - 1)
    masks, notices = masks_of(tracking(clip, tmp_path / "out.mkv", keys), tmp_path / "mask.npz")
    assert len(masks) == COUNT
    assert min(overlaps(masks)) > 0.8
    assert notices == []


def test_numbers_count_from_the_start_of_the_file(tmp_path: Path, clip: Path) -> None:
    keys = write_keys(tmp_path / "keys", 2, 20)
    part = DecodeConfig(start_seconds=Fraction(1, 3), duration_seconds=Fraction(1, 5))
    masks, notices = masks_of(tracking(clip, tmp_path / "out.mkv", keys, decode=part), tmp_path / "mask.npz")
    assert len(masks) == 5
    assert min(overlaps(masks, 9)) > 0.8
    assert notices == []


def test_one_picture_is_of_the_first_frame_that_is_stylized(tmp_path: Path, clip: Path) -> None:
    write_keys(tmp_path, 10)
    part = DecodeConfig(start_seconds=Fraction(2, 5), height=45)
    run = tracking(clip, tmp_path / "out.mkv", str(tmp_path / "00010.png"), decode=part)
    masks, _ = masks_of(run, tmp_path / "mask.npz")
    assert masks[0].shape == (45, 80)
    full = [np.asarray(Image.fromarray(mask.astype(np.uint8)).resize((160, 90))) for mask in masks]
    assert min(overlaps(full, 10)) > 0.8


def test_numbers_are_those_of_the_pictures_of_a_sequence(tmp_path: Path) -> None:
    for number in range(6):
        Image.fromarray(square(number)[0]).save(tmp_path / f"in{number + 1001}.png")
    keys = write_keys(tmp_path / "keys", 2, names_from=1001)
    masks, _ = masks_of(tracking(tmp_path / "in%04d.png", tmp_path / "out.mkv", keys), tmp_path / "mask.npz")
    assert min(overlaps(masks)) > 0.8


def test_key_frames_that_are_none_of_the_clip_are_an_error(tmp_path: Path, clip: Path) -> None:
    keys = write_keys(tmp_path / "keys", 0, names_from=500)
    with pytest.raises(InputError, match=r"none of its pictures is of a frame .* has frames 0 to 23"):
        stylize_video(tracking(clip, tmp_path / "out.mkv", keys))
    assert not (tmp_path / "out.mkv").exists()
    assert not (tmp_path / "out.mkv.flowbrush").exists()


def test_a_resumed_render_equals_an_uninterrupted_one(tmp_path: Path, clip: Path) -> None:
    keys = write_keys(tmp_path / "keys", 0, 20)
    counts: list[int] = []
    run = tracking(clip, tmp_path / "whole.mp4", keys)
    stylize_video(run, tracking=lambda frames, total: counts.append(frames))
    assert counts == list(range(1, COUNT + 1))
    target = tmp_path / "out.mp4"
    interrupt_at(12, clip, target, stylize=SHOWN, mask=keys, mask_track=True)
    again: list[int] = []
    summary = stylize_video(replace(run, target=str(target)), tracking=lambda frames, total: again.append(frames))
    assert (summary.frames_reused, again) == (8, [])  # the mask is in the work folder
    assert target.read_bytes() == (tmp_path / "whole.mp4").read_bytes()
    assert not Path(work_dir_path(str(target))).exists()


def test_a_damaged_mask_is_tracked_again_and_other_keys_start_from_scratch(tmp_path: Path, clip: Path) -> None:
    keys, target = write_keys(tmp_path / "keys", 0, 20), tmp_path / "out.mkv"
    interrupt_at(12, clip, target, stylize=SHOWN, mask=keys, mask_track=True)
    (Path(work_dir_path(str(target))) / "mask.npz").write_bytes(b"damaged")
    again: list[int] = []
    run = tracking(clip, target, keys)
    with pytest.raises(KeyboardInterrupt):
        stylize_video(run, progress=at_frame(18, interrupt), tracking=lambda frames, total: again.append(frames))
    assert len(again) == COUNT
    write_keys(tmp_path / "keys", 10)
    notices: list[str] = []
    summary = stylize_video(run, notify=notices.append)
    assert summary.frames_reused == 0
    assert "the partial output was made with another mask: starting from scratch" in notices


def test_workers_read_the_same_mask(tmp_path: Path) -> None:
    clip = write_square(tmp_path / "square.mkv", 48, cut=24)
    keys = write_keys(tmp_path / "keys", 3, 40)
    whole = replace(split_config(clip, tmp_path / "whole.mkv", stylize=SHOWN), mask=keys, mask_track=True)
    stylize_video(whole)
    executor = InlineExecutor()
    split_in_two(replace(whole, target=str(tmp_path / "out.mkv")), executor)
    assert len(executor.jobs) == 2
    assert max(difference(tmp_path / "whole.mkv", tmp_path / "out.mkv")) == 0


def test_a_record_reads_masks_at_any_time(tmp_path: Path) -> None:
    masks = [np.full((3, 5), level, np.uint8) for level in (9, 9, 77)]
    for name in ("a", "b"):
        (tmp_path / name).touch()
        with MaskRecordWriter(str(tmp_path / name), Fraction(1, 30)) as writer:
            for pts, mask in zip((4, 6, 9), masks, strict=True):
                writer.write(pts, mask)
    record = MaskRecord(str(tmp_path / "a"))
    for pts, level in ((9, 77), (100, 77), (8, 9), (4, 9), (0, 9)):
        assert (record.mask(record.number_at(Fraction(pts, 30))) == level).all()
    record.close()
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("mask", [None, "luma", "key:#00ff00"])
def test_tracking_needs_pictures(mask: str | None) -> None:
    with pytest.raises(ValueError, match="--mask-track needs --mask"):
        VideoConfig(source="a", target="b", stylize=SHOWN, mask=mask, mask_track=True)


def test_a_pipe_cannot_be_read_twice() -> None:
    with pytest.raises(ValueError, match="cannot be a pipe"):
        VideoConfig(source="-", target="b", stylize=SHOWN, mask="keys/%05d.png", mask_track=True)


def test_clips_of_a_batch_have_key_frames_of_their_own(tmp_path: Path, clip: Path) -> None:
    keys = write_keys(tmp_path / "keys", 0)
    other = tmp_path / "other.mkv"
    other.write_bytes(clip.read_bytes())
    options = {"mask": keys, "mask_track": True}
    batch = BatchConfig(inputs=(str(clip),), output=tmp_path / "out", styles=("minotaur", "mosaic"), options=options)
    assert len(make_jobs(batch)) == 2
    with pytest.raises(ValueError, match="give each clip key frames of its own"):
        make_jobs(replace(batch, inputs=(str(clip), str(other))))
