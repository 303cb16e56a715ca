"""What a batch is asked to do: inputs, options, job files, names, and what is refused before the first frame."""

import inspect
import io
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

import cli
from pipeline.batch.inputs import find_clips
from pipeline.batch.jobfile import read_job_file
from pipeline.batch.jobs import BatchConfig, Job, make_jobs
from pipeline.batch.options import OPTIONS, option_named, read_styles, video_config
from pipeline.batch.plan import plan_batch
from pipeline.config import DecodeConfig, EncodeConfig, StylizeConfig, VideoConfig
from pipeline.errors import InputError, OutputError, StyleError
from tests.media import AWKWARD_NAMES, Clip, make_clip

SHORT = Clip(pts=(0, 512))


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def jobs(folder: Path, *inputs: str | Path, **changes: Any) -> list[Job]:
    config = {"styles": ("great-wave",)} | changes
    return make_jobs(BatchConfig(tuple(map(str, inputs)), folder / "out", **config))


def test_folders_keep_their_structure_and_leave_out_what_is_ours(tmp_path: Path) -> None:
    source = tmp_path / "in"
    touch(source / "a.mp4", source / "x" / "y" / "b.mkv", source / ".hidden.mp4", source / ".trash" / "c.mp4")
    touch(source / "out" / "old.mp4", source / "a.mp4.flowbrush" / "00000000.mp4")
    found = find_clips([str(source)], source / "out")
    assert [(Path(clip.path).name, clip.folder.as_posix()) for clip in found] == [("a.mp4", "."), ("b.mkv", "x/y")]


def test_files_patterns_and_a_list_each_clip_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "a.mp4", tmp_path / "b.mp4", tmp_path / "x" / "y" / "c.mp4", tmp_path / "[d].mp4")
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{tmp_path / 'b.mp4'}\n\n{tmp_path / '[d].mp4'}\n"))
    found = find_clips([str(tmp_path / "a.mp4"), "-", str(tmp_path / "**" / "*.mp4")])
    assert [Path(clip.path).name for clip in found] == ["a.mp4", "b.mp4", "[d].mp4", "c.mp4"]
    assert [clip.folder.as_posix() for clip in found] == [".", ".", ".", "x/y"]
    for missing in ("missing.mp4", "*.avi"):
        with pytest.raises(InputError, match=r"no such file|no file matches"):
            find_clips([str(tmp_path / missing)])


@pytest.mark.parametrize("name", AWKWARD_NAMES)
def test_awkward_names(tmp_path: Path, name: str | bytes) -> None:
    import os

    text = os.fsdecode(name)
    touch(tmp_path / text)
    job = jobs(tmp_path, tmp_path / text, name="{stem}-{style}{suffix}")[0]
    assert job.name == f"{Path(text).stem}-great-wave.mp4"


def test_names_of_styles_and_containers(tmp_path: Path) -> None:
    touch(tmp_path / "a.avi", tmp_path / "b.WEBM")
    found = jobs(tmp_path, tmp_path / "a.avi", tmp_path / "b.WEBM", styles=("great-wave:0.7,starry-night:0.3",))
    assert [job.name for job in found] == [
        "a_great-wave-0.7+starry-night-0.3.mkv",
        "b_great-wave-0.7+starry-night-0.3.WEBM",
    ]
    fade = jobs(tmp_path, tmp_path / "a.avi", options={"style_end": "starry-night"}, name="{style}/{stem}.mp4")
    assert fade[0].name == "great-wave-to-starry-night/a.mp4"


def test_styles_are_a_list_unless_they_have_weights() -> None:
    assert read_styles(["great-wave,starry-night", "minotaur"]) == ("great-wave", "starry-night", "minotaur")
    assert read_styles(["great-wave:0.7,starry-night:0.3"]) == ("great-wave:0.7,starry-night:0.3",)
    assert read_styles(["great-wave, starry-night"]) == ("great-wave", "starry-night")


def test_a_batch_knows_every_option_of_video() -> None:
    known = set(inspect.signature(cli.video).parameters) - {"source", "target", "as_json", "quiet", "verbose"}
    assert set(OPTIONS) == known
    assert known - {"style"} <= set(inspect.signature(cli.batch).parameters)


def test_options_mean_what_they_mean_to_video() -> None:
    given = {"strength": "0.5", "keep-colors": "yes", "start": "1:02.5", "height": 240, "quality": "30", "no_tag": True}
    given |= {"max_memory": "2G", "duration": 1.5, "style": "great-wave", "mask": "", "preset": None, "overwrite": "no"}
    named = {option_named(name): value for name, value in given.items()}
    assert video_config("a.mp4", "b.mp4", named) == VideoConfig(
        "a.mp4",
        "b.mp4",
        StylizeConfig("great-wave", strength=0.5, keep_colors=True, max_memory=2 * 2**30),
        DecodeConfig(Fraction(125, 2), Fraction(3, 2), 240),
        EncodeConfig(quality=30),
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
        ({"start": "soon"}, "no time"),
        ({"style": 3}, "style must be text"),
    ],
)
def test_wrong_options_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        video_config("a.mp4", "b.mp4", {"style": "great-wave", **options})


