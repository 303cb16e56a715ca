from fractions import Fraction
from pathlib import Path

import av
import pytest

from pipeline.decode.source import open_source
from pipeline.encode.planner import plan_output
from pipeline.encode.side_streams.subtitles import Cue as Shown
from pipeline.encode.side_streams.subtitles import OverlapSplitter
from tests.support.clips.extras import Cue, Extras, Subtitles, Track, cues, enrich, film
from tests.support.clips.transcoding import transcode, transcode_file
from tests.support.media import Audio, Clip, make_clip

LONG = Clip(pts=range(0, 512 * 120, 512), audio=[Audio(seconds=Fraction(4))])
# As long as nothing has a priming of its own, seconds of the source are seconds of the output.
SILENT = Clip(pts=range(0, 512 * 120, 512))
# Two segments of a Blu-ray's subtitle, its head and its end; what lies between is not looked at.
PICTURE = b"\x16\x00\x0b" + b"\x02\x80\x01\xe0\x10\x00\x00\x80\x00\x00\x00" + b"\x80\x00\x00"
PLAIN = ["Guten Tag", "☃ – zwei Zeilen\\Nübereinander"]


def subtitle_tracks(path: Path, target: Path, **part: Fraction) -> list[Track]:
    transcode_file(path, target, decoding=part)
    return film(target).of("subtitle")


def cues_of(track: Track) -> list[tuple[float, float, str]]:
    return [(float(cue.begin), float(cue.end), cue.text) for cue in track.cues]


@pytest.mark.parametrize(
    ("codec", "source", "target", "becomes"),
    [
        ("subrip", ".mkv", ".mp4", "mov_text"),
        ("ass", ".mkv", ".mov", "mov_text"),
        ("webvtt", ".webm", ".mp4", "mov_text"),
        ("mov_text", ".mp4", ".mkv", "subrip"),
        ("mov_text", ".mov", ".webm", "webvtt"),
        ("subrip", ".mkv", ".webm", "webvtt"),
    ],
)
def test_text_and_times_are_kept_in_another_codec(
    tmp_path: Path, codec: str, source: str, target: str, becomes: str
) -> None:
    silent = Clip(pts=range(0, 60 * 33, 33), time_base=Fraction(1, 1000), codec="libvpx-vp9", options={"cpu-used": "8"})
    clip = make_clip(tmp_path / "clip.mp4", silent if source == ".webm" else SILENT)
    path = enrich(clip, tmp_path / f"in{source}", Extras([Subtitles(cues(*PLAIN), codec, {"language": "deu"})]))
    _, plan = transcode_file(path, tmp_path / f"out{target}")
    (track,) = film(tmp_path / f"out{target}").of("subtitle")
    assert track.codec == becomes
    assert cues_of(track) == [(0.2, 0.5, PLAIN[0]), (0.8, 1.1, PLAIN[1])]
    assert [f"becomes {becomes}" in notice for notice in plan.notices] == [True]


@pytest.mark.parametrize(("codec", "ending"), [("subrip", ".mkv"), ("ass", ".mkv"), ("mov_text", ".mp4")])
def test_supported_codecs_are_copied_bit_for_bit(tmp_path: Path, codec: str, ending: str) -> None:
    clip = make_clip(tmp_path / "clip.mp4", LONG)
    texts = ["{\\pos(10,20)\\c&H0000FF&}Schild", "kursiv {\\i1}so{\\i0}"]
    path = enrich(clip, tmp_path / f"in{ending}", Extras([Subtitles(cues(*texts), codec)]))
    (track,) = subtitle_tracks(path, tmp_path / f"out{ending}")
    before = film(path).of("subtitle")[0]
    assert (track.payloads, track.times) == (before.payloads, before.times)
    assert [cue.end for cue in track.cues] == [cue.end for cue in before.cues]


def test_simple_markup_is_kept_and_drawings_are_dropped(tmp_path: Path) -> None:
    texts = ["{\\i1}schräg{\\i0} und {\\pos(1,2)}gerade", "{\\p1}m 0 0 l 10 10 10 0{\\p0}Rest"]
    path = enrich(
        make_clip(tmp_path / "clip.mp4", SILENT), tmp_path / "in.mkv", Extras([Subtitles(cues(*texts), "ass")])
    )
    (webvtt,) = subtitle_tracks(path, tmp_path / "out.webm")
    assert [cue.text for cue in webvtt.cues] == ["{\\i1}schräg{\\i0} und gerade", "Rest"]
    (mov,) = subtitle_tracks(path, tmp_path / "out.mp4")
    assert [cue.text for cue in mov.cues] == ["{\\i1}schräg{\\r} und gerade", "Rest"]


def test_trimming_shifts_and_shortens_subtitles(tmp_path: Path) -> None:
    shown = [
        Cue(Fraction(0), Fraction(1, 2), "vorher"),
        Cue(Fraction(1), Fraction(5, 2), "über den Anfang"),
        Cue(Fraction(26, 10), Fraction(27, 10), "mitten"),
        Cue(Fraction(28, 10), Fraction(4), "über das Ende"),
        Cue(Fraction(32, 10), Fraction(4), "nachher"),
    ]
    path = enrich(make_clip(tmp_path / "clip.mp4", SILENT), tmp_path / "in.mkv", Extras([Subtitles(shown)]))
    for ending in (".mkv", ".mp4", ".webm"):
        (track,) = subtitle_tracks(
            path, tmp_path / f"out{ending}", start_seconds=Fraction(2), duration_seconds=Fraction(1)
        )
        assert cues_of(track) == [(0, 0.5, "über den Anfang"), (0.6, 0.7, "mitten"), (0.8, 1.0, "über das Ende")]


