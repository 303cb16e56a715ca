"""What a batch reports: events, reports and notices."""

import json
import shutil
from datetime import datetime
from fractions import Fraction
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import PIL.Image
import pytest

from pipeline.batch.events import Ended, Event, Finished, Noted, as_json
from pipeline.batch.records import Record
from pipeline.batch.report import write_reports
from pipeline.batch.session import plan, run_batch
from pipeline.media.damage import Damage, damage_notice
from tests.support.batching import batch_config, make_clips, report_of, run_here
from tests.support.media import Audio, Clip, make_clip


class Page(HTMLParser):
    """The texts of a page, and the files that it would load."""

    def __init__(self) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.texts: list[str] = []
        self.rows: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = dict(attributes)
        self.sources += [str(values[name]) for name in ("src", "href") if name in values]
        if tag == "tr" and "class" in values:
            self.rows.append(str(values["class"]))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_the_report_has_thumbnails_figures_and_errors_and_loads_nothing(tmp_path: Path) -> None:
    make_clips(tmp_path, "a<b>.mp4")
    (tmp_path / "in" / "broken.mp4").write_bytes(b"broken")
    run_here(batch_config(tmp_path))
    report = report_of(tmp_path)
    assert (report["painted"], report["failed"]) == (1, 1)
    done, failed = report["clips"]
    assert (done["status"], done["frames"], done["engine"], done["attempts"]) == ("painted", 6, "eager", 1)
    assert (failed["status"], failed["attempts"]) == ("failed", 2)
    assert "broken.mp4" in failed["error"]
    page = Page()
    page.feed((tmp_path / "out" / "report.html").read_text(encoding="utf-8"))
    assert page.rows == ["done", "failed"]
    assert len(page.sources) == 2
    assert all(source.startswith("data:image/jpeg;base64,") for source in page.sources)
    assert page.sources[0] != page.sources[1]
    text = " ".join(page.texts)
    assert "a<b>_great-wave.mp4" in text
    assert failed["error"] in text
    assert "1 stylized, 1 failed" in text


def test_events_are_json(tmp_path: Path) -> None:
    make_clips(tmp_path, "a.mp4")
    _, events = run_here(batch_config(tmp_path))
    found = [json.loads(json.dumps(as_json(event))) for event in events]
    names = [event["event"] for event in found if event["event"] not in ("progress", "note")]
    assert names == ["planned", "started", "finished", "ended"]
    assert found[0] | {"seconds": 0, "bytes": 0, "megapixels": 0} == {
        "event": "planned",
        "clips": 1,
        "done": 0,
        "frames": 6,
        "megapixels": 0,
        "seconds": 0,
        "bytes": 0,
        "ignored": 0,
    }
    progress = next(event for event in found if event["event"] == "progress")
    assert progress == {"event": "progress", "output": "a_great-wave.mp4", "frames": 1, "total": 6, "fps": 0.0}


def test_a_report_is_written_whatever_happens(tmp_path: Path) -> None:
    make_clips(tmp_path, "a.mp4", "b.mp4")

    def fail(event: Event) -> None:
        if isinstance(event, Finished):
            raise RuntimeError("a bug of the caller")

    with pytest.raises(RuntimeError, match="of the caller"):
        run_here(batch_config(tmp_path), fail)
    assert report_of(tmp_path)["painted"] >= 1


@pytest.mark.parametrize("is_first", [True, False])
def test_an_interruption_at_any_time_names_the_command_that_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_first: bool
) -> None:
    """Before the first clip, and after the last, when missing thumbnails are drawn."""

    def interrupt(*args: Any) -> None:
        raise KeyboardInterrupt

    make_clips(tmp_path, "a.mp4")
    config = batch_config(tmp_path, options={"fresh": is_first})
    if not is_first:
        run_here(config)
        for thumbnail in (tmp_path / "out" / ".flowbrush-batch").glob("*.jpg"):
            thumbnail.unlink()
    monkeypatch.setattr(*((shutil, "disk_usage") if is_first else (PIL.Image, "fromarray")), interrupt)
    events: list[Event] = []
    with pytest.raises(KeyboardInterrupt) as caught:
        run_batch(config, plan(config), events.append)
    command = "the same command without --fresh" if is_first else "the same command"
    assert f"; run {command} to resume" in caught.value.__notes__[0]
    assert isinstance(events[-1], Ended)
    assert report_of(tmp_path)["clips"][0]["output"] == "a_great-wave.mp4"


def test_a_small_disk_is_reported_before_the_first_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_clips(tmp_path, "a.mp4")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=10))
    _, events = run_here(batch_config(tmp_path))
    notes = [event.line for event in events if isinstance(event, Noted) and event.output is None]
    assert any("are free" in line for line in notes)


def test_a_damaged_place_is_reported_once(tmp_path: Path) -> None:
    places = [Damage(number, Fraction(number), f"fault {number}") for number in range(5)]
    for count, text in ((1, "1 damaged place in the input"), (5, "5 damaged places in the input")):
        reasons = [place.reason for place in places[:count]]
        figures = {"frames": 6, "fps": 1.0, "frames_reused": 0, "damaged_places": count, "damage": reasons}
        record = Record("a", "b", "c", "done", figures=figures, notices=damage_notice(places[:count]))
        write_reports(tmp_path, [record], Ended(1, 0, 0, 0, 1.0, ""), datetime.now())
        page = (tmp_path / "report.html").read_text()
        assert text in page
        assert [page.count(reason) for reason in reasons] == [1] * count


def test_notices_reach_the_report_with_their_clip(tmp_path: Path) -> None:
    make_clips(tmp_path, "a.mp4")
    make_clip(tmp_path / "in" / "b.mp4", Clip(pts=(0, 512), audio=[Audio()]))
    _, events = run_here(batch_config(tmp_path, name="{stem}.gif"))
    assert "b.gif" in {event.output for event in events if isinstance(event, Noted)}
    rows = report_of(tmp_path)["clips"]
    assert any("sound" in line or "audio" in line for line in rows[1]["notices"])
