"""Times of tracks besides the main video, copied or converted."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.decode.source import open_source
from pipeline.encode.planner import plan_output
from pipeline.frames import Frame
from tests.support import media
from tests.support.clips import timelines
from tests.support.clips.extras import Cue, Extras, Film, Subtitles, enrich, film
from tests.support.clips.transcoding import transcode, transcode_file
from tests.support.media import Audio, Clip, contents, make_clip

MILLISECOND = Fraction(1, 1000)


def same_packets(before: Film, after: Film, *of: str) -> None:
    for kind in of:
        assert [track.payloads for track in before.of(kind)] == [track.payloads for track in after.of(kind)]


def test_a_trimmed_further_video_starts_with_a_key_frame(tmp_path: Path) -> None:
    options = {"g": "10", "bf": "2", "preset": "ultrafast"}
    small = make_clip(tmp_path / "small.mp4", Clip(pts=range(0, 512 * 60, 512), width=32, height=32, options=options))
    path = enrich(
        make_clip(tmp_path / "a.mp4", Clip(pts=range(0, 512 * 60, 512))), tmp_path / "in.mp4", Extras(further=small)
    )
    part = {"start_seconds": Fraction(1, 2), "duration_seconds": Fraction(1)}
    transcode_file(path, tmp_path / "out.mp4", decoding=part)
    after = film(tmp_path / "out.mp4")
    assert len(after.tracks) == 2
    with av.open(str(tmp_path / "out.mp4")) as container:
        first = next(iter(container.demux(container.streams.video[1])))
        container.seek(0)
        frames = list(container.decode(container.streams.video[1]))
    assert first.is_keyframe
    # Key frames stand at 1/3, 2/3, 1 s of the source; the part starts at 1/2.
    assert frames[0].key_frame
    assert frames[0].pts * frames[0].time_base == Fraction(2, 3) - Fraction(1, 2)
    assert [frame.pts * frame.time_base for frame in frames] == sorted(frame.pts * frame.time_base for frame in frames)


@pytest.mark.parametrize("ending", [".mp4", ".mkv"])
def test_a_further_video_without_dts_keeps_its_times(tmp_path: Path, ending: str) -> None:
    small = make_clip(tmp_path / "small.mp4", Clip(pts=range(0, 512 * 60, 512), width=32, height=32))
    path = enrich(
        make_clip(tmp_path / "a.mp4", Clip(pts=range(0, 512 * 60, 512))), tmp_path / "in.mkv", Extras(further=small)
    )
    with av.open(str(path)) as container:  # Matroska stores only pts, in decoding order
        assert None in [packet.dts for packet in container.demux(container.streams.video[1]) if packet.size]
    transcode_file(path, tmp_path / f"out{ending}")
    times = []
    for name in ("in.mkv", f"out{ending}"):
        with av.open(str(tmp_path / name)) as container:
            frames = list(container.decode(container.streams.video[1]))
        times.append([frame.pts * frame.time_base for frame in frames])
    assert len(times[1]) == 60
    assert all(abs(a - b) <= MILLISECOND for a, b in zip(*times, strict=True))


def test_audio_that_ends_early_or_late_keeps_its_length(tmp_path: Path) -> None:
    audio = [Audio(seconds=Fraction(1, 2)), Audio(seconds=Fraction(4), hertz=880)]
    path = make_clip(tmp_path / "in.mp4", Clip(pts=range(0, 512 * 60, 512), audio=audio))
    for ending in (".mp4", ".mkv", ".mov"):
        transcode_file(path, tmp_path / f"out{ending}")
        after = film(tmp_path / f"out{ending}")
        same_packets(film(path), after, "audio")
        assert len(contents(tmp_path / f"out{ending}").times) == 60


@pytest.mark.parametrize(("ending", "codec"), [(".webm", "opus"), (".mov", "aac")])
def test_unsupported_audio_is_transcoded_in_time_with_a_notice(tmp_path, ending, codec):
    source = "pcm_s16le" if ending == ".webm" else "libopus"
    audio = [Audio(codec=source, seconds=Fraction(2), click_seconds=1.25, start_seconds=Fraction(1, 4))]
    path = make_clip(tmp_path / "in.mkv", Clip(pts=range(0, 2000, 40), time_base=Fraction(1, 1000), audio=audio))
    _, plan = transcode_file(path, tmp_path / f"out{ending}")
    after = media.contents(tmp_path / f"out{ending}")
    assert codec in after.audio_codecs[0]
    assert "audio stream 1" in plan.notices[-1]
    assert media.click_seconds(tmp_path / f"out{ending}") == pytest.approx(media.click_seconds(path), abs=0.003)


def test_transcoded_audio_is_as_long_as_before(tmp_path):
    audio = [Audio(codec="pcm_s16le", seconds=Fraction(2) + Fraction(700, 48000))]
    path = make_clip(tmp_path / "in.mkv", Clip(time_base=Fraction(1, 1000), pts=range(0, 2000, 40), audio=audio))
    transcode_file(path, tmp_path / "out.webm")
    with av.open(str(tmp_path / "out.webm")) as container:
        last = list(container.decode(audio=0))[-1]
    assert last.layout.nb_channels == 2
    assert float(last.time) + last.samples / last.sample_rate >= float(audio[0].seconds) - 0.001


def test_pcm_of_a_mov_is_converted_for_mp4(tmp_path):
    audio = [Audio(codec="pcm_s16le", click_seconds=0.5)]
    path = make_clip(tmp_path / "in.mov", Clip(audio=audio))
    transcode_file(path, tmp_path / "out.mp4")
    assert media.click_seconds(tmp_path / "out.mp4") == pytest.approx(0.5, abs=0.003)


@pytest.mark.parametrize("ending", [".mp4", ".mkv"])
def test_repeated_decreasing_and_missing_dts_are_repaired(tmp_path, ending):
    path = make_clip(tmp_path / "in.mp4", Clip(audio=[Audio()]))

    def spoil(items):
        number = 0
        for item in items:
            if not isinstance(item, Frame):
                number += 1
                if number in (5, 6):
                    item.dts = item.pts = 4096
                elif number == 10:
                    item.dts = item.pts = 1000
                elif number == 20:
                    item.dts = None
                elif number == 30:
                    item.dts = item.pts = None
            yield item

    transcode_file(path, tmp_path / f"out{ending}", change=spoil)
    after = media.contents(tmp_path / f"out{ending}")
    assert after.audio == media.contents(path).audio
    assert after.audio_times[0] == sorted(after.audio_times[0])


@pytest.mark.parametrize("rates", [(48_000, 44_100), (44_100, 48_000, 44_100)])
def test_converted_audio_may_change_its_sample_rate(tmp_path: Path, rates: tuple[int, ...]) -> None:
    parts = [timelines.stream(tmp_path / f"{n}.ts", 10 + n, count=30, rate=rate) for n, rate in enumerate(rates)]
    source, target = tmp_path / "in.ts", tmp_path / "out.webm"
    source.write_bytes(b"".join(part.read_bytes() for part in parts))
    transcode_file(source, target)
    with av.open(str(target)) as container:
        frames = list(container.decode(audio=0))
    assert abs(sum(frame.samples for frame in frames) / 48_000 - len(rates)) < 0.05 * len(rates)
    assert abs(frames[-1].pts * frames[-1].time_base - len(rates)) < 0.05 * len(rates)
    tone = np.concatenate([frame.to_ndarray()[0] for frame in frames])
    for second in range(len(rates)):  # the pitch stays
        part = tone[second * 48_000 + 12_000 :][:24_000]
        assert abs(int(np.abs(np.fft.rfft(part)).argmax()) * 2 - 440) <= 2


def test_a_track_with_a_gap_too_long_for_mp4_ends_before_it(tmp_path: Path) -> None:
    """The samples of an mp4 last 2^31 ticks at most; FFmpeg would move what follows to the end of what precedes."""
    texts = [Cue(Fraction(1, 5), Fraction(1, 2), "one"), Cue(Fraction(8 * 3600), Fraction(8 * 3600 + 1), "two")]
    path = enrich(make_clip(tmp_path / "a.mp4"), tmp_path / "in.mkv", Extras([Subtitles(texts)]))
    with open_source(path) as source:
        transcode(source, plan_output(source, tmp_path / "out.mp4"))
        (place,) = source.damage
    assert (place.stream, place.seconds) == ("subtitle 1", 8 * 3600)
    assert "8.0 h" in place.reason
    (track,) = film(tmp_path / "out.mp4").of("subtitle")
    assert [cue.text for cue in track.cues] == ["one"]


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
@pytest.mark.parametrize(("codec", "rate"), [("mp2", 48_000), ("aac", 44_100), ("ac3", 48_000)])
def test_copied_audio_ends_where_its_codec_changes(tmp_path: Path, suffix: str, codec: str, rate: int) -> None:
    """The header of the track would be wrong for the rest, which would be heard as noise or at another pitch."""
    first = timelines.stream(tmp_path / "first.ts", 10, count=30)
    audio = Audio(codec=codec, rate=rate, start_seconds=Fraction(11))
    second = Clip(pts=range(11 * 90_000, 12 * 90_000, 3000), time_base=timelines.TICKS, audio=[audio])
    source, target = tmp_path / "in.ts", tmp_path / f"out.{suffix}"
    source.write_bytes(first.read_bytes() + make_clip(tmp_path / "second.ts", second).read_bytes())
    with open_source(source) as opened:
        transcode(opened, plan_output(opened, target))
        places = [place for place in opened.damage if place.stream == "audio 1"]
    assert [f"changes from aac at 48000 Hz to {codec}" in place.reason for place in places] == [True]
    found = contents(target)
    assert len(found.audio[0]) == len(contents(first).audio[0])


def test_audio_with_a_damaged_header_is_left_out(tmp_path: Path) -> None:
    """FFmpeg would refuse it at the join."""
    source, target = timelines.stream(tmp_path / "in.ts", 10), tmp_path / "out.mp4"
    with av.open(str(source)) as container:
        header = [bytes(packet)[:3] for packet in container.demux(audio=0) if packet.size][5]
    data = bytearray(source.read_bytes())
    found = [number for number in range(len(data)) if data[number : number + 3] == header]
    data[found[5] + 2] |= 0x3C
    source.write_bytes(data)
    with open_source(source) as opened:
        transcode(opened, plan_output(opened, target))
        assert ["damaged aac" in each.reason for each in opened.damage] == [True]
    assert len(contents(target).audio[0]) == len(contents(source).audio[0]) - 1


@pytest.mark.parametrize("ending", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("seconds", [Fraction(1, 2), Fraction(1, 20)])
def test_the_last_packet_of_a_track_without_durations_is_played(tmp_path: Path, ending: str, seconds: Fraction) -> None:
    """Matroska stores none, and FFmpeg does not find them for ALAC; an mp4 hides what is after the sum of them."""
    path = make_clip(tmp_path / "in.mkv", Clip(audio=[Audio(codec="alac", seconds=seconds)]))
    report, _ = transcode_file(path, tmp_path / f"out{ending}")
    before, after = (film(name).of("audio")[0] for name in (path, tmp_path / f"out{ending}"))
    assert after.payloads == before.payloads
    assert report.audio_packets == len(after.payloads)
