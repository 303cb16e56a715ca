"""What a batch notes of each clip in its state folder, so that the next run knows what was done.

OUTPUT/.flowbrush-batch/
    lock               held by the run that works there
    <hash>.json        one for each output
    <hash>.0.jpg       of the original, <hash>.1.jpg of the painting: thumbnails
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pipeline.batch.jobs import Job
from pipeline.config import VideoConfig
from pipeline.disk import write_in_place
from pipeline.errors import InputError
from pipeline.identity import content_of, weights_of
from pipeline.manifest import is_placed
from pipeline.work_folder import look_of, remove

FORMAT = 1
# What changes neither a picture nor its encoding.
_IRRELEVANT = {"threads", "strict", "overwrite", "max_memory"}


@dataclass(slots=True)
class Record:
    """What is known of one output.

    Attributes:
        output: its name, relative to the batch's folder.
        source: path of its clip.
        target: its path.
        style: that it is painted in.
        status: ``waiting``, ``started``, ``done`` or ``failed``.
        identity: of input, settings and weights; empty before it was found out.
        before: size and time of what stood in its place before; None for nothing.
        look: size and time of the finished output.
        attempts: of the last run.
        figures: of the run that painted it.
        notices: what the user was told of it.
        error: why it failed.
        is_from_before: whether an earlier run finished it.
    """

    output: str
    source: str
    target: str
    style: str
    status: str = "waiting"
    identity: dict[str, Any] = field(default_factory=dict)
    before: tuple[int, int] | None = None
    look: tuple[int, int] | None = None
    attempts: int = 0
    figures: dict[str, Any] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    error: str | None = None
    is_from_before: bool = False


class Records:
    """The records of a batch; those of this run are held, too, should the disk refuse them.

    Args:
        folder: in which they are kept; made when the first is written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def of(self, job: Job) -> Record:
        """The record of a job as an earlier run left it, or a new one."""
        fresh = Record(job.name, job.config.source, job.config.target, job.config.stylize.style)
        try:
            data = json.loads(self._file(job, ".json").read_text(encoding="utf-8"))
            if data.pop("format") != FORMAT or data["target"] != job.config.target:
                return fresh
            data["before"], data["look"] = (tuple(data[name]) if data[name] else None for name in ("before", "look"))
            return Record(**data)
        except (OSError, ValueError, TypeError, LookupError, AttributeError):
            return fresh

    def write(self, job: Job, record: Record) -> None:
        """Keep ``record``.

        Raises:
            OSError: the disk is full, or gone.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"format": FORMAT, **asdict(record)}, indent=1)
        write_in_place(str(self._file(job, ".json")), text.encode())

    def thumbnail(self, job: Job, number: int) -> Path:
        """Where the picture of the original (0) or of the painting (1) lies, or is to."""
        return self._file(job, f".{number}.jpg")

    def is_done(self, job: Job, record: Record) -> bool:
        """Whether the output is there, and was made of the same input, with the same settings and weights.

        A run that was killed after its output was in place, and before it noted that, leaves a record that says which
        run was begun; outputs appear whole or not at all.
        """
        if job.config.fresh or not record.identity:
            return False
        look = look_of(job.config.target)
        if look is None or is_placed(job.config.target):
            return False
        if record.status == "started":
            is_there = look != record.before
        else:
            is_there = record.status == "done" and look == record.look
        if not is_there or record.identity != identity_of(job.config):
            return False
        record.status, record.look = "done", look
        return True

    def forget_pictures(self, job: Job) -> None:
        """Remove the thumbnails of an earlier output."""
        for number in (0, 1):
            remove(str(self.thumbnail(job, number)))

    def _file(self, job: Job, ending: str) -> Path:
        return self._folder / f"{hashlib.sha256(os.fsencode(job.name)).hexdigest()[:20]}{ending}"


def identity_of(config: VideoConfig) -> dict[str, Any]:
    """Hashes of input and weights, and the settings: what an output is made of. Empty where the input cannot be read.

    Raises:
        StyleError: a weight file cannot be read.
    """
    settings = {
        name: str(value)
        for part in (config.stylize, config.decode, config.encode)
        for name, value in asdict(part).items()
        if name not in _IRRELEVANT
    }
    try:
        return {
            "input": content_of(config.source),
            "mask": None if config.mask is None else content_of(config.mask),
            "settings": settings | {"tag": str(config.tag)},
            "weights": weights_of(config),
        }
    except InputError:
        return {}


def recorded_outputs(folder: Path) -> Iterator[str]:
    """Paths of all outputs of which a state folder knows."""
    with suppress(OSError):
        for path in sorted(folder.glob("*.json")):
            with suppress(OSError, ValueError, LookupError, TypeError):
                data: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
                yield str(data["target"])
