import sys
import threading
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pipeline.config import DecodeConfig, EncodeConfig, StylizeConfig, VideoConfig
from pipeline.errors import InputError, OutputError, StyleError
from pipeline.frames import Frame, State
from pipeline.progress import Progress
from pipeline.run import stylize_video
from pipeline.stylize.stylizer import Stylizer
from tests.support.media import SHARED, Audio, Clip, contents, make_clip
from tests.support.memory import MEBIBYTE, printed_by

PLAIN = StylizeConfig(style="great-wave", engine="eager", device="cpu", precision="fp32")
UNEVEN = (0, 512, 600, 1536, 2048, 4096, 4097, 5000, 9000, 9512)


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("flowbrush-")]


def uneven_clip(folder: Path, name: str = "in.mp4") -> Path:
    audio = [Audio(metadata={"language": "deu"}), Audio(hertz=880, metadata={"language": "eng"})]
    return make_clip(folder / name, Clip(pts=UNEVEN, audio=audio, metadata={"title": "Élan"}))


def config(source: Path, target: Path, **changes: Any) -> VideoConfig:
    return VideoConfig(source=str(source), target=str(target), **({"stylize": PLAIN} | changes))


def test_times_and_audio_stay_and_frames_change(tmp_path: Path) -> None:
    source, target = uneven_clip(tmp_path), tmp_path / "out.mp4"
    summary = stylize_video(config(source, target))
    before, after = contents(source), contents(target)
    assert after.times == before.times
    assert after.audio == before.audio
    assert after.offset == before.offset
    assert after.metadata["title"] == "Élan"
    assert "great-wave" in after.metadata["comment"]
    assert (summary.frames, summary.audio_packets) == (len(UNEVEN), sum(map(len, before.audio)))
    difference = [np.abs(a.astype(int) - b).mean() for a, b in zip(after.planes, before.planes, strict=True)]
    assert min(difference) > 5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.mp4"]


def test_the_summary_describes_the_run(tmp_path: Path) -> None:
    seen: list[Progress] = []
    summary = stylize_video(config(uneven_clip(tmp_path), tmp_path / "out.mp4"), progress=seen.append)
    assert [state.frames for state in seen] == list(range(1, len(UNEVEN) + 1))
    assert set(summary.busy) == {"decode", "stylize", "encode"}
    assert all(0 <= share <= 1 for share in summary.busy.values())
    assert summary.bottleneck in summary.busy
    assert (summary.style, summary.engine, summary.precision, summary.device) == ("great-wave", "eager", "fp32", "cpu")
    assert summary.fps > 0
    assert summary.peak_memory_bytes is None or summary.peak_memory_bytes > 2**20


@pytest.mark.skipif(
    sys.platform != "linux", reason="other systems report no peak, or one that a child does not inherit"
)
def test_the_peak_memory_is_not_that_of_the_program_that_started_this_one() -> None:
    """As in a batch, whose workers are started by a process that is large itself."""
    large = b"x" * (300 * MEBIBYTE)
    del large
    [peak] = printed_by("from pipeline.progress import peak_memory_bytes; print(peak_memory_bytes())")
    assert 2**20 < int(peak) < 250 * MEBIBYTE


@pytest.mark.parametrize("ending", ["mp4", "mov", "mkv", "webm"])
def test_the_tag_is_added_to_the_comment_of_the_source(tmp_path: Path, ending: str) -> None:
    source = make_clip(tmp_path / "in.mkv", Clip(pts=(0, 512), metadata={"comment": "On the pier"}))
    stylize_video(config(source, tmp_path / f"out.{ending}"))
    metadata = {key.casefold(): text for key, text in contents(tmp_path / f"out.{ending}").metadata.items()}
    assert metadata["comment"] == "On the pier; painted by flowbrush in the style great-wave"


