"""What an output file is to be, as it is handed from the stage that decides to those that write."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from pipeline.audio import AudioPlan
from pipeline.codecs import Container, Encoder
from pipeline.frames import Color


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything about the output but its pixels; made by `plan_output`.

    Attributes:
        target: the file as the user named it, or ``-``.
        container: its kind.
        encoder: of the picture.
        options: the encoder is opened with.
        threads: of the encoder; 0 lets it choose.
        width: of the frames that will come, in pixels.
        height: of the frames that will come, in pixels.
        pixel_format: FFmpeg's name of what the encoder is given.
        time_base: seconds per unit of pts of the video stream; the source's wherever the container can hold it.
        rate: frames per second on average; a hint to the encoder, never a clock.
        sample_aspect_ratio: width of a pixel over its height.
        color: how the samples are written, and tagged.
        audio: what becomes of the audio streams that are carried.
        metadata: of the whole file.
        notices: what the user should know, a line each.
    """

    target: str
    container: Container
    encoder: Encoder
    options: Mapping[str, str]
    threads: int
    width: int
    height: int
    pixel_format: str
    time_base: Fraction
    rate: Fraction
    sample_aspect_ratio: Fraction
    color: Color
    audio: tuple[AudioPlan, ...]
    metadata: Mapping[str, str]
    notices: tuple[str, ...]
