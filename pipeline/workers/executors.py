"""The workers of a batch: this process alone, several processes of this machine, or a cluster."""

from pipeline.workers.local_pool import LocalPool, default_workers
from pipeline.workers.protocol import SegmentExecutor


def start_executor(
    cluster: str | None = None,
    *,
    workers: int | None = None,
    device: str = "auto",
    gpus_per_worker: float = 1.0,
    may_be_none: bool = True,
) -> SegmentExecutor | None:
    """Start workers; return None if this process is the only one. The caller closes them.

    Args:
        cluster: ``auto`` or the address of a Ray cluster; None for workers on this machine.
        workers: number of workers; None for one for each GPU, or one for each machine without.
        device: device of the clips.
        gpus_per_worker: on a cluster, part of a GPU for each worker.
        may_be_none: whether this process can be the only worker.

    Raises:
        DeviceError: the cluster cannot be used.
    """
    if cluster is not None:
        from pipeline.workers.cluster.ray_pool import RayPool

        return RayPool(cluster, workers=workers, device=device, gpus_per_worker=gpus_per_worker)
    workers = workers or default_workers(device)
    return LocalPool(workers, device) if workers > 1 or not may_be_none else None
