"""Photos and clips to train on: what is read, what is left out, and whether the flow is the true one."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F
from torchvision.models.optical_flow import Raft_Large_Weights

from models.temporal.flow import DisFlow, Flow, FlowEstimator
from models.training.data.pairs import clip_crops
from pipeline.decode.sampling import Moment, moments
from pipeline.errors import InputError
from pipeline.train.data import Content, flow_estimator, read_content
from tests.support.media import Clip, Pixels, make_clip
from tests.support.tiny import photos

pytestmark = pytest.mark.usefixtures("one_thread")

HEIGHT, WIDTH, STEP = 72, 96, 2


@cache
def texture(seed: int) -> Pixels:
    """Soft blobs, wide enough for a long pan: ``(72, 1200, 3)``."""
    coarse = torch.rand(1, 3, 16, 240, generator=torch.Generator().manual_seed(seed))
    smooth = F.interpolate(coarse, size=(HEIGHT, 1200), mode="bicubic").clamp(0, 1)
    return (smooth[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)


@dataclass
class Pan(Clip):
    """A camera that moves right by `STEP` px a frame, so that the image moves left; at ``cut`` it jumps."""

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


@pytest.mark.parametrize(("frames", "count"), [(60, 5), (300, 2)])
def test_moments_are_spread_over_the_clip(tmp_path: Path, frames: int, count: int) -> None:
    """A short clip is decoded as a whole, a long one is searched."""
    found = numbers(sample(pan(tmp_path / "pan.mp4", frames), count), frames)
    assert len(found) == count
    assert set(np.diff(found)) == {frames // count}


def test_a_clip_of_unknown_length(tmp_path: Path) -> None:
    path = tmp_path / "pan.h264"
    make_clip(path, Pan(pts=tuple(range(30)), options={"crf": "12", "bf": "0"}), form="h264")
    assert numbers(sample(path, 3), 30) == [0, 12, 24]


def test_a_clip_of_one_frame_has_a_moment_without_a_second(tmp_path: Path) -> None:
    found = sample(pan(tmp_path / "one.mp4", 1), 5)
    assert len(found) == 1
    assert found[0].second is None


@pytest.mark.parametrize(("sizes", "size"), [({"smallest_px": 100}, (100, 134)), ({"largest_px": 36}, (36, 48))])
def test_clips_are_scaled_to_a_useful_size(tmp_path: Path, sizes: dict[str, int], size: tuple[int, int]) -> None:
    found = sample(pan(tmp_path / "pan.mp4"), 2, **sizes)
    assert {moment.first.shape[:2] for moment in found} == {size}


def test_a_truncated_clip_gives_the_moments_it_has(tmp_path: Path) -> None:
    path = pan(tmp_path / "pan.mkv", 60)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert 1 <= len(sample(path, 5)) < 5


# --- content ----------------------------------------------------------------------------------------------------------


def write(path: Path, picture: torch.Tensor) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture.permute(1, 2, 0).numpy()).save(path)
    return path


def read(
    *sources: Path, make_estimator: Callable[[], FlowEstimator] = DisFlow, **options: int
) -> tuple[Content, list[str]]:
    notes: list[str] = []
    settings = {"crop_px": 64, "seed": 0} | options
    return read_content(sources, make_estimator=make_estimator, notify=notes.append, **settings), notes


def test_the_flow_of_a_clip_is_estimated(tmp_path: Path) -> None:
    content, notes = read(pan(tmp_path / "pan.mp4"))
    assert len(content.pairs) == len(content.photos) >= 10
    assert notes == [f"training on {len(content.photos)} images, and on {len(content.pairs)} pairs of frames of 1 clip"]
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


def test_images_are_found_below_a_folder_in_order(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no such file or folder"):
        read(tmp_path / "missing")
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InputError, match=r"no images and no clips.*\.jpg"):
        read(tmp_path)
    names = ("a.png", "b.JPG", "deep/c.webp")
    for name in reversed(names):
        write(tmp_path / name, photos(1)[0])
    assert read(tmp_path)[0].images == [tmp_path / name for name in names]
    assert read(tmp_path / "a.png")[0].images == [tmp_path / "a.png"]


def test_the_seed_selects_among_too_many_photos(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    for index in range(12):
        write(folder / f"{index:02}.png", photos(1)[0])

    def selected(seed: int, most: int) -> list[Path]:
        content, notes = read(folder, folder / "03.png", seed=seed, most_photos=most)
        assert any("5 of 12 photos" in note for note in notes) == (most == 5)
        return content.images

    assert selected(1, 5) == selected(1, 5) == sorted(set(selected(1, 5)))
    assert len(selected(1, 5)) == 5
    assert selected(1, 5) != selected(2, 5)
    assert selected(1, 12) == sorted(folder.iterdir())


def test_a_folder_may_contain_photos_and_clips(tmp_path: Path) -> None:
    for index, photo in enumerate(photos(3)):
        write(tmp_path / "in" / "deeper" / f"{index}.png", photo)
    write(tmp_path / "in" / ".hidden.png", photos(1)[0])
    (tmp_path / "in" / "notes.txt").write_text("no picture")
    clip = pan(tmp_path / "in" / "pan.mp4")
    content, _ = read(tmp_path / "in", clip)
    assert [path.name for path in content.images] == ["0.png", "1.png", "2.png"]
    assert content.clips == [clip]
    assert len(content.photos) == 3 + len(content.pairs)


def test_small_clips_are_enlarged(tmp_path: Path) -> None:
    content, _ = read(make_clip(tmp_path / "small.mp4"))
    assert {tuple(pair.first.shape) for pair in content.pairs} == {(3, 64, 86)}


def test_large_photos_are_scaled_down(tmp_path: Path) -> None:
    content, _ = read(write(tmp_path / "large.png", photos(1, height=1000, width=1400)[0]))
    assert content.photos[0].shape == (3, 480, 672)


def test_an_animated_image_is_a_clip(tmp_path: Path) -> None:
    frames = [Image.fromarray(view(number)) for number in range(8)]
    frames[0].save(tmp_path / "pan.gif", save_all=True, append_images=frames[1:], duration=40)
    frames[0].save(tmp_path / "still.gif")
    content, _ = read(tmp_path / "pan.gif", tmp_path / "still.gif")
    assert content.clips == [tmp_path / "pan.gif"]
    assert content.images == [tmp_path / "still.gif"]


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


@pytest.mark.skipif(os.name != "posix", reason="needs links")
def test_links_to_files_outside_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    for index, photo in enumerate(photos(3)):
        write(tmp_path / "mine" / f"{index}.png", photo)
    secret = (tmp_path / "mine" / "2.png").rename(tmp_path / "secret.png")
    (tmp_path / "mine" / "inside.png").symlink_to("0.png")
    (tmp_path / "mine" / "outside.png").symlink_to(secret)
    content, notes = read(tmp_path / "mine")
    assert [path.name for path in content.images] == ["0.png", "1.png", "inside.png"]
    assert notes[0].startswith(f"{tmp_path / 'mine/outside.png'} leads out of {tmp_path / 'mine'} and is skipped; ")
    content, _ = read(tmp_path / "mine", tmp_path / "mine" / "outside.png")
    assert [path.name for path in content.images][-1] == "outside.png"


@pytest.mark.skipif(os.name != "posix", reason="needs links")
def test_what_becomes_a_link_to_a_file_outside_is_not_read(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    for index, photo in enumerate(photos(4)):
        write(folder / f"{index}.png", photo)
    pan(folder / "pan.mp4")

    def exchange(name: str) -> None:
        (folder / name).rename(tmp_path / name)
        (folder / name).symlink_to(tmp_path / name)

    def exchange_photos(line: str) -> None:
        notes.append(line)
        if "selected by the seed" in line:  # the files are found, and not read yet
            for name in ("0.png", "1.png", "2.png"):
                exchange(name)

    def exchange_clip() -> FlowEstimator:
        exchange("pan.mp4")
        return no_motion

    notes: list[str] = []
    sources = [folder, folder / "2.png"]
    content = read_content(
        sources, crop_px=64, seed=0, most_photos=3, make_estimator=exchange_clip, notify=exchange_photos
    )
    read_names = {path.name for path in content.images}
    assert content.clips == []
    assert read_names <= {"2.png", "3.png"}
    assert len(read_names) >= 1
    left_out = f"{3 - len(read_names) + 1} of 4 files cannot be read and are left out"
    assert notes[-1].startswith(f"{left_out} ({folder}/")
    assert notes[-1].endswith(f".png: a link leads out of {folder}; to include the file, name the file itself)")


@pytest.mark.parametrize("name", ["notes.txt", "notes.mp4", "notes.png"])
def test_a_text_is_not_content(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("words\n" * 40)
    with pytest.raises(InputError, match=rf"{name}: cannot be read \(.*\); use photos or a clip"):
        read(tmp_path / name)


def test_without_content_the_sample_clips_are_used() -> None:
    content, notes = read(make_estimator=lambda: no_motion)
    assert [path.name for path in content.clips] == ["harbor.mp4", "street.mp4"]
    assert len(content.photos) == 36
    assert notes[0].startswith("no --content")


def no_motion(source: Pixels, target: Pixels) -> Flow:
    return np.zeros((*source.shape[:2], 2), np.float32)


def test_raft_is_used_on_a_gpu_if_its_weights_were_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for device in ("cuda", "cpu"):
        assert isinstance(flow_estimator(torch.device(device)), DisFlow)
    weights = tmp_path / "hub" / "checkpoints" / Raft_Large_Weights.DEFAULT.url.rpartition("/")[2]
    weights.parent.mkdir(parents=True)
    torch.save({"weight": torch.zeros(1)}, weights)
    assert isinstance(flow_estimator(torch.device("cpu")), DisFlow)
    with pytest.raises(RuntimeError, match="RAFT"):
        flow_estimator(torch.device("cuda"))  # RAFT is built, and does not take these weights
