"""What a batch came to: ``report.json`` for programs, ``report.html`` for people, with pictures, in one file."""

import base64
import html
import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pipeline.atomic import write_in_place
from pipeline.batch.config import STATE_FOLDER
from pipeline.batch.events import Ended
from pipeline.batch.records import Record, Records
from pipeline.errors import printable
from pipeline.media.damage import MAX_IN_NOTICE

WORDS = {"done": "painted", "failed": "failed", "waiting": "not come to", "started": "interrupted"}

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: #222 }
h1 { font-size: 1.5rem; margin: 0 0 .2rem } p { margin: .2rem 0 } table { border-collapse: collapse; width: 100% }
th, td { text-align: left; vertical-align: top; padding: .5rem .6rem; border-top: 1px solid #ddd }
img { height: 90px; margin-right: 4px; border-radius: 3px; vertical-align: top } .name { overflow-wrap: anywhere }
td:nth-child(1) { white-space: nowrap } .small { color: #666; font-size: .87em }
ul { margin: .2rem 0; padding-left: 1.1rem }
.done b { color: #1a7f37 } .failed b { color: #c62828 } .waiting b, .started b { color: #9a6700 }
.failed { background: #fff4f4 }
@media (prefers-color-scheme: dark) { body { background: #181818; color: #ddd } th, td { border-color: #3a3a3a }
.failed { background: #331c1c } .small { color: #999 } }
"""


@dataclass(frozen=True, slots=True)
class Shown:
    """A clip in the report.

    Attributes:
        record: of it.
        before: file of the picture of the original.
        after: file of that of the painting.
    """

    record: Record
    before: Path
    after: Path


def write_reports(
    folder: Path, found: Iterable[Record], ended: Ended, begun: datetime, notes: Iterable[str] = ()
) -> None:
    """Write both reports into the batch's folder, each whole or not at all.

    Args:
        folder: of the batch.
        found: the record of each output.
        ended: the batch in figures.
        begun: when it began.
        notes: what the user was told of the batch, a line each.

    Raises:
        OSError: the disk is full, or the folder is gone.
    """
    records, found, notes = Records(folder / STATE_FOLDER), list(found), list(notes)
    folder.mkdir(parents=True, exist_ok=True)
    head = {"begun": begun.isoformat(timespec="seconds"), **_counts(ended), "notes": notes}
    data = {**head, "clips": [as_row(each) for each in found]}
    write_in_place(str(folder / "report.json"), (json.dumps(data, indent=1) + "\n").encode())
    shown = (Shown(each, records.thumbnail(each.output, 0), records.thumbnail(each.output, 1)) for each in found)
    page = (text.encode(errors="backslashreplace") for text in _page(shown, ended, begun, notes))
    write_in_place(str(folder / "report.html"), page)


def as_row(record: Record) -> dict[str, Any]:
    """A clip as ``report.json`` has it."""
    return {
        "output": record.output,
        "source": record.source,
        "style": record.style,
        "status": WORDS[record.status],
        "done_before": record.is_from_before,
        "attempts": record.attempts,
        "error": record.error,
        "notices": record.notices,
        **record.figures,
    }


def _counts(ended: Ended) -> dict[str, Any]:
    names = ("painted", "done_before", "failed", "left", "seconds")
    return {name: getattr(ended, name) for name in names}


def summary_line(ended: Ended) -> str:
    """The batch in a line."""
    parts = [f"{ended.painted} painted"]
    parts += [f"{ended.done_before} done before"] if ended.done_before else []
    parts += [f"{ended.failed} failed"] if ended.failed else []
    parts += [f"{ended.left} left"] if ended.left else []
    return f"{', '.join(parts)} in {length(ended.seconds)}"


def length(seconds: float) -> str:
    """A time as people read it."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def _page(clips: Iterator[Shown], ended: Ended, begun: datetime, notes: list[str]) -> Iterator[str]:
    title = f"flowbrush batch, {begun:%Y-%m-%d %H:%M}"
    yield f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{title}</title>\n'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    yield f"<style>{_STYLE}</style>\n<h1>{title}</h1>\n<p>{_text(summary_line(ended))}</p>\n"
    yield _list(notes)
    yield "<table><tr><th>before, after<th>clip<th>result\n"
    for clip in clips:
        yield _row(clip)
    yield "</table></html>\n"


def _row(clip: Shown) -> str:
    record = clip.record
    others = record.figures.get("damage", [])[MAX_IN_NOTICE:]
    notes = _list([*([record.error] if record.error else []), *record.notices, *others])
    pictures = _picture(clip.before, "before") + _picture(clip.after, "after") if record.status == "done" else ""
    names = f'{_text(record.output)}<p class="small">of {_text(record.source)}<br>in {_text(record.style)}'
    word = "done before" if record.is_from_before else WORDS[record.status]
    result = f'<b>{word}</b><p class="small">{_text(_figures(record))}</p>{notes}'
    return f'<tr class="{record.status}"><td>{pictures}<td class="name">{names}<td>{result}\n'


def _figures(record: Record) -> str:
    figures = record.figures
    if not figures:
        return ""
    parts = [f"{figures['frames']} frames", f"{figures['fps']:.1f} fps"]
    if figures["frames_reused"]:
        parts.append(f"{figures['frames_reused']} frames of an earlier run")
    if figures["damaged_places"]:
        places = "1 damaged place" if figures["damaged_places"] == 1 else f"{figures['damaged_places']} damaged places"
        parts.append(f"{places} in the input")
    if record.attempts > 1:
        parts.append("at the second attempt")
    return ", ".join(parts)


def _list(lines: list[str]) -> str:
    return f"<ul>{''.join(f'<li>{_text(line)}' for line in lines)}</ul>\n" if lines else ""


def _picture(file: Path, what: str) -> str:
    with suppress(OSError):
        return f'<img alt="{what}" src="data:image/jpeg;base64,{base64.b64encode(file.read_bytes()).decode()}">'
    return ""


def _text(text: str) -> str:
    return html.escape(printable(text))
