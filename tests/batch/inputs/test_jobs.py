"""Inputs, options, job files and names of batches, and the errors before the first frame."""

import glob
import io
import json
import os
import sys
from contextlib import nullcontext
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pipeline.batch import plan as planning
from pipeline.batch.config import BatchConfig, read_style_images, read_styles
from pipeline.batch.events import Event, Noted
from pipeline.batch.inputs.clips import find_clips
from pipeline.batch.inputs.jobfile import read_job_file
from pipeline.batch.inputs.jobs import Job, check_names, make_jobs, video_config
from pipeline.batch.plan import Step, estimate_seconds, plan_batch, record_speed
from pipeline.batch.session import plan, run_batch
from pipeline.config import DecodeConfig, EncodeConfig, RefineConfig, StylizeConfig, VideoConfig
from pipeline.errors import DeviceError, InputError, OutputError, StyleError
from tests.support.media import AWKWARD_NAMES, Clip, make_clip
from tests.support.networks.pictures import write_picture
from tests.support.networks.styles import write_styles

PLAIN = {"device": "cpu", "engine": "eager"}
SHORT = Clip(pts=(0, 512))


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def jobs(folder: Path, *inputs: str | Path, **changes: Any) -> list[Job]:
    config = {"styles": ("great-wave",)} | changes
    return make_jobs(BatchConfig(inputs=tuple(map(str, inputs)), output=folder / "out", **config))


def test_folders_keep_their_structure_without_our_own_files(tmp_path: Path) -> None:
    source = tmp_path / "in"
    touch(source / "a.mp4", source / "x" / "y" / "b.mkv", source / ".hidden.mp4", source / ".trash" / "c.mp4")
    touch(source / "out" / "old.mp4", source / "a.mp4.flowbrush" / "00000000.mp4")
    found = find_clips([str(source)], source / "out")
    assert [(Path(clip.path).name, clip.folder.as_posix()) for clip in found] == [("a.mp4", "."), ("b.mkv", "x/y")]


def test_files_patterns_and_a_list_give_each_clip_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "a.mp4", tmp_path / "b.mp4", tmp_path / "x" / "y" / "c.mp4", tmp_path / "[d].mp4")
    touch(tmp_path / "e\x0bf.mp4", tmp_path / "g.mp4 ")
    names = ("b.mp4  ", "", "[d].mp4", "e\x0bf.mp4", "g.mp4 ")
    lines = "".join(f"{tmp_path / name}\r\n" if name else "\r\n" for name in names)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xef\xbb\xbf" + lines.encode())))
    found = find_clips([str(tmp_path / "a.mp4"), "-", str(tmp_path / "**" / "*.mp4")])
    assert [Path(clip.path).name for clip in found] == [*("a.mp4", "b.mp4", "[d].mp4", "e\x0bf.mp4", "g.mp4 ", "c.mp4")]
    assert [clip.folder.as_posix() for clip in found] == [".", ".", ".", ".", ".", "x/y"]
    for missing in ("missing.mp4", "*.avi"):
        with pytest.raises(InputError, match=r"no such file|no file matches"):
            find_clips([str(tmp_path / missing)])


@pytest.mark.parametrize("place", [".", ".hidden", "[x] y"])
def test_patterns_match_the_same_from_every_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    folder = tmp_path / place
    touch(folder / "in" / "a.mp4", folder / "in" / "x" / "b.mp4", folder / "in" / "out" / "c.mp4")
    monkeypatch.chdir(folder)
    for pattern in ("in/**/*.mp4", "./in/**/*.mp4"):
        found = find_clips([pattern], Path("in/out"))
        assert [(clip.path, clip.folder.as_posix()) for clip in found] == [
            (pattern.replace("**/*", "a"), "."),
            (pattern.replace("**/*", "x/b"), "x"),
        ]
    found = find_clips([f"{glob.escape(str(folder))}/in/*.mp4"], Path("."))
    assert [(clip.path, clip.folder.as_posix()) for clip in found] == [(str(folder / "in" / "a.mp4"), ".")]
    (folder / "jobs.csv").write_text("input,style\nin/x/*.mp4,great-wave\n")
    monkeypatch.chdir(tmp_path)
    for file in (folder / "jobs.csv", Path(place, "jobs.csv")):
        assert [job.name for job in jobs(folder, file)] == ["b_great-wave.mp4"]


