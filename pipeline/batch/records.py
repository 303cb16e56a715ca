"""What a batch notes of each finished output in its state folder, so that the next run knows what was done.

OUTPUT/.flowbrush-batch/
    lock               held by the run that works there
    <hash>.json        one for each output that is in its place
    <hash>.0.jpg       of the original, <hash>.1.jpg of the painting: thumbnails

Outputs are known by their names in the folder: it may be moved, and be called by any path.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pipeline.atomic import write_in_place
from pipeline.batch.jobs import Job
from pipeline.config import VideoConfig
from pipeline.errors import InputError
from pipeline.resume.fingerprint import content_of, mask_of, styles_of
from pipeline.resume.manifest import is_placed
from pipeline.resume.work_dir import file_signature, remove

FORMAT = 2
# What changes neither a picture nor its encoding; styles stand among the weights, by their content.
_IRRELEVANT = {"threads", "strict", "overwrite", "max_memory", "style", "style_end"}


@dataclass(slots=True)
class Record:
    """What is known of one output.

    Attributes:
        output: its name, relative to the batch's folder.
        source: path of its clip.
        style: that it is painted in.
        status: ``waiting``, ``started``, ``done`` or ``failed``; on disk ``done``.
        identity: of input, settings and weights; empty where the input is not known that was painted.
        look: size and time of the finished output.
        attempts: of the last run.
        figures: of the run that painted it.
        notices: what the user was told of it.
        error: why it failed.
        is_from_before: whether an earlier run finished it.
    """

    output: str
    source: str
    style: str
    status: str = "waiting"
    identity: dict[str, Any] = field(default_factory=dict)
    look: tuple[int, int] | None = None
    attempts: int = 0
    figures: dict[str, Any] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    error: str | None = None
    is_from_before: bool = False


def new_record(job: Job) -> Record:
    """The record of a job of which nothing is known."""
    return Record(job.name, job.config.source, job.config.stylize.style)


class Records:
    """The records of a batch.

    Args:
        folder: in which they are kept; made when the first is written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def is_begun(self) -> bool:
        """Whether a run of the batch was here before."""
        return self._folder.exists()

    def of(self, job: Job) -> Record:
        """The record of a job as an earlier run left it, or a new one."""
        try:
            data = json.loads(self._file(job.name, ".json").read_text(encoding="utf-8"))
            if data.pop("format") != FORMAT:
                return new_record(job)
            data["look"] = tuple(data["look"])
            return Record(**data)
        except (OSError, ValueError, TypeError, LookupError, AttributeError):
            return new_record(job)

    def write(self, record: Record) -> None:
        """Keep ``record``, that of a finished output.

        Raises:
            OSError: the disk is full, or gone.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"format": FORMAT, **asdict(record)}, indent=1)
        write_in_place(str(self._file(record.output, ".json")), text.encode())

    def thumbnail(self, output: str, number: int) -> Path:
        """Where the picture of the original (0) or of the painting (1) lies, or is to."""
        return self._file(output, f".{number}.jpg")

    def is_done(self, job: Job, record: Record) -> bool:
        """Whether the output is there, and was made of the same input, with the same settings and weights.

        A run that was killed when its output was in place, and what it kept not yet cleared away, is to end that.
        """
        if job.config.fresh or not _is_its(record, job) or is_placed(job.config.target):
            return False
        return record.identity == identity_of(job.config)

    def has_other_settings(self, job: Job) -> bool:
        """Whether the output is there, and was made by this batch with other settings or weights."""
        record = self.of(job)
        return _is_its(record, job) and {**record.identity, "input": None} != {**_asked(job.config), "input": None}

    def forget_pictures(self, output: str) -> None:
        """Remove the thumbnails of an earlier output."""
        for number in (0, 1):
            remove(str(self.thumbnail(output, number)))

    def _file(self, output: str, ending: str) -> Path:
        return self._folder / f"{hashlib.sha256(os.fsencode(output)).hexdigest()[:20]}{ending}"


def identity_of(config: VideoConfig) -> dict[str, Any]:
    """Hashes of input and weights, and the settings: what an output is made of. Empty where the input cannot be read.

    Raises:
        StyleError: a weight file cannot be read.
    """
    try:
        return {"input": content_of(config.source), **_asked(config)}
    except InputError:
        return {}


def recorded_outputs(folder: Path) -> Iterator[str]:
    """Paths of all outputs of which a state folder knows."""
    with suppress(OSError):
        for path in sorted(folder.glob("*.json")):
            with suppress(OSError, ValueError, LookupError, TypeError):
                yield str(folder.parent / json.loads(path.read_text(encoding="utf-8"))["output"])


def _is_its(record: Record, job: Job) -> bool:
    """Whether what stands in the place of the job's output is what the record is about, and of what is known."""
    return bool(record.identity) and record.look == file_signature(job.config.target)


def _asked(config: VideoConfig) -> dict[str, Any]:
    """What is to become of the input, whatever it is."""
    settings = {
        name: str(value)
        for part in (config.stylize, config.decode, config.encode)
        for name, value in asdict(part).items()
        if name not in _IRRELEVANT
    }
    return {
        "mask": mask_of(config),
        "settings": settings | {"tag": str(config.tag)},
        "weights": styles_of(config),
    }
