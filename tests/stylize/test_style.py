"""Styles, blends and fades: what is loaded, and what each moment of a clip looks like."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from models.blend import blend
from models.network import Architecture, StyleNetwork
from models.registry import LoadedStyle, StyleMetadata, WeightsError, to_bytes
from pipeline.config import DecodeConfig, StylizeConfig, VideoConfig
from pipeline.errors import InputError, StyleError
from pipeline.frames import Color, Frame, VideoInfo
from pipeline.run import stylize_video
from pipeline.stylize.style import StyleSettings, find_style, last_frame_seconds, load_style_settings
from pipeline.stylize.stylizer import Stylizer
from tests.support.media import Clip, make_clip, moving_square

TINY = Architecture(widths=(4, 6, 8), blocks=1, kernel=3)
CLIP = VideoInfo(
    path="clip.mp4",
    container="mov",
    codec="h264",
    width=64,
    height=48,
    rotation=0,
    sample_aspect_ratio=Fraction(1),
    time_base=Fraction(1, 90000),
    average_rate=Fraction(25),
    frame_count=50,
    duration_seconds=2.0,
    color=Color(1, False, 1, 1),
)


def random_style(name: str, seed: int, base: LoadedStyle | None = None, change: float = 1.0) -> LoadedStyle:
    """A random style; its convolutions are those of ``base`` with a random ``change``, or unrelated to any other."""
    torch.manual_seed(seed)
    network = StyleNetwork(TINY)
    style = network.initial_style()
    if base is not None:
        pairs = zip(base.style.convolutions, style.convolutions, strict=True)
        style = replace(style, convolutions=tuple(old + change * new for old, new in pairs))
    style = replace(style, scale=style.scale + torch.randn_like(style.scale))
    return LoadedStyle(network, style, StyleMetadata(name))


def write(path: Path, *styles: LoadedStyle) -> str:
    path.write_bytes(to_bytes(styles[0].network, [one.style for one in styles], [one.metadata for one in styles], {}))
    return str(path)


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    """A file with the styles ``reeds`` and ``rain``, and one with ``mine``, with related convolutions."""
    reeds = random_style("reeds", 1)
    rain = random_style("rain", 3, base=reeds, change=0)
    mine = random_style("mine", 2, base=reeds, change=0.1)
    return write(tmp_path / "gallery.safetensors", reeds, rain), write(tmp_path / "mine.safetensors", mine)


def test_blends_and_fades_have_names_for_people(files: tuple[str, str]) -> None:
    gallery, mine = files
    assert find_style("great-wave").painter == "Katsushika Hokusai"
    both = f"{gallery}#reeds:2,{mine}:1"
    assert find_style(both).name == "reeds:0.667,mine:0.333"
    assert find_style(both, f"{gallery}#rain").name == "reeds:0.667,mine:0.333 -> rain"
    assert load_style_settings(both, f"{gallery}#rain", 1.0).name == "reeds:0.667,mine:0.333 -> rain"


def test_an_unknown_style_in_a_blend_names_the_nearest() -> None:
    for style, end in (("great-wave:1,stary-night:1", None), ("great-wave", "stary-night")):
        with pytest.raises(StyleError, match=r"'stary-night'; did you mean starry-night"):
            find_style(style, end)


def test_styles_of_one_file_blend_and_share_their_convolutions(files: tuple[str, str]) -> None:
    gallery, _ = files
    reeds, rain = load_style_settings(f"{gallery}#reeds").start, load_style_settings(f"{gallery}#rain").start
    both = load_style_settings(f"{gallery}#reeds:0.7,{gallery}#rain:0.3").start
    assert all(map(torch.equal, both.style.convolutions, reeds.style.convolutions))
    for mixed, wanted in zip(both.style.tensors(), reeds.style.lerp(rain.style, 0.3).tensors(), strict=True):
        torch.testing.assert_close(mixed, wanted)


def test_styles_of_different_files_blend_their_convolutions_too(files: tuple[str, str]) -> None:
    gallery, mine = files
    a, b = load_style_settings(f"{gallery}#reeds").start, load_style_settings(mine).start
    both = load_style_settings(f"{gallery}#reeds:1,{mine}:3").start
    for mixed, first, second in zip(both.style.tensors(), a.style.tensors(), b.style.tensors(), strict=True):
        torch.testing.assert_close(mixed, 0.25 * first + 0.75 * second)
    assert not any(map(torch.equal, a.style.convolutions, b.style.convolutions))


def test_unrelated_networks_are_refused(files: tuple[str, str], tmp_path: Path) -> None:
    gallery, mine = files
    stranger = write(tmp_path / "stranger.safetensors", random_style("stranger", 9))
    for style, end in ((f"{mine}:1,{stranger}:1", None), (mine, stranger)):
        with pytest.raises(StyleError, match=r"mine and stranger cannot be mixed: .* were trained apart"):
            load_style_settings(style, end, 1.0)
    torch.manual_seed(0)
    large = StyleNetwork(Architecture(widths=(4, 6, 8), blocks=2, kernel=3))
    other = LoadedStyle(large, large.initial_style(), StyleMetadata("large"))
    with pytest.raises(WeightsError, match=r"reeds and large cannot be mixed: .* different sizes"):
        blend([load_style_settings(f"{gallery}#reeds").start, other], [0.5, 0.5], "both")


def test_a_fade_goes_from_start_to_end(files: tuple[str, str]) -> None:
    gallery, mine = files
    fade = load_style_settings(f"{gallery}#reeds", f"{gallery}#rain", 2.0)
    assert fade.end is not None
    ends = fade.start.style, fade.end.style
    for seconds, share in ((-1.0, 0.0), (0.0, 0.0), (0.5, 0.25), (2.0, 1.0), (9.0, 1.0)):
        torch.testing.assert_close(fade.style(seconds).scale, torch.lerp(ends[0].scale, ends[1].scale, share))
        assert all(map(torch.equal, fade.style(seconds).convolutions, ends[0].convolutions))
    other = load_style_settings(f"{gallery}#reeds", mine, 2.0)
    assert other.end is not None
    assert all(map(torch.equal, other.style(2.0).convolutions, other.end.style.convolutions))
    assert not any(map(torch.equal, other.style(1.0).convolutions, other.end.style.convolutions))
    assert StyleSettings("reeds", fade.start).style(1.0) is fade.start.style


def test_the_last_frame_is_where_a_fade_ends() -> None:
    assert last_frame_seconds(CLIP) == pytest.approx(1.96)
    assert last_frame_seconds(replace(CLIP, frame_count=None)) == pytest.approx(1.96)
    assert last_frame_seconds(replace(CLIP, frame_count=None, average_rate=None)) == 2.0
    with pytest.raises(InputError, match=r"clip.mp4: its duration is unknown .* give --duration"):
        last_frame_seconds(replace(CLIP, duration_seconds=None))


def test_a_fade_needs_an_end_time(files: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="time of the last frame"):
        load_style_settings(files[1], files[1])


@pytest.mark.parametrize("compare", [None, "side", "split"])
def test_all_settings_at_once_on_an_odd_size_with_several_workers(compare: str | None) -> None:
    config = StylizeConfig(
        style="great-wave:0.6,starry-night:0.4",
        strength=0.8,
        style_end="starry-night",
        keep_colors=True,
        stroke_size=1.7,
        compare=compare,
        engine="eager",
        device="cpu",
        precision="fp32",
        threads=3,
        stability="none",
    )
    stylizer = Stylizer(config, height=47, width=65, last_seconds=0.4)
    frames = [Frame(moving_square(n, width=65, height=47), n, Fraction(1, 10)) for n in range(5)]
    stylized = [frame.pixels for frame in stylizer(frames)]
    assert stylizer.workers == 3
    for frame, pixels in zip(frames, stylized, strict=True):
        assert np.array_equal(pixels, stylizer.stylize(frame.pixels, frame.seconds)), "the result depends on the worker"
        assert pixels.shape == ((47, 130, 3) if compare == "side" else (47, 65, 3))
        if compare:
            assert np.array_equal(pixels[:, :31], frame.pixels[:, :31])
    assert not np.array_equal(*(stylizer.stylize(frames[0].pixels, seconds)[:, -20:] for seconds in (0.0, 0.2)))


def test_a_fade_starts_and_ends_with_the_styles_themselves() -> None:
    plain = StylizeConfig(style="great-wave", engine="eager", device="cpu", precision="fp32")
    fade = Stylizer(replace(plain, style_end="starry-night"), height=48, width=64, last_seconds=2.0)
    pixels = moving_square(2)
    for style, seconds in (("great-wave", Fraction(0)), ("starry-night", Fraction(2))):
        alone = Stylizer(replace(plain, style=style), height=48, width=64).stylize(pixels)
        assert np.array_equal(fade.stylize(pixels, seconds), alone)


def test_a_fade_over_a_clip_of_unknown_duration_is_refused(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.h264", Clip(pts=range(0, 5120, 512)), form="h264")
    stylize = StylizeConfig(style="great-wave", style_end="starry-night", engine="eager", device="cpu")
    config = VideoConfig(source=str(source), target=str(tmp_path / "out.mp4"), stylize=stylize)
    with pytest.raises(InputError, match=r"in.h264: its duration is unknown"):
        stylize_video(config)
    cut = replace(config, decode=DecodeConfig(duration_seconds=Fraction(1, 5)))
    assert stylize_video(cut).style == "great-wave -> starry-night"