def test_skipped_and_unreadable_inputs_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, other = tmp_path / "in", tmp_path / "other"
    touch(folder / "closed" / "b.mp4", folder / "bad" / "c.mp4", folder / "data", folder / "x" / "y", other / "d.mp4")
    make_clip(folder / "a.mp4", SHORT)
    (folder / "more").symlink_to(other)
    (folder / "same").symlink_to(folder / "x")
    (folder / "gone.mp4").symlink_to(folder / "missing.mp4")
    access, scandir = os.access, os.scandir

    def refuse(path: str) -> Any:
        if Path(path).name == "bad":
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    is_closed = {str(folder / name) for name in ("closed", "bad", "data")}
    monkeypatch.setattr(os, "access", lambda path, mode: str(path) not in is_closed and access(path, mode))
    monkeypatch.setattr(os, "scandir", refuse)
    config = BatchConfig(inputs=(str(folder),), output=tmp_path / "out", styles=("great-wave",), options=PLAIN)
    planned = plan(config)
    assert [step.job.name for step in planned.steps] == [
        "a_great-wave.mp4",
        "gone_great-wave.mp4",
        "bad/bad_great-wave.mkv",
        "closed/closed_great-wave.mkv",
    ]
    faults = [step.clip.error or "" for step in planned.steps]
    assert [fault.partition(": ")[2] for fault in faults] == [
        "",
        "there is no such file; check the path",
        *["is a folder that cannot be read"] * 2,
    ]
    more, data = planned.notes
    assert more.startswith(f"{folder / 'more'} is a link to a folder")
    assert data.startswith(f"{folder / 'data'} cannot be read")
    assert planned.ignored == 1
    config = replace(config, keep_going=False)
    assert [bool(step.clip.error) for step in plan(config).steps] == [True, True, True, False]
    (folder / "a.mp4").unlink()  # the others end a batch without a network
    events: list[Event] = []
    ended = run_batch(config, plan(config), events.append)
    assert (ended.painted, ended.failed) == (0, 3)
    assert [event.line for event in events if isinstance(event, Noted) and event.output is None] == [more, data]
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["notes"] == [more, data]
    assert "started" in report
    is_closed.add(str(folder))
    with pytest.raises(InputError, match=r"in: the folder cannot be read \(Permission denied\)"):
        plan(config)


@pytest.mark.parametrize("name", AWKWARD_NAMES)
def test_awkward_names(tmp_path: Path, name: str | bytes) -> None:
    text = os.fsdecode(name)
    touch(tmp_path / text)
    job = jobs(tmp_path, tmp_path / text, name="{stem}-{style}{suffix}")[0]
    assert job.name == f"{Path(text).stem}-great-wave.mp4"


@pytest.mark.parametrize(
    ("clip", "template", "name"),
    [
        ("...mp4", "{stem}/p{suffix}", "_../p.mp4"),
        ("...mp4", "{style}/{stem}/p{suffix}", "great-wave/_../p.mp4"),
        ("..mp4", "{stem}./p{suffix}", "_../p.mp4"),
        ("...mp4", "{stem}{suffix}", "...mp4"),
        ("....mp4", "{stem}/p{suffix}", ".../p.mp4"),
    ],
)
def test_no_name_of_a_clip_leads_out_of_the_output_folder(tmp_path: Path, clip: str, template: str, name: str) -> None:
    (tmp_path / "in").mkdir()
    make_clip(tmp_path / "in" / clip, SHORT, form="mp4")
    config = BatchConfig(
        inputs=(str(tmp_path / "in" / clip),), output=tmp_path / "out", styles=("great-wave",), name=template
    )
    (step,) = plan(config).steps
    assert step.job.name == name
    assert Path(os.path.normpath(step.job.config.target)).is_relative_to(tmp_path / "out")


@pytest.mark.parametrize("name", ["../b.mp4", "x/../../b.mp4", "/b.mp4", "..", "x/.."])
def test_no_job_writes_outside_the_output_folder(tmp_path: Path, name: str) -> None:
    config = video_config("a.mp4", str(tmp_path / "out" / "b.mp4"), {"style": "great-wave"})
    with pytest.raises(OutputError, match="leads out of the output folder"):
        check_names([Job(name, config)])


def test_names_of_styles_and_containers(tmp_path: Path) -> None:
    touch(tmp_path / "a.avi", tmp_path / "b.WEBM")
    found = jobs(tmp_path, tmp_path / "a.avi", tmp_path / "b.WEBM", styles=("great-wave:0.7,starry-night:0.3",))
    assert [job.name for job in found] == [
        "a_great-wave-0.7+starry-night-0.3.mkv",
        "b_great-wave-0.7+starry-night-0.3.WEBM",
    ]
    for option in ("style_end", "style-end", "--style-end"):
        fade = jobs(tmp_path, tmp_path / "a.avi", options={option: "starry-night"}, name="{style}/{stem}.mp4")
        assert fade[0].name == "great-wave-to-starry-night/a.mp4"


