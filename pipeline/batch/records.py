"""The records of finished outputs in a batch's state folder: the next run skips what they cover.

OUTPUT/.flowbrush-batch/
    lock               held by the run that works there
    <hash>.json        record of a finished output
    <hash>.0.jpg       thumbnail of the clip; <hash>.1.jpg of its output

The hash is that of the output's name in the folder, so that the folder can be moved.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pipeline.batch.jobs import Job
from pipeline.config import VideoConfig
from pipeline.errors import InputError
from pipeline.resume.fingerprint import content_hash, mask_hash, style_hashes
from pipeline.resume.manifest import is_placed
from pipeline.system.files import file_signature, write_atomically
from pipeline.system.folders import make_private

FORMAT = 2
# These change neither a frame nor its encoding; styles are compared by the content of their weights.
_IRRELEVANT = {"threads", "strict", "overwrite", "max_memory", "style", "style_end"}


@dataclass(slots=True)
class Record:
    """What is known of one output.

    Attributes:
        output: name of the output, relative to the output folder.
        source: path of its clip.
        style: its style.
        status: ``waiting``, ``started``, ``done`` or ``failed``; always ``done`` on disk.
        identity: hashes of input and weights, and the settings; empty if the input that was stylized is unknown.
        signature: size and time of the finished output, see `file_signature`.
        attempts: number of attempts of the last run.
        figures: figures of the run that stylized it, see `pipeline.batch.events.Finished`.
        notices: messages of that run, one line each.
        error: why it failed, None if it did not.
        done_before: whether an earlier run finished it.
    """

    output: str
    source: str
    style: str
    status: str = "waiting"
    identity: dict[str, Any] = field(default_factory=dict)
    signature: tuple[int, int] | None = None
    attempts: int = 0
    figures: dict[str, Any] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    error: str | None = None
    done_before: bool = False


def new_record(job: Job) -> Record:
    """Return the record of a job that no run has started."""
    return Record(job.name, job.config.source, job.config.stylize.style)


class Records:
    """The state folder of a batch.

    Args:
        folder: path of the state folder; the first `write` creates it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def exists(self) -> bool:
        """Whether an earlier run of the batch has started."""
        return self._folder.exists()

    def read(self, job: Job) -> Record:
        """Return the record that an earlier run left, or a new one."""
        try:
            data = json.loads(self._file(job.name, ".json").read_text(encoding="utf-8"))
            if data.pop("format") != FORMAT:
                return new_record(job)
            signature, done_before = tuple(data.pop("look")), data.pop("is_from_before")
            return Record(**data, signature=signature, done_before=done_before)
        except (OSError, ValueError, TypeError, LookupError, AttributeError):
            return new_record(job)

    def write(self, record: Record) -> None:
        """Write the record of a finished output.

        Raises:
            OSError: the disk is full or not available, or the folder is not private.
        """
        make_private(self._folder)
        data = {"format": FORMAT, **asdict(record)}
        data["look"], data["is_from_before"] = data.pop("signature"), data.pop("done_before")
        write_atomically(str(self._file(record.output, ".json")), json.dumps(data, indent=1).encode())

    def outputs(self) -> Iterator[str]:
        """Yield the paths of all recorded outputs."""
        with suppress(OSError):
            for path in sorted(self._folder.glob("*.json")):
                with suppress(OSError, ValueError, LookupError, TypeError):
                    yield str(self._folder.parent / json.loads(path.read_text(encoding="utf-8"))["output"])

    def thumbnails(self, output: str) -> tuple[Path, Path]:
        """Return the paths of the thumbnails of a clip and of its output."""
        return self._file(output, ".0.jpg"), self._file(output, ".1.jpg")

    def is_done(self, job: Job, record: Record) -> bool:
        """Return whether the output exists and was made from the same input, settings and weights.

        False for a run that was killed after its output was complete and before its work folder was removed: the next
        run completes that.
        """
        if job.config.fresh or not _is_recorded(record, job) or is_placed(job.config.target):
            return False
        return record.identity == identify(job.config)

    def has_other_settings(self, job: Job) -> bool:
        """Return whether the output exists and this batch made it with other settings or weights."""
        record = self.read(job)
        wanted = {**_settings(job.config), "input": None}
        return _is_recorded(record, job) and {**record.identity, "input": None} != wanted

    def _file(self, output: str, ending: str) -> Path:
        return self._folder / f"{hashlib.sha256(os.fsencode(output)).hexdigest()[:20]}{ending}"


def identify(config: VideoConfig) -> dict[str, Any]:
    """Return what an output depends on: hashes of input and weights, and the settings; empty for an unreadable input.

    Raises:
        StyleError: a weight file cannot be read.
    """
    try:
        return {"input": content_hash(config.source), **_settings(config)}
    except InputError:
        return {}


def _is_recorded(record: Record, job: Job) -> bool:
    """Return whether the file at the job's target is the output of the record."""
    return bool(record.identity) and record.signature == file_signature(job.config.target)


def _settings(config: VideoConfig) -> dict[str, Any]:
    """Return everything that an output depends on except its input."""
    settings = {
        name: str(value)
        for stage in (config.stylize, config.decode, config.encode)
        for name, value in asdict(stage).items()
        if name not in _IRRELEVANT
    }
    return {
        "mask": mask_hash(config),
        "settings": settings | {"tag": str(config.tag)},
        "weights": style_hashes(config),
    }
