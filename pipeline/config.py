"""What can be asked of each stage: one frozen dataclass a stage, checked when it is made."""

import re
from dataclasses import dataclass, field
from fractions import Fraction

from pipeline.style_spec import parse_blend

PRECISIONS = ("auto", "fp32", "bf16", "fp16")
ENGINES = ("auto", "eager", "compile", "openvino")
COMPARISONS = ("side", "split")
STREAMS = ("all", "audio", "none")
STROKE_SIZES = (0.25, 4.0)
STABILITIES = ("none", "smooth", "flow")
DEVICES = re.compile(r"auto|cpu|cuda(:\d{1,3})?|mps", re.ASCII)

# Four months; FFmpeg counts in 64 bits, in ticks as fine as a nanosecond.
LONGEST_SECONDS = 10**7


def check_device(name: str) -> None:
    """Whether a device can be called so; whether it is there is found out where it is used.

    Raises:
        ValueError: it cannot.
    """
    if not DEVICES.fullmatch(name):
        raise ValueError(f"device must be auto, cpu, cuda, cuda:N or mps, not {name!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeConfig:
    """Which part of the input is read, and how.

    Attributes:
        start_seconds: first moment that is kept, counted from the clip's start; None keeps all from the beginning.
        duration_seconds: how long a part is kept; None keeps all to the end.
        height: of the upright frames in pixels, the width follows; None keeps the size.
        threads: of the video decoder; 0 lets FFmpeg choose.
        strict: whether the first damage of the input is an error.
    """

    start_seconds: Fraction | None = None
    duration_seconds: Fraction | None = None
    height: int | None = None
    threads: int = 0
    strict: bool = False

    def __post_init__(self) -> None:
        for name, seconds in (("start", self.start_seconds), ("duration", self.duration_seconds)):
            if seconds is not None and abs(seconds) > LONGEST_SECONDS:
                raise ValueError(f"{name} must be at most {LONGEST_SECONDS} s")
        if self.start_seconds is not None and self.start_seconds < 0:
            raise ValueError(f"start must be 0 or later, not {float(self.start_seconds):g} s")
        if self.duration_seconds is not None and self.duration_seconds <= 0:
            raise ValueError(f"duration must be above 0, not {float(self.duration_seconds):g} s")
        if self.height is not None and not 16 <= self.height <= 16384:
            raise ValueError(f"height must be between 16 and 16384 pixels, not {self.height}")
        if self.threads < 0:
            raise ValueError(f"threads must be 0 (automatic) or more, not {self.threads}")


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodeConfig:
    """How the output is compressed.

    Attributes:
        codec: ``auto``, a codec (``h264``) or an encoder (``libx264``), see `pipeline.media.codecs`.
        quality: constant quality in the encoder's own scale (CRF); None takes the default of `pipeline.media.codecs`.
        preset: the encoder's own name for a balance of speed and size; None takes the default.
        threads: of the encoder; 0 lets it choose.
        overwrite: whether an existing output may be replaced.
        streams: which of the source's other streams are carried over: ``all``, ``audio`` or ``none``.
    """

    codec: str = "auto"
    quality: int | None = None
    preset: str | None = None
    threads: int = 0
    overwrite: bool = False
    streams: str = "all"

    def __post_init__(self) -> None:
        if self.threads < 0:
            raise ValueError(f"threads must be 0 (automatic) or more, not {self.threads}")
        if self.streams not in STREAMS:
            raise ValueError(f"streams must be one of {', '.join(STREAMS)}, not {self.streams!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class StylizeConfig:
    """What the frames are painted like, and on what.

    Attributes:
        style: name of a bundled style, path of a weight file, or ``FILE#NAME`` for one of several in a file; or a
            blend of these, ``NAME:0.7,NAME:0.3``, see `pipeline.style_spec.parse_blend`.
        strength: 0 leaves the video as it is, 1 paints it fully.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        precision: ``auto``, ``fp32``, ``bf16`` or ``fp16``.
        engine: ``auto``, ``eager``, ``compile`` or ``openvino``; see `models.engines.engine`.
        compare: None, ``side`` (original left of the painting) or ``split`` (left half original, right half painted).
        threads: cores that the network may use on a CPU; 0 takes all.
        style_end: written as ``style``: what the clip fades to until its last frame; None for no fade.
        keep_colors: whether the video keeps its colours and takes only light and dark from the painting.
        stroke_size: of the brush, against 1 as it was learned; the network's work goes with its inverse square.
        stability: what helps the network to hold still: ``none``, ``smooth`` or ``flow``; see
            `pipeline.stylize.stabilizer`.
        max_memory: bytes that the process may take, or the network where it runs on a GPU; None for a share of what
            there is, see `pipeline.stylize.memory_budget`.
    """

    style: str
    strength: float = 1.0
    device: str = "auto"
    precision: str = "auto"
    engine: str = "auto"
    compare: str | None = None
    threads: int = 0
    style_end: str | None = None
    keep_colors: bool = False
    stroke_size: float = 1.0
    stability: str = "smooth"
    max_memory: int | None = None

    def __post_init__(self) -> None:
        parse_blend(self.style)
        if self.style_end is not None:
            parse_blend(self.style_end)
        if not STROKE_SIZES[0] <= self.stroke_size <= STROKE_SIZES[1]:
            raise ValueError(f"stroke size must be between 0.25 and 4, not {self.stroke_size:g}")
        if not 0 <= self.strength <= 1:
            raise ValueError(f"strength must be between 0 and 1, not {self.strength:g}")
        check_device(self.device)
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, not {self.precision!r}")
        if self.engine not in ENGINES:
            raise ValueError(f"engine must be one of {', '.join(ENGINES)}, not {self.engine!r}")
        if self.stability not in STABILITIES:
            raise ValueError(f"stability must be one of {', '.join(STABILITIES)}, not {self.stability!r}")
        if self.compare not in (None, *COMPARISONS):
            raise ValueError(f"compare must be one of {', '.join(COMPARISONS)}, not {self.compare!r}")
        if self.threads < 0:
            raise ValueError(f"threads must be 0 (automatic) or more, not {self.threads}")
        if self.max_memory is not None and self.max_memory <= 0:
            raise ValueError(f"max memory must be above 0 bytes, not {self.max_memory}")


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoConfig:
    """A whole run: which video, painted how, written where.

    Attributes:
        source: path of a video, or ``-`` for standard input.
        target: path of the result, or ``-`` for standard output.
        stylize: of the stage in the middle.
        decode: of the first stage.
        encode: of the last stage.
        mask: path of a picture or clip that says where to paint, see `pipeline.decode.mask`; None paints everywhere.
        tag: whether the output's metadata names flowbrush and the style.
        depth: frames that may wait between two stages.
        fresh: whether what an earlier run has kept is thrown away.
        in_segments: whether the output is made in segments that survive a crash, where it can be.
        segment_seconds: length from which on a segment of the output is finished, and survives a crash.
        segment_frames: a segment is finished with so many frames at the latest.
    """

    source: str
    target: str
    stylize: StylizeConfig
    decode: DecodeConfig = field(default_factory=DecodeConfig)
    encode: EncodeConfig = field(default_factory=EncodeConfig)
    mask: str | None = None
    tag: bool = True
    depth: int = 4
    fresh: bool = False
    in_segments: bool = True
    segment_seconds: Fraction = Fraction(4)
    segment_frames: int = 600
