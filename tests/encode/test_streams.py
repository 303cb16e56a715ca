import io
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

import av
import pytest
from av.stream import Disposition

from pipeline.config import DecodeConfig, EncodeConfig
from pipeline.decode.decoder import decode
from pipeline.decode.source import open_source
from pipeline.encode.metadata import choose_metadata, stream_metadata
from pipeline.encode.muxer import Muxer
from pipeline.encode.output_plan import OutputPlan
from pipeline.encode.planner import plan_output
from pipeline.encode.stream_map import map_streams
from pipeline.encode.writer import encode
from pipeline.media.chapters import Chapter
from pipeline.media.containers import container_for
from tests.support.extras import FONT, Extras, Film, Subtitles, cues, enrich, film
from tests.support.media import Clip, Sound, contents, make_clip
from tests.support.transcoding import transcode

SOUNDS = (
    Sound(seconds=Fraction(2), metadata={"language": "eng", "title": "Film"}),
    Sound(seconds=Fraction(2), codec="ac3", hertz=880, metadata={"language": "deu"}),
)
CHAPTERS = ((Fraction(0), Fraction(1), "Anfang"), (Fraction(1), Fraction(2), "Ende ☃"))
MILLISECOND = Fraction(1, 1000)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two films with all that their containers hold: film.mkv, film.mp4."""
    folder = tmp_path_factory.mktemp("films")
    clip = make_clip(folder / "clip.mp4", Clip(pts=range(0, 512 * 60, 512), sounds=SOUNDS, metadata={"title": "Élan"}))
    small = make_clip(folder / "small.mp4", Clip(pts=range(0, 512 * 60, 512), width=32, height=32))
    with av.open(str(make_clip(folder / "cover.mp4", Clip(pts=(0,), has_cover=True)))) as container:
        cover = next(bytes(packet) for packet in container.demux(video=1) if packet.size)
    text = {"language": "deu", "title": "Voll"}
    shown = cues("Guten Tag", "{\\i1}schräg{\\i0}")
    enrich(
        clip,
        folder / "film.mkv",
        Extras(
            subtitles=[Subtitles(shown, "subrip", text, Disposition.default | Disposition.forced)],
            chapters=CHAPTERS,
            attachments=[("Schrift.ttf", "font/ttf", FONT), ("cover.jpg", "image/jpeg", cover)],
            further=small,
        ),
    )
    enrich(
        clip,
        folder / "film.mp4",
        Extras(
            subtitles=[Subtitles(shown, "mov_text", text, Disposition.forced)],
            chapters=CHAPTERS,
            has_cover=True,
            further=small,
            data="bin_data",
        ),
    )
    return folder


def repaint(path: Path, target: Path, *, streams: str = "all", **part: Fraction) -> tuple[OutputPlan, Film]:
    with open_source(path, DecodeConfig(**part)) as source:
        plan = plan_output(source, target, EncodeConfig(overwrite=True, streams=streams))
        transcode(source, plan)
    return plan, film(target)


def kinds(found: Film) -> list[tuple[str, str | None]]:
    return [(track.kind, track.codec) for track in found.tracks]


def same_packets(before: Film, after: Film, *of: str) -> None:
    for kind in of:
        assert [track.payloads for track in before.of(kind)] == [track.payloads for track in after.of(kind)]


# --- all of it ---


def test_matroska_into_matroska_keeps_everything(folder: Path, tmp_path: Path) -> None:
    before = film(folder / "film.mkv")
    plan, after = repaint(folder / "film.mkv", tmp_path / "out.mkv")
    assert plan.notices == ()
    assert kinds(after) == kinds(before)
    same_packets(before, after, "audio", "subtitle", "cover")
    assert after.tracks[3].payloads == before.tracks[3].payloads  # the further video
    assert after.chapters == before.chapters
    assert after.attachments == before.attachments
    assert [track.disposition for track in after.tracks] == [track.disposition for track in before.tracks]
    for kept, track in zip(before.tracks, after.tracks, strict=True):
        names = ("language", "title", "filename", "mimetype")
        assert {key: kept.metadata.get(key) for key in names} == {key: track.metadata.get(key) for key in names}


def test_mp4_into_mp4_keeps_everything(folder: Path, tmp_path: Path) -> None:
    before = film(folder / "film.mp4")
    plan, after = repaint(folder / "film.mp4", tmp_path / "out.mp4")
    assert plan.notices == ()
    assert sorted(kinds(after)) == sorted(kinds(before))
    same_packets(before, after, "audio", "subtitle", "cover", "data")
    assert after.of("video")[1].payloads == before.of("video")[1].payloads
    assert after.chapters == before.chapters
    assert after.of("subtitle")[0].metadata["name"] == "Voll"
    assert after.of("data")[0].times == before.of("data")[0].times
    assert len(plan.streams) == len(before.tracks) - 1  # the track that repeats the chapters is none


@pytest.mark.parametrize(
    ("source", "target", "lines"),
    [
        (
            "film.mkv",
            "out.mp4",
            [
                "subtitle stream 4 (subrip, deu) becomes mov_text: .mp4 files do not support it as it is",
                "attachment stream 5 (Schrift.ttf) is dropped: .mp4 files do not support it",
            ],
        ),
        (
            "film.mkv",
            "out.mov",
            [
                "subtitle stream 4 (subrip, deu) becomes mov_text: .mov files do not support it as it is",
                "attachment stream 5 (Schrift.ttf) is dropped: .mov files do not support it",
                "cover picture 6 (mjpeg) is dropped: .mov files do not support it",
            ],
        ),
        (
            "film.mkv",
            "out.webm",
            [
                "audio stream 1 (aac, eng) becomes libopus: .webm files do not support it as it is",
                "audio stream 2 (ac3, deu) becomes libopus: .webm files do not support it as it is",
                "video stream 3 (h264) is dropped: .webm files do not support it",
                "subtitle stream 4 (subrip, deu) becomes webvtt: .webm files do not support it as it is",
                "attachment stream 5 (Schrift.ttf) is dropped: .webm files do not support it",
                "cover picture 6 (mjpeg) is dropped: .webm files do not support it",
            ],
        ),
        (
            "film.mp4",
            "out.mkv",
            [
                "subtitle stream 4 (mov_text, deu) becomes subrip: .mkv files do not support it as it is",
                "data stream 5 (bin_data) is dropped: .mkv files do not support it",
            ],
        ),
    ],
)
def test_what_is_not_copied_is_said_in_a_line_each(
    folder: Path, tmp_path: Path, source: str, target: str, lines: list[str]
) -> None:
    plan, after = repaint(folder / source, tmp_path / target)
    assert [line for line in plan.notices if "metadata" not in line] == lines
    carried = [plan for plan in plan.streams if plan.action != "drop"]
    assert len(after.tracks) + len(after.attachments) == 1 + len(carried)
    before = film(folder / source)
    assert [(begin, end, data["title"]) for begin, end, data in after.chapters] == list(CHAPTERS)
    assert after.of("subtitle")[0].cues[0].text == "Guten Tag"
    if target != "out.webm":
        same_packets(before, after, "audio")
    if target in ("out.mp4", "out.mkv"):
        same_packets(before, after, "cover")


def test_what_a_gif_leaves_out_is_said_in_one_line(folder: Path, tmp_path: Path) -> None:
    with open_source(folder / "film.mkv") as source:
        plan = plan_output(source, tmp_path / "out.gif")
    assert len([line for line in plan.notices if "stream" in line]) == 1
    assert plan.notices[0].endswith("are dropped: .gif files do not support them")
    assert plan.carried == ()


def test_the_plan_tells_what_becomes_of_each_stream_even_when_the_source_is_closed(folder: Path) -> None:
    with open_source(folder / "film.mkv") as source:
        plan = plan_output(source, "-", EncodeConfig(streams="audio"))
    assert plan.streams[0].entry == {
        "index": 1,
        "type": "audio",
        "codec": "aac",
        "language": "eng",
        "action": "copy",
        "to": "aac",
        "reason": None,
    }
    assert plan.streams[3].entry["action"] == "drop"
    assert plan.streams[3].entry["reason"] == "left out by --streams audio"
    assert plan.streams[-1].entry["type"] == "cover"


@pytest.mark.parametrize(("streams", "left"), [("audio", ["audio", "audio"]), ("none", [])])
def test_streams_can_be_left_out_without_a_word(folder: Path, tmp_path: Path, streams: str, left: list[str]) -> None:
    plan, after = repaint(folder / "film.mkv", tmp_path / "out.mkv", streams=streams)
    assert [track.kind for track in after.tracks] == ["video", *left]
    assert (after.chapters, after.attachments, plan.notices) == ([], [], ())
    assert after.metadata["title"] == "Élan"


def test_a_wrong_choice_of_streams_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="streams must be one of all, audio, none, not 'some'"):
        EncodeConfig(streams="some")


# --- the second pass ---


def given(path: Path, form: str, **part: Fraction) -> list[tuple[Any, ...]]:
    """What a run would write besides the picture, read in one pass or in two."""
    with open_source(path, DecodeConfig(**part), reads_along=form == "one pass") as source:
        if form == "one pass":
            packets = [item for item in source.items() if isinstance(item, av.Packet)]
        else:
            assert not [item for item in source.items() if isinstance(item, av.Packet)]
            packets = list(source.packets([stream.index for stream in source.other_streams]))
        return [(p.stream_index, p.pts, p.dts, p.duration, p.time_base, bytes(p)) for p in packets]


@pytest.mark.parametrize("name", ["film.mkv", "film.mp4"])
@pytest.mark.parametrize(
    "part",
    [
        {},
        {"start_seconds": Fraction(1, 2)},
        {"start_seconds": Fraction(1, 3), "duration_seconds": Fraction(1)},
        {"duration_seconds": Fraction(9, 10)},
    ],
)
def test_a_second_pass_gives_what_the_first_would(folder: Path, name: str, part: dict[str, Fraction]) -> None:
    first, second = given(folder / name, "one pass", **part), given(folder / name, "two passes", **part)
    assert first
    assert sorted(first) == sorted(second)
    assert [packet[0] for packet in first] == [packet[0] for packet in second]


def test_a_second_pass_of_nothing_opens_nothing(folder: Path) -> None:
    with open_source(folder / "film.mkv", reads_along=False) as source:
        source.info = None  # type: ignore[assignment] - whose path would be opened
        with pytest.raises(AttributeError):
            source.packets([1])


# --- a picture that was encoded before ---


@pytest.mark.parametrize(("segment", "ending"), [("seg.mp4", ".mp4"), ("seg.mp4", ".mkv"), ("seg.mov", ".mov")])
def test_a_picture_joined_from_packets_is_that_of_the_frames(
    folder: Path, tmp_path: Path, segment: str, ending: str
) -> None:
    repaint(folder / "film.mkv", tmp_path / f"whole{ending}")
    with open_source(folder / "film.mkv", reads_along=False) as source:
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


# --- parts ---


def test_chapters_are_cut_and_moved_with_the_picture(folder: Path, tmp_path: Path) -> None:
    part = {"start_seconds": Fraction(1, 2), "duration_seconds": Fraction(1)}
    for ending in (".mkv", ".mp4", ".mov", ".webm"):
        _, after = repaint(folder / "film.mp4", tmp_path / f"out{ending}", **part)
        assert [(begin, end, data["title"]) for begin, end, data in after.chapters] == [
            (0, Fraction(1, 2), "Anfang"),
            (Fraction(1, 2), 1, "Ende ☃"),
        ]


def test_a_chapter_outside_the_part_is_left_out() -> None:
    chapter = Chapter(Fraction(1), Fraction(2), MILLISECOND, {"title": "x"})
    assert chapter.trimmed(Fraction(2), start=Fraction(2), end=None) is None
    assert chapter.trimmed(Fraction(0), start=None, end=Fraction(1)) is None
    kept = chapter.trimmed(Fraction(3, 2), start=Fraction(3, 2), end=Fraction(7, 4))
    assert kept is not None
    assert (kept.start_seconds, kept.end_seconds) == (0, Fraction(1, 4))


def test_a_further_video_begins_with_a_key_frame_when_cut(tmp_path: Path) -> None:
    options = {"g": "10", "bf": "2", "preset": "ultrafast"}
    small = make_clip(tmp_path / "small.mp4", Clip(pts=range(0, 512 * 60, 512), width=32, height=32, options=options))
    path = enrich(
        make_clip(tmp_path / "a.mp4", Clip(pts=range(0, 512 * 60, 512))), tmp_path / "in.mp4", Extras(further=small)
    )
    part = {"start_seconds": Fraction(1, 2), "duration_seconds": Fraction(1)}
    _, after = repaint(path, tmp_path / "out.mp4", **part)
    assert len(after.tracks) == 2
    with av.open(str(tmp_path / "out.mp4")) as container:
        first = next(iter(container.demux(container.streams.video[1])))
        container.seek(0)
        frames = list(container.decode(container.streams.video[1]))
    assert first.is_keyframe
    # Key frames stand at 1/3, 2/3, 1 s of the source; the part begins at 1/2.
    assert frames[0].key_frame
    assert frames[0].pts * frames[0].time_base == Fraction(2, 3) - Fraction(1, 2)
    assert [frame.pts * frame.time_base for frame in frames] == sorted(frame.pts * frame.time_base for frame in frames)


# --- times ---


@pytest.mark.parametrize("ending", [".mp4", ".mkv"])
def test_a_further_video_without_dts_keeps_its_times(tmp_path: Path, ending: str) -> None:
    small = make_clip(tmp_path / "small.mp4", Clip(pts=range(0, 512 * 60, 512), width=32, height=32))
    path = enrich(
        make_clip(tmp_path / "a.mp4", Clip(pts=range(0, 512 * 60, 512))), tmp_path / "in.mkv", Extras(further=small)
    )
    with av.open(str(path)) as container:  # Matroska holds pts alone, which come in the order of decoding
        assert None in [packet.dts for packet in container.demux(container.streams.video[1]) if packet.size]
    repaint(path, tmp_path / f"out{ending}")
    times = []
    for name in ("in.mkv", f"out{ending}"):
        with av.open(str(tmp_path / name)) as container:
            frames = list(container.decode(container.streams.video[1]))
        times.append([frame.pts * frame.time_base for frame in frames])
    assert len(times[1]) == 60
    assert all(abs(a - b) <= MILLISECOND for a, b in zip(*times, strict=True))


def test_sound_that_ends_early_or_late_keeps_its_length(tmp_path: Path) -> None:
    sounds = [Sound(seconds=Fraction(1, 2)), Sound(seconds=Fraction(4), hertz=880)]
    path = make_clip(tmp_path / "in.mp4", Clip(pts=range(0, 512 * 60, 512), sounds=sounds))
    for ending in (".mp4", ".mkv", ".mov"):
        _, after = repaint(path, tmp_path / f"out{ending}")
        same_packets(film(path), after, "audio")
        assert len(contents(tmp_path / f"out{ending}").times) == 60


def test_a_late_start_moves_everything_alike(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", Clip(pts=range(0, 512 * 60, 512), sounds=SOUNDS))
    path = enrich(clip, tmp_path / "in.ts", Extras(data="timed_id3"))
    before = contents(path)
    for ending in (".mp4", ".mkv"):
        plan, _ = repaint(path, tmp_path / f"out{ending}")
        after = contents(tmp_path / f"out{ending}")
        assert plan.notices == (f"data stream 3 (timed_id3) is dropped: {ending} files do not support it",)
        assert after.times[0] < Fraction(1, 10)
        assert abs(after.offset - before.offset) <= MILLISECOND
        assert after.sounds[1] == before.sounds[1]  # AAC loses the heads of a transport stream's packets


def test_a_cue_before_the_picture_is_moved_to_it(tmp_path: Path) -> None:
    # Were it written before zero, Matroska would move all other streams for its sake.
    late = Clip(pts=range(1000, 3000, 40), time_base=MILLISECOND)
    shown = Subtitles(cues("früh", "später", first=Fraction(4, 5)))
    path = enrich(make_clip(tmp_path / "clip.mp4", late), tmp_path / "in.mkv", Extras([shown]))
    _, after = repaint(path, tmp_path / "out.mkv")
    assert after.tracks[0].times[0] == 0
    assert [(cue.begin, cue.end) for cue in after.of("subtitle")[0].cues] == [
        (0, Fraction(1, 10)),
        (Fraction(4, 10), Fraction(7, 10)),
    ]


# --- metadata ---


def test_statistics_of_old_packets_are_not_carried() -> None:
    old = {"BPS-eng": "1", "NUMBER_OF_FRAMES": "2", "_STATISTICS_TAGS": "BPS", "DURATION": "0:01", "ENCODER": "x"}
    assert stream_metadata(old | {"title": "T"}, "matroska", is_encoded=True) == {"title": "T"}
    assert stream_metadata(old | {"name": "T"}, "matroska", is_encoded=False) == {"title": "T", "ENCODER": "x"}


def test_mov_knows_some_languages_by_other_names(folder: Path, tmp_path: Path) -> None:
    _, after = repaint(folder / "film.mkv", tmp_path / "out.mov")
    assert [track.metadata.get("language") for track in after.of("audio")] == ["eng", "ger"]


def test_keys_of_any_name_come_through(tmp_path: Path) -> None:
    said = {"title": "T", "com.apple.quicktime.make": "Apfel", "my_key": "mine"}
    path = make_clip(tmp_path / "in.mkv", Clip(pts=(0, 512), metadata=said))
    for ending in (".mp4", ".mov", ".mkv", ".webm"):
        plan, after = repaint(path, tmp_path / f"out{ending}")
        held = {key.casefold(): text for key, text in after.metadata.items()}
        assert {key: held.get(key) for key in said} == said
        assert plan.notices == ()


def test_beside_a_cover_mp4_holds_the_usual_keys_alone_and_that_is_said(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mp4", Clip(has_cover=True))
    with open_source(clip) as source:
        source.metadata = {"title": "T", "my_key": "mine"}
        plan = plan_output(source, tmp_path / "out.mp4")
        transcode(source, plan)
    assert plan.notices == ("metadata is dropped (my_key): .mp4 files do not support it",)
    after = film(tmp_path / "out.mp4")
    assert (after.metadata["title"], len(after.of("cover"))) == ("T", 1)


def test_bytes_that_are_no_text_come_through(tmp_path: Path) -> None:
    path = tmp_path / "in.mkv"
    with av.open(str(path), "w", format="matroska", metadata_errors="surrogateescape") as container:
        stream = container.add_stream("mpeg4", rate=30)
        stream.width = stream.height = 32
        container.metadata["title"] = "\udcff\udcfe"
        container.set_chapters(
            [{"id": 1, "start": 0, "end": 9, "time_base": MILLISECOND, "metadata": {"title": "\udcff"}}]
        )
        container.mux(stream.encode(av.VideoFrame(32, 32, "yuv420p")))
        container.mux(stream.encode(None))
    for ending in (".mkv", ".mp4", ".mov", ".webm"):
        _, after = repaint(path, tmp_path / f"out{ending}")
        assert after.metadata["title"] == "\udcff\udcfe"
        assert after.chapters[0][2]["title"] == "\udcff"


def timecoded(path: Path, timecode: str = "01:00:00:00") -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"preset": "ultrafast"})
        stream.width, stream.height = 64, 48
        stream.metadata["timecode"] = timecode
        for number in range(30):
            frame = av.VideoFrame(64, 48, "yuv420p")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("ending", [".mov", ".mp4", ".mkv"])
def test_a_time_code_is_written_anew(tmp_path: Path, ending: str) -> None:
    plan, after = repaint(timecoded(tmp_path / "in.mov"), tmp_path / f"out{ending}")
    assert plan.notices == ()
    assert {key.casefold(): text for key, text in after.tracks[0].metadata.items()}["timecode"] == "01:00:00:00"
    assert len(after.of("data")) == (ending != ".mkv")
    assert plan.streams[0].entry["codec"] == "timecode"


def test_a_time_code_that_would_be_wrong_is_dropped_and_said(tmp_path: Path) -> None:
    path = timecoded(tmp_path / "in.mov")
    plan, after = repaint(path, tmp_path / "out.mov", start_seconds=Fraction(1, 2))
    assert plan.notices == ("the time code is dropped: the output starts later",)
    assert plan.streams[0].entry["action"] == "drop"
    assert after.of("data") == []


def test_a_time_code_that_the_container_refuses_is_dropped_and_said() -> None:
    said = {"timecode": "01:00:00:00", "title": "T"}
    found = choose_metadata(said, said, container_for("x.mp4"), Fraction(300), is_start_trimmed=False, has_cover=False)
    assert found.notices == ("the time code is dropped: .mp4 files do not support it at this frame rate",)
    assert (found.file, found.video) == ({"title": "T"}, {"title": "T"})


# --- odd streams ---


def test_a_stream_of_an_unknown_kind_is_dropped() -> None:
    class Unknown:
        index, type, codec_context, language, name = 7, "data", None, None, None
        metadata: ClassVar[dict[str, str]] = {}
        disposition, discard = Disposition(0), 0

    plans, lines = map_streams([Unknown()], container_for("x.mov"))  # type: ignore[list-item]
    assert [plan.action for plan in plans] == ["drop"]
    assert lines == ["data stream 7 is dropped: its format is unknown"]
