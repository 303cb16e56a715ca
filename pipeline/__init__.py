"""A video in, a painted video out. What programs of your own need is here; all else may change.

    stylize_clip     a file into a file; gives a Summary, tells of Progress
    stylize_folder   a folder into a folder, as `flowbrush batch` does; gives an Ended, tells of each Event
    stylize_frames   pictures into pictures

What may be said of each is in a StylizeConfig, DecodeConfig or EncodeConfig; what goes wrong is a PipelineError.
An Event is a Planned, Started, Progressed, Noted, Finished, Skipped, Failed or Ended.

Importing this loads neither torch nor a codec.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

# Threads that spin at OpenMP's barriers slow down the decoder and the encoder. Read when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

if TYPE_CHECKING:
    from pipeline.api import stylize_clip, stylize_folder, stylize_frames
    from pipeline.batch.events import (
        Ended,
        Event,
        Failed,
        Finished,
        Noted,
        Planned,
        Progressed,
        Skipped,
        Started,
    )
    from pipeline.config import DecodeConfig, EncodeConfig, StylizeConfig
    from pipeline.errors import PipelineError
    from pipeline.progress import Progress
    from pipeline.summary import Summary

__all__ = [
    "DecodeConfig",
    "EncodeConfig",
    "Ended",
    "Event",
    "Failed",
    "Finished",
    "Noted",
    "PipelineError",
    "Planned",
    "Progress",
    "Progressed",
    "Skipped",
    "Started",
    "StylizeConfig",
    "Summary",
    "stylize_clip",
    "stylize_folder",
    "stylize_frames",
]

_PLACES = {
    "stylize_clip": "pipeline.api",
    "stylize_folder": "pipeline.api",
    "stylize_frames": "pipeline.api",
    "StylizeConfig": "pipeline.config",
    "DecodeConfig": "pipeline.config",
    "EncodeConfig": "pipeline.config",
    "PipelineError": "pipeline.errors",
    "Progress": "pipeline.progress",
    "Summary": "pipeline.summary",
    "Event": "pipeline.batch.events",
    "Planned": "pipeline.batch.events",
    "Started": "pipeline.batch.events",
    "Progressed": "pipeline.batch.events",
    "Noted": "pipeline.batch.events",
    "Finished": "pipeline.batch.events",
    "Skipped": "pipeline.batch.events",
    "Failed": "pipeline.batch.events",
    "Ended": "pipeline.batch.events",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)
