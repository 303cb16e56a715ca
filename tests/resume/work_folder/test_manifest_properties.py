"""Properties of a manifest that somebody else wrote: it is read, or it is an error that starts the run from scratch."""

import json
import tempfile
from array import array
from contextlib import suppress
from fractions import Fraction
from functools import cache
from itertools import accumulate
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.resume.work_folder.durations import Durations
from pipeline.resume.work_folder.manifest import FORMAT, NAME, Manifest, ManifestError, read_manifest
from pipeline.resume.work_folder.segment_record import Segment
from tests.support.interrupted.resuming import lines_of, parts_of

whole = st.integers(-(2**40), 2**40)
nested = st.recursive(
    st.none() | st.booleans() | whole | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)
FIELDS = (
    *("identity", "engine", "time_base", "seconds", "segments"),
    *("damage", "changes", "complete_frames", "output_signature", "split"),
)


def read_text(text: str) -> Manifest | None:
    """Return the manifest of this text."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o700)
        Path(folder, NAME).write_text(text, encoding="utf-8", errors="surrogatepass")
        return read_manifest(folder)


@given(nested, nested)
def test_any_json_is_a_manifest_or_an_error(head: object, line: object) -> None:
    for start in (f"{json.dumps(head)}\n", _healthy()):
        with suppress(ManifestError):
            read_text(f"{start}{json.dumps(line)}\n")


@settings(max_examples=30)  # each writes to the disk
@given(st.dictionaries(st.sampled_from(FIELDS), nested))
def test_a_value_of_another_type_is_an_error_or_harmless(changes: dict[str, object]) -> None:
    """What is read can be written again, as a run does that resumes."""
    parts = {**parts_of(_healthy()), **changes, "format": FORMAT}
    several = {
        name: value if isinstance(value := parts[name], list) else [value] for name in ("segments", "damage", "changes")
    }
    try:
        manifest = read_text(lines_of(parts | several))
    except ManifestError:
        return
    assert manifest is not None
    assert manifest.frames >= 0
    assert isinstance(manifest.identity, dict)
    assert isinstance(manifest.engine, dict)
    with tempfile.TemporaryDirectory() as folder:
        manifest.write(folder)


@cache
def _healthy() -> str:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o700)
        Manifest({"input": "a"}).write(folder)
        return Path(folder, NAME).read_text(encoding="utf-8")


names = st.integers(0, 10**9).map(lambda number: f"{number:08}.mp4")
hashes = st.text("0123456789abcdef", min_size=1, max_size=64)


@st.composite
def segments(draw: st.DrawFn) -> Segment:
    """A segment with any times."""
    steps = draw(st.lists(st.integers(-1000, 10_000), max_size=20))
    durations = draw(st.lists(st.none() | st.integers(0, 10_000), min_size=len(steps) + 1, max_size=len(steps) + 1))
    return Segment(
        file=draw(names),
        bytes=draw(st.integers(0, 2**40)),
        pts=array("q", accumulate(steps, initial=draw(st.integers(-(2**40), 2**40)))),
        durations=Durations(durations),
        delay=draw(st.integers(0, len(steps) + 1)),
        header=draw(hashes),
        digest=draw(hashes),
        sha256=draw(hashes),
        state=draw(hashes),
    )


@settings(max_examples=30)
@given(st.lists(segments(), max_size=4, unique_by=lambda segment: segment.file))
def test_what_is_written_is_read_again(given_segments: list[Segment]) -> None:
    engine = {"engine": "eager", "precision": "fp32", "device": "cpu", "workers": 1, "strip_rows": None}
    manifest = Manifest({"input": "a"}, engine, time_base=Fraction(1001, 30000), segments=given_segments)
    with tempfile.TemporaryDirectory() as folder:
        manifest.write(folder)
        assert read_manifest(folder) == manifest
