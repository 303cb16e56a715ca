"""The containers that can be written, and their default codecs."""

from dataclasses import dataclass
from pathlib import PurePath


@dataclass(frozen=True, slots=True)
class Container:
    """An output container.

    Attributes:
        name: FFmpeg's name of the muxer.
        suffix: of the file name, with its dot; ``.mkv`` for a pipe.
        codec: the video codec that ``auto`` chooses.
        audio_encoder: encoder of audio that cannot be copied; None if the container has no audio.
    """

    name: str
    suffix: str
    codec: str
    audio_encoder: str | None

    @property
    def is_animation(self) -> bool:
        """Whether it is an animated image, which has neither other streams nor metadata."""
        return self.name in ("gif", "webp")

    @property
    def is_quicktime(self) -> bool:
        """Whether it is an mp4 or mov."""
        return self.name in ("mp4", "mov")


_CONTAINERS = {
    container.suffix: container
    for container in (
        Container("mp4", ".mp4", "h264", "aac"),
        Container("mp4", ".m4v", "h264", "aac"),
        Container("mov", ".mov", "h264", "aac"),
        Container("matroska", ".mkv", "h264", "aac"),
        Container("webm", ".webm", "vp9", "libopus"),
        Container("gif", ".gif", "gif", None),
        Container("webp", ".webp", "webp", None),
    )
}


def container_for(target: str) -> Container:
    """Return the container of the file name ``target``; a pipe (``-``) carries Matroska.

    Raises:
        ValueError: the file name's suffix names no container that can be written.
    """
    suffix = ".mkv" if target == "-" else PurePath(target).suffix.lower()
    if suffix == ".avi":
        raise ValueError("avi supports neither exact times nor audio that starts late; use .mkv, .mp4 or .mov")
    if suffix not in _CONTAINERS:
        ending = f"the ending {suffix!r}" if suffix else "a name without an ending"
        raise ValueError(f"{ending} names no container that can be written; use one of {' '.join(_CONTAINERS)}")
    return _CONTAINERS[suffix]
