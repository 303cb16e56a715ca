"""Track a mask through a clip, shot by shot: forward from each key frame, backward to those before it, blended between.

Frames are read once. Those within `REACH` before a key frame wait for it; what they need is kept in a temporary file.
"""

import zlib
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from models.temporal.flow import DisFlow, flow_to_tensor, to_grey
from models.temporal.mask_track import Track, blended
from pipeline.media.mask_record import Grey
from pipeline.tracking.flow_log import FlowLog, Flows, Luma
from pipeline.tracking.key_frames import KeyFrames
from pipeline.tracking.report import Frames, Gaps
from pipeline.tracking.shots import NumberedFrame, divide

REACH = 500
"""Number of frames that a mask is carried backward: so many frames wait, in at most 400 MB on the disk."""


@dataclass(frozen=True, slots=True)
class NumberedMask:
    """The mask of a frame.

    Attributes:
        number: of the frame.
        pts: of the frame.
        mask: ``(H, W)``.
    """

    number: int
    pts: int
    mask: Grey


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A frame that waits for the next key frame.

    Attributes:
        number: of the frame.
        pts: of the frame.
        mask: compressed, carried from the key frame before; None without one.
        trust: ``(1, 1, h, w)`` float16 in that mask; None without one.
    """

    number: int
    pts: int
    mask: bytes | None
    trust: Tensor | None


class MaskTracker:
    """Yields the mask of each frame, in their order; black where no key frame says otherwise.

    Args:
        keys: the key frames.
        size: height and width of the masks in pixels.
        reach: see `REACH`.

    Attributes:
        gaps: what the user should know, complete after the last frame.
    """

    def __init__(self, keys: KeyFrames, size: tuple[int, int], *, reach: int = REACH) -> None:
        self.gaps = Gaps(reach)
        self._keys, self._size, self._reach = keys, size, reach
        self._estimate = DisFlow("medium")
        self._forward: _Carried | None = None
        self._waiting: list[_Waiting] = []
        self._awaited: int | None = None
        self._shot: Frames = (0, -1)
        self._unreached: Frames | None = None

    def __call__(self, frames: Iterable[NumberedFrame]) -> Iterator[NumberedMask]:
        """Yield the mask of each frame.

        Raises:
            InputError: the picture of a key frame cannot be read.
            OSError: the disk is full.
        """
        torch.set_num_threads(1)  # of this thread: the images are too small to share
        luma: Luma | None = None
        with closing(FlowLog()) as log:
            for frame, starts_shot in divide(frames):
                luma_before, luma = luma, to_grey(frame.pixels)
                if starts_shot:
                    yield from self._end_shot()
                    self._shot, luma_before = (frame.number, frame.number), None
                yield from self._masks(frame, luma_before, luma, log)
                self._shot = (self._shot[0], frame.number)
                self.gaps.note_frame(frame.number)
            yield from self._end_shot()

    def _masks(
        self, frame: NumberedFrame, luma_before: Luma | None, luma: Luma, log: FlowLog
    ) -> Iterator[NumberedMask]:
        """Yield the masks that are known once ``frame`` is; ``luma_before`` is None at the start of a shot."""
        key = self._keys.next(frame.number)
        is_near = key is not None and key - frame.number <= self._reach
        if key != self._awaited or not is_near:  # the one that frames wait for could not be read
            yield from self._release()
        self._awaited = key
        flows = None
        if luma_before is not None and (self._forward is not None or is_near):
            flows = self._flows(luma_before, luma)
            if is_near:
                log.push(flows, luma_before)
        if key == frame.number:
            yield from self._reach_key(frame, luma, log)
            return
        if self._forward is not None and flows is not None:
            self._forward = self._forward.to_next(*flows, luma)
        if is_near:
            self._waiting.append(self._wait(frame))
        else:
            yield NumberedMask(frame.number, frame.pts, self._mask(frame.number))

    def _flows(self, before: Luma, now: Luma) -> Flows:
        """Return the flow from ``now`` to ``before``, and that from ``before`` to ``now``."""
        return flow_to_tensor(self._estimate(now, before)), flow_to_tensor(self._estimate(before, now))

    def _wait(self, frame: NumberedFrame) -> _Waiting:
        if self._forward is None:
            return _Waiting(frame.number, frame.pts, None, None)
        mask = zlib.compress(self._forward.grey().tobytes(), 1)
        return _Waiting(frame.number, frame.pts, mask, self._forward.track.trust.to(torch.float16))

    def _mask(self, number: int) -> Grey:
        """Return the mask of a frame that is carried forward; black, and noted, without one."""
        if self._forward is not None:
            return self._forward.grey()
        self._unreached = (self._unreached[0] if self._unreached else number, number)
        return np.zeros(self._size, np.uint8)

    def _reach_key(self, frame: NumberedFrame, luma: Luma, log: FlowLog) -> Iterator[NumberedMask]:
        """Yield the masks of the frames that waited for the key frame ``frame``, and its own."""
        grey = self._keys.read(frame.number, self._size[1], self._size[0])
        carried = _Carried.at_key(frame.number, grey, luma)
        self._note_key(frame.number)
        masks = self._backward(carried, log)
        for waiting, mask in zip(self._waiting, reversed(masks), strict=True):
            yield NumberedMask(waiting.number, waiting.pts, self._unpacked(mask))
        self._waiting, self._forward = [], carried
        log.clear()
        yield NumberedMask(frame.number, frame.pts, grey)

    def _backward(self, carried: "_Carried", log: FlowLog) -> list[bytes]:
        """Return the masks of the waiting frames, the last one first, compressed."""
        key, before = carried.key, None if self._forward is None else self._forward.key
        start = key - self._reach if before is None else max(before, key - self._reach)
        masks: list[bytes] = []
        for waiting in reversed(self._waiting):
            (to_before, to_after), luma = log.pop()
            carried = carried.to_next(to_after, to_before, luma)
            mask = carried.mask()
            if waiting.mask is not None and waiting.trust is not None:
                forward = _as_tensor(self._unpacked(waiting.mask))
                trusts = waiting.trust.float(), carried.track.trust
                mask = blended(forward, mask, trusts, (waiting.number - start) / (key - start))
            masks.append(zlib.compress(_as_grey(mask).tobytes(), 1))
        return masks

    def _unpacked(self, mask: bytes) -> Grey:
        return np.frombuffer(zlib.decompress(mask), np.uint8).reshape(self._size)

    def _note_key(self, number: int) -> None:
        self.gaps.used.add(number)
        if self._unreached is not None:
            self.gaps.too_early.append(self._unreached)
            self._unreached = None
        if self._forward is not None and number - self._forward.key > self._reach:
            self.gaps.forward_only.append((self._forward.key + 1, number - self._reach - 1))

    def _release(self) -> Iterator[NumberedMask]:
        """Yield the masks of the waiting frames as far as they are carried forward."""
        for waiting in self._waiting:
            mask = self._mask(waiting.number) if waiting.mask is None else self._unpacked(waiting.mask)
            yield NumberedMask(waiting.number, waiting.pts, mask)
        self._waiting = []

    def _end_shot(self) -> Iterator[NumberedMask]:
        """Yield the masks of the waiting frames, for which no key frame comes, and forget the shot."""
        yield from self._release()
        if self._shot[1] < self._shot[0]:
            return  # there is none before the first frame
        self.gaps.shots += 1
        if self._forward is None:
            self.gaps.without_key.append(self._shot)
        self._forward = self._unreached = None


@dataclass(frozen=True, slots=True)
class _Carried:
    """The mask of a key frame on its way through the frames after it, or before it.

    Attributes:
        key: number of the key frame.
        painted: ``(1, 1, H, W)`` float32 in [0, 255], its mask.
        track: where the pixels of the present frame lie in it.
    """

    key: int
    painted: Tensor
    track: Track

    @classmethod
    def at_key(cls, number: int, grey: Grey, luma: Luma) -> "_Carried":
        return cls(number, _as_tensor(grey), Track.at_key(*luma.shape))

    def to_next(self, flow: Tensor, back: Tensor, luma: Luma) -> "_Carried":
        """Return this for the next frame; see `Track.carried`."""
        return replace(self, track=self.track.carried(flow, back, torch.from_numpy(luma)))

    def mask(self) -> Tensor:
        return self.track.mask(self.painted)

    def grey(self) -> Grey:
        return _as_grey(self.mask())


def _as_tensor(grey: Grey) -> Tensor:
    return torch.from_numpy(grey.astype(np.float32))[None, None]


def _as_grey(mask: Tensor) -> Grey:
    return np.asarray(mask[0, 0].round().clamp(0, 255).to(torch.uint8).numpy(), np.uint8)
