"""The value that travels from a picture file to another: pixels with what the file says about them."""

from dataclasses import dataclass, field, replace

from pipeline.frames import Pixels


@dataclass(frozen=True, slots=True)
class PhotoMetadata:
    """What a picture file says about its picture.

    Attributes:
        exif: EXIF as Pillow writes it, upright and without a thumbnail; None without any.
        xmp: XMP packet, upright; None without any.
        dpi: pixels an inch, across and down; None if unknown.
        has_profile: whether the file had a color profile; the pixels are sRGB now.
    """

    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    has_profile: bool = False


@dataclass(frozen=True, slots=True)
class Photo:
    """A picture, upright and in sRGB.

    Attributes:
        pixels: ``(height, width, 3)`` RGB, C-contiguous; uint8, or uint16 from 0 to 65535 if the file has more bits.
        alpha: ``(height, width)`` of the same dtype, 0 where transparent, None if all is opaque; ``pixels`` are not
            premultiplied.
        metadata: what the file says about the picture.
    """

    pixels: Pixels
    alpha: Pixels | None = None
    metadata: PhotoMetadata = field(default_factory=PhotoMetadata)

    @property
    def bits(self) -> int:
        """Bits of a sample: 8 or 16."""
        return 8 * self.pixels.itemsize

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.pixels.shape[1], self.pixels.shape[0]

    def with_pixels(self, pixels: Pixels, alpha: Pixels | None) -> "Photo":
        """Return the same picture with other pixels."""
        return replace(self, pixels=pixels, alpha=alpha)
