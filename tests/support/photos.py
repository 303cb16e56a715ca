"""Make pictures of every kind with Pillow, and with code of its own what Pillow cannot write."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

ORIENTATION, SOFTWARE, CAMERA, WIDTH_PX, LENS = 0x0112, 0x0131, 0x8769, 0xA002, 0xA434
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6" tiff:Make="Acme"/>'
    b"</rdf:RDF></x:xmpmeta>"
)


def scene(height: int = 64, width: int = 96) -> NDArray[np.uint8]:
    """Return ramps in two colors with a square in one corner: any flip, turn or channel swap shows."""
    pixels = np.empty((height, width, 3), np.uint8)
    pixels[..., 0] = np.linspace(30, 220, width).astype(np.uint8)
    pixels[..., 1] = np.linspace(60, 200, height).astype(np.uint8)[:, None]
    pixels[..., 2] = 90
    pixels[: height // 3, : width // 3] = (220, 40, 30)
    return pixels


def deep_scene(height: int = 64, width: int = 96) -> NDArray[np.uint16]:
    """Return a scene with 16 bits, whose lower bits all count."""
    ramp = np.arange(height * width, dtype=np.uint16).reshape(height, width, 1) % 251
    return np.asarray(scene(height, width).astype(np.uint16) * 257 - 257 + ramp, np.uint16)


def alpha_ramp(height: int = 64, width: int = 96) -> NDArray[np.uint8]:
    """Return an alpha from 0 at the left to 255 at the right."""
    return np.broadcast_to(np.linspace(0, 255, width).astype(np.uint8), (height, width)).copy()


def exif(orientation: int = 1) -> Image.Exif:
    """Return EXIF with a tag in each folder, and a size that is not true."""
    made = Image.Exif()
    made[ORIENTATION] = orientation
    made[SOFTWARE] = "Acme 1.0"
    camera = made.get_ifd(CAMERA)
    camera[LENS] = "Acme 50mm"
    camera[WIDTH_PX] = 7
    return made


def write_deep_png(path: Path, samples: NDArray[np.uint16], *chunks: tuple[bytes, bytes]) -> None:
    """Write a PNG of 16 bits by its definition (ISO/IEC 15948), of 1 to 4 channels, with chunks before its pixels."""
    height, width, channels = samples.shape
    header = struct.pack(">IIBBBBB", width, height, 16, (0, 4, 2, 6)[channels - 1], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    every = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    content = b"\x89PNG\r\n\x1a\n"
    for kind, data in every:
        content += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    path.write_bytes(content)


def read_deep_png(path: Path) -> NDArray[np.uint16]:
    """Return the samples of a PNG of 16 bits, as OpenCV reads them: ``(height, width, 3 or 4)`` RGB or RGBA."""
    return opencv_rgb(path)


def opencv_rgb(path: Path) -> NDArray[np.uint16]:
    """Return the samples of a PNG or TIFF as OpenCV reads them, which neither turns nor converts them."""
    import cv2

    samples = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    return np.asarray(samples[..., [2, 1, 0, 3][: samples.shape[2]]])


def wide_profile(gamma: float = 2.2, *, grey: bool = False) -> bytes:
    """Return a color profile that is not sRGB, by its definition (ICC.1): with the primaries of Adobe RGB, or grey."""

    def s15(value: float) -> bytes:
        return struct.pack(">i", round(value * 65536))

    def xyz(*values: float) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(map(s15, values))

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    name = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"wide\0" + bytes(4 + 4 + 2 + 1 + 67)
    tags = {
        b"desc": name + bytes(-len(name) % 4),
        b"cprt": b"text\0\0\0\0none\0\0\0\0",
        b"wtpt": xyz(0.9642, 1, 0.8249),
    }
    if grey:
        tags[b"kTRC"] = curve
    else:
        tags |= {b"rXYZ": xyz(0.60974, 0.31111, 0.01947), b"gXYZ": xyz(0.20528, 0.62567, 0.06087)}
        tags |= {b"bXYZ": xyz(0.14919, 0.06322, 0.74457), b"rTRC": curve, b"gTRC": curve, b"bTRC": curve}
    table, data, place = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for tag, content in tags.items():
        table += struct.pack(">4sII", tag, place + len(data), len(content))
        data += content
    kind = b"GRAY" if grey else b"RGB "
    header = struct.pack(">I4sI4s4s4s", place + len(data), b"\0\0\0\0", 0x02400000, b"mntr", kind, b"XYZ ")
    header += bytes(12) + b"acsp" + bytes(28) + s15(0.9642) + s15(1) + s15(0.8249)
    return header.ljust(128, b"\0") + table + data


def in_srgb(image: Image.Image, profile: bytes) -> NDArray[np.uint8]:
    """Return an image of 8 bits in sRGB, as littleCMS converts it."""
    converted = ImageCms.profileToProfile(
        image,
        ImageCms.ImageCmsProfile(io.BytesIO(profile)),
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        outputMode="RGB",
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    assert converted is not None
    return np.asarray(converted)
