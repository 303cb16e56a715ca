"""Audio that an edit list cuts away does not come back in a container that has no edit lists."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.support.clips.transcoding import transcode_file
from tests.support.media import Audio, Clip, contents, make_clip


def trimmed_clip(
    path: Path, *, codec: str = "aac", hidden_seconds: Fraction = Fraction(1, 2), frames: int = 60
) -> Path:
    """Write a clip whose edit list hides its first part; of 2 s of audio, the first 0.4 s are loud."""
    before = path.with_name("before.mov")
    audio = Audio(codec=codec, seconds=Fraction(2), click_seconds=0.0)
    make_clip(before, Clip(pts=range(0, frames * 512, 512), audio=[audio]))
    with av.open(str(before)) as source, av.open(str(path), "w") as target:
        streams = [target.add_stream_from_template(stream) for stream in source.streams]
        for packet in source.demux():
            if packet.size:
                shift = int(hidden_seconds / packet.time_base)
                packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                packet.stream = streams[packet.stream_index]
                target.mux(packet)
    return path


@pytest.mark.parametrize("codec", ["aac", "pcm_s16le"])
@pytest.mark.parametrize("suffix", ["mkv", "mov"])
def test_what_is_cut_away_is_not_heard(tmp_path: Path, codec: str, suffix: str) -> None:
    source, target = trimmed_clip(tmp_path / "in.mov", codec=codec), tmp_path / f"out.{suffix}"
    assert len(contents(source).times) == 45
    transcode_file(source, target)
    found = contents(target)
    assert len(found.times) == 45
    assert found.times[0] - found.audio_times[0][0] < Fraction(1, 10)
    with av.open(str(target)) as container:
        sound = [np.abs(frame.to_ndarray().astype(float)).max() for frame in container.decode(audio=0)]
    assert max(sound) < (0.1 if codec == "aac" else 3000)


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_of_audio_that_ends_where_the_cut_is_one_packet_is_kept(tmp_path: Path, suffix: str) -> None:
    """FFmpeg gives all packets of such a track the time 0."""
    source = trimmed_clip(tmp_path / "in.mp4", codec="ac3", hidden_seconds=Fraction(2), frames=62)
    assert {seconds for track in contents(source).audio_times for seconds in track} == {0}
    report, _ = transcode_file(source, tmp_path / f"out.{suffix}")
    found = contents(tmp_path / f"out.{suffix}")
    assert report.audio_packets == len(found.audio[0]) == 1
    assert found.audio[0] == contents(source).audio[0][-1:]


@pytest.mark.parametrize("suffix", ["mp4", "mov"])
def test_priming_is_kept(tmp_path: Path, suffix: str) -> None:
    source = make_clip(tmp_path / f"in.{suffix}", Clip(audio=[Audio()]))
    with av.open(str(source)) as container:
        assert [packet.is_discard for packet in container.demux(audio=0)][:2] == [True, False]
    transcode_file(source, tmp_path / "out.mkv")
    assert contents(tmp_path / "out.mkv").audio == contents(source).audio
