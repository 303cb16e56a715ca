"""What can be set: a dataclass for each stage of a clip, and how options are declared, read and checked.

A field's `Option` makes it an option of ``flowbrush video`` and ``flowbrush batch``, of job files and of docs/cli.md:
a new option is one line in `decode`, `stylize`, `encode` or `video`. A `Setting` is for the library alone.
"""

from pipeline.config.decode import LONGEST_SECONDS, DecodeConfig
from pipeline.config.encode import EncodeConfig
from pipeline.config.mask import FeatherPx, InvertMask, MaskFile, check_mask_options
from pipeline.config.refine import RefineConfig
from pipeline.config.stylize import Device, Engine, Paint, Stability, Stillness, StylizeConfig, gpu_number
from pipeline.config.video import NoTag, VideoConfig

__all__ = [
    "LONGEST_SECONDS",
    "DecodeConfig",
    "Device",
    "EncodeConfig",
    "Engine",
    "FeatherPx",
    "InvertMask",
    "MaskFile",
    "NoTag",
    "Paint",
    "RefineConfig",
    "Stability",
    "Stillness",
    "StylizeConfig",
    "VideoConfig",
    "check_mask_options",
    "gpu_number",
]