def test_styles_are_a_list_unless_they_have_weights() -> None:
    assert read_styles(["great-wave,starry-night", "minotaur"]) == ("great-wave", "starry-night", "minotaur")
    assert read_styles(["great-wave:0.7,starry-night:0.3"]) == ("great-wave:0.7,starry-night:0.3",)
    assert read_styles(["great-wave, starry-night"]) == ("great-wave", "starry-night")


def test_options_configure_what_they_configure_for_video() -> None:
    given = {"strength": "0.5", "keep-colors": "yes", "start": "1:02.5", "height": 240, "quality": "30", "no_tag": True}
    given |= {"max_memory": "2G", "duration": 1.5, "style": "great-wave", "mask": "", "preset": None, "overwrite": "no"}
    assert video_config("a.mp4", "b.mp4", given) == VideoConfig(
        source="a.mp4",
        target="b.mp4",
        stylize=StylizeConfig(style="great-wave", strength=0.5, keep_colors=True, max_memory=2 * 2**30),
        decode=DecodeConfig(start_seconds=Fraction(125, 2), duration_seconds=Fraction(3, 2), height=240),
        encode=EncodeConfig(quality=30),
        tag=False,
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strenght": 1}, "is strength meant"),
        ({"strength": "much"}, "strength must be a number"),
        ({"strength": 2}, "strength must be between"),
        ({"height": 240.5}, "height must be a whole number"),
        ({"keep_colors": "perhaps"}, "keep colors must be true or false"),
        ({"codec": "divx"}, "unknown codec"),
        ({"quality": 99}, "quality of libx264"),
        ({"start": "soon"}, "'soon' is not a time"),
        ({"style": 3}, "style must be text"),
        ({"mask": 3}, "mask must be text"),
        ({"height": float("inf")}, "height must be a number, not inf"),
        ({"quality": "inf"}, "quality must be a number, not 'inf'"),
        ({"strength": 10**400}, "strength must be a number"),
        ({"start": True}, "start must be text, not True"),
        ({"duration": float("nan")}, "'nan' is not a time"),
        ({"max_memory": True}, "max memory must be text, not True"),
    ],
)
def test_wrong_options_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        video_config("a.mp4", "b.mp4", {"style": "great-wave", **options})


def test_toml_and_csv_job_files_give_the_same_jobs(tmp_path: Path) -> None:
    touch(tmp_path / "clips" / "a.mp4", tmp_path / "clips" / "b.mp4")
    Image.new("L", (8, 8), 255).save(tmp_path / "white.png")
    (tmp_path / "jobs.toml").write_text(
        '[defaults]\nstyle = "great-wave"\nmask = "white.png"\nKeep_Colors = false\n'
        '[[clip]]\ninput = "clips/a.mp4"\nstyle = ["starry-night", "minotaur"]\nstrength = 0.8\n'
        '[[clip]]\ninput = "clips/b.mp4"\nkeep-colors = true\noutput = "x/first.mkv"\n'
    )
    (tmp_path / "jobs.csv").write_text(
        "\ufeff,,\n Input, Style ,strength,keep-Colors,Output,mask,\n"
        'clips/a.mp4,"starry-night,minotaur",0.8,,,white.png,\n,,,,,,\n'
        "clips/b.mp4,great-wave,,true,x/first.mkv,white.png,,\n",
        encoding="utf-8",
    )
    of_toml, of_csv = (jobs(tmp_path, tmp_path / name) for name in ("jobs.toml", "jobs.csv"))
    assert of_toml == of_csv
    assert [job.name for job in of_toml] == ["a_starry-night.mp4", "a_minotaur.mp4", "x/first.mkv"]
    assert [job.config.stylize.strength for job in of_toml] == [0.8, 0.8, 1.0]
    assert of_toml[2].config.stylize.keep_colors
    assert {job.config.mask for job in of_toml} == {str(tmp_path / "white.png")}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.toml", "[[clip]]\nstyle = 'great-wave'\n", "clip 1: input is missing"),
        ("a.toml", "[[clip]]\ninput = 'a.mp4'\ncolour = 1\n", "clip 1: there is no option 'colour'"),
        ("a.toml", "[[clips]]\n", r"write \[defaults\] and \[\[clip\]\]"),
        ("a.toml", "[clip]\n", "for each clip"),
        ("a.toml", "clip = [\n", "a.toml"),
        ("a.toml", "", "no clips"),
        ("a.toml", "[[clip]]\ninput = 'a.mp4'\noutput = '../a.mp4'\n", "within the output folder"),
        ("a.toml", "[defaults]\nkeep-colors = true\nkeep_colors = true\n", "defaults: 'keep_colors' is given twice"),
        ("a.toml", "[[clip]]\ninput = 'a.mp4'\nmask = 3\n", "clip 1: mask must be text, not 3"),
        ("a.csv", "input,Strength, strength\n", "line 1: 'strength' is given twice"),
        ("a.csv", "input,colour\n", "line 1: there is no option 'colour'"),
        ("a.csv", "input,style\na.mp4,great-wave,more\n", "line 2: more values"),
        ("a.csv", "input,strength\na.mp4,9\na.mp4,much\n", r"line 2: strength must be between 0 and 1.*and 1 more"),
    ],
)
def test_errors_in_job_files_name_the_place(tmp_path: Path, name: str, text: str, message: str) -> None:
    touch(tmp_path / "a.mp4")
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        jobs(tmp_path, tmp_path / name)


