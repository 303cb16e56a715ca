"""A worker on a Ray cluster: a process that runs one job after another, with engines that stay loaded."""

import logging
import os
import platform
from dataclasses import dataclass
from typing import Any

from pipeline.encode.writer import EncodeReport
from pipeline.resume.fingerprint import software
from pipeline.workers.protocol import JoinJob, SegmentJob, SegmentResult
from pipeline.workers.worker_process import Share, join_job, load_libraries, prepare_process, run_job

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Hello:
    """What a worker says of itself when it is ready.

    Attributes:
        machine: name of its machine.
        process: id of its process there.
        software: versions of the packages that frames depend on.
    """

    machine: str
    process: int
    software: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a job. Ray would raise an error of a job as one of its own.

    Attributes:
        result: of the job, None if it failed.
        error: why it failed.
    """

    result: SegmentResult | EncodeReport | None = None
    error: Exception | None = None


class RayWorker:
    """The class of the actors.

    Args:
        share: what the worker may use.
        log_level: level from which it writes log records to standard error, which Ray keeps in its log files.
    """

    def __init__(self, share: Share, log_level: int) -> None:
        prepare_process(log_level)
        load_libraries(share.threads)
        self._share = share

    def hello(self) -> Hello:
        """Return what the pool wants to know of a worker."""
        return Hello(platform.node() or "another machine", os.getpid(), software())

    def run(self, job: SegmentJob | JoinJob) -> Outcome:
        """Run a job."""
        try:
            result = join_job(job) if isinstance(job, JoinJob) else run_job(job, self._share)
        except Exception as error:
            logger.exception("%s", job.config.target)
            return Outcome(error=error)
        return Outcome(result)
