"""The render of a clip whose parts others paint: how it is divided, and how the parts are joined and compared.

The work folder is that of an undivided render, with a folder in it for each part; how the clip is divided stands in the
manifest, so that the same command goes on with the same parts, whoever paints them. What was begun undivided is not
gone on with divided, nor the other way: at seams without a cut frames differ by roundings.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import astuple, replace
from typing import Any

import numpy as np

from pipeline.batch.elsewhere import for_elsewhere
from pipeline.batch.engine import Begin, SegmentEngine, SegmentResult, SegmentTask
from pipeline.batch.part import BEHIND, FIRST, PAINTED, folder_of, tell_painted
from pipeline.batch.seams import find_seams, lengthened
from pipeline.config import VideoConfig
from pipeline.errors import EncodeError
from pipeline.frames import VideoInfo
from pipeline.manifest import NAME, ManifestError, read_manifest
from pipeline.render import Render
from pipeline.summary import Notices
from pipeline.work_folder import remove

# By how much the frame behind a seam may differ from an undivided render, in levels of 255.
MEAN_LEVELS, MOST_LEVELS = 1.0, 4.0

CountParts = Callable[[VideoInfo, int], int]


class Divided(Render):
    """The render of a clip whose parts others paint."""

    reused = 0
    """Frames that earlier runs painted."""

    @property
    def is_whole(self) -> bool:
        """Whether all parts are painted and joined."""
        return self._manifest.is_whole

    @property
    def engine(self) -> Mapping[str, Any]:
        """What painted, see `pipeline.identity.engine_of`."""
        return self._manifest.engine

    def divide(self, engine: SegmentEngine, count: CountParts) -> None:
        """Decide on the parts, unless an earlier run did."""
        if self._manifest.split is not None:
            self.reused = self._kept_frames()
            for folder in self._folders():  # a killed worker had told of frames that are lost
                tell_painted(folder, _frames_in(folder))
            return
        self._throw_away_stale()
        seams = find_seams(self._source, self._config, count(self._source.info, engine.workers))
        begins = [list(astuple(seam)) for seam in seams]
        self._manifest.split = {"threads": engine.threads, "begins": begins}
        self._manifest.write(self._folder.path)

    def tasks(self) -> list[SegmentTask]:
        """A description of each part."""
        split = self._manifest.split or {}
        begins = [None, *(Begin(*begin) for begin in self._begins())]
        ends = [*(begin.pts for begin in begins if begin is not None), None]
        config = for_elsewhere(_with_threads(self._config, split["threads"]))
        identity = self._manifest.identity
        return [SegmentTask(config, identity, *each) for each in zip(range(len(ends)), begins, ends, strict=True)]

    def lengthen(self, notices: Notices) -> bool:
        """Where a seam shows, let the part be painted again with more before it; whether there is any."""
        is_any = False
        for number, _, _ in self._showing():
            begin = Begin(*self._begins()[number - 1])
            longer = lengthened(self._source, begin)
            if longer != begin:
                notices(f"behind {self._seconds(number):.2f} s a seam would show: painting that part again")
                self._begins()[number - 1] = list(astuple(longer))
                remove(os.path.join(folder_of(self._config.target, number), NAME))
                is_any = True
        if is_any:
            self._manifest.write(self._folder.path)
        return is_any

    def painted(self) -> int:
        """How many frames of all parts are painted so far, as they say themselves."""
        return sum(_count_in(folder) for folder in self._folders())

    def join(self, results: Sequence[SegmentResult], notices: Notices) -> None:
        """Take over what the parts are made of, and look at the seams.

        Raises:
            EncodeError: the parts do not fit together.
        """
        manifest = self._manifest
        manifest.segments = [segment for result in results for segment in result.segments]
        manifest.engine = results[0].engine
        if len({segment.header for segment in manifest.segments}) > 1:
            raise EncodeError(self._plan.target, f"{self._plan.encoder.name} does not begin all segments alike")
        self._take_damage(results)
        said = dict.fromkeys(notice for result in results for notice in result.notices)
        notices.say(line for line in said if line not in notices.lines)
        if len({_kind(result.engine) for result in results}) > 1:
            notices("parts were painted by different engines; give --engine and --precision for all the same")
        for number, mean, most in self._showing():
            notices(
                f"behind {self._seconds(number):.2f} s, where another worker took over, the picture differs by up to "
                f"{most:.0f} levels ({mean:.2f} in the mean) from that of one worker; --workers 1 paints without seams"
            )
        self.reused = sum(result.frames_reused for result in results)

    def _take_damage(self, results: Sequence[SegmentResult]) -> None:
        """Each place once: near seams two parts come upon it."""
        known = {_place(damage.as_json()) for damage in self._source.damage}
        found = {_place(place): place for result in results for place in result.damage}
        self._source.recall(place for key, place in found.items() if key not in known)
        self._manifest.damage = [place.as_json() for place in self._source.damage]

    def _showing(self) -> list[tuple[int, float, float]]:
        """Parts that begin otherwise than one worker would go on: number, mean and largest difference."""
        target, parts = self._config.target, range(1, len(self._begins()) + 1)
        found = [(number, *(seam_difference(target, number) or (0.0, 0.0))) for number in parts]
        return [each for each in found if each[1] >= MEAN_LEVELS or each[2] >= MOST_LEVELS]

    def _begins(self) -> list[list[Any]]:
        split = self._manifest.split
        return [] if split is None else split["begins"]

    def _seconds(self, number: int) -> float:
        return float(self._begins()[number - 1][0] * self._manifest.time_base)

    def _identity(self) -> dict[str, Any]:
        identity = super()._identity()
        return identity | {"settings": identity["settings"] | {"workers": "several"}}

    def _what_is_kept(self) -> str:
        if self.is_whole:
            return super()._what_is_kept()
        frames = self._kept_frames()
        of = f" of {self._source.info.frame_count}" if self._source.info.frame_count else ""
        command = "the same command without --fresh" if self._config.fresh else "the same command"
        return f"{frames} frames{of} are kept in {self._folder.path}; {command} goes on" if frames else ""

    def _kept_frames(self) -> int:
        """Frames in finished segments of all parts."""
        return sum(_frames_in(folder) for folder in self._folders())

    def _folders(self) -> list[str]:
        """Of the parts; none before they are decided on."""
        split = self._manifest.split
        parts = 0 if split is None else len(split["begins"]) + 1
        return [folder_of(self._config.target, number) for number in range(parts)]


def seam_difference(target: str, number: int) -> tuple[float, float] | None:
    """By how much the first frame of a part differs from what the part before would have made of it.

    Args:
        target: the output.
        number: of the part, 1 or more.

    Returns:
        Mean and largest difference in levels of 255; None where the pictures are not there.
    """
    first = _picture(os.path.join(folder_of(target, number), FIRST))
    behind = _picture(os.path.join(folder_of(target, number - 1), BEHIND))
    if first is None or behind is None or first.shape != behind.shape:
        return None
    apart = np.abs(first.astype(np.float32) - behind) / (1 if first.dtype == np.uint8 else 257)
    return float(apart.mean()), float(apart.max())


def _picture(path: str) -> "np.ndarray[Any, Any] | None":
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        with open(path, "rb") as file:
            return load(file.read())["pixels"]
    except (OSError, SafetensorError, LookupError):
        return None


def _with_threads(config: VideoConfig, threads: int) -> VideoConfig:
    """``config`` for one of several who share the cores; what was kept is thrown away for all, or not at all."""
    return replace(
        config,
        fresh=False,
        stylize=replace(config.stylize, threads=config.stylize.threads or threads),
        decode=replace(config.decode, threads=config.decode.threads or threads),
        encode=replace(config.encode, threads=config.encode.threads or threads),
    )


def _count_in(folder: str) -> int:
    with suppress(OSError, ValueError), open(os.path.join(folder, PAINTED), encoding="ascii") as file:
        return int(file.read())
    return 0


def _frames_in(folder: str) -> int:
    """Frames in the finished segments of a part."""
    with suppress(ManifestError):
        manifest = read_manifest(folder)
        return 0 if manifest is None else manifest.frames
    return 0


def _place(damage: Mapping[str, object]) -> tuple[object, object]:
    seconds = damage["seconds"]
    return damage["stream"], damage["packet"] if seconds is None else seconds


def _kind(engine: Mapping[str, Any]) -> tuple[object, ...]:
    """An engine, whichever of several like devices it ran on."""
    return engine["engine"], engine["precision"], str(engine["device"]).partition(":")[0]
