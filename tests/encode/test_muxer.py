import io
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import pytest

from pipeline.config import EncodeConfig
from pipeline.decode.decoder import decode
from pipeline.decode.source import open_source
from pipeline.encode.muxer import Muxer
from pipeline.encode.planner import plan_output
from pipeline.encode.writer import encode
from tests.support import media
from tests.support.clips.extras import Extras, Subtitles, cues, enrich, film, make_films
from tests.support.clips.transcoding import transcode_file
from tests.support.media import Audio, Clip, contents, make_clip

MILLISECOND = Fraction(1, 1000)
VFR = (0, 512, 1024, 1500, 2600, 2601, 4000, 9000, 9512, 10000, 12345, 15000)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two films with everything that their containers support: film.mkv, film.mp4."""
    return make_films(tmp_path_factory.mktemp("films"))


@pytest.mark.parametrize(("segment", "ending"), [("seg.mp4", ".mp4"), ("seg.mp4", ".mkv"), ("seg.mov", ".mov")])
def test_a_video_written_from_packets_is_that_of_the_frames(
    folder: Path, tmp_path: Path, segment: str, ending: str
) -> None:
    transcode_file(folder / "film.mkv", tmp_path / f"whole{ending}")
    with open_source(folder / "film.mkv", with_side_packets=False) as source:
        plan = plan_output(source, tmp_path / f"out{ending}", EncodeConfig(streams="none"))
        alone = plan_output(source, tmp_path / segment, EncodeConfig(streams="none"))
        encode(decode(source), alone)
        plan = plan_output(source, tmp_path / f"out{ending}")
        with av.open(str(tmp_path / segment)) as written:
            template = written.streams.video[0]
            muxer = Muxer(plan, str(tmp_path / f"out{ending}"), template=template)
            for packet in source.packets([stream.stream.index for stream in plan.carried]):
                muxer.write_packet(packet)
            for packet in written.demux(template):
                if packet.size:
                    muxer.write_video_packet(packet)
            muxer.finish()
    whole, joined = tmp_path / f"whole{ending}", tmp_path / f"out{ending}"
    assert [track.payloads for track in film(joined).tracks] == [track.payloads for track in film(whole).tracks]
    assert contents(joined).times == contents(whole).times
    assert len(contents(joined).frames or contents(joined).times) == 60
    with av.open(str(joined)) as after, av.open(str(whole)) as before:
        assert after.streams.video[0].average_rate == before.streams.video[0].average_rate


def test_frames_for_a_file_of_packets_are_a_value_error(folder: Path) -> None:
    with open_source(folder / "film.mp4") as source:
        plan = plan_output(source, "-")
        frame = next(decode(source))
        with av.open(str(folder / "small.mp4")) as other:
            muxer = Muxer(plan, io.BytesIO(), template=other.streams.video[0])  # type: ignore[arg-type]
            with pytest.raises(ValueError, match="video packets, not from frames"):
                muxer.write_frame(frame)
            muxer.abandon()


def test_the_index_is_at_the_front_and_the_permissions_are_usual(tmp_path):
    transcode_file(make_clip(tmp_path / "in.mp4"), tmp_path / "out.mp4")
    data = (tmp_path / "out.mp4").read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")
    (tmp_path / "plain").touch()
    assert (tmp_path / "out.mp4").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_chapters_are_trimmed_and_moved_with_the_video(folder: Path, tmp_path: Path) -> None:
    part = {"start_seconds": Fraction(1, 2), "duration_seconds": Fraction(1)}
    for ending in (".mkv", ".mp4", ".mov", ".webm"):
        transcode_file(folder / "film.mp4", tmp_path / f"out{ending}", decoding=part)
        after = film(tmp_path / f"out{ending}")
        assert [(begin, end, data["title"]) for begin, end, data in after.chapters] == [
            (0, Fraction(1, 2), "Anfang"),
            (Fraction(1, 2), 1, "Ende ☃"),
        ]


def test_a_late_start_moves_everything_alike(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", Clip(pts=range(0, 512 * 60, 512), audio=[Audio(), Audio(codec="ac3")]))
    path = enrich(clip, tmp_path / "in.ts", Extras(data="timed_id3"))
    before = contents(path)
    for ending in (".mp4", ".mkv"):
        _, plan = transcode_file(path, tmp_path / f"out{ending}")
        after = contents(tmp_path / f"out{ending}")
        assert plan.notices == (f"data stream 3 (timed_id3) is dropped: {ending} files do not support it",)
        assert after.times[0] < Fraction(1, 10)
        assert abs(after.offset - before.offset) <= MILLISECOND
        assert after.audio[1] == before.audio[1]  # AAC loses the heads of a transport stream's packets


def test_a_subtitle_before_the_video_is_moved_to_its_start(tmp_path: Path) -> None:
    # If it was written before zero, Matroska would move all other streams.
    late = Clip(pts=range(1000, 3000, 40), time_base=MILLISECOND)
    shown = Subtitles(cues("früh", "später", first=Fraction(4, 5)))
    path = enrich(make_clip(tmp_path / "clip.mp4", late), tmp_path / "in.mkv", Extras([shown]))
    transcode_file(path, tmp_path / "out.mkv")
    after = film(tmp_path / "out.mkv")
    assert after.tracks[0].times[0] == 0
    assert [(cue.begin, cue.end) for cue in after.of("subtitle")[0].cues] == [
        (0, Fraction(1, 10)),
        (Fraction(4, 10), Fraction(7, 10)),
    ]


@pytest.mark.parametrize("ending", [".mp4", ".mkv", ".mov", ".m4v"])
@pytest.mark.parametrize("source_ending", [".mp4", ".mkv"])
def test_times_and_audio_are_exact(tmp_path, source_ending, ending):
    time_base = Fraction(1, 1000) if source_ending == ".mkv" else Fraction(1, 15360)
    pts = [round(tick * Fraction(1, 15360) / time_base) for tick in VFR if tick != 2601]
    audio = [Audio(metadata={"language": "deu"}), Audio(codec="ac3", hertz=880, start_seconds=Fraction(1, 5))]
    path = make_clip(tmp_path / f"in{source_ending}", Clip(pts=pts, time_base=time_base, audio=audio))
    target = tmp_path / f"out{ending}"
    report, plan = transcode_file(path, target)
    before, after = media.contents(path), media.contents(target)
    tick = 0 if before.time_base == after.time_base or ending != ".mkv" else Fraction(1, 1000)
    assert report.frames == len(after.times) == len(pts)
    assert all(abs(a - b) <= tick for a, b in zip(before.relative_times, after.relative_times, strict=True))
    assert after.audio == before.audio
    assert report.audio_packets == sum(map(len, before.audio))
    assert abs(after.offset - before.offset) <= max(tick, Fraction(1, 48000) if source_ending == ".mkv" else 0)
    assert plan.notices == ()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_audio_that_starts_late_or_early_keeps_its_offset(tmp_path):
    clip = Clip(pts=range(7680, 7680 + 512 * 30, 512), audio=[Audio(start_seconds=Fraction(1, 10))])
    path = make_clip(tmp_path / "in.mp4", clip)
    for ending in (".mp4", ".mkv"):
        transcode_file(path, tmp_path / f"out{ending}")
        after = media.contents(tmp_path / f"out{ending}")
        assert abs(after.offset - media.contents(path).offset) <= Fraction(1, 1000 if ending == ".mkv" else 96000)


@pytest.mark.parametrize("milliseconds", [66, 67, 68])
def test_an_offset_between_samples_is_kept_in_mp4(tmp_path, milliseconds):
    audio = [Audio(codec="ac3", rate=44100, start_seconds=Fraction(milliseconds, 1000))]
    path = make_clip(tmp_path / "in.mkv", Clip(audio=audio))
    transcode_file(path, tmp_path / "out.mp4")
    assert abs(media.contents(tmp_path / "out.mp4").offset - media.contents(path).offset) <= Fraction(1, 44100)


def test_a_part_keeps_audio_and_video_together(tmp_path):
    audio = [Audio(seconds=Fraction(4), click_seconds=2.5)]
    path = make_clip(tmp_path / "in.mp4", Clip(pts=range(0, 512 * 120, 512), audio=audio))
    part = {"start_seconds": Fraction(2), "duration_seconds": Fraction(1)}
    report, _ = transcode_file(path, tmp_path / "out.mp4", decoding=part)
    assert report.frames == 30
    assert media.click_seconds(tmp_path / "out.mp4") == pytest.approx(0.5, abs=0.003)


def test_the_last_duration_is_kept(tmp_path):
    clip = Clip(pts=(0, 40, 100, 130), time_base=Fraction(1, 1000), last_duration=700)
    transcode_file(make_clip(tmp_path / "in.mkv", clip), tmp_path / "out.mkv")
    assert media.contents(tmp_path / "out.mkv").durations[-1] == Fraction(7, 10)


@pytest.mark.parametrize("ending", [".mkv", ".mp4"])
def test_frames_that_the_clock_of_a_container_cannot_tell_apart_are_counted(tmp_path: Path, ending: str) -> None:
    """Five frames of 1/2000 s: their times in milliseconds are 0, 0 or 1, 1, 2 and 2, as halves are rounded."""
    path = make_clip(tmp_path / "in.mp4", Clip(pts=range(5), time_base=Fraction(1, 2000)))
    report, _ = transcode_file(path, tmp_path / f"out{ending}")
    times = contents(tmp_path / f"out{ending}").times
    repeated = len(times) - len(set(times))
    told = [line for line in report.notices if "the same time as the frame before" in line]
    told_of = f"frames have the same time as the frame before ({repeated}): .mkv files count in steps of 1 ms"
    assert told == ([f"{told_of}; use .mp4 or .mov"] if repeated else [])
    assert (repeated > 0) == (ending == ".mkv")


def test_frames_that_are_shown_for_days_are_repeated_in_one_pass(tmp_path: Path) -> None:
    """The clock of the input ticks every four days, as that of a damaged avi."""
    tick = Fraction(8388607, 25)
    path = make_clip(tmp_path / "in.mkv", Clip(pts=(0, 40, 80), time_base=MILLISECOND))
    with open_source(path) as source:
        source.info = replace(source.info, time_base=tick)
        plan = plan_output(source, tmp_path / "out.mp4", EncodeConfig(preset="ultrafast"))
        frames = (replace(frame, pts=number, time_base=tick, duration=1) for number, frame in enumerate(decode(source)))
        report = encode(frames, plan)
    assert any(line.startswith("frames are repeated to be shown as long as in the input") for line in report.notices)
    times = contents(tmp_path / "out.mp4").times
    assert {0, tick, 2 * tick} <= set(times)
    assert len(times) == report.frames > 3
