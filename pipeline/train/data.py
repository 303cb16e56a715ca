"""The content to train on: photos, and clips with the flow between consecutive frames."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import sample_videos
from pipeline.errors import InputError
from pipeline.frames import Pixels
from pipeline.media.stills import IMAGE_SUFFIXES, is_still_image, read_image
from pipeline.notices import Notify
from pipeline.system.files.names import describe_links, is_inside, why_outside

if TYPE_CHECKING:
    import torch

    from models.temporal.flow import FlowEstimator
    from models.training.data.pairs import ClipPair

LARGEST_CONTENT_PX = 480
MOST_PHOTOS, MOST_CLIPS = 4000, 24
PAIRS, LEAST_PAIRS, MOST_PAIRS = 36, 3, 24
"""Number of frame pairs: in all, where there are few clips; of each clip at least and at most."""

CLIP_ENDINGS = frozenset(
    {".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".gif", ".mpg", ".mpeg", ".ts", ".mts", ".3gp", ".wmv", ".flv"}
)
SMALLEST_VISIBLE = 0.5
"""Share of visible pixels below which a pair is a scene cut, or moves too fast to learn from."""

LARGEST_DIFFERENCE = 0.08
"""Largest mean difference, in [0, 1], between a frame and the warped frame before."""

MakeEstimator = Callable[[], "FlowEstimator"]


@dataclass(slots=True)
class Content:
    """Content that was read.

    Attributes:
        images: files of photos.
        clips: files of clips.
        photos: ``(3, H, W)`` uint8: the photos, and frames of the clips.
        pairs: consecutive frames of the clips.
    """

    images: list[Path] = field(default_factory=list)
    clips: list[Path] = field(default_factory=list)
    photos: list["torch.Tensor"] = field(default_factory=list)
    pairs: list["ClipPair"] = field(default_factory=list)


def read_content(
    sources: Sequence[Path],
    *,
    crop_px: int,
    seed: int,
    make_estimator: MakeEstimator,
    notify: Notify,
    most_photos: int = MOST_PHOTOS,
) -> Content:
    """Read photos, and moments of clips, into bounded memory.

    Args:
        sources: photos, clips, or folders of them; none means the sample clips.
        crop_px: side of the crops that training takes; smaller clips are enlarged.
        seed: selects files if there are too many.
        make_estimator: makes a flow estimator; called if there are clips.
        notify: called with each notice for the user, one line.
        most_photos: largest number of photos to read.

    Raises:
        InputError: a source does not exist, contains neither photos nor clips, or none of them can be read.
    """
    if not sources:
        notify("no --content: training on the sample clips; the clip you want to stylize would be best")
        sources = [sample_videos.clip(name) for name in sample_videos.CLIPS]
    found = {source: _find_files(source, notify) for source in sources}
    images = _selected([images for images, _ in found.values()], most_photos, seed, "photos", notify)
    clips = _selected([clips for _, clips in found.values()], MOST_CLIPS, seed, "clips", notify)
    content = Content()
    folders = _folders(found)
    problems = _read_photos(images, folders, content)
    problems |= _read_clips(clips, folders, content, crop_px, make_estimator, notify)
    for source, (of_source, clips_of_source) in found.items():
        wanted = [path for path in (*of_source, *clips_of_source) if path in {*images, *clips}]
        broken = [path for path in wanted if path in problems]
        if broken and len(broken) == len(wanted):
            what = "cannot be read" if wanted == [source] else f"none of its {len(wanted)} files can be read"
            raise InputError(source, f"{what} ({problems[broken[0]]}); use photos or a clip")
    if problems:
        path, reason = next(iter(problems.items()))
        total = len(images) + len(clips)
        notify(f"{len(problems)} of {total} files cannot be read and are left out ({path}: {reason})")
    return content


def _find_files(source: Path, notify: Notify) -> tuple[list[Path], list[Path]]:
    """Return the photos and the clips below a folder, sorted, or the file itself."""
    if source.is_file():
        return ([source], []) if is_still_image(source) else ([], [source])
    if not source.is_dir():
        raise InputError(source, "no such file or folder; check the path")
    visible = sorted(p for p in source.rglob("*") if p.is_file() and not p.name.startswith("."))
    if outside := [path for path in visible if path.is_symlink() and not is_inside(path, source)]:
        notify(describe_links(outside, source))
        visible = sorted(set(visible) - set(outside))
    images = [path for path in visible if path.suffix.lower() in IMAGE_SUFFIXES]
    clips = [path for path in visible if path.suffix.lower() in CLIP_ENDINGS]
    if not images and not clips:
        endings = ", ".join(sorted(IMAGE_SUFFIXES | CLIP_ENDINGS))
        raise InputError(source, f"contains no images and no clips ({endings})")
    return images, clips


def _folders(found: Mapping[Path, tuple[list[Path], list[Path]]]) -> dict[Path, Path | None]:
    """Return the folder in which each file was found; None for those that the user named."""
    folders: dict[Path, Path | None] = {path: source for source, files in found.items() for path in chain(*files)}
    return folders | dict.fromkeys(folders.keys() & found.keys())


def _check_place(path: Path, folders: Mapping[Path, Path | None]) -> None:
    if reason := why_outside(path, folders[path]):
        raise InputError(path, reason)


def _selected(groups: Sequence[Sequence[Path]], most: int, seed: int, what: str, notify: Notify) -> list[Path]:
    """Return each file once, in the order found; at most ``most``, a random selection, to bound the memory."""
    found = list(dict.fromkeys(path for group in groups for path in group))
    if len(found) <= most:
        return found
    notify(f"using {most} of {len(found)} {what}, selected by the seed")
    chance = random.Random(seed)  # noqa: S311 - repeatable, not secret
    return [found[index] for index in sorted(chance.sample(range(len(found)), most))]


def _read_photos(paths: Sequence[Path], folders: Mapping[Path, Path | None], content: Content) -> dict[Path, str]:
    """Add photos to ``content``; return what is wrong with those that cannot be read."""
    problems = {}
    for path in paths:
        try:
            _check_place(path, folders)
            content.photos.append(_read_photo(path))
        except InputError as error:
            problems[path] = _reason(error)
        else:
            content.images.append(path)
    return problems


def _read_photo(path: Path) -> "torch.Tensor":
    """Return a photo, scaled down to the short side that crops need."""
    from PIL import Image

    pixels = read_image(path, 2 * LARGEST_CONTENT_PX)
    factor = LARGEST_CONTENT_PX / min(pixels.shape[:2])
    if factor < 1:
        size = (max(round(pixels.shape[1] * factor), 1), max(round(pixels.shape[0] * factor), 1))
        pixels = np.array(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))
    return _tensor(pixels)


def _read_clips(
    paths: Sequence[Path],
    folders: Mapping[Path, Path | None],
    content: Content,
    crop_px: int,
    make_estimator: MakeEstimator,
    notify: Notify,
) -> dict[Path, str]:
    """Add frames and pairs of clips to ``content``; return what is wrong with those that cannot be read."""
    if not paths:
        return {}
    from pipeline.decode.sampling import moments  # PyAV, which photos do not need

    estimator = make_estimator()
    problems: dict[Path, str] = {}
    count = min(max(PAIRS // len(paths), LEAST_PAIRS), MOST_PAIRS)
    for path in paths:
        try:
            _check_place(path, folders)
            for moment in moments(path, count, smallest_px=crop_px, largest_px=max(LARGEST_CONTENT_PX, crop_px)):
                content.photos.append(_tensor(moment.first))
                pair = None if moment.second is None else _pair(moment.first, moment.second, estimator)
                if pair is not None:
                    content.pairs.append(pair)
        except InputError as error:
            problems[path] = _reason(error)
        else:
            content.clips.append(path)
    if content.clips:
        clips = f"{len(content.clips)} clip{'s' * (len(content.clips) > 1)}"
        notify(f"training on {len(content.photos)} images, and on {len(content.pairs)} pairs of frames of {clips}")
    return problems


def _pair(first: Pixels, second: Pixels, estimator: "FlowEstimator") -> "ClipPair | None":
    """Return two frames with the flow between them; None across a scene cut."""
    import torch

    from models.metrics import estimate_motion
    from models.temporal.flow import warp
    from models.training.data.pairs import ClipPair

    motion = estimate_motion(second, first, estimator)
    a, b = _tensor(first), _tensor(second)
    difference = (warp(a[None].float(), motion.flow) - b).abs().mean(dim=1, keepdim=True) / 255
    if motion.visible_share < SMALLEST_VISIBLE or difference[motion.mask].mean() > LARGEST_DIFFERENCE:
        return None
    return ClipPair(a, b, motion.flow[0].to(torch.float16), motion.mask[0])


def _tensor(pixels: Pixels) -> "torch.Tensor":
    import torch

    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))


def _reason(error: InputError) -> str:
    return str(error).removeprefix(f"{error.path}: ")


def flow_estimator(device: "torch.device") -> "FlowEstimator":
    """Return RAFT on a GPU if torchvision has downloaded its weights before, else OpenCV's DIS."""
    import torch

    from models.temporal.flow import DisFlow, RaftFlow

    if device.type == "cuda":
        from torchvision.models.optical_flow import Raft_Large_Weights

        name = Raft_Large_Weights.DEFAULT.url.rpartition("/")[2]
        file = Path(torch.hub.get_dir(), "checkpoints", name)
        if file.is_file():
            return RaftFlow(torch.load(file, map_location="cpu", weights_only=True), device)
    return DisFlow()