@pytest.mark.parametrize(
    ("row", "kind", "message"),
    [
        ("b.mp4,,,", InputError, r"line 2: .*b.mp4: there is no such file.* \(and 1 more\)"),
        ("x*.mp4,,,", InputError, "line 2: .*no file matches"),
        ("a.mp4,grate-wave,,", StyleError, "line 2: no style is named 'grate-wave'"),
        ("a.mp4,x.safetensors#x,,", StyleError, "line 2: .*x.safetensors"),
        ("a.mp4,,nope.png,", InputError, "line 2: .*nope.png: "),
        ("a.mp4,,a.mp4,", InputError, "line 2: .*a.mp4: "),
        ("a.mp4,,,cuda:99", DeviceError, "line 2: device 'cuda:99' is not available"),
    ],
)
def test_what_a_job_file_names_must_be_available(tmp_path: Path, row: str, kind: type[Exception], message: str) -> None:
    touch(tmp_path / "a.mp4")
    (tmp_path / "a.csv").write_text(f"input,style,mask,device\n{row}\na.mp4\n{row}\n")
    with pytest.raises(kind, match=message):
        jobs(tmp_path, tmp_path / "a.csv")


def test_an_error_of_all_clips_is_reported_once(tmp_path: Path) -> None:
    touch(tmp_path / "a.mp4", tmp_path / "b.mp4")
    with pytest.raises(ValueError, match=r"^strength must be between 0 and 1, not 9$"):
        jobs(tmp_path, tmp_path / "*.mp4", options={"strength": 9})


def test_weight_files_are_relative_to_the_job_file(tmp_path: Path) -> None:
    touch(tmp_path / "a.mp4")
    for name in ("w", "a,w"):
        write_styles(tmp_path / f"{name}.safetensors", "minotaur", "starry-night")
    lines = {
        "w.safetensors#minotaur,w.safetensors#starry-night": "{0}#minotaur | {0}#starry-night",
        "great-wave:0.50,w.safetensors#minotaur : 2": "great-wave:0.50,{0}#minotaur : 2",
        "minotaur,w.safetensors#minotaur": "minotaur | {0}#minotaur",
        "a,w.safetensors#minotaur": "{1}#minotaur",
    }
    for style, expected in lines.items():
        (tmp_path / "a.toml").write_text(f"[[clip]]\ninput = 'a.mp4'\nstyle = '{style}'\nstyle-end = '{style}'\n")
        found = [job.config.stylize for job in jobs(tmp_path, tmp_path / "a.toml")]
        expected = expected.format(tmp_path / "w.safetensors", tmp_path / "a,w.safetensors")
        assert " | ".join(config.style for config in found) == expected
        assert {config.style_end for config in found} == {expected.replace(" | ", ",")}


