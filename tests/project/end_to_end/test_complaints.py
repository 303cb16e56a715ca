"""What users of other tools complain about, one test for each complaint, named after it.

Each makes its own clip, as awkward as the one in the complaint, and runs the whole way from file to file.
"""

import resource
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from av.video.reformatter import Interpolation
from numpy.typing import NDArray
from PIL import Image

from models.engines.build import build_engine
from models.engines.engine import EngineSpec
from models.network import Architecture, StyleNetwork
from pipeline.config import EncodeConfig, StylizeConfig, VideoConfig
from pipeline.errors import DeviceError, EncodeError
from pipeline.frames import Frame, Pixels, State
from pipeline.live.controls import Controls
from pipeline.live.frames import LiveFrame
from pipeline.live.session import LiveSession
from pipeline.progress import Progress
from pipeline.run import stylize_video
from pipeline.stylize.engine.memory_budget import estimate_bytes, strip_tilings
from pipeline.stylize.stylizer import Stylizer
from pipeline.summary import Summary
from tests.support.clips.extras import FONT, Extras, Subtitles, cues, enrich, film
from tests.support.live import FakeCamera, Memory, plain_config
from tests.support.media import Audio, Clip, bar_colors, color_bars, contents, make_clip, moving_square, to_yuv

# H.273 numbers of matrices to swscale's.
SWSCALE = {0: 1, 1: 1, 2: 5, 5: 5, 6: 5}


@pytest.fixture(autouse=True)
def no_thread_remains() -> Iterator[None]:
    yield
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("flowbrush-")]


@pytest.fixture
def stylize(tiny_style: Path) -> Callable[..., Summary]:
    """Return a function that stylizes a clip with the tiny network; options are those of `StylizeConfig`, and more."""

    def run(source: Path, target: Path, *, encode: EncodeConfig | None = None, **options: Any) -> Summary:
        calls = {name: options.pop(name) for name in ("progress", "notify", "make") if name in options}
        whole = {name: options.pop(name) for name in ("mask", "segment_seconds") if name in options}
        stylize = replace(
            StylizeConfig(style=str(tiny_style), engine="eager", device="cpu", precision="fp32"), **options
        )
        config = VideoConfig(
            source=str(source), target=str(target), stylize=stylize, encode=encode or EncodeConfig(), **whole
        )
        return stylize_video(config, **calls)

    return run


def frames_of(path: Path) -> list[Pixels]:
    """Return all frames as RGB, read by PyAV with the tagged matrix, as exactly as swscale can."""
    exact = Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
    with av.open(f"file:{path}") as container:
        return [
            frame.to_ndarray(
                format="rgb24",
                src_colorspace=SWSCALE[frame.colorspace],
                src_color_range=frame.color_range,
                interpolation=exact | Interpolation.FULL_CHR_H_INP,
            )
            for frame in container.decode(video=0)
        ]


def test_vfr_drift(tmp_path: Path, stylize: Callable[..., Summary]) -> None:
    """VideoJaNai#34, flowframes#43: variable frame rates become constant, and audio and video drift apart."""
    steps = np.random.default_rng(1).integers(200, 3000, 39)
    pts = (0, *np.cumsum(steps).tolist())
    source = make_clip(tmp_path / "in.mp4", Clip(pts=pts, audio=[Audio(seconds=Fraction(3))]))
    for ending in ("mp4", "mov"):
        stylize(source, tmp_path / f"out.{ending}")
        before, after = contents(source), contents(tmp_path / f"out.{ending}")
        assert after.times == before.times
        assert after.offset == before.offset


@pytest.mark.parametrize("rate", [Fraction(24000, 1001), Fraction(30000, 1001), Fraction(60000, 1001), Fraction(25, 2)])
def test_fractional_fps(tmp_path: Path, stylize: Callable[..., Summary], rate: Fraction) -> None:
    """flowframes#343, LivePortrait#221: 23.976 becomes 24, and a film ends a second early."""
    clip = Clip(pts=tuple(number * rate.denominator for number in range(50)), time_base=Fraction(1, rate.numerator))
    source = make_clip(tmp_path / "in.mp4", clip)
    stylize(source, tmp_path / "out.mp4")
    assert contents(tmp_path / "out.mp4").times == [number / rate for number in range(50)]


