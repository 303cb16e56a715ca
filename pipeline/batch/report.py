"""The reports of a batch: ``report.json`` for programs, ``report.html`` with thumbnails, in one file, for people."""

import base64
import html
import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from pipeline.batch.config import STATE_FOLDER
from pipeline.batch.events import Ended
from pipeline.batch.records import Record, Records
from pipeline.errors import printable
from pipeline.media.damage import MAX_IN_NOTICE
from pipeline.system.files.atomic import write_atomically
from pipeline.system.folders import make_folder

_STATUS = {"done": "painted", "failed": "failed", "waiting": "not started", "started": "interrupted"}

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


def write_reports(
    folder: Path, records: Iterable[Record], ended: Ended, started: datetime, notes: Iterable[str] = ()
) -> None:
    """Write both reports into the output folder, each complete or not at all.

    Args:
        folder: output folder of the batch.
        records: the record of each output.
        ended: the figures of the batch.
        started: when the run started.
        notes: messages that concern the whole batch, one line each.

    Raises:
        OSError: the disk is full, or the folder cannot be created.
    """
    records, notes = list(records), list(notes)
    make_folder(folder)
    names = ("painted", "done_before", "failed", "left", "seconds")
    figures = {name: getattr(ended, name) for name in names}
    head = {"started": started.isoformat(timespec="seconds"), **figures, "notes": notes}
    data = {**head, "clips": [as_row(record) for record in records]}
    write_atomically(str(folder / "report.json"), (json.dumps(data, indent=1) + "\n").encode())
    page = _page(records, Records(folder / STATE_FOLDER), ended, started, notes)
    write_atomically(str(folder / "report.html"), (text.encode(errors="backslashreplace") for text in page))


def as_row(record: Record) -> dict[str, Any]:
    """Return the entry of a clip in ``report.json``."""
    return {
        "output": record.output,
        "source": record.source,
        "style": record.style,
        "status": _STATUS[record.status],
        "done_before": record.done_before,
        "attempts": record.attempts,
        "error": record.error,
        "notices": record.notices,
        **record.figures,
    }


def summary_line(ended: Ended) -> str:
    """Return the result of a batch in one line."""
    parts = [f"{ended.painted} stylized"]
    parts += [f"{ended.done_before} done before"] if ended.done_before else []
    parts += [f"{ended.failed} failed"] if ended.failed else []
    parts += [f"{ended.left} not finished"] if ended.left else []
    return f"{', '.join(parts)} in {format_duration(ended.seconds)}"


def format_duration(seconds: float) -> str:
    """Return a duration as ``12.3 s`` or ``h:mm:ss``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def _page(
    records: Iterable[Record], store: Records, ended: Ended, started: datetime, notes: list[str]
) -> Iterator[str]:
    """Yield the page in pieces: thumbnails of a thousand clips are never in memory at once."""
    title = f"flowbrush batch, {started:%Y-%m-%d %H:%M}"
    yield f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{title}</title>\n'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    yield f"<style>{_STYLE}</style>\n<h1>{title}</h1>\n<p>{_escape(summary_line(ended))}</p>\n"
    yield _list(notes)
    yield "<table><tr><th>before, after<th>clip<th>result\n"
    for record in records:
        yield _row(record, store)
    yield "</table></html>\n"


def _row(record: Record, store: Records) -> str:
    images = ""
    if record.status == "done":
        before, after = store.thumbnails(record.output)
        images = _image(store, before, "before") + _image(store, after, "after")
    names = f'{_escape(record.output)}<p class="small">of {_escape(record.source)}<br>in {_escape(record.style)}'
    more_damage = record.figures.get("damage", [])[MAX_IN_NOTICE:]
    messages = _list([*([record.error] if record.error else []), *record.notices, *more_damage])
    status = "stylized" if record.status == "done" else _STATUS[record.status]
    status = "done before" if record.done_before else status
    result = f'<b>{status}</b><p class="small">{_escape(_figures(record))}</p>{messages}'
    return f'<tr class="{record.status}"><td>{images}<td class="name">{names}<td>{result}\n'


def _figures(record: Record) -> str:
    figures = record.figures
    if not figures:
        return ""
    parts = [f"{figures['frames']} frames", f"{figures['fps']:.1f} fps"]
    if figures["frames_reused"]:
        parts.append(f"{figures['frames_reused']} frames of an earlier run")
    if figures["damaged_places"]:
        plural = "" if figures["damaged_places"] == 1 else "s"
        parts.append(f"{figures['damaged_places']} damaged place{plural} in the input")
    if record.attempts > 1:
        parts.append("at the second attempt")
    return ", ".join(parts)


def _list(lines: list[str]) -> str:
    return f"<ul>{''.join(f'<li>{_escape(line)}' for line in lines)}</ul>\n" if lines else ""


def _image(store: Records, file: Path, name: str) -> str:
    with suppress(OSError):
        data = base64.b64encode(store.read_thumbnail(file)).decode()
        return f'<img alt="{name}" src="data:image/jpeg;base64,{data}">'
    return ""


def _escape(text: str) -> str:
    return html.escape(printable(text))