def test_each_picture_of_a_folder_is_a_style(tmp_path: Path, any_picture: Path) -> None:
    touch(tmp_path / "a.mp4", tmp_path / "art" / "notes.txt")
    for name in ("rain", "My Wave"):
        write_picture(tmp_path / "art" / f"{name}.png")
    rain = str(tmp_path / "art" / "rain.png")
    images = read_style_images([str(tmp_path / "art"), f"{rain}:1,great-wave.jpg:1"])
    assert images == (str(tmp_path / "art" / "My Wave.png"), rain, f"{rain}:1,great-wave.jpg:1")
    found = jobs(tmp_path, tmp_path / "a.mp4", styles=(), style_images=images[:2], options={"paint": 2})
    both = jobs(tmp_path, tmp_path / "a.mp4", style_images=images[:2], options={"paint": 2})
    assert [job.config.stylize.paint for job in both] == [1, 2, 2], "a trained style has no dials"
    assert [job.name for job in found] == ["a_my-wave.mp4", "a_rain.mp4"]
    (tmp_path / "a.csv").write_text("input,style,style-image,paint\na.mp4,,art,2\n")
    assert jobs(tmp_path, tmp_path / "a.csv") == found
    (tmp_path / "a.toml").write_text(
        '[defaults]\nstyle = "great-wave"\n[[clip]]\ninput = "a.mp4"\npaint = 2\nstyle-image = ["art"]\n'
    )
    assert jobs(tmp_path, tmp_path / "a.toml") == found


def test_bad_pictures_end_a_batch_before_its_first_frame(tmp_path: Path, any_picture: Path) -> None:
    touch(tmp_path / "a.mp4", tmp_path / "empty" / "notes.txt", tmp_path / "text.jpg")
    with pytest.raises(ValueError, match=r"empty: contains no pictures \(\.bmp"):
        read_style_images([str(tmp_path / "empty")])
    with pytest.raises(ValueError, match="great-wave: not the name of a picture"):
        read_style_images(["great-wave"])
    with pytest.raises(InputError, match=r"text\.jpg: "):
        jobs(tmp_path, tmp_path / "a.mp4", style_images=(str(tmp_path / "text.jpg"),))
    for name in ("x.png", "x.bmp"):
        write_picture(tmp_path / name)
    same = jobs(tmp_path, tmp_path / "a.mp4", styles=tuple(str(tmp_path / name) for name in ("x.png", "x.bmp")))
    with pytest.raises(OutputError, match=r"x\.png and in .*x\.bmp; rename one"):
        check_names(same)


def test_unknown_styles_and_names_are_errors(tmp_path: Path) -> None:
    touch(tmp_path / "a.mp4")
    with pytest.raises(StyleError, match="starry-night"):
        jobs(tmp_path, tmp_path / "a.mp4", styles=("stary-night",))
    with pytest.raises(ValueError, match="a style is missing"):
        jobs(tmp_path, tmp_path / "a.mp4", styles=())
    with pytest.raises(InputError, match="no such job file"):
        read_job_file(tmp_path / "none.toml")
    for name, message in (("{stem}{sytle}", "no {sytle}"), ("../{stem}", "leads out"), ("{stem", "cannot be read")):
        with pytest.raises(ValueError, match=message):
            jobs(tmp_path, tmp_path / "a.mp4", name=name)


def test_outputs_must_not_replace_each_other_or_inputs_or_files(tmp_path: Path) -> None:
    make_clip(tmp_path / "a.mp4", SHORT)
    (tmp_path / "x").mkdir()
    make_clip(tmp_path / "x" / "a.mp4", SHORT)
    both = (str(tmp_path / "a.mp4"), str(tmp_path / "x" / "a.mp4"))
    cases: list[tuple[BatchConfig, str]] = [
        (BatchConfig(inputs=both, output=tmp_path / "out", styles=("great-wave",)), "would be the output of .* and "),
        (
            BatchConfig(
                inputs=both[:1], output=tmp_path / "out", styles=("great-wave", "minotaur"), name="{stem}{suffix}"
            ),
            "in great-wave and in minotaur",
        ),
        (
            BatchConfig(inputs=both[:1], output=tmp_path, styles=("great-wave",), name="{stem}{suffix}"),
            "is an input of the batch",
        ),
    ]
    for config, message in cases:
        with pytest.raises(OutputError, match=message):
            plan_batch(config, make_jobs(config))
    touch(tmp_path / "out" / "a_great-wave.mp4")
    config = BatchConfig(inputs=both[:1], output=tmp_path / "out", styles=("great-wave",))
    with pytest.raises(OutputError, match="exists already"):
        plan_batch(config, make_jobs(config))
    config = BatchConfig(inputs=both[:1], output=tmp_path / "out", styles=("great-wave",), options={"overwrite": True})
    assert len(plan_batch(config, make_jobs(config)).to_do) == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("report.html/{stem}.mp4", "reports and unfinished work"),
        ("./.flowbrush-batch/{stem}.mp4", "reports and unfinished work"),
        ("{stem}.mp4.flowbrush/a.mp4", "reports and unfinished work"),
        ("a" * 252 + ".mp4", "longer than the 255 bytes"),
        ("\u00e9" * 126 + "/{stem}{suffix}", None),
        ("x/report.html/" + "a" * 251 + ".mp4", None),
    ],
)
def test_reserved_and_long_names_are_errors(tmp_path: Path, name: str, message: str | None) -> None:
    touch(tmp_path / "a.mp4")
    with nullcontext() if message is None else pytest.raises(OutputError, match=message):
        check_names(jobs(tmp_path, tmp_path / "a.mp4", name=name))


