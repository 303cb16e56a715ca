"""What comes through: every video of a folder through `flowbrush video`, into one container after the other.

    python benchmarks/carried.py FOLDER [--containers mp4 mkv mov webm] [--height 64] [--seconds S] [--table OUT.md]

Source and result are read by PyAV alone and compared: number and times of the frames, the last one's duration, bytes of
all packets that are copied, offsets to the picture, texts and times of subtitles, languages, titles, dispositions,
chapters, metadata. Prints a line a file; exits with 1 where something is not as the plan said.
"""

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

# In place of this folder, whose cuda.py would be taken for another by torch.
sys.path[:1] = [str(Path(__file__).resolve().parents[1])]

from benchmarks.streams.contents import contents  # noqa: E402
from benchmarks.streams.faults import faults  # noqa: E402
from pipeline.config import DecodeConfig, EncodeConfig, StylizeConfig, VideoConfig  # noqa: E402
from pipeline.errors import InputError, PipelineError  # noqa: E402


@dataclass
class Row:
    """One file in one container."""

    name: str
    frames: str
    copied: list[str] = field(default_factory=list)
    converted: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def line(self) -> str:
        """For a table in Markdown."""
        cells = [self.copied, self.converted, self.dropped, self.said, self.wrong]
        texts = ["; ".join(cell).replace("|", "/") or "-" for cell in cells]
        return f"| {self.name} | {self.frames} | {' | '.join(texts)} |"


def run(path: Path, target: Path, height: int, seconds: Fraction | None) -> Row:
    """Paint ``path`` into ``target``, and compare."""
    from pipeline.run import stylize_video

    config = VideoConfig(
        source=str(path),
        target=str(target),
        stylize=StylizeConfig(style="great-wave", engine="eager", stability="none"),
        decode=DecodeConfig(height=height, duration_seconds=seconds),
        encode=EncodeConfig(overwrite=True),
    )
    try:
        summary = stylize_video(config)
    except InputError as error:
        return Row(path.name, "refused", said=[str(error).replace(str(path.parent) + "/", "")])
    except PipelineError as error:
        return Row(path.name, "failed", wrong=[str(error).replace(str(path.parent) + "/", "")])
    source, result = contents(path), contents(target)
    row = Row(path.name, str(summary.frames), wrong=list(faults(source, result, summary, seconds)))
    for entry in summary.streams:
        name = f"{entry['type']} {entry['index']} ({entry['codec'] or 'unknown'})"
        if entry["action"] == "drop":
            row.dropped.append(f"{name}: {entry['reason']}")
        elif entry["action"] == "convert":
            row.converted.append(f"{name} to {entry['to']}")
        else:
            row.copied.append(name)
    row.copied += [f"{len(result.chapters)} chapters"] if result.chapters else []
    row.copied += [f"{len(result.metadata)} tags"] if source.metadata else []
    row.said = [line for line in summary.notices if " stream " not in line and "cover image" not in line]
    return row


HEAD = "| file | frames | copied | converted | dropped | said besides | wrong |\n|---|---|---|---|---|---|---|"


def document(tables: dict[str, list[Row]], height: int, seconds: Fraction | None) -> str:
    """The rows as a page in Markdown."""
    part = "" if seconds is None else f" --seconds {float(seconds):g}"
    page = [
        "# What comes through",
        "",
        f"Made by `python benchmarks/carried.py FOLDER --containers {' '.join(tables)} --height {height}{part}`:",
        "every video of a folder is painted into each container, source and result are read with PyAV alone and",
        "compared: number and times of the frames (to a tick of the coarser clock), the last one's duration, bytes of",
        "copied packets, offsets to the picture, subtitles, languages, titles, dispositions, chapters, metadata.",
        "`wrong` is what is not as it should be.",
    ]
    for container, rows in tables.items():
        wrong = sum(bool(row.wrong) for row in rows)
        page += ["", f"## {container}", "", f"{len(rows) - wrong} of {len(rows)} files as they should be.", "", HEAD]
        page += [row.line() for row in rows]
    return "\n".join(page) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--containers", nargs="+", default=["mp4", "mkv", "mov", "webm"], metavar="ENDING")
    parser.add_argument("--height", type=int, default=64, help="of the results in pixels")
    parser.add_argument("--seconds", type=Fraction, help="paint only so much of each")
    parser.add_argument("--only", default="", metavar="TEXT", help="files whose names hold this")
    parser.add_argument("--table", type=Path, metavar="OUT.md", help="write the tables here")
    arguments = parser.parse_args()
    files = sorted(path for path in arguments.folder.iterdir() if path.is_file() and arguments.only in path.name)
    tables: dict[str, list[Row]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        for container in arguments.containers:
            tables[container] = []
            for path in files:
                begun = time.perf_counter()
                row = run(path, Path(temporary) / f"out.{container}", arguments.height, arguments.seconds)
                tables[container].append(row)
                state = "WRONG" if row.wrong else "ok   "
                told = "; ".join(row.wrong or row.said[:1])
                print(
                    f"{state} {container} {row.name} {row.frames} {time.perf_counter() - begun:.1f} s {told}",
                    flush=True,
                )
            if arguments.table:
                arguments.table.write_text(document(tables, arguments.height, arguments.seconds), encoding="utf-8")
    return int(any(row.wrong for rows in tables.values() for row in rows))


if __name__ == "__main__":
    sys.exit(main())
