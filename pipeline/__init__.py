"""Stylize video with a neural network. The names listed here are public; everything else may change.

    stylize_clip     a file into a file; returns a Summary, reports Progress
    stylize_folder   a folder into a folder, as `flowbrush batch` does; returns an Ended, reports each Event
    stylize_image    a picture into a picture, as `flowbrush image` does; returns a PictureResult
    stylize_frames   arrays into arrays

Their options are in StylizeConfig, RefineConfig, DecodeConfig and EncodeConfig; errors that a user can fix are
PipelineErrors.
An Event is a Planned, Started, Progressed, Noted, Finished, Skipped, Failed or Ended.

Importing this package loads neither torch nor PyAV.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

# Threads that spin at OpenMP's barriers slow down the decoder and the encoder. Read when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# PyAV's wheel was built in the temporary folder, and its GnuTLS looks for its settings there, where any user can plant
# them. Read when PyAV is loaded.
os.environ.setdefault("GNUTLS_SYSTEM_PRIORITY_FILE", "/etc/gnutls/config")

if TYPE_CHECKING:
    from pipeline.api import stylize_clip, stylize_folder, stylize_frames, stylize_image
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
    from pipeline.config import DecodeConfig, EncodeConfig, RefineConfig, StylizeConfig
    from pipeline.errors import PipelineError
    from pipeline.image.summary import PictureResult
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
    "PictureResult",
    "PipelineError",
    "Planned",
    "Progress",
    "Progressed",
    "RefineConfig",
    "Skipped",
    "Started",
    "StylizeConfig",
    "Summary",
    "stylize_clip",
    "stylize_folder",
    "stylize_frames",
    "stylize_image",
]

_NAMES = {
    "pipeline.api": ["stylize_clip", "stylize_folder", "stylize_frames", "stylize_image"],
    "pipeline.batch.events": [
        *("Ended", "Event", "Failed", "Finished", "Noted", "Planned", "Progressed", "Skipped", "Started"),
    ],
    "pipeline.config": ["DecodeConfig", "EncodeConfig", "RefineConfig", "StylizeConfig"],
    "pipeline.errors": ["PipelineError"],
    "pipeline.image.summary": ["PictureResult"],
    "pipeline.progress": ["Progress"],
    "pipeline.summary": ["Summary"],
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
