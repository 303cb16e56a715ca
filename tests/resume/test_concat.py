"""The output that is made of the segments: every frame at its time, and the other streams."""

import os
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from pipeline.config import EncodeConfig
from pipeline.encode.muxer import Muxer
from pipeline.errors import EncodeError
from pipeline.run import stylize_video
from tests.support.interrupted.resuming import FLASH, FLOW, UNSTYLIZED, config
from tests.support.media import Audio, Clip, contents, make_clip, moving_square

CODECS_AND_CONTAINERS = [
    ("h264", "mp4"), ("h264", "mkv"), ("h264", "mov"), ("h265", "mp4"), ("h265", "mkv"), ("h265", "mov"),
    ("av1", "mp4"), ("av1", "mkv"), ("av1", "webm"), ("vp9", "mp4"), ("vp9", "mkv"), ("vp9", "webm"),
    ("prores", "mov"), ("prores", "mkv"), ("ffv1", "mkv"),
]  # fmt: skip
IDENTITY = replace(FLOW, strength=0.0)


@pytest.fixture(scope="module")
def uneven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 frames in milliseconds, which every container stores exactly; the last one lasts for 700."""
    pts = tuple(int(step) for step in np.cumsum([0, *([33, 34, 1, 50, 20] * 8)][:40]))
    clip = Clip(pts=pts, time_base=Fraction(1, 1000), audio=[Audio()], last_duration=700)
    return make_clip(tmp_path_factory.mktemp("uneven") / "in.mkv", clip)


def seconds_shown(path: Path) -> Fraction:
    """From the first frame to the end of the last; an mp4 stores only the whole duration."""
    found = contents(path)
    if path.suffix in (".mkv", ".webm"):
        return found.relative_times[-1] + found.durations[-1]
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        assert video.duration is not None
        return Fraction(video.duration * video.time_base)


def largest_error(path: Path) -> float:
    """Largest mean difference of a frame from the square that it shows."""
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return max(float(np.abs(pixels.astype(int) - moving_square(n)).mean()) for n, pixels in enumerate(frames))


@pytest.mark.parametrize(("codec", "ending"), CODECS_AND_CONTAINERS)
def test_every_codec_and_container_gives_every_frame_at_its_time(
    tmp_path: Path, uneven: Path, codec: str, ending: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """N frames in, N frames out, also for codecs with lookahead and B-frames; and the duration of the last."""
    target = tmp_path / f"out.{ending}"
    encode = EncodeConfig(codec=codec)
    summary = stylize_video(config(uneven, target, stylize=IDENTITY, encode=encode, segment_frames=11))
    before, after = contents(uneven), contents(target)
    assert summary.frames == len(after.times) == 40
    assert after.relative_times == before.relative_times
    assert seconds_shown(target) == before.relative_times[-1] + Fraction(7, 10)
    if ending != "webm":
        assert after.audio == before.audio
        assert abs(after.offset - before.offset) <= Fraction(1, 48000)
    assert largest_error(target) < 8
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("ending", ["mp4", "mov", "mkv"])
def test_the_duration_of_the_last_frame_of_an_mp4_is_read_and_written(
    tmp_path: Path, uneven: Path, ending: str
) -> None:
    stylize_video(config(uneven, tmp_path / "in.mp4", stylize=IDENTITY))
    stylize_video(config(tmp_path / "in.mp4", tmp_path / f"out.{ending}", stylize=IDENTITY))
    assert seconds_shown(tmp_path / f"out.{ending}") == seconds_shown(tmp_path / "in.mp4") == seconds_shown(uneven)


@pytest.mark.parametrize("last_duration", [1880, 1940, 2060, 2100, 2140])
def test_a_last_frame_that_lasts_about_as_long_as_the_others_is_written_to_mkv(
    tmp_path: Path, last_duration: int
) -> None:
    """FFmpeg stores no duration that is within a tick of the usual one in Matroska; the check must allow for it."""
    options = {"preset": "ultrafast", "bf": "0"}
    clip = Clip(
        pts=range(0, 12 * 2002, 2002), time_base=Fraction(1, 60_000), options=options, last_duration=last_duration
    )
    source, target = make_clip(tmp_path / "in.mp4", clip), tmp_path / "out.mkv"
    assert stylize_video(replace(config(source, target), stylize=UNSTYLIZED)).frames == 12
    shown = contents(target).durations[-1]
    assert abs(shown - Fraction(last_duration, 60_000)) < Fraction(2, 1000)


def test_a_last_frame_of_unknown_duration_lasts_as_long_as_the_one_before(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.flv", FLASH)
    stylize_video(config(source, tmp_path / "out.mp4", stylize=UNSTYLIZED))
    assert seconds_shown(tmp_path / "out.mp4") == Fraction(24 * 40, 1000)


@pytest.mark.parametrize("codec", ["h264", "h265", "vp9", "prores"])
def test_segments_and_a_single_pass_write_the_same_packets_and_tags(tmp_path: Path, clip: Path, codec: str) -> None:
    ending = "mov" if codec == "prores" else "mp4"
    encode = EncodeConfig(codec=codec)
    segments, single = tmp_path / f"segments.{ending}", tmp_path / f"single.{ending}"
    stylize_video(config(clip, segments, encode=encode, segment_frames=600))
    stylize_video(config(clip, single, encode=encode, in_segments=False))
    assert video_stream(segments) == video_stream(single)
    a, b = contents(segments), contents(single)
    assert (a.times, a.tags, a.metadata) == (b.times, b.tags, b.metadata)
    assert (a.audio, a.audio_times) == (b.audio, b.audio_times)


def video_stream(path: Path) -> tuple[Any, ...]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        packets = [bytes(packet) for packet in container.demux(stream) if packet.size]
        tag, header = stream.codec_context.codec_tag, stream.codec_context.extradata
        return tag, header, stream.sample_aspect_ratio, stream.time_base, packets


def test_an_output_that_lacks_a_frame_is_an_error(tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = Muxer.write_video_packet

    def loses_the_last(self: Muxer, packet: Any) -> None:
        if self.video_packets < 39:
            write(self, packet)

    monkeypatch.setattr(Muxer, "write_video_packet", loses_the_last)
    with pytest.raises(EncodeError, match="39 frames instead of 40"):
        stylize_video(config(clip, tmp_path / "out.mp4"))
    assert os.listdir(tmp_path) == ["out.mp4.flowbrush"]


@pytest.mark.parametrize("target", ["out.gif", "out.webp", "out.mkv"])
def test_a_clip_one_pixel_wide_is_written(tmp_path: Path, target: str) -> None:
    """FFV1, which segments of animations use, divides a frame into slices of at least one pixel."""
    clip = Clip(pts=range(0, 300, 100), time_base=Fraction(1, 1000), width=1, height=64, codec="ffv1")
    clip.options, clip.pixel_format = {"slices": "1"}, "bgr0"
    encode = EncodeConfig(codec="ffv1" if target == "out.mkv" else "auto")
    source = make_clip(tmp_path / "in.mkv", clip)
    summary = stylize_video(config(source, tmp_path / target, stylize=UNSTYLIZED, encode=encode))
    assert (summary.frames, (tmp_path / target).stat().st_size > 0) == (3, True)
