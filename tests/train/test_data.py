"""Photos and clips to practise on: what is read, what is left out, and whether the motion is the true one."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from models.flow import DisFlow, FlowEstimator
from models.training.pairs import clip_crops
from pipeline.decode.sampling import Moment, moments
from pipeline.errors import InputError
from pipeline.train.data import Content, _found_in, flow_finder, read_content
from tests.support.media import Clip, Pixels, make_clip
from tests.support.tiny import photos

HEIGHT, WIDTH, STEP = 72, 96, 2


def texture(seed: int) -> Pixels:
    """Soft blobs, wide enough for a long pan: ``(72, 1200, 3)``."""
    coarse = torch.rand(1, 3, 16, 240, generator=torch.Generator().manual_seed(seed))
    smooth = F.interpolate(coarse, size=(HEIGHT, 1200), mode="bicubic").clamp(0, 1)
    return (smooth[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)


@dataclass
class Pan(Clip):
    """A camera that moves right by `STEP` px a frame, so that the picture moves left; at ``cut`` it is elsewhere."""

    width: int = WIDTH
    height: int = HEIGHT
    cut: int = 10**6

    def frame(self, number: int) -> av.VideoFrame:
        return av.VideoFrame.from_ndarray(view(number, self.cut), "rgb24").reformat(format=self.pixel_format)


def view(number: int, cut: int = 10**6) -> Pixels:
    scene = texture(1 if number < cut else 2)
    return np.ascontiguousarray(scene[:, number * STEP : number * STEP + WIDTH])


def pan(path: Path, frames: int = 30, *, cut: int = 10**6) -> Path:
    return make_clip(path, Pan(pts=tuple(range(0, 512 * frames, 512)), cut=cut))


def number_of(pixels: Pixels, frames: int) -> int:
    distances = [np.abs(pixels.astype(float) - view(number)).mean() for number in range(frames)]
    assert min(distances) < 12
    return int(np.argmin(distances))


def numbers(found: list[Moment], frames: int) -> list[int]:
    assert all(moment.second is not None for moment in found)
    first = [number_of(moment.first, frames) for moment in found]
    assert [number_of(moment.second, frames) for moment in found] == [number + 1 for number in first]
    return first


def sample(path: Path, count: int, **sizes: int) -> list[Moment]:
    return list(moments(path, count, **({"smallest_px": 16, "largest_px": 480} | sizes)))


@pytest.mark.parametrize("worth_seeking", [1, 120])
def test_moments_are_spread_over_the_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, worth_seeking: int) -> None:
    monkeypatch.setattr("pipeline.decode.sampling.WORTH_SEEKING", worth_seeking)
    found = numbers(sample(pan(tmp_path / "pan.mp4", 60), 5), 60)
    assert len(found) == 5
    assert set(np.diff(found)) == {12}


def test_a_clip_that_does_not_say_how_long_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.decode.sampling.UNKNOWN_STRIDE", 4)
    path = tmp_path / "pan.h264"
    make_clip(path, Pan(options={"crf": "12", "bf": "0"}), form="h264")
    assert numbers(sample(path, 3), 15) == [0, 4, 8]


def test_a_clip_of_one_frame_has_a_moment_without_a_second(tmp_path: Path) -> None:
    found = sample(pan(tmp_path / "one.mp4", 1), 5)
    assert len(found) == 1
    assert found[0].second is None


@pytest.mark.parametrize(("sizes", "size"), [({"smallest_px": 100}, (100, 134)), ({"largest_px": 36}, (36, 48))])
def test_clips_are_brought_to_a_useful_size(tmp_path: Path, sizes: dict[str, int], size: tuple[int, int]) -> None:
    found = sample(pan(tmp_path / "pan.mp4"), 2, **sizes)
    assert {moment.first.shape[:2] for moment in found} == {size}


def test_a_clip_that_was_cut_short_gives_what_it_has(tmp_path: Path) -> None:
    path = pan(tmp_path / "pan.mkv", 60)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert 1 <= len(sample(path, 5)) < 5


# --- content ----------------------------------------------------------------------------------------------------------


def write(path: Path, picture: torch.Tensor) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture.permute(1, 2, 0).numpy()).save(path)
    return path


def read(*sources: Path, find: Callable[[], FlowEstimator] = DisFlow) -> tuple[Content, list[str]]:
    notes: list[str] = []
    return read_content(sources, crop_px=64, seed=0, find=find, notify=notes.append), notes


def test_the_motion_of_a_clip_is_found(tmp_path: Path) -> None:
    content, notes = read(pan(tmp_path / "pan.mp4"))
    assert len(content.pairs) == len(content.photos) >= 10
    assert notes == [
        f"practising on {len(content.photos)} pictures, and on {len(content.pairs)} pairs of frames of 1 clip"
    ]
    for pair in content.pairs:
        assert pair.mask.float().mean() > 0.6
        flow = pair.flow.float()[:, pair.mask[0]]
        assert flow[0].median() == pytest.approx(STEP, abs=0.3)
        assert flow[1].median() == pytest.approx(0, abs=0.3)
    crops = clip_crops(content.pairs, 3, 64, torch.Generator().manual_seed(0))
    assert crops.first.shape == (3, 3, 64, 64)


def test_a_pair_across_a_cut_is_left_out(tmp_path: Path) -> None:
    whole, _ = read(pan(tmp_path / "whole.mp4", 24))
    cut, _ = read(pan(tmp_path / "cut.mp4", 24, cut=13))
    assert len(cut.photos) == len(whole.photos) == 12
    assert len(whole.pairs) == 12
    assert len(cut.pairs) == 11


def test_pictures_are_found_below_a_folder_in_order(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no such file or folder"):
        _found_in(tmp_path / "missing")
    with pytest.raises(InputError, match=r"no pictures and no clips in it.*\.jpg"):
        _found_in(tmp_path)
    (tmp_path / "deep").mkdir()
    for name in ("b.JPG", "a.png", "deep/c.webp", "notes.txt"):
        (tmp_path / name).touch()
    assert _found_in(tmp_path) == ([tmp_path / name for name in ("a.png", "b.JPG", "deep/c.webp")], [])
    assert _found_in(tmp_path / "a.png") == ([tmp_path / "a.png"], [])


def test_a_folder_holds_photos_and_clips(tmp_path: Path) -> None:
    for index, photo in enumerate(photos(3)):
        write(tmp_path / "in" / "deeper" / f"{index}.png", photo)
    write(tmp_path / "in" / ".hidden.png", photos(1)[0])
    (tmp_path / "in" / "notes.txt").write_text("no picture")
    clip = pan(tmp_path / "in" / "pan.mp4")
    content, _ = read(tmp_path / "in", clip)
    assert [path.name for path in content.pictures] == ["0.png", "1.png", "2.png"]
    assert content.clips == [clip]
    assert len(content.photos) == 3 + len(content.pairs)


def test_small_clips_are_enlarged(tmp_path: Path) -> None:
    content, _ = read(make_clip(tmp_path / "small.mp4"))
    assert {tuple(pair.first.shape) for pair in content.pairs} == {(3, 64, 86)}


def test_large_photos_are_shrunk(tmp_path: Path) -> None:
    content, _ = read(write(tmp_path / "large.png", photos(1, height=1000, width=1400)[0]))
    assert content.photos[0].shape == (3, 480, 672)


def test_an_animated_picture_is_a_clip(tmp_path: Path) -> None:
    frames = [Image.fromarray(view(number)) for number in range(8)]
    frames[0].save(tmp_path / "pan.gif", save_all=True, append_images=frames[1:], duration=40)
    frames[0].save(tmp_path / "still.gif")
    content, _ = read(tmp_path / "pan.gif", tmp_path / "still.gif")
    assert content.clips == [tmp_path / "pan.gif"]
    assert content.pictures == [tmp_path / "still.gif"]


def test_broken_files_are_left_out_and_named(tmp_path: Path) -> None:
    for index, photo in enumerate(photos(2)):
        write(tmp_path / f"{index}.png", photo)
    (tmp_path / "2.png").write_bytes(b"no picture")
    (tmp_path / "3.mp4").write_bytes(b"no clip")
    content, notes = read(tmp_path)
    assert len(content.photos) == 2
    assert notes[-1].startswith(f"2 of 4 files cannot be read and are left out ({tmp_path / '2.png'}: not an image")


def test_nothing_but_broken_files_is_an_error(tmp_path: Path) -> None:
    good = write(tmp_path / "good.png", photos(1)[0])
    (tmp_path / "bad").mkdir()
    for name in ("1.png", "2.mp4"):
        (tmp_path / "bad" / name).write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"bad: none of its 2 files can be read \(not an image"):
        read(good, tmp_path / "bad")


@pytest.mark.parametrize("name", ["notes.txt", "notes.mp4", "notes.png"])
def test_a_text_is_no_content(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("words\n" * 40)
    with pytest.raises(InputError, match=rf"{name}: cannot be read \(.*\); use photos or a clip"):
        read(tmp_path / name)


def test_without_content_the_sample_clips_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.train.data.MOST_PAIRS", 2)
    monkeypatch.setattr("pipeline.train.data.LARGEST_CONTENT_PX", 96)
    content, notes = read()
    assert [path.name for path in content.clips] == ["harbor.mp4", "street.mp4"]
    assert len(content.pairs) == 4
    assert notes[0].startswith("no --content: practising on the sample clips")


@pytest.mark.parametrize("is_there", [True, False])
def test_raft_is_used_on_a_gpu_where_it_was_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    from torchvision.models.optical_flow import Raft_Large_Weights

    class Raft:
        def __init__(self, state: dict[str, torch.Tensor], device: torch.device) -> None:
            assert state.keys() == {"weight"}

    monkeypatch.setattr("models.flow.RaftFlow", Raft)
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    if is_there:
        (tmp_path / "checkpoints").mkdir()
        name = Raft_Large_Weights.DEFAULT.url.rpartition("/")[2]
        torch.save({"weight": torch.zeros(1)}, tmp_path / "checkpoints" / name)
    assert isinstance(flow_finder(torch.device("cuda")), Raft if is_there else DisFlow)
    assert isinstance(flow_finder(torch.device("cpu")), DisFlow)