def test_job_files_of_both_kinds_say_the_same(tmp_path: Path) -> None:
    touch(tmp_path / "clips" / "a.mp4", tmp_path / "clips" / "b.mp4", tmp_path / "white.png")
    (tmp_path / "jobs.toml").write_text(
        '[defaults]\nstyle = "great-wave"\nmask = "white.png"\n'
        '[[clip]]\ninput = "clips/a.mp4"\nstyle = ["starry-night", "minotaur"]\nstrength = 0.8\n'
        '[[clip]]\ninput = "clips/b.mp4"\nkeep-colors = true\noutput = "x/first.mkv"\n'
    )
    (tmp_path / "jobs.csv").write_text(
        "\ufeffinput,style,strength,keep-colors,output,mask\n"
        'clips/a.mp4,"starry-night,minotaur",0.8,,,white.png\nclips/b.mp4,great-wave,,true,x/first.mkv,white.png\n',
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
        ("a.toml", "", "names no clip"),
        ("a.toml", "[[clip]]\ninput = 'a.mp4'\noutput = '../a.mp4'\n", "no name within the output folder"),
        ("a.csv", "input,style\na.mp4,great-wave,more\n", "line 2: more values"),
        ("a.csv", "input,strength\na.mp4,9\na.mp4,much\n", r"line 2: strength must be between 0 and 1.*and 1 more"),
    ],
)
def test_wrong_job_files_are_refused_with_the_place(tmp_path: Path, name: str, text: str, message: str) -> None:
    touch(tmp_path / "a.mp4")
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        jobs(tmp_path, tmp_path / name)


def test_what_is_missing_is_told_before_anything_else(tmp_path: Path) -> None:
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


def test_collisions_are_refused(tmp_path: Path) -> None:
    make_clip(tmp_path / "a.mp4", SHORT)
    make_clip(tmp_path / "x" / "a.mp4", SHORT) if (tmp_path / "x").mkdir() is None else None
    both = (str(tmp_path / "a.mp4"), str(tmp_path / "x" / "a.mp4"))
    cases: list[tuple[BatchConfig, str]] = [
        (BatchConfig(both, tmp_path / "out", ("great-wave",)), "would be the output of .* and "),
        (
            BatchConfig(both[:1], tmp_path / "out", ("great-wave", "minotaur"), "{stem}{suffix}"),
            "in great-wave and in minotaur",
        ),
        (BatchConfig(both[:1], tmp_path, ("great-wave",), "{stem}{suffix}"), "is an input of the batch"),
    ]
    for config, message in cases:
        with pytest.raises(OutputError, match=message):
            plan_batch(config, make_jobs(config))
    touch(tmp_path / "out" / "a_great-wave.mp4")
    config = BatchConfig(both[:1], tmp_path / "out", ("great-wave",))
    with pytest.raises(OutputError, match="exists already"):
        plan_batch(config, make_jobs(config))
    config = BatchConfig(both[:1], tmp_path / "out", ("great-wave",), options={"overwrite": True})
    assert len(plan_batch(config, make_jobs(config)).to_do) == 1


def test_clips_are_told_by_content_and_ordered_by_engine(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name, width in (("a.mp4", 64), ("b.mp4", 80), ("c.mp4", 64)):
        make_clip(folder / name, Clip(pts=(0, 512), width=width))
    (folder / "a.mp4").rename(folder / "a.data")
    (folder / "notes.txt").write_text("no clip")
    (folder / "broken.mp4").write_bytes(b"no clip either")
    from PIL import Image

    for ending in ("png", "jpg", "webp", "gif"):
        Image.new("RGB", (64, 48)).save(folder / f"still.{ending}")
    config = BatchConfig((str(folder),), tmp_path / "out", ("great-wave", "minotaur"))
    plan = plan_batch(config, make_jobs(config))
    assert [step.job.name for step in plan.steps if not step.clip.fault] == [
        f"{stem}_{style}.{ending}"
        for pair in ((("a", "mkv"), ("c", "mp4")), (("b", "mp4"),))
        for stem, ending in pair
        for style in ("great-wave", "minotaur")
    ]
    assert [step.job.name for step in plan.steps if step.clip.fault] == ["broken_great-wave.mp4", "broken_minotaur.mp4"]
    assert plan.ignored == 5
    whole = plan.event()
    assert (whole.clips, whole.done, whole.frames) == (8, 0, 12)
    assert whole.bytes > 0
    assert whole.megapixels == pytest.approx(2 * (2 * 2 * 64 + 2 * 80) * 48 / 1e6)
    assert whole.seconds > 0
    assert not (tmp_path / "out").exists()