@pytest.mark.parametrize(("codec", "ending"), [("h264", "mp4"), ("h265", "mp4"), ("av1", "mp4"), ("vp9", "webm")])
def test_last_frames_lost(tmp_path: Path, stylize: Callable[..., Summary], codec: str, ending: str) -> None:
    """video2x#1318, #1350: the decoder or the encoder is never flushed."""
    count = 37
    source = make_clip(tmp_path / "in.mp4", Clip(pts=tuple(range(0, 512 * count, 512)), width=128, height=96))
    summary = stylize(source, tmp_path / f"out.{ending}", encode=EncodeConfig(codec=codec))
    assert summary.frames == count
    assert len(frames_of(tmp_path / f"out.{ending}")) == count


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 8, 9])
def test_short_last_batch_hangs(tmp_path: Path, stylize: Callable[..., Summary], count: int) -> None:
    """TheAnimeScripter 2.8: a clip whose frames do not fill the last batch never ends."""
    source = make_clip(tmp_path / "in.mp4", Clip(pts=tuple(range(0, 512 * count, 512)), last_duration=512))
    assert stylize(source, tmp_path / "out.mp4", threads=4).frames == count


class Killed(BaseException):
    """Stands for whatever ends a process; our code does not catch it."""


def stopped_at(frames: int, error: type[BaseException]) -> Callable[[Progress], None]:
    def progress(state: Progress) -> None:
        if state.frames == frames:
            raise error

    return progress


def test_no_resume(tmp_path: Path, stylize: Callable[..., Summary]) -> None:
    """video2x#648, #1178, #1256, facefusion#412: after a crash, hours of work start from scratch."""
    source = make_clip(
        tmp_path / "in.mp4", Clip(pts=tuple(range(0, 512 * 60, 512)), audio=[Audio(seconds=Fraction(2))])
    )
    short = {"segment_seconds": Fraction(1, 2)}
    stylize(source, tmp_path / "whole.mp4", **short)
    with pytest.raises(Killed):
        stylize(source, tmp_path / "out.mp4", progress=stopped_at(40, Killed), **short)
    assert not (tmp_path / "out.mp4").exists()
    summary = stylize(source, tmp_path / "out.mp4", **short)
    assert (summary.frames, summary.frames_reused) == (60, 30)
    assert (tmp_path / "out.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.mp4", "whole.mp4"]


def test_corrupt_mp4_after_ctrl_c(tmp_path: Path, stylize: Callable[..., Summary]) -> None:
    """Real-ESRGAN#894: what Ctrl-C leaves is an mp4 without an index, and unreadable."""
    source = make_clip(tmp_path / "in.mp4", Clip(pts=tuple(range(0, 512 * 60, 512))))
    with pytest.raises(KeyboardInterrupt):
        stylize(
            source, tmp_path / "out.mp4", progress=stopped_at(40, KeyboardInterrupt), segment_seconds=Fraction(1, 2)
        )
    assert not (tmp_path / "out.mp4").exists()
    kept = sorted((tmp_path / "out.mp4.flowbrush").glob("*.mp4"))
    assert [len(frames_of(path)) for path in kept] == [15, 15]


def test_disk_full_of_pngs(tmp_path: Path, stylize: Callable[..., Summary]) -> None:
    """video2x#1100: every frame is written to disk as an image, many times the size of the clip."""
    source = make_clip(tmp_path / "in.mp4", Clip(pts=tuple(range(0, 512 * 90, 512)), width=256, height=192))
    most = 0

    def look(_: Progress) -> None:
        nonlocal most
        sizes = [path.stat().st_size for path in tmp_path.rglob("*") if path.is_file() and path != source]
        most = max(most, sum(sizes))

    stylize(source, tmp_path / "out.mp4", progress=look)
    raw = 90 * 256 * 192 * 3
    assert 0 < most < raw / 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.mp4"]


def test_memory_grows_with_clip_length(tmp_path: Path, stylize: Callable[..., Summary]) -> None:
    """VideoHelperSuite#67: all frames are in memory at once. `benchmarks/memory.py` measures the bytes."""
    alive = most = 0

    class CountingStylizer(Stylizer):
        """Counts the decoded frames that are in memory."""

        def __call__(self, frames: Iterable[Frame], state: State | None = None) -> Iterator[Frame]:
            return super().__call__(map(self.count, frames), state)

        def count(self, frame: Frame) -> Frame:
            nonlocal alive, most
            alive += 1
            most = max(most, alive)
            weakref.finalize(frame.pixels, self.forget)
            return frame

        def forget(self) -> None:
            nonlocal alive
            alive -= 1

    seen = []
    for count in (40, 160):
        source = make_clip(tmp_path / f"{count}.mp4", Clip(pts=tuple(range(0, 512 * count, 512))))
        alive, most = 0, 0
        stylize(source, tmp_path / f"out{count}.mp4", stability="flow", make=CountingStylizer)
        seen.append(most)
    assert 0 < seen[1] <= 32
    assert seen[1] <= seen[0] + 4


