"""What can be asked of a live session."""

import re
from dataclasses import dataclass

from pipeline.config import StylizeConfig

# Where neither the device nor the user says otherwise.
USUAL_FPS = 30.0
MOST_FPS = 240.0
LATENCY_TARGET_MS = 100.0

SIZE = re.compile(r"(\d{2,5})x(\d{2,5})", re.ASCII)


def read_size(text: str | None) -> tuple[int, int] | None:
    """Width and height of ``1280x720``, in pixels.

    Raises:
        ValueError: it is no size.
    """
    if text is None:
        return None
    match = SIZE.fullmatch(text.strip().lower())
    if match is None or not all(16 <= int(side) <= 16384 for side in match.groups()):
        raise ValueError(f"{text!r} is no size; write WIDTHxHEIGHT in pixels, 1280x720 for instance")
    return int(match[1]), int(match[2])


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveConfig:
    """A live session: what is painted, how, and how long. Where it goes is in the sinks.

    Attributes:
        source: a camera's index or device, a URL, ``screen``, or a file.
        stylize: what the pictures are painted like, and on what; a comparison and a fade are for clips alone.
        camera_size: width and height in pixels that a camera is asked for; None takes what it gives.
        height: of painting and output, in pixels, fixed; None keeps the source's size, and lets the painting's
            resolution follow the machine.
        fps_target: pictures a second that are to come out; None for those of the source, at most 30.
        latency_target_ms: from capture to sink, in milliseconds, that most pictures are to stay below.
        seconds: after which the session ends by itself; None for never.
        realtime: play a file at its own pace, as a camera would.
        loop: begin a file anew at its end.

    Raises:
        ValueError: it makes no sense.
    """

    source: str
    stylize: StylizeConfig
    camera_size: tuple[int, int] | None = None
    height: int | None = None
    fps_target: float | None = None
    latency_target_ms: float = LATENCY_TARGET_MS
    seconds: float | None = None
    realtime: bool = False
    loop: bool = False

    def __post_init__(self) -> None:
        if not self.source:
            raise ValueError("the source has no name; give a camera's index, a device, a URL, screen or a file")
        if self.stylize.compare or self.stylize.style_end:
            raise ValueError("a live picture is neither compared nor faded over a length; the window has keys for both")
        if self.height is not None and not 16 <= self.height <= 16384:
            raise ValueError(f"height must be between 16 and 16384 pixels, not {self.height}")
        if self.fps_target is not None and not 1 <= self.fps_target <= MOST_FPS:
            raise ValueError(f"fps target must be between 1 and {MOST_FPS:g}, not {self.fps_target:g}")
        if not 10 <= self.latency_target_ms <= 10_000:
            raise ValueError(f"latency target must be between 10 and 10000 ms, not {self.latency_target_ms:g}")
        if self.seconds is not None and not self.seconds > 0:
            raise ValueError(f"seconds must be above 0, not {self.seconds:g}")
        if self.loop and not self.realtime:
            raise ValueError("--loop belongs to a file that is played with --realtime")
