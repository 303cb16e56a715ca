"""The masks that the user painted: pictures whose names have the numbers of frames, or one picture."""

from bisect import bisect_left
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.decode.masks.luma import mask_luma
from pipeline.decode.sequence import as_frame
from pipeline.errors import InputError
from pipeline.media.image_sequence import find_sequence
from pipeline.media.mask_record import Grey
from pipeline.media.photo.reader import read_stored
from pipeline.media.stills import is_still_image
from pipeline.system.files.names import why_outside


@dataclass(frozen=True, slots=True)
class KeyFrames:
    """The pictures of key frames.

    Attributes:
        mask: as the user named them.
        paths: picture of each key frame by the number of its frame, ascending.
        are_numbered: whether the numbers are those of the frames of the file; otherwise there is one picture, of the
            first frame that is stylized, which counts as frame 0.
    """

    mask: str
    paths: dict[int, Path]
    are_numbered: bool

    def next(self, number: int) -> int | None:
        """Return the number of the first key frame from ``number`` on; None if there is none."""
        numbers = list(self.paths)
        place = bisect_left(numbers, number)
        return numbers[place] if place < len(numbers) else None

    def read(self, number: int, width: int, height: int) -> Grey:
        """Return the mask of a key frame, scaled to ``(height, width)``.

        Raises:
            InputError: the picture cannot be read, or it is wide and the frames are tall, or the other way round.
        """
        path = self.paths[number]
        if self.are_numbered and (reason := why_outside(path, path.parent)):
            raise InputError(str(path), reason)
        picture = as_frame(read_stored(path))
        if (picture.width - picture.height) * (width - height) < 0:
            shape = "wide and the frames are tall" if picture.width > picture.height else "tall and the frames are wide"
            raise InputError(str(path), f"the picture is {shape}; rotate it as the frames are shown")
        return np.rint(mask_luma(picture, width, height) * 255).astype(np.uint8)


def find_key_frames(mask: str) -> KeyFrames:
    """Return the key frames that ``--mask`` names.

    Raises:
        InputError: there are none.
    """
    sequence = find_sequence(mask)
    if sequence is not None:
        paths = {number: sequence.path(number) for number in sequence.numbers()}
        if not paths:
            raise InputError(mask, f"no picture has such a name, as {sequence.name(0)} would; check the path")
        return KeyFrames(mask, paths, are_numbered=True)
    path = Path(mask)
    if not path.exists():
        raise InputError(mask, "there is no such file; check the path")
    if not path.is_file() or not is_still_image(path):
        reason = "--mask-track takes pictures of key frames: keys/%05d.png, numbered as the frames, or one picture"
        raise InputError(mask, reason)
    return KeyFrames(mask, {0: path}, are_numbered=False)