@pytest.mark.parametrize("matrix", [1, 6])
@pytest.mark.parametrize("full_range", [False, True])
def test_colors_shifted(tmp_path: Path, stylize: Callable[..., Summary], matrix: int, full_range: bool) -> None:
    """facefusion#401, chaiNNer#3053: BT.709 is read as BT.601, or full range as limited."""
    bars = color_bars()
    planes = to_yuv(bars, matrix, full_range=full_range)
    tags = (matrix, 2 if full_range else 1, matrix, matrix)
    clip = Clip(pts=(0, 512, 1024), width=288, planes=planes, tags=tags, pixel_format="yuv444p")
    source = make_clip(tmp_path / "in.mkv", replace(clip, options={"qp": "0", "preset": "ultrafast"}))
    stylize(source, tmp_path / "out.mkv", strength=0.0, encode=EncodeConfig(codec="ffv1"))
    stylize(source, tmp_path / "out.mp4", strength=0.0, encode=EncodeConfig(quality=1))
    for ending in ("mkv", "mp4"):
        for picture in frames_of(tmp_path / f"out.{ending}"):
            assert np.abs(bar_colors(picture) - bar_colors(bars)).max() <= 2


def test_subtitles_fonts_chapters_lost(tmp_path: Path, stylize: Callable[..., Summary]) -> None:
    """video2x#174, #1344: subtitles, fonts and chapters are lost."""
    chapters = ((Fraction(0), Fraction(1), "Anfang"), (Fraction(1), Fraction(2), "Ende"))
    clip = make_clip(
        tmp_path / "clip.mp4", Clip(pts=tuple(range(0, 512 * 60, 512)), audio=[Audio(seconds=Fraction(2))])
    )
    shown = cues("Guten Tag", "{\\i1}schräg{\\i0}")
    source = enrich(
        clip,
        tmp_path / "film.mkv",
        Extras([Subtitles(shown, "ass", {"language": "deu"})], chapters, [("Schrift.ttf", "font/ttf", FONT)]),
    )
    before = film(source)
    stylize(source, tmp_path / "out.mkv")
    after = film(tmp_path / "out.mkv")
    assert after.attachments == before.attachments
    assert [track.payloads for track in after.of("subtitle")] == [track.payloads for track in before.of("subtitle")]
    assert [chapter[2]["title"] for chapter in after.chapters] == ["Anfang", "Ende"]
    notices: list[str] = []
    stylize(source, tmp_path / "out.mp4", notify=notices.append)
    after = film(tmp_path / "out.mp4")
    written = after.of("subtitle")[0].cues
    assert [cue.begin for cue in written] == before.of("subtitle")[0].times
    assert [cue.end - cue.begin for cue in written] == [cue.end - cue.begin for cue in shown]
    assert [chapter[2]["title"] for chapter in after.chapters] == ["Anfang", "Ende"]
    assert any("becomes mov_text" in notice for notice in notices)
    assert any("attachment" in notice and "dropped" in notice for notice in notices)


def test_silent_input_crashes(tmp_path: Path, stylize: Callable[..., Summary]) -> None:
    """chaiNNer PR#2538: a clip without audio ends in a traceback."""
    summary = stylize(make_clip(tmp_path / "in.mp4"), tmp_path / "out.mp4")
    assert (summary.frames, summary.audio_packets) == (30, 0)
    assert contents(tmp_path / "out.mp4").audio == []


@pytest.mark.parametrize(
    ("codec", "ending"), [("libopus", "mp4"), ("flac", "mov"), ("aac", "webm"), ("pcm_s16le", "mp4")]
)
def test_copy_audio_fails(tmp_path: Path, stylize: Callable[..., Summary], codec: str, ending: str) -> None:
    """chaiNNer#1774: audio that the output container does not support makes the run fail at its end."""
    sound = Audio(codec, seconds=Fraction(1), click_seconds=0.5)
    source = make_clip(tmp_path / "in.mkv", Clip(audio=[sound]))
    stylize(source, tmp_path / f"out.{ending}")
    after = contents(tmp_path / f"out.{ending}")
    assert len(after.times) == 30
    assert len(after.audio) == 1
    seconds = after.audio_times[0][-1] - after.audio_times[0][0]
    assert 0.9 < seconds < 1.1


