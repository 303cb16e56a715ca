"""The last job of a clip on a worker: concatenate the segments of all jobs into the output."""

from pipeline.decode.source import open_source
from pipeline.encode.writer import EncodeReport
from pipeline.errors import OutputError
from pipeline.notices import Notices
from pipeline.resume.resumable import finish_output
from pipeline.resume.store import SegmentStore
from pipeline.run import plan_clip
from pipeline.stylize.style import style_of
from pipeline.workers.absolute_paths import check_machine
from pipeline.workers.protocol import JoinJob


def run_join_job(job: JoinJob) -> EncodeReport:
    """Make the output of a clip from its work folder, which stays until the caller has recorded the output.

    Args:
        job: what to do; the manifest in the work folder is complete.

    Raises:
        PipelineError: one of its kinds, see `pipeline.errors`.
    """
    check_machine(job)
    config, notices = job.config, Notices(lambda line: None)
    style = style_of(config.stylize)
    with open_source(config.source, config.decode, with_side_packets=False, keep_alpha_and_depth=True) as source:
        plan = plan_clip(config, source)
        with SegmentStore(config, plan, source, lambda: job.identity, notices) as store:
            if not store.is_complete:
                missing = f"some segments in {store.work_dir.path} are missing or damaged"
                raise OutputError(config.target, f"{missing}; run the same command again")
            report = finish_output(store, plan, source, style.tag if config.tag else {})
            store.release()
    return report