def test_the_ending_distinguishes_clips_of_the_same_name(tmp_path: Path) -> None:
    both = [tmp_path / "a.avi", tmp_path / "a.mkv"]
    touch(*both)
    with pytest.raises(OutputError, match=r"a.avi and .*a.mkv; choose a --name with {ending}"):
        check_names(jobs(tmp_path, *both))
    found = jobs(tmp_path, *both, name="{stem}-{ending}_{style}{suffix}")
    check_names(found)
    assert [job.name for job in found] == ["a-avi_great-wave.mkv", "a-mkv_great-wave.mkv"]


def test_videos_are_recognized_by_content_and_ordered_by_engine(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name, width in (("a.mp4", 64), ("b.mp4", 80), ("c.mp4", 64)):
        make_clip(folder / name, Clip(pts=(0, 512), width=width))
    (folder / "a.mp4").rename(folder / "a.data")
    (folder / "notes.txt").write_text("no clip")
    (folder / "broken.mp4").write_bytes(b"no clip either")

    for ending in ("png", "jpg", "webp", "gif"):
        Image.new("RGB", (64, 48)).save(folder / f"still.{ending}")
    config = BatchConfig(inputs=(str(folder),), output=tmp_path / "out", styles=("great-wave", "minotaur"))
    plan = plan_batch(config, make_jobs(config))
    assert [step.job.name for step in plan.steps if not step.clip.error] == [
        f"{stem}_{style}.{ending}"
        for pair in ((("a", "mkv"), ("c", "mp4")), (("b", "mp4"),))
        for stem, ending in pair
        for style in ("great-wave", "minotaur")
    ]
    assert [step.job.name for step in plan.steps if step.clip.error] == ["broken_great-wave.mp4", "broken_minotaur.mp4"]
    assert plan.ignored == 5
    whole = plan.event()
    assert (whole.clips, whole.done, whole.frames) == (8, 0, 12)
    assert whole.bytes > 0
    assert whole.megapixels == pytest.approx(2 * (2 * 2 * 64 + 2 * 80) * 48 / 1e6)
    assert whole.seconds > 0
    assert not (tmp_path / "out").exists()


def test_time_is_estimated_from_clips_of_about_the_same_size(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FLOWBRUSH_CACHE", str(tmp_path))

    def step(width: int, height: int, frames: int = 100) -> Step:
        config = VideoConfig(source="a.mp4", target="out/a.mp4", stylize=StylizeConfig(style="great-wave"))
        return Step(Job("a.mp4", config), planning.Clip(width, height, frames=frames))

    usual = estimate_seconds(step(640, 360))
    record_speed(step(64, 48), 50, 10.0)
    assert estimate_seconds(step(64, 48)) == pytest.approx(20, rel=1e-3)
    assert estimate_seconds(step(128, 48, 50)) == pytest.approx(20, rel=1e-3)
    assert estimate_seconds(step(640, 360)) == usual
    record_speed(step(640, 360, 30), 30, 3.0)
    assert estimate_seconds(step(640, 360)) == pytest.approx(10, rel=1e-3)
    assert estimate_seconds(step(64, 48)) == pytest.approx(20, rel=1e-3)


def test_a_refinement_is_for_the_pictures_of_a_batch(tmp_path: Path, any_picture: Path) -> None:
    touch(tmp_path / "a.mp4", tmp_path / "loss.pth")
    picture = str(write_picture(tmp_path / "b.png"))
    (tmp_path / "a.csv").write_text("input,refine,loss-weights\na.mp4,30,loss.pth\n")
    trained, predicted = jobs(tmp_path, tmp_path / "a.csv", style_images=(picture,))
    assert trained.config.refine == RefineConfig()
    assert predicted.config.refine == RefineConfig(seconds=30, loss_weights=(tmp_path / "loss.pth",))
