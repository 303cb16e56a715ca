from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
from av.stream import Disposition

from pipeline.config import DecodeConfig
from pipeline.decode.decoder import decode
from pipeline.decode.demuxer import MAX_FRAMES, MediaReader, close_when_idle
from pipeline.decode.reader import main_video
from pipeline.decode.source import open_source
from pipeline.errors import InputError
from tests.support import media
from tests.support.clips.reading import index_first, read, square_error, truncate, video_packets
from tests.support.media import Audio, Clip, make_clip

EVERY_FIFTH = {"crf": "12", "preset": "ultrafast", "g": "5", "bf": "0"}


def test_packets_of_all_audio_tracks_are_unchanged(tmp_path):
    audio = [Audio(metadata={"language": "eng"}), Audio(codec="ac3", hertz=880)]
    path = make_clip(tmp_path / "two.mkv", Clip(audio=audio, time_base=Fraction(1, 1000), pts=range(0, 1000, 40)))
    _, packets = read(path)
    assert [[data for _, data in packets[index]] for index in (1, 2)] == media.contents(path).audio


def test_all_frames_are_decoded_if_audio_is_the_first_stream(tmp_path):
    path = make_clip(tmp_path / "sound_first.mkv", Clip(audio=[Audio()], has_audio_first=True))
    frames, packets = read(path)
    assert len(frames) == len(media.contents(path).times) == 30
    assert [data for _, data in packets[0]] == media.contents(path).audio[0]


def test_a_cover_is_not_the_video(tmp_path):
    frames, _ = read(make_clip(tmp_path / "cover.mp4", Clip(has_cover=True)))
    assert len(frames) == 30
    assert frames[0].pixels.shape == (48, 64, 3)


def test_the_main_video_is_the_first_that_is_not_a_cover():
    cover = SimpleNamespace(codec_context=object(), disposition=Disposition.attached_pic, type="video")
    small = SimpleNamespace(codec_context=object(), disposition=Disposition(0), type="video")
    best = SimpleNamespace(codec_context=object(), disposition=Disposition.default, type="video")
    streams = SimpleNamespace(video=[cover, small, best])
    assert main_video(SimpleNamespace(streams=streams), "x") is small


def test_a_raw_stream_without_times_gets_even_ones(tmp_path):
    path = make_clip(tmp_path / "bare.h264", Clip(time_base=Fraction(1, 30), pts=range(20)), form="h264")
    frames, _ = read(path)
    assert len(frames) == 20
    assert len({b.pts - a.pts for a, b in pairwise(frames)}) == 1
    assert square_error(frames) < 4


def test_a_clip_whose_first_500_packets_fail_is_refused(tmp_path: Path) -> None:
    pts = range(0, 512 * 520, 512)
    path = make_clip(
        tmp_path / "clip.mp4", Clip(pts=pts, width=32, height=32, options={"preset": "ultrafast", "bf": "0"})
    )
    data = bytearray(path.read_bytes())
    for place, size, _ in video_packets(path):
        data[place : place + size] = b"\xff" * size
    path.write_bytes(data)
    with pytest.raises(InputError, match="first 500 packets"):
        open_source(path)


def test_frames_without_end_are_an_error(tmp_path: Path) -> None:
    assert MAX_FRAMES >= 10**7
    reader = MediaReader(str(make_clip(tmp_path / "clip.mp4")), max_frames=10)
    with pytest.raises(InputError, match="more than 10 frames"):
        list(reader.read())
    reader.close()


@pytest.mark.parametrize("form", ["matroska", "mpegts"])
def test_a_truncated_clip_is_read_to_its_end(tmp_path, form):
    path = make_clip(tmp_path / "clip.mkv", Clip(time_base=Fraction(1, 1000), pts=range(0, 4000, 40)), form=form)
    frames, _ = read(truncate(path, 2 / 3))
    assert 40 <= len(frames) < 100


def test_a_truncated_mp4_is_damage_and_a_complete_one_is_not(tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", Clip(pts=range(0, 512 * 120, 512)))
    path = index_first(clip, tmp_path / "front.mp4")
    for whole in (clip, path):
        with open_source(whole) as source:
            assert len(list(decode(source))) == 120
            assert not source.damage
    with open_source(path, DecodeConfig(duration_seconds=Fraction(1))) as source:
        assert len(list(decode(source))) < 120
        assert not source.damage
    truncate(path, 2 / 3)
    with open_source(path) as source:
        count = len(list(decode(source)))
        assert 20 < count < 110
        assert f"ends after {count} of 120 frames" in source.damage[-1].reason


def test_decoders_are_idle_before_the_file_is_closed() -> None:
    """Freeing a decoder waits for its threads with the GIL held, for which PyAV's log may wait in these threads."""
    steps = Mock()
    close_when_idle(steps.file, steps.decoder)
    assert [step[0] for step in steps.mock_calls] == ["decoder.flush_buffers", "file.close"]