@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_rotation_and_sar(tmp_path: Path, stylize: Callable[..., Summary], rotation: int) -> None:
    """chaiNNer PR#3298: phone clips are rotated, DVD clips are squeezed."""
    clip = Clip(rotation=rotation, sample_aspect_ratio=Fraction(16, 11), pixel_format="yuv444p")
    source = make_clip(tmp_path / "in.mp4", clip)
    stylize(source, tmp_path / "out.mp4", strength=0.0, encode=EncodeConfig(quality=1))
    after = contents(tmp_path / "out.mp4")
    on_its_side = rotation % 180 != 0
    assert (after.width, after.height) == ((48, 64) if on_its_side else (64, 48))
    assert after.rotation == 0
    assert after.sample_aspect_ratio == (Fraction(11, 16) if on_its_side else Fraction(16, 11))
    upright = np.rot90(moving_square(0), rotation // 90)
    assert np.abs(frames_of(tmp_path / "out.mp4")[0].astype(int) - upright).mean() < 4


def test_unknown_frame_count(tmp_path: Path, stylize: Callable[..., Summary]) -> None:
    """Real-ESRGAN PR#572: a container without a frame count gives no frames, or an endless progress bar."""
    states: list[Progress] = []
    clip = make_clip(tmp_path / "clip.mkv", Clip(pts=tuple(range(0, 512 * 45, 512))))
    with av.open(str(clip)) as whole, av.open(str(tmp_path / "in.mkv"), "w", options={"live": "1"}) as live:
        stream = live.add_stream_from_template(whole.streams.video[0])
        for packet in whole.demux(video=0):
            if packet.size:
                packet.stream = stream
                live.mux(packet)
    assert stylize(tmp_path / "in.mkv", tmp_path / "out.mp4", progress=states.append).frames == 45
    assert [(state.frames, state.total) for state in states] == [(count, None) for count in range(1, 46)]
    assert len(frames_of(tmp_path / "out.mp4")) == 45


def test_apostrophe_in_path(tmp_path: Path, stylize: Callable[..., Summary]) -> None:
    """QualityScaler#133: the name breaks the quotes of a command line made from text."""
    folder = tmp_path / 'it\'s "mine" & $(yours)'
    folder.mkdir()
    source = make_clip(folder / "O'Neill's clip.mp4", Clip(audio=[Audio()]))
    stylize(source, folder / "it's stylized.mp4")
    assert len(contents(folder / "it's stylized.mp4").times) == 30


def test_gpu_idle_behind_the_encoder(tmp_path: Path, stylize: Callable[..., Summary]) -> None:
    """video2x#1358, RVM#168: the network waits while each frame is encoded, as all stages share one loop."""
    stylized = threading.Semaphore(0)
    continued: list[bool] = []

    class CountingStylizer(Stylizer):
        def __call__(self, frames: Iterable[Frame], state: State | None = None) -> Iterator[Frame]:
            for frame in super().__call__(frames, state):
                stylized.release()
                yield frame

    def wait(progress: Progress) -> None:
        """Keep the thread that encodes busy until the network has stylized one more frame."""
        if len(continued) < 3:
            while stylized.acquire(blocking=False):
                pass
            continued.append(stylized.acquire(timeout=20))

    source = make_clip(tmp_path / "in.mp4", Clip(pts=tuple(range(0, 512 * 60, 512))))
    stylize(source, tmp_path / "out.mp4", make=CountingStylizer, progress=wait)
    assert continued[0]


def test_multi_gpu(tmp_path: Path, stylize: Callable[..., Summary]) -> None:
    """video2x#233: only the first GPU can be used; here each run takes its own, or reports that it is not available."""
    missing = f"cuda:{torch.cuda.device_count()}"
    with pytest.raises(DeviceError, match=missing):
        stylize(make_clip(tmp_path / "in.mp4"), tmp_path / "out.mp4", device=missing)
    assert not (tmp_path / "out.mp4").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="limits the size of files")