def test_overlapping_cues_are_joined_as_lines_in_mp4(tmp_path: Path) -> None:
    shown = [
        Cue(Fraction(0), Fraction(2), "Lied"),
        Cue(Fraction(1, 2), Fraction(1), "Wort"),
        Cue(Fraction(3), Fraction(7, 2), "danach"),
    ]
    path = enrich(make_clip(tmp_path / "clip.mp4", LONG), tmp_path / "in.mkv", Extras([Subtitles(shown)]))
    (track,) = subtitle_tracks(path, tmp_path / "out.mp4")
    late = float(film(path).of("subtitle")[0].times[0])  # the priming of the sound, by which mkv moves all
    assert [(round(begin - late, 3), round(end - late, 3), text) for begin, end, text in cues_of(track)] == [
        (0, 0.5, "Lied"),
        (0.5, 1, "Lied\\NWort"),
        (1, 2, "Lied"),
        (3, 3.5, "danach"),
    ]


def test_no_overlap_loses_text() -> None:
    shown = [Shown(Fraction(a), Fraction(b), t) for a, b, t in ((0, 9, b"a"), (1, 3, b"b"), (1, 2, b"c"), (4, 5, b"d"))]
    overlaps = OverlapSplitter()
    written = [cue for each in shown for cue in overlaps.add(each)] + overlaps.rest()
    begins = [cue.start for cue in written]
    assert begins == sorted(begins)
    for moment in (Fraction(n, 4) for n in range(36)):
        last = [cue for cue in written if cue.start <= moment][-1]
        seen = last.text if moment < last.end else b""
        assert seen == rb"\N".join(cue.text for cue in shown if cue.start <= moment < cue.end)


def test_a_track_without_cues_stalls_nothing(tmp_path: Path) -> None:
    far = [Cue(Fraction(39, 10), Fraction(4), "spät")]
    extras = Extras([Subtitles([], metadata={"language": "eng"}), Subtitles(far)])
    path = enrich(make_clip(tmp_path / "clip.mp4", LONG), tmp_path / "in.mkv", extras)
    for ending in (".mkv", ".mp4"):
        empty, late = subtitle_tracks(path, tmp_path / f"out{ending}")
        assert empty.cues == []
        assert [cue.text for cue in late.cues] == ["spät"]


def with_image_subtitles(folder: Path, codec: str) -> Path:
    """A film whose subtitles are pictures; copying does not look into them."""
    clip = make_clip(folder / "clip.mp4", SILENT)
    with av.open(str(clip)) as source, av.open(str(folder / "in.mkv"), "w", format="matroska") as target:
        video = target.add_stream_from_template(source.streams.video[0], opaque=True)
        pictures = target.add_mux_stream(codec)
        pictures.time_base = Fraction(1, 1000)
        shown = av.Packet(PICTURE)
        shown.pts = shown.dts = 500
        shown.duration, shown.time_base, shown.stream = 700, Fraction(1, 1000), pictures
        target.mux(shown)
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = video
                target.mux(packet)
    return folder / "in.mkv"


@pytest.mark.parametrize("codec", ["hdmv_pgs_subtitle", "dvd_subtitle"])
def test_image_subtitles_are_copied_if_supported(tmp_path: Path, codec: str) -> None:
    path = with_image_subtitles(tmp_path, codec)
    for ending in (".mkv", ".mp4", ".webm"):
        _, plan = transcode_file(path, tmp_path / f"out{ending}")
        with av.open(str(tmp_path / f"out{ending}")) as container:
            copied = [bytes(p) for s in container.streams.subtitles for p in container.demux(s) if p.size]
        is_supported = ending == ".mkv" or (ending == ".mp4" and codec == "dvd_subtitle")
        assert copied == [PICTURE] * is_supported
        dropped = [f"subtitle stream 1 ({codec}) is dropped" in notice for notice in plan.notices]
        assert dropped == [True] * (not is_supported)


@pytest.mark.parametrize("ending", [".mp4", ".webm"])
def test_text_that_is_not_utf_8_is_read_as_windows_1252(tmp_path: Path, ending: str) -> None:
    path = enrich(make_clip(tmp_path / "clip.mp4", SILENT), tmp_path / "in.mkv", Extras([Subtitles(cues("Mxller"))]))
    path.write_bytes(path.read_bytes().replace(b"Mxller", b"M\xfcller"))
    (track,) = subtitle_tracks(path, tmp_path / f"out{ending}")
    assert cues_of(track) == [(0.2, 0.5, "Müller")]


@pytest.mark.parametrize(("ending", "hours"), [(".mp4", 7), (".mp4", 4), (".mov", 7), (".webm", 7), (".mkv", 7)])
def test_a_cue_of_hours_is_kept_or_shortened(tmp_path: Path, ending: str, hours: int) -> None:
    """In mp4 and mov a sample lasts 2^31 ticks at most."""
    texts = [Cue(Fraction(1, 5), Fraction(1, 2), "one"), Cue(Fraction(3, 5), Fraction(hours * 3600), "two")]
    path = enrich(make_clip(tmp_path / "clip.mp4"), tmp_path / "in.mkv", Extras([Subtitles(texts)]))
    with open_source(path) as source:
        transcode(source, plan_output(source, tmp_path / f"out{ending}"))
        reasons = [place.reason for place in source.damage]
    (track,) = film(tmp_path / f"out{ending}").of("subtitle")
    assert [(cue.text, float(cue.begin)) for cue in track.cues] == [("one", 0.2), ("two", 0.6)]
    if ending in (".mp4", ".mov"):
        assert track.cues[1].end > 3 * 3600
        assert [f"{hours}.0 h" in reason for reason in reasons] == [True]
    else:
        assert track.cues[1].end == hours * 3600
        assert reasons == []
