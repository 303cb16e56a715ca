"""``flowbrush video`` from and to image sequences."""

import json
import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.config import DecodeConfig, EncodeConfig, StylizeConfig, VideoConfig
from pipeline.errors import OutputError
from pipeline.frames import Frame
from pipeline.progress import Progress
from pipeline.resume.fingerprint import content_hash
from pipeline.run import stylize_video
from pipeline.stylize.stylizer import Stylizer
from tests.support.commands import run
from tests.support.media import Audio, Clip, contents, make_clip, moving_square
from tests.support.photos import alpha_ramp, deep_scene, opencv_rgb, write_deep_png

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def style(tiny_style: Path) -> StylizeConfig:
    return StylizeConfig(style=str(tiny_style), engine="eager", device="cpu", precision="fp32", stability="flow")


def write_frames(folder: Path, count: int, first: int = 1) -> str:
    folder.mkdir(exist_ok=True)
    for index in range(count):
        Image.fromarray(moving_square(index)).save(folder / f"{first + index:05}.png")
    return str(folder / "%05d.png")


def opened(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def stylized(style: StylizeConfig, frames: list[np.ndarray]) -> list[np.ndarray]:
    """The frames as those of one clip, with temporal state."""
    height, width, _ = frames[0].shape
    stylizer = Stylizer(style, height=height, width=width, is_16_bit=frames[0].dtype == np.uint16)
    return [frame.pixels for frame in stylizer(Frame(each, pts, Fraction(1, 25)) for pts, each in enumerate(frames))]


def test_a_sequence_becomes_a_sequence_with_temporal_state(tmp_path: Path, style: StylizeConfig) -> None:
    source = write_frames(tmp_path / "in", 4, first=7)
    target = str(tmp_path / "out" / "%04d.png")
    summary = stylize_video(VideoConfig(source=source, target=target, stylize=style))
    assert summary.frames == 4
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == ["0007.png", "0008.png", "0009.png", "0010.png"]
    expected = stylized(style, [moving_square(index) for index in range(4)])
    for name, pixels in zip(written, expected, strict=True):
        np.testing.assert_array_equal(opened(tmp_path / "out" / name), pixels)
    alone = stylized(style, [moving_square(3)])[0]
    assert np.abs(expected[3].astype(int) - alone).mean() > 0.5  # the state counts
    assert any("one pass" in notice for notice in summary.notices)


def test_16_bits_and_alpha_stay(tmp_path: Path, style: StylizeConfig) -> None:
    alpha = np.maximum(alpha_ramp(), 30).astype(np.uint16) * 257
    (tmp_path / "in").mkdir()
    for number in range(2):
        write_deep_png(tmp_path / "in" / f"{number}.png", np.dstack((deep_scene(), alpha)))
    stylize_video(
        VideoConfig(source=str(tmp_path / "in" / "%d.png"), target=str(tmp_path / "out%d.tif"), stylize=style)
    )
    expected = stylized(style, [deep_scene(), deep_scene()])
    for number in range(2):
        samples = opencv_rgb(tmp_path / f"out{number}.tif")
        np.testing.assert_array_equal(samples, np.dstack((expected[number], alpha)))


def test_a_clip_becomes_a_sequence(tmp_path: Path, style: StylizeConfig) -> None:
    make_clip(tmp_path / "clip.mkv", Clip(pts=range(0, 200, 40), audio=[Audio()]))
    target = str(tmp_path / "out%03d.jpg")
    config = VideoConfig(source=str(tmp_path / "clip.mkv"), target=target, stylize=style)
    summary = stylize_video(config)
    assert sorted(path.name for path in tmp_path.glob("*.jpg")) == [f"out{number:03}.jpg" for number in range(1, 6)]
    assert [stream["action"] for stream in summary.streams] == ["drop"]
    assert any("audio and times are dropped" in notice for notice in summary.notices)
    stylize_video(replace(config, target=str(tmp_path / "x%d.png"), decode=DecodeConfig(start_number=100)))
    assert (tmp_path / "x104.png").exists()


def test_a_sequence_becomes_a_clip(tmp_path: Path, style: StylizeConfig) -> None:
    source = write_frames(tmp_path / "in", 5)
    config = VideoConfig(
        source=source, target=str(tmp_path / "out.mkv"), stylize=style, decode=DecodeConfig(fps=Fraction(24000, 1001))
    )
    stylize_video(config)
    found = contents(tmp_path / "out.mkv")
    assert found.times == pytest.approx([index * 1001 / 24000 for index in range(5)], abs=0.001)


class _Interruption(Exception):
    pass


def test_a_clip_from_a_sequence_resumes_exactly(tmp_path: Path, style: StylizeConfig) -> None:
    source = write_frames(tmp_path / "in", 12)
    encode = EncodeConfig(codec="ffv1")
    config = VideoConfig(
        source=source, target=str(tmp_path / "out.mkv"), stylize=style, segment_frames=4, encode=encode
    )
    stylize_video(replace(config, target=str(tmp_path / "whole.mkv")))

    def interrupt(progress: Progress) -> None:
        if progress.frames == 9:
            raise _Interruption

    with pytest.raises(_Interruption):
        stylize_video(config, progress=interrupt)
    summary = stylize_video(config)
    assert summary.frames_reused == 8
    for one, other in zip(contents(tmp_path / "out.mkv").frames, contents(tmp_path / "whole.mkv").frames, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_picture_that_was_changed_starts_from_scratch(tmp_path: Path, style: StylizeConfig) -> None:
    source = write_frames(tmp_path / "in", 12)
    config = VideoConfig(source=source, target=str(tmp_path / "out.mkv"), stylize=style, segment_frames=4)

    def interrupt(progress: Progress) -> None:
        if progress.frames == 9:
            raise _Interruption

    with pytest.raises(_Interruption):
        stylize_video(config, progress=interrupt)
    Image.fromarray(moving_square(30)).save(tmp_path / "in" / "00003.png")
    summary = stylize_video(config)
    assert summary.frames_reused == 0
    assert any("input" in notice for notice in summary.notices)


def test_names_sizes_and_content_of_pictures_are_the_input(tmp_path: Path) -> None:
    folders = {"same": [b"one", b"two"], "content": [b"one", b"owt"], "order": [b"two", b"one"], "more": [b"one"] * 3}
    hashes = []
    for folder, contents_ in {"first": folders["same"], **folders}.items():
        (tmp_path / folder).mkdir()
        for number, content in enumerate(contents_):
            (tmp_path / folder / f"{number}.png").write_bytes(content)
        hashes.append(content_hash(str(tmp_path / folder / "%d.png")))
    assert hashes[0] == hashes[1]
    assert all(hashes[1:].count(each) == 1 for each in hashes[1:])


def test_an_interrupted_sequence_leaves_nothing(tmp_path: Path, style: StylizeConfig) -> None:
    source = write_frames(tmp_path / "in", 8)

    def interrupt(progress: Progress) -> None:
        if progress.frames == 5:
            raise _Interruption

    config = VideoConfig(source=source, target=str(tmp_path / "out" / "%d.png"), stylize=style)
    with pytest.raises(_Interruption):
        stylize_video(config, progress=interrupt)
    assert list((tmp_path / "out").iterdir()) == []
    assert stylize_video(config).frames == 8


def test_existing_pictures_are_kept(tmp_path: Path, style: StylizeConfig) -> None:
    source = write_frames(tmp_path / "in", 2)
    target = write_frames(tmp_path / "out", 4)
    before = (tmp_path / "out" / "00001.png").read_bytes()
    config = VideoConfig(source=source, target=target, stylize=style)
    with pytest.raises(OutputError, match=r"has 4 pictures already \(00001.png to 00004.png\)"):
        stylize_video(config)
    assert (tmp_path / "out" / "00001.png").read_bytes() == before
    summary = stylize_video(replace(config, encode=EncodeConfig(overwrite=True)))
    assert (tmp_path / "out" / "00001.png").read_bytes() != before
    assert "2 pictures of an earlier run stay, as 00003.png" in summary.notices


def test_what_cannot_work_gets_one_line(tmp_path: Path, style: StylizeConfig) -> None:
    source = write_frames(tmp_path / "in", 2)
    config = VideoConfig(source=source, target=source, stylize=style, encode=EncodeConfig(overwrite=True))
    shutil.copytree(tmp_path / "in", tmp_path / "before")
    with pytest.raises(OutputError, match="is the input"):
        stylize_video(config)
    assert (tmp_path / "in" / "00001.png").read_bytes() == (tmp_path / "before" / "00001.png").read_bytes()
    with pytest.raises(OutputError, match="have no codec"):
        stylize_video(replace(config, target=str(tmp_path / "%d.png"), encode=EncodeConfig(codec="h264")))
    with pytest.raises(OutputError, match="end in"):
        stylize_video(replace(config, target=str(tmp_path / "%d.bmp")))
    with pytest.raises(OutputError, match="there is no folder"):
        stylize_video(replace(config, target=str(tmp_path / "a" / "b" / "%d.png")))


def test_a_gap_in_time_stays_a_gap_in_numbers(tmp_path: Path, tiny_style: Path) -> None:
    source = write_frames(tmp_path / "in", 4)
    (tmp_path / "in" / "00003.png").write_bytes(b"damaged")
    options = ("--style", tiny_style, "--engine", "eager", "--device", "cpu", "--stability", "none", "--json")
    code, printed, _ = run("video", source, tmp_path / "out" / "%d.png", *options)
    assert code == 7
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["1.png", "2.png", "4.png"]
    assert "00003.png" in json.loads(printed)["damage"][0]["reason"]
