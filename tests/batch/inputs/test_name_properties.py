"""Properties of the names of outputs: whatever the clips and the template are called, outputs stay in their folder."""

import os
from pathlib import PurePath

from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.batch.config import check_name
from pipeline.batch.inputs.clips import InputFile
from pipeline.batch.inputs.jobs import Job, check_names, output_name
from pipeline.config import StylizeConfig, VideoConfig
from pipeline.errors import OutputError

# Any name that a file can have, with many dots; what is not UTF-8 is U+DC80 to U+DCFF in a decoded name.
characters = st.characters(exclude_categories=["Cs"], exclude_characters="/\0") | st.sampled_from("\udc80\udcff")
file_names = (
    st.text(characters, min_size=1, max_size=20) | st.from_regex(r"[.a]{1,6}(\.mp4|\.mkv|\.txt|)", fullmatch=True)
).filter(lambda name: name not in (".", ".."))
FIELDS = ("{stem}", "{style}", "{suffix}", "{ending}", "{stem:>3}")
pieces = st.sampled_from([*FIELDS, "{{", "}}", "/", "..", ".", "a", "~"])
templates = st.lists(pieces, min_size=1, max_size=6).map("".join)


def jobs_of(template: str, *files: str) -> list[Job]:
    """Return the jobs of these clips, as a batch with the output folder ``out`` makes them."""
    check_name(template)
    names = [output_name(InputFile(os.path.join("in", file)), "great-wave", None, template) for file in files]
    return [
        Job(name, VideoConfig(source=f"in/{file}", target=f"out/{name}", stylize=StylizeConfig(style="great-wave")))
        for name, file in zip(names, files, strict=True)
    ]


@example("{ending}", ["a"])
@example("{stem}/p{suffix}", ["...mp4"])
@given(templates, st.lists(file_names, min_size=1, max_size=3, unique=True))
def test_outputs_are_in_their_folder_and_differ_or_are_refused(template: str, files: list[str]) -> None:
    try:
        jobs = jobs_of(template, *files)
        check_names(jobs)
    except (ValueError, OutputError):
        return
    targets = [os.path.realpath(job.config.target) for job in jobs]
    folder = os.path.realpath("out")
    assert all(target.startswith(f"{folder}{os.sep}") for target in targets), targets
    assert len(set(targets)) == len(targets)


@given(file_names)
def test_the_usual_template_accepts_each_name(name: str) -> None:
    jobs = jobs_of("{stem}_{style}{suffix}", name)
    try:
        check_names(jobs)
    except OutputError as error:
        if "reserved" not in str(error) and "longer" not in str(error):
            raise
        return
    assert PurePath(jobs[0].name).name.startswith(PurePath(name).stem)
