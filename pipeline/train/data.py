"""What a training practises on: photos, and clips with the motion from each frame to the next."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import sample_videos
from pipeline.decode.sampling import Moment, moments
from pipeline.errors import InputError
from pipeline.frames import Pixels
from pipeline.media.stills import IMAGE_SUFFIXES, is_still_image, read_image

if TYPE_CHECKING:
    import torch

    from models.flow import FlowEstimator
    from models.training.pairs import ClipPair

LARGEST_CONTENT_PX = 480
MOST_CONTENT, MOST_CLIPS = 4000, 24
PAIRS, LEAST_PAIRS, MOST_PAIRS = 36, 3, 24
"""Of frames: in all, where there are few clips; of each clip at least and at most."""

CLIP_ENDINGS = frozenset(
    {".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".gif", ".mpg", ".mpeg", ".ts", ".mts", ".3gp", ".wmv", ".flv"}
)
TRUSTED = 0.5
"""Share of a frame that must be found again in the one before; less is a cut, or motion too fast to learn from."""

ALIKE = 0.08
"""Mean difference, in [0, 1], that may remain between a frame and the one before, carried along the flow."""

Notify = Callable[[str], None]


@dataclass(slots=True)
class Content:
    """What to practise on.

    Attributes:
        pictures: files of photos that were read.
        clips: files of clips that were read.
        photos: ``(3, H, W)`` uint8, the photos and frames of the clips.
        pairs: frames of the clips that follow each other.
    """

    pictures: list[Path] = field(default_factory=list)
    clips: list[Path] = field(default_factory=list)
    photos: list["torch.Tensor"] = field(default_factory=list)
    pairs: list["ClipPair"] = field(default_factory=list)


def read_content(
    sources: Sequence[Path], *, crop_px: int, seed: int, find: Callable[[], "FlowEstimator"], notify: Notify
) -> Content:
    """Read photos, and moments of clips; memory is bounded whatever there is.

    Args:
        sources: photos, clips, or folders of them; none means the sample clips.
        crop_px: side of the crops that training takes; clips that are smaller are enlarged.
        seed: chooses among too many.
        find: makes what finds the motion in clips; called where there are clips.
        notify: called with what the user should know, one line each.

    Raises:
        InputError: a source does not exist, holds neither photos nor clips, or none of them can be read.
    """
    if not sources:
        notify("no --content: practising on the sample clips; the clip you want to paint would be best")
        sources = [sample_videos.clip(name) for name in sample_videos.CLIPS]
    found = {source: _found_in(source) for source in sources}
    pictures = _chosen([p for p, _ in found.values()], MOST_CONTENT, seed, "photos", notify)
    clips = _chosen([c for _, c in found.values()], MOST_CLIPS, seed, "clips", notify)
    content = Content()
    problems = _read_photos(pictures, content) | _read_clips(clips, content, crop_px, find, notify)
    for source, (of_pictures, of_clips) in found.items():
        wanted = [path for path in (*of_pictures, *of_clips) if path in {*pictures, *clips}]
        broken = [path for path in wanted if path in problems]
        if broken and len(broken) == len(wanted):
            what = "cannot be read" if wanted == [source] else f"none of its {len(wanted)} files can be read"
            raise InputError(source, f"{what} ({problems[broken[0]]}); use photos or a clip")
    if problems:
        path, reason = next(iter(problems.items()))
        notify(
            f"{len(problems)} of {len(pictures) + len(clips)} files cannot be read and are left out ({path}: {reason})"
        )
    return content


def _found_in(source: Path) -> tuple[list[Path], list[Path]]:
    """Photos and clips below a folder, sorted, or the file itself."""
    if source.is_file():
        return ([source], []) if is_still_image(source) else ([], [source])
    if not source.is_dir():
        raise InputError(source, "no such file or folder; check the path")
    visible = sorted(p for p in source.rglob("*") if p.is_file() and not p.name.startswith("."))
    pictures = [path for path in visible if path.suffix.lower() in IMAGE_SUFFIXES]
    clips = [path for path in visible if path.suffix.lower() in CLIP_ENDINGS]
    if not pictures and not clips:
        raise InputError(source, f"no pictures and no clips in it ({', '.join(sorted(IMAGE_SUFFIXES | CLIP_ENDINGS))})")
    return pictures, clips


def _chosen(groups: Sequence[Sequence[Path]], most: int, seed: int, what: str, notify: Notify) -> list[Path]:
    """All of them, each once, or as many as memory holds in any case, in the order in which they were found."""
    found = list(dict.fromkeys(path for group in groups for path in group))
    if len(found) <= most:
        return found
    notify(f"of {len(found)} {what} {most} are used, chosen by the seed")
    return [found[index] for index in sorted(random.Random(seed).sample(range(len(found)), most))]


def _read_photos(paths: Sequence[Path], content: Content) -> dict[Path, str]:
    """Add the photos to ``content``; what is wrong with those that cannot be read."""
    problems = {}
    for path in paths:
        try:
            content.photos.append(_photo(path))
        except InputError as error:
            problems[path] = _reason(error)
        else:
            content.pictures.append(path)
    return problems


def _photo(path: Path) -> "torch.Tensor":
    """A photo, shrunk so that its short side is at most what crops need."""
    from PIL import Image

    pixels = read_image(path, 2 * LARGEST_CONTENT_PX)
    factor = LARGEST_CONTENT_PX / min(pixels.shape[:2])
    if factor < 1:
        size = (max(round(pixels.shape[1] * factor), 1), max(round(pixels.shape[0] * factor), 1))
        pixels = np.array(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))
    return _tensor(pixels)


def _read_clips(
    paths: Sequence[Path], content: Content, crop_px: int, find: Callable[[], "FlowEstimator"], notify: Notify
) -> dict[Path, str]:
    """Add frames and pairs of the clips to ``content``; what is wrong with those that cannot be read."""
    if not paths:
        return {}
    finder = find()
    problems: dict[Path, str] = {}
    count = min(max(PAIRS // len(paths), LEAST_PAIRS), MOST_PAIRS)
    for path in paths:
        try:
            for moment in moments(path, count, smallest_px=crop_px, largest_px=max(LARGEST_CONTENT_PX, crop_px)):
                _add(moment, content, finder)
        except InputError as error:
            problems[path] = _reason(error)
        else:
            content.clips.append(path)
    if content.clips:
        clips = f"{len(content.clips)} clip{'s' * (len(content.clips) > 1)}"
        notify(f"practising on {len(content.photos)} pictures, and on {len(content.pairs)} pairs of frames of {clips}")
    return problems


def _add(moment: Moment, content: Content, find: "FlowEstimator") -> None:
    content.photos.append(_tensor(moment.first))
    pair = None if moment.second is None else _pair(moment.first, moment.second, find)
    if pair is not None:
        content.pairs.append(pair)


def _pair(first: Pixels, second: Pixels, find: "FlowEstimator") -> "ClipPair | None":
    """Two frames and the motion between them; None across a cut."""
    import torch

    from models.flow import flow_to_tensor, visible, warp
    from models.training.pairs import ClipPair

    backward, forward = flow_to_tensor(find(second, first)), flow_to_tensor(find(first, second))
    trusted = visible(backward, forward)
    a, b = _tensor(first), _tensor(second)
    difference = (warp(a[None].float(), backward) - b).abs().mean(dim=1, keepdim=True) / 255
    if trusted.float().mean() < TRUSTED or difference[trusted].mean() > ALIKE:
        return None
    return ClipPair(a, b, backward[0].to(torch.float16), trusted[0])


def _tensor(pixels: Pixels) -> "torch.Tensor":
    import torch

    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))


def _reason(error: InputError) -> str:
    return str(error).removeprefix(f"{error.path}: ")


def flow_finder(device: "torch.device") -> "FlowEstimator":
    """RAFT on a GPU where its weights were downloaded before, else OpenCV's DIS."""
    import torch

    from models.flow import DisFlow, RaftFlow

    if device.type == "cuda":
        from torchvision.models.optical_flow import Raft_Large_Weights

        name = Raft_Large_Weights.DEFAULT.url.rpartition("/")[2]
        file = Path(torch.hub.get_dir(), "checkpoints", name)
        if file.is_file():
            return RaftFlow(torch.load(file, map_location="cpu", weights_only=True), device)
    return DisFlow()
