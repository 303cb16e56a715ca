"""The records of finished outputs in a batch's state folder: the next run skips what they cover.

Somebody else may have written them: what is not as we write it counts as missing.

OUTPUT/.flowbrush-batch/
    lock               held by the run that works there
    <hash>.json        record of a finished output
    <hash>.0.jpg       thumbnail of the clip; <hash>.1.jpg of its output

The hash is that of the output's name in the folder, so that the folder can be moved.
"""

import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pipeline.batch.inputs.jobs import Job
from pipeline.batch.inputs.places import content, is_placed, push_file, signature
from pipeline.config import VideoConfig
from pipeline.errors import InputError
from pipeline.resume.fingerprint import mask_hash, optimize_identity, refine_hashes, style_hashes
from pipeline.system.files.atomic import write_atomically
from pipeline.system.files.reading import read_own
from pipeline.system.folders import make_private
from pipeline.system.urls import join_url

FORMAT = 2
LARGEST_BYTES, LARGEST_THUMBNAIL_BYTES = 2**24, 2**20
_UNREADABLE = (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError)
_FIGURES: dict[str, Any] = {
    **dict.fromkeys(("frames", "frames_reused", "audio_packets", "damaged_places"), int),
    **dict.fromkeys(("seconds", "fps"), int | float),
    **dict.fromkeys(("bottleneck", "style", "engine", "precision"), str),
}
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
        url: of the same folder, if outputs are at a URL; empty otherwise.
    """

    def __init__(self, folder: Path, url: str = "") -> None:
        self._folder = folder
        self._url = url

    @property
    def exists(self) -> bool:
        """Whether an earlier run of the batch has started."""
        return self._folder.exists()

    def read(self, job: Job) -> Record:
        """Return the record that an earlier run left, or a new one."""
        record = new_record(job)
        try:
            data = self._load(self._file(job.name, ".json").name)
            if data["format"] == FORMAT:
                size, time_ns = data["look"]
                if type(size) is int and type(time_ns) is int and isinstance(data["identity"], dict):
                    record.status, record.signature, record.identity = "done", (size, time_ns), data["identity"]
                    record.figures, record.notices = _read_figures(data), _texts(data.get("notices"))
        except _UNREADABLE:
            pass
        return record

    def write(self, record: Record) -> None:
        """Write the record of a finished output.

        Raises:
            OSError: the disk is full or not available, the folder is not private, or the store does not answer.
        """
        make_private(self._folder)
        data = {"format": FORMAT, **asdict(record)}
        data["look"], data["is_from_before"] = data.pop("signature"), data.pop("done_before")
        file = self._file(record.output, ".json")
        write_atomically(str(file), json.dumps(data, indent=1).encode())
        push_file(file, join_url(self._url, file.name) if self._url else "")

    def outputs(self) -> Iterator[str]:
        """Yield the paths of all recorded outputs."""
        with suppress(OSError):
            for path in sorted(self._folder.glob("*.json")):
                with suppress(*_UNREADABLE):
                    name = self._load(path.name)["output"]
                    if isinstance(name, str) and "\0" not in name:
                        yield str(self._folder.parent / name)

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

    def read_thumbnail(self, path: Path) -> bytes:
        """Return the content of a thumbnail.

        Raises:
            OSError: it is missing, a link, not a regular file, or larger than thumbnails are.
        """
        return read_own(str(self._folder), path.name, most_bytes=LARGEST_THUMBNAIL_BYTES)

    def _load(self, name: str) -> Any:
        return json.loads(read_own(str(self._folder), name, most_bytes=LARGEST_BYTES))

    def _file(self, output: str, ending: str) -> Path:
        return self._folder / f"{hashlib.sha256(os.fsencode(output)).hexdigest()[:20]}{ending}"


def _read_figures(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures of a record; none if one is not as we write it."""
    figures = data.get("figures")
    if not isinstance(figures, dict) or figures.keys() != {*_FIGURES, "damage"}:
        return {}
    is_ours = (
        all(isinstance(figures[name], kind) for name, kind in _FIGURES.items())
        and all(math.isfinite(figures[name]) for name, kind in _FIGURES.items() if kind is not str)
        and _texts(figures["damage"]) == figures["damage"]
    )
    return dict(figures) if is_ours else {}


def _texts(values: object) -> list[str]:
    return [value for value in values if isinstance(value, str)] if isinstance(values, list) else []


def identify(config: VideoConfig) -> dict[str, Any]:
    """Return what an output depends on: hashes of input and weights, and the settings; empty for an unreadable input.

    Raises:
        StyleError: a weight file cannot be read.
    """
    try:
        return {"input": content(config.source), **_settings(config)}
    except InputError:
        return {}


def _is_recorded(record: Record, job: Job) -> bool:
    """Return whether the file at the job's target is the output of the record."""
    return bool(record.identity) and record.signature == signature(job.config.target)


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
        "refine": refine_hashes(config),
        "optimize": optimize_identity(config.stylize),
    }
