"""The mask of a square that moves, between key frames, at scene cuts and behind a bar."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import InputError
from pipeline.tracking.key_frames import KeyFrames, find_key_frames
from pipeline.tracking.shots import NumberedFrame
from pipeline.tracking.tracker import MaskTracker
from tests.support.tracking import HEIGHT, WIDTH, overlap, square, write_keys

COUNT = 18
# The square is 40 pixels wide, and an edge is known to a pixel or two.
CLOSE, ROUGH = 0.8, 0.7


def tracked(
    keys: str, *, cut: int = COUNT, has_bar: bool = False, reach: int = 500
) -> tuple[list[np.ndarray], list[float], list[str]]:
    """Return the masks of all frames, their overlaps with the true ones, and what is reported."""
    frames = [square(number, has_bar=has_bar, is_other_scene=number >= cut) for number in range(COUNT)]
    found = find_key_frames(keys)
    tracker = MaskTracker(found, (HEIGHT, WIDTH), reach=reach)
    masks = list(tracker(NumberedFrame(number, 7 * number, pixels) for number, (pixels, _) in enumerate(frames)))
    assert [(mask.number, mask.pts) for mask in masks] == [(number, 7 * number) for number in range(COUNT)]
    overlaps = [overlap(mask.mask, true) for mask, (_, true) in zip(masks, frames, strict=True)]
    return [mask.mask for mask in masks], overlaps, tracker.gaps.lines(found.paths)


@pytest.mark.parametrize("keys", [(0,), (COUNT - 1,), (0, COUNT - 1), (7,)])
def test_a_mask_follows_a_moving_square(tmp_path: Path, keys: tuple[int, ...]) -> None:
    masks, overlaps, lines = tracked(write_keys(tmp_path / "keys", *keys))
    assert min(overlaps) > ROUGH, overlaps
    assert len(keys) == 1 or min(overlaps) > CLOSE
    assert all(overlaps[key] == 1 and set(np.unique(masks[key])) == {0, 255} for key in keys)
    assert lines == []


def test_a_square_behind_a_bar_is_found_again_from_the_later_key_frame(tmp_path: Path) -> None:
    forward = tracked(write_keys(tmp_path / "first", 0, has_bar=True), has_bar=True)[1]
    _, both, _ = tracked(write_keys(tmp_path / "both", 0, COUNT - 1, has_bar=True), has_bar=True)
    assert min(both) > CLOSE, both
    assert min(both) > min(forward)


def test_a_mask_ends_at_a_cut(tmp_path: Path) -> None:
    masks, overlaps, lines = tracked(write_keys(tmp_path / "keys", 3), cut=9)
    assert min(overlaps[:9]) > CLOSE
    assert not np.any(masks[9:])
    assert len(lines) == 1
    assert "1 of 2 shots have no key frame, frames 9 to 17: the mask is black there" in lines[0]
    masks, overlaps, lines = tracked(write_keys(tmp_path / "keys", 3, 13), cut=9)
    assert min(overlaps) > CLOSE
    assert lines == []


def test_a_mask_is_carried_backward_so_far_and_no_farther(tmp_path: Path) -> None:
    masks, overlaps, lines = tracked(write_keys(tmp_path / "last", 15), reach=5)
    assert not np.any(masks[:10])
    assert min(overlaps[10:]) > CLOSE
    assert lines == [
        "--mask-track: frames 0 to 9 more than 5 frames before the first key frame of the shot: the mask is black "
        "there; add a key frame"
    ]
    _, overlaps, lines = tracked(write_keys(tmp_path / "both", 1, 15), reach=5)
    assert min(overlaps) > ROUGH
    assert len(lines) == 1
    assert "frames 2 to 9 more than 5 frames before the next key frame: the mask comes from the one before" in lines[0]


def test_a_key_frame_that_the_clip_lacks_is_named(tmp_path: Path) -> None:
    keys = write_keys(tmp_path / "keys", 0)
    write_keys(tmp_path / "keys", 17, names_from=10)
    _, overlaps, lines = tracked(keys, reach=12)
    assert min(overlaps) > ROUGH
    assert lines == ["--mask-track: the clip has no frame 27; it has frames up to 17"]


def test_a_trail_does_not_stay_where_a_large_object_was(tmp_path: Path) -> None:
    _, overlaps, _ = tracked(write_keys(tmp_path / "keys", 0))
    assert min(overlaps) > 0.85, overlaps


def test_the_same_frames_give_the_same_masks(tmp_path: Path) -> None:
    keys = write_keys(tmp_path / "keys", 2, 15)
    assert all(np.array_equal(one, other) for one, other in zip(tracked(keys)[0], tracked(keys)[0], strict=True))


def test_what_are_no_key_frames_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no picture has such a name, as 00000\.png would"):
        find_key_frames(str(tmp_path / "%05d.png"))
    with pytest.raises(InputError, match="there is no such file"):
        find_key_frames(str(tmp_path / "key.png"))
    (tmp_path / "clip.mp4").write_bytes(b"no picture")
    with pytest.raises(InputError, match="takes pictures of key frames"):
        find_key_frames(str(tmp_path / "clip.mp4"))


def test_a_key_frame_of_another_size_is_scaled(tmp_path: Path) -> None:
    write_keys(tmp_path, 4)
    keys = KeyFrames("keys", {4: tmp_path / "00004.png"}, are_numbered=True)
    small = keys.read(4, WIDTH // 2, HEIGHT // 2)
    assert small.shape == (HEIGHT // 2, WIDTH // 2)
    assert abs((small > 127).mean() - (square(4)[1] > 127).mean()) < 0.01
    with pytest.raises(InputError, match=r"00004\.png: the picture is wide and the frames are tall; rotate it"):
        keys.read(4, HEIGHT, WIDTH)
    assert (keys.next(0), keys.next(4), keys.next(5)) == (4, 4, None)