def test_encoder_dies_pipeline_hangs(tmp_path: Path, stylize: Callable[..., Summary]) -> None:
    """TheAnimeScripter 2.8: the encoder fails, and the stages before it wait for ever."""
    source = make_clip(tmp_path / "in.mp4", Clip(pts=tuple(range(0, 512 * 200, 512))))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, limits[1]))
    try:
        with pytest.raises(EncodeError, match=r"out\.mp4: .*too large"):
            stylize(source, tmp_path / "out.mp4")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not (tmp_path / "out.mp4").exists()


def test_bitrate_hard_coded(tmp_path: Path, stylize: Callable[..., Summary]) -> None:
    """fast-style-transfer#217: the output always has the same bit rate."""
    source = make_clip(tmp_path / "in.mp4", Clip(width=320, height=240))
    sizes = []
    for quality in (10, 40):
        stylize(source, tmp_path / f"{quality}.mp4", encode=EncodeConfig(quality=quality))
        sizes.append((tmp_path / f"{quality}.mp4").stat().st_size)
    assert sizes[0] > 2 * sizes[1]


@pytest.mark.parametrize(("width", "height"), [(338, 190), (337, 191), (61, 47)])
def test_338_px_becomes_340(tmp_path: Path, stylize: Callable[..., Summary], width: int, height: int) -> None:
    """fast-style-transfer#264: the size is rounded to a multiple of the network's."""
    clip = Clip(pts=(0, 512, 1024), width=width, height=height, pixel_format="yuv444p")
    source = make_clip(tmp_path / "in.mp4", clip)
    stylize(source, tmp_path / "out.mp4")
    assert (contents(tmp_path / "out.mp4").width, contents(tmp_path / "out.mp4").height) == (width, height)


def chroma(picture: Pixels) -> NDArray[np.float64]:
    """Return the mean of Cb and Cr, ``(2,)``."""
    return to_yuv(picture, 1, full_range=True)[1:].astype(np.float64).mean(axis=(1, 2))


def test_keep_colors(tmp_path: Path, stylize: Callable[..., Summary]) -> None:
    """fast-style-transfer#150: the video's own colors cannot be kept."""
    source = make_clip(tmp_path / "in.mkv", Clip(pts=(0, 512), pixel_format="yuv444p", tags=(1, 1, 1, 1)))
    ffv1 = EncodeConfig(codec="ffv1")
    stylize(source, tmp_path / "kept.mkv", keep_colors=True, style="great-wave", encode=ffv1)
    stylize(source, tmp_path / "stylized.mkv", style="great-wave", encode=ffv1)
    before, kept, stylized = (frames_of(tmp_path / f"{name}.mkv")[0] for name in ("in", "kept", "stylized"))
    lost = np.abs(chroma(stylized) - chroma(before)).max()
    assert lost > 20
    assert np.abs(chroma(kept) - chroma(before)).max() < lost / 2  # not less: what is lighter than white is cut off
    assert np.abs(kept.astype(int) - before).mean() > 8


def test_strength_at_inference(tmp_path: Path, stylize: Callable[..., Summary]) -> None:
    """fast-neural-style#101: the strength of the style is fixed by the training."""
    source = make_clip(tmp_path / "in.mkv", Clip(pts=(0, 512), pixel_format="yuv444p", tags=(1, 1, 1, 1)))
    changes = []
    for strength in (0.0, 0.5, 1.0):
        stylize(
            source, tmp_path / f"{strength}.mkv", strength=strength, stability="none", encode=EncodeConfig(codec="ffv1")
        )
        changes.append(np.abs(frames_of(tmp_path / f"{strength}.mkv")[0].astype(int) - frames_of(source)[0]).mean())
    assert changes[0] < 1
    assert changes[1] == pytest.approx(changes[2] / 2, rel=0.05)
    assert changes[2] > 10


