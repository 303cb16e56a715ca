"""The stylize stage of pictures: each on its own, of any size."""

from collections import OrderedDict
from dataclasses import replace
from fractions import Fraction

from pipeline.decode.masks.frame_mask import FrameMask
from pipeline.decode.masks.mask import make_mask
from pipeline.errors import TooLittleMemoryError
from pipeline.frames import Frame
from pipeline.image.config import ImageConfig
from pipeline.media.photo.photo import Photo
from pipeline.notices import Notify
from pipeline.stylize.make import make_stylizer
from pipeline.stylize.stylizer import MakeStylizer, StylizeStage

# Stylizers that stay loaded: photos come in few sizes, upright and across.
MOST_STYLIZERS = 4

Key = tuple[int, int, int]
"""Width, height and bits of a picture."""


class PictureStylizer:
    """Stylizes pictures one by one, and keeps the network for those of the same size.

    Args:
        config: the style with its settings, and the mask.
        notify: called with each message for the user, one line.
        make: creates a stylizer; has the signature of `Stylizer`.

    Attributes:
        engine: name of the engine that ran last; empty before the first picture. So are the next two.
        precision: of the network.
        device: where the network ran.
    """

    def __init__(self, config: ImageConfig, notify: Notify, make: MakeStylizer = make_stylizer) -> None:
        self._make = make
        self._config = replace(config.stylize, stability="none")
        self._mask_of = config
        self._notify = notify
        self._stylizers: OrderedDict[Key, StylizeStage] = OrderedDict()
        self.engine = self.precision = self.device = ""

    def __call__(self, photo: Photo) -> Photo:
        """Return the picture stylized; twice as wide for the comparison ``side``.

        Raises:
            StyleError: the weights of the style cannot be used.
            DeviceError: the device or the engine is not available, or there is too little memory.
            InputError: the mask cannot be read.
        """
        try:
            stylizer = self._stylizer((*photo.size, photo.bits))
            (frame,) = stylizer([Frame(photo.pixels, 0, Fraction(1), alpha=photo.alpha)])
        except MemoryError as error:
            raise TooLittleMemoryError("the memory is too small for this picture; choose a smaller --height") from error
        self.engine, self.precision, self.device = stylizer.engine, stylizer.precision, str(stylizer.device)
        return photo.with_pixels(frame.pixels, frame.alpha)

    def _stylizer(self, key: Key) -> StylizeStage:
        if key not in self._stylizers:
            width, height, bits = key
            self._stylizers[key] = self._make(
                self._config,
                height=height,
                width=width,
                is_16_bit=bits == 16,
                mask=self._mask(width, height),
                notify=self._notify,
                is_single=True,
            )
            while len(self._stylizers) > MOST_STYLIZERS:
                self._stylizers.popitem(last=False)
        self._stylizers.move_to_end(key)
        return self._stylizers[key]

    def _mask(self, width: int, height: int) -> FrameMask | None:
        """Return the mask for pictures of this size; of a clip its first frame."""
        config = self._mask_of
        if config.mask is None:
            return None
        return make_mask(
            config.mask, width=width, height=height, feather_px=config.feather_px, inverted=config.invert_mask
        )
