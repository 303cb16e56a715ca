"""A video in, a painted video out. What programs of your own need is here; all else may change.

    stylize_clip     a file into a file
    stylize_folder   a folder into a folder, as `flowbrush batch` does
    stylize_frames   pictures into pictures

Importing this loads neither torch nor a codec.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.api import stylize_clip, stylize_folder, stylize_frames
    from pipeline.config import DecodeConfig, EncodeConfig, StylizeConfig
    from pipeline.errors import PipelineError

_PLACES = {
    "stylize_clip": "pipeline.api",
    "stylize_folder": "pipeline.api",
    "stylize_frames": "pipeline.api",
    "StylizeConfig": "pipeline.config",
    "DecodeConfig": "pipeline.config",
    "EncodeConfig": "pipeline.config",
    "PipelineError": "pipeline.errors",
}

__all__ = [
    "DecodeConfig",
    "EncodeConfig",
    "PipelineError",
    "StylizeConfig",
    "stylize_clip",
    "stylize_folder",
    "stylize_frames",
]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)