def test_stroke_size_changes_with_resolution(tmp_path: Path, stylize: Callable[..., Summary]) -> None:
    """fast-style-transfer#259: at twice the resolution strokes are half as large, and there is no option for it."""

    def stylized_at(height: int, stroke_size: float) -> NDArray[np.float64]:
        clip = Clip(pts=(0, 512), width=height * 4 // 3, height=height, pixel_format="yuv444p", tags=(1, 1, 1, 1))
        source = make_clip(tmp_path / "in.mkv", clip)
        target = tmp_path / f"{height}-{stroke_size}.mkv"
        stylize(source, target, style="great-wave", stroke_size=stroke_size, encode=EncodeConfig(codec="ffv1"))
        shown = Image.fromarray(frames_of(target)[0]).resize((160, 120), Image.Resampling.BOX)
        return np.asarray(shown, np.float64)

    small, large, scaled = stylized_at(120, 1), stylized_at(480, 1), stylized_at(480, 4)
    assert np.abs(scaled - small).mean() < 0.6 * np.abs(large - small).mean()


def test_masks(tmp_path: Path, stylize: Callable[..., Summary]) -> None:
    """artistic-videos#55: no part of a frame can be left unchanged."""
    Image.fromarray(np.repeat(np.uint8([[0] * 32 + [255] * 32]), 48, axis=0)).save(tmp_path / "mask.png")
    source = make_clip(tmp_path / "in.mkv", Clip(pts=(0, 512), pixel_format="yuv444p", tags=(1, 1, 1, 1)))
    stylize(source, tmp_path / "out.mkv", mask=str(tmp_path / "mask.png"), encode=EncodeConfig(codec="ffv1"))
    for before, after in zip(frames_of(source), frames_of(tmp_path / "out.mkv"), strict=True):
        change = np.abs(after.astype(int) - before)
        assert change[:, :31].max() <= 2
        assert change[:, 33:].mean() > 10


def test_out_of_memory_skips_a_frame(tmp_path: Path, stylize: Callable[..., Summary]) -> None:
    """Real-ESRGAN: a frame that does not fit into GPU memory is missing in the output."""
    calls = []

    def greedy(name: Any, spec: Any) -> Any:
        run = build_engine(name, spec)

        def engine(*arguments: Any) -> Any:
            calls.append(spec.tiling)
            if spec.tiling is None and len(calls) > 5:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
            return run(*arguments)

        return engine

    source = make_clip(tmp_path / "in.mp4", Clip(pts=tuple(range(0, 512 * 12, 512)), pixel_format="yuv444p"))
    stylize(source, tmp_path / "whole.mkv", encode=EncodeConfig(codec="ffv1"))
    notices: list[str] = []
    make = partial(Stylizer, build=greedy)
    stylize(source, tmp_path / "out.mkv", encode=EncodeConfig(codec="ffv1"), notify=notices.append, make=make)
    assert any("ran out of memory: continuing in strips" in notice for notice in notices)
    assert len(frames_of(tmp_path / "out.mkv")) == 12
    for whole, strips in zip(frames_of(tmp_path / "whole.mkv"), frames_of(tmp_path / "out.mkv"), strict=True):
        assert np.abs(strips.astype(int) - whole).max() <= 2


def test_tiling_boundaries(tmp_path: Path, stylize: Callable[..., Summary]) -> None:
    """neural-style#329: tiles have visible borders, as each has its own brightness and colors."""
    spec = EngineSpec(
        network=StyleNetwork(Architecture()),
        height=160,
        width=96,
        device=torch.device("cpu"),
        precision="fp32",
        cache=tmp_path,
    )
    bound = estimate_bytes("eager", replace(spec, tiling=strip_tilings(spec)[-1]), "smooth")
    clip = Clip(pts=(0, 512, 1024), width=96, height=160, pixel_format="yuv444p", tags=(1, 1, 1, 1))
    source = make_clip(tmp_path / "in.mkv", clip)
    options = {"style": "great-wave", "encode": EncodeConfig(codec="ffv1")}
    stylize(source, tmp_path / "whole.mkv", **options)
    notices: list[str] = []
    stylize(
        source,
        tmp_path / "tiled.mkv",
        max_memory=bound,
        notify=notices.append,
        **options,
    )
    assert any("in strips of" in notice for notice in notices)
    for expected, tiled in zip(frames_of(tmp_path / "whole.mkv"), frames_of(tmp_path / "tiled.mkv"), strict=True):
        difference = np.abs(tiled.astype(int) - expected)
        assert difference.mean() <= 1
        assert difference.max() <= 4


def test_growing_live_lag() -> None:
    """Deep-Live-Cam#1642: the lag to the camera grows from minute to minute."""
    camera = FakeCamera(fps=100.0, count=400)

    class Slow(Memory):
        def write(self, frame: LiveFrame) -> None:
            super().write(frame)
            lags.append(camera.index - frame.index)
            time.sleep(0.1)

    lags: list[int] = []
    summary = LiveSession(
        plain_config(fps_target=240.0), [Slow()], Controls(["great-wave"]), [].append, device=camera
    ).run()
    assert summary.dropped > 200
    assert len(lags) > 8
    assert max(lags[-4:]) < 100  # a queue of all that came would be three hundred pictures long by now