def damaged_clip(folder: Path) -> Path:
    """A clip in which one packet in the middle does not decode."""
    source = make_clip(folder / "in.mp4", Clip(options={"crf": "12", "preset": "ultrafast", "g": "5"}))
    data = bytearray(source.read_bytes())
    with av.open(str(source)) as container:
        packet = next(packet for number, packet in enumerate(container.demux(video=0)) if number == 10)
        assert packet.pos is not None
        data[packet.pos : packet.pos + packet.size] = b"\xff" * packet.size
    source.write_bytes(data)
    return source


def test_damage_is_reported_once(tmp_path: Path) -> None:
    lines: list[str] = []
    summary = stylize_video(config(damaged_clip(tmp_path), tmp_path / "out.mp4"), notify=lines.append)
    assert summary.damage
    assert [line for line in lines if "could not be read" in line] == [summary.notices[-1]]


def test_without_a_tag_the_output_does_not_name_flowbrush(tmp_path: Path) -> None:
    stylize_video(config(uneven_clip(tmp_path), tmp_path / "out.mkv", tag=False))
    assert "flowbrush" not in str(contents(tmp_path / "out.mkv").metadata)


def test_strength_0_gives_the_input(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mkv", Clip(pixel_format="yuv444p", tags=(1, 1, 1, 1)))
    stylize = StylizeConfig(style="great-wave", strength=0.0, engine="eager", device="cpu", precision="fp32")
    stylize_video(config(source, tmp_path / "out.mkv", stylize=stylize, encode=EncodeConfig(quality=0)))
    before, after = contents(source), contents(tmp_path / "out.mkv")
    assert after.times == before.times
    assert after.tags == before.tags


def test_compare_side_is_twice_as_wide(tmp_path: Path) -> None:
    stylize = StylizeConfig(style="great-wave", engine="eager", device="cpu", compare="side")
    stylize_video(config(uneven_clip(tmp_path), tmp_path / "out.mp4", stylize=stylize))
    after = contents(tmp_path / "out.mp4")
    assert (after.width, after.height) == (128, 48)


def test_height_and_trimming(tmp_path: Path) -> None:
    decode = DecodeConfig(start_seconds=Fraction(1, 10), duration_seconds=Fraction(2, 10), height=24)
    stylize_video(config(uneven_clip(tmp_path), tmp_path / "out.mp4", decode=decode))
    after = contents(tmp_path / "out.mp4")
    assert (after.width, after.height) == (32, 24)
    kept = [Fraction(pts, 15360) for pts in UNEVEN if Fraction(1, 10) <= Fraction(pts, 15360) < Fraction(3, 10)]
    assert after.relative_times == [time - kept[0] for time in kept]


class Failing(Stylizer):
    """Fails at the fourth frame."""

    def __call__(self, frames: Iterable[Frame], state: State | None = None) -> Iterator[Frame]:
        yield from islice(super().__call__(frames, state), 3)
        raise RuntimeError("the stylizer failed")


class Growing(Stylizer):
    """Yields a fourth frame of another size, which the encoder refuses."""

    def __call__(self, frames: Iterable[Frame], state: State | None = None) -> Iterator[Frame]:
        for number, frame in enumerate(super().__call__(frames, state)):
            yield frame.with_pixels(np.repeat(frame.pixels, 2, axis=1)) if number == 3 else frame


@pytest.mark.parametrize(
    ("stage", "make", "error"),
    [("decode", Stylizer, InputError), ("stylize", Failing, RuntimeError), ("encode", Growing, ValueError)],
)
@pytest.mark.parametrize("in_segments", [True, False])
def test_an_error_of_any_stage_reaches_the_caller_and_leaves_nothing(
    tmp_path: Path, stage: str, make: type[Stylizer], error: type[Exception], in_segments: bool
) -> None:
    source = damaged_clip(tmp_path) if stage == "decode" else uneven_clip(tmp_path)
    decode = DecodeConfig(strict=stage == "decode")
    with pytest.raises(error):
        stylize_video(config(source, tmp_path / "out.mp4", decode=decode, in_segments=in_segments), make=make)
    assert list(tmp_path.iterdir()) == [source]


def test_an_interruption_leaves_nothing_and_keeps_the_old_output(tmp_path: Path) -> None:
    source, target = uneven_clip(tmp_path), tmp_path / "out.mp4"
    target.write_bytes(b"the old one")

    def interrupt(state: Progress) -> None:
        if state.frames == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stylize_video(config(source, target, encode=EncodeConfig(overwrite=True)), progress=interrupt)
    assert target.read_bytes() == b"the old one"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.mp4"]


def test_everything_is_validated_before_the_network_is_loaded(tmp_path: Path) -> None:
    def run(source: Path, target: Path, **changes: Any) -> None:
        stylize_video(config(source, target, **changes), make=loaded)

    def loaded(*_: Any, **__: Any) -> Stylizer:
        raise AssertionError("the network was loaded")

    source, existing = uneven_clip(tmp_path), tmp_path / "existing.mp4"
    existing.touch()
    damaged = tmp_path / "damaged.mkv"
    damaged.write_bytes(b"no video at all")
    with pytest.raises(OutputError, match="exists"):
        run(source, existing)
    with pytest.raises(OutputError, match="folder"):
        run(source, tmp_path / "nowhere" / "out.mp4")
    with pytest.raises(OutputError, match="h264"):
        run(source, tmp_path / "out.webm", encode=EncodeConfig(codec="h264"))
    with pytest.raises(StyleError, match="starry-night"):
        run(source, tmp_path / "out.mp4", stylize=StylizeConfig(style="stary-night"))
    with pytest.raises(InputError, match="missing"):
        run(tmp_path / "missing.mp4", tmp_path / "out.mp4")
    with pytest.raises(InputError, match="damaged"):
        run(damaged, tmp_path / "out.mp4")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_compiled_and_eager_frames_are_alike(tmp_path: Path, tiny_style: Path) -> None:
    source = make_clip(tmp_path / "in.mkv", Clip(pts=range(0, 2560, 512)))
    for engine in ("compile", "eager"):
        stylize = StylizeConfig(style=str(tiny_style), engine=engine, device="cpu", precision="fp32")
        stylize_video(config(source, tmp_path / f"{engine}.mkv", stylize=stylize, encode=EncodeConfig(quality=1)))
    eager, compiled = contents(tmp_path / "eager.mkv"), contents(tmp_path / "compile.mkv")
    assert np.abs(np.stack(eager.planes).astype(int) - np.stack(compiled.planes)).mean() < 0.5


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.is_dir(), reason="the folder of real clips is not there")
@pytest.mark.parametrize(
    "name",
    [
        "torchcodec__nasa_13013_rotated.mp4",
        "torchcodec__test_non_zero_start.mp4",
        "exoplayer__bear-vp9-odd-dimensions.webm",
    ],
)
def test_real_clips(tmp_path: Path, name: str) -> None:
    target = tmp_path / "out.mkv"
    decode = DecodeConfig(duration_seconds=Fraction(1, 3))
    summary = stylize_video(config(SHARED / name, target, decode=decode))
    assert len(contents(target).times) == summary.frames > 3


def rgb_frames(path: Path) -> list[NDArray[np.uint8]]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24", src_colorspace=1) for frame in container.decode(video=0)]


def test_black_in_the_mask_leaves_the_input(tmp_path: Path) -> None:
    mask = Image.fromarray(np.repeat(np.uint8([[0, 255]]), 8, axis=0))
    mask.resize((64, 48), Image.Resampling.NEAREST).save(tmp_path / "mask.png")
    source = make_clip(tmp_path / "in.mkv", Clip(pixel_format="yuv444p", tags=(1, 1, 1, 1)))
    masked = config(source, tmp_path / "out.mkv", mask=str(tmp_path / "mask.png"), encode=EncodeConfig(codec="ffv1"))
    stylize_video(masked)
    before, after = rgb_frames(source), rgb_frames(tmp_path / "out.mkv")
    assert len(before) == 30
    for old, new in zip(before, after, strict=True):
        change = np.abs(new.astype(int) - old)
        assert change[:, :30].max() <= 2
        assert change[:, 34:].mean() > 10
