"""Frames keep range, depth, alpha and orientation through decode, stylize (mostly at strength 0) and encode."""

import struct
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import pytest

from models.engines.build import build_engine
from models.engines.engine import EngineSpec
from models.frame_graph import zero_statistics
from models.network import StyleNetwork
from pipeline.config import EncodeConfig, StylizeConfig, VideoConfig
from pipeline.decode.decoder import decode
from pipeline.decode.source import open_source
from pipeline.encode.planner import plan_output
from pipeline.frames import Frame
from pipeline.media.pixels.alpha import composite, fill_transparent
from pipeline.run import stylize_video
from pipeline.stylize.scene_cuts import is_cut, thumbnail
from pipeline.stylize.stylizer import Stylizer
from pipeline.stylize.temporal_filters import FilteredFrame, blend_along_flow, filter_noise
from tests.media.pixels.test_deinterlace import make_interlaced
from tests.support import media
from tests.support.clips.transcoding import transcode
from tests.support.media import Clip, make_clip
from tests.support.tiny import TINY

IDENTITY = StylizeConfig(style="great-wave", strength=0.0, engine="eager", device="cpu", precision="fp32")
STYLIZED = replace(IDENTITY, strength=1.0)
LOSSLESS = {"qp": "0", "preset": "ultrafast"}


def run_stages(path, target, stylize=IDENTITY, **config):
    """Run the three stages with depth and alpha of the source; return the plan."""
    with open_source(path, keep_alpha_and_depth=True) as source:
        info = source.info
        plan = plan_output(source, target, EncodeConfig(**config))
        stylizer = Stylizer(stylize, height=info.height, width=info.width, is_16_bit=info.is_16_bit)
        transcode(source, plan, change=stylizer)
    return plan


def planar(planes, pixel_format):
    """Return a frame of ``(3 or 4, height, width)`` samples; subsampled planes take every other sample."""
    frame = av.VideoFrame(planes.shape[2], planes.shape[1], pixel_format)
    kind = np.uint16 if frame.format.components[0].bits > 8 else np.uint8
    for plane, samples in zip(frame.planes, planes, strict=True):
        down, right = -(-samples.shape[0] // plane.height), -(-samples.shape[1] // plane.width)
        np.frombuffer(plane, kind).reshape(plane.height, -1)[:, : plane.width] = samples[::down, ::right]
    return frame


def samples_of(frame):
    """Return the planes of a frame, each in full size, and the bits of a sample."""
    bits = frame.format.components[0].bits
    planes = []
    for plane in frame.planes:
        samples = np.frombuffer(plane, np.uint16 if bits > 8 else np.uint8).reshape(plane.height, -1)[:, : plane.width]
        wide = samples.repeat(-(-frame.height // plane.height), 0).repeat(-(-frame.width // plane.width), 1)
        planes.append(wide[: frame.height, : frame.width].astype(np.float64))
    return planes, bits


def rgb_of(frame, matrix):
    """Return RGB from 0 to 255 of a limited-range frame by the definition of the matrix, not rounded."""
    (y, cb, cr, *_), bits = samples_of(frame)
    scale = 2 ** (bits - 8)
    of_red, of_blue = media.WEIGHTS[matrix]
    luma, cb, cr = (y / scale - 16) / 219, (cb / scale - 128) / 224, (cr / scale - 128) / 224
    red, blue = luma + 2 * (1 - of_red) * cr, luma + 2 * (1 - of_blue) * cb
    green = (luma - of_red * red - of_blue * blue) / (1 - of_red - of_blue)
    return 255 * np.stack((red, green, blue), -1)


def write(path, frames, codec, *, tags=None, metadata=None, **options):
    """Write the frames at 30 per second; ``options`` are the encoder's."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=30, options=options)
        stream.width, stream.height, stream.pix_fmt = frames[0].width, frames[0].height, frames[0].format.name
        stream.metadata.update(metadata or {})
        if tags:
            context = stream.codec_context
            context.colorspace, context.color_range, context.color_primaries, context.color_trc = tags
        for number, frame in enumerate(frames):
            frame.pts, frame.time_base = number, Fraction(1, 30)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def read(path, codec=None):
    """Return the frames of a file, decoded by ``codec`` instead of FFmpeg's choice."""
    with av.open(str(path)) as container:
        if codec is None:
            return list(container.decode(video=0))
        decoder = av.CodecContext.create(codec, "r")
        return [
            frame for packet in container.demux(video=0) for frame in decoder.decode(packet if packet.size else None)
        ]


# --- colors ---


@pytest.mark.parametrize("ending", [".mp4", ".mkv", ".mov"])
@pytest.mark.parametrize("bits", [8, 10])
@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("matrix", [1, 6, 9])
def test_colors_shifted(tmp_path, matrix, full_range, bits, ending):
    bars = media.color_bars()
    tags = (matrix, 2 if full_range else 1, matrix, 14 if matrix == 9 else matrix)
    planes = media.to_yuv(bars, matrix, full_range=full_range, bits=bits)
    frames = [planar(planes, "yuv420p" if bits == 8 else "yuv420p10le") for _ in range(3)]
    path = write(tmp_path / f"bars{ending}", frames, "libx264", tags=tags, **LOSSLESS)
    run_stages(path, tmp_path / f"out{ending}", quality=1)
    after = read(tmp_path / f"out{ending}")[1]
    seen = media.bar_colors(np.rint(rgb_of(after, matrix)))
    assert np.abs(seen - media.bar_colors(bars)).max() <= 2
    assert (after.colorspace, after.color_range, after.color_primaries, after.color_trc) == (matrix, 1, *tags[2:])
    assert after.format.name == frames[0].format.name


def test_full_range_is_written_limited_and_loses_less_than_a_level(tmp_path):
    ramp = np.tile(np.arange(256, dtype=np.uint8), (32, 1))
    grey = np.full_like(ramp, 128)
    frames = [planar(np.stack((ramp, grey, grey)), "yuv444p")]
    path = write(tmp_path / "in.mkv", frames, "ffv1", tags=(1, 2, 1, 1))
    run_stages(path, tmp_path / "out.mkv", codec="h264", quality=0)
    assert np.abs(rgb_of(read(tmp_path / "out.mkv")[0], 1)[16, 2:-2, 1] - ramp[16, 2:-2]).max() < 1


def test_depth_and_colors_may_change_in_mid_stream(tmp_path):
    bars, parts = media.color_bars(), []
    for number, (matrix, kind) in enumerate([(6, "yuv420p"), (1, "yuv420p10le"), (1, "yuv420p")]):
        planes = media.to_yuv(bars, matrix, full_range=False, bits=10 if "10" in kind else 8)
        frames = [planar(planes, kind) for _ in range(3)]
        tags = (matrix, 1, matrix, matrix)
        parts.append(write(tmp_path / f"{number}.ts", frames, "libx264", tags=tags, **LOSSLESS).read_bytes())
    for order, deep in (((0, 1, 2), False), ((1, 0, 2), True)):
        path = tmp_path / "changing.ts"
        path.write_bytes(b"".join(parts[index] for index in order))
        with open_source(path, keep_alpha_and_depth=True) as source:
            assert source.info.is_16_bit == deep
            pictures = [frame.pixels for frame in decode(source)]
        assert len(pictures) == 9
        for picture in pictures:
            assert picture.dtype == (np.uint16 if deep else np.uint8)
            levels = picture / 257 if deep else picture
            assert np.abs(media.bar_colors(levels) - media.bar_colors(bars)).max() <= 2


# --- more than 8 bits ---


def gradient(width=1024, height=32):
    """Return a grey ramp over all 877 levels of 10 bits, ``(3, height, width)``."""
    ramp = np.tile(np.linspace(64, 940, width).round().astype(np.uint16), (height, 1))
    return np.stack((ramp, np.full_like(ramp, 512), np.full_like(ramp, 512)))


@pytest.fixture(scope="module")
def smooth(tmp_path_factory):
    path = tmp_path_factory.mktemp("deep") / "smooth.mkv"
    return write(path, [planar(gradient(), "yuv420p10le") for _ in range(3)], "libx264", tags=(1, 1, 1, 1), **LOSSLESS)


@pytest.mark.parametrize(
    ("codec", "ending", "quality"),
    [
        ("h264", ".mp4", 1),
        ("h265", ".mp4", 1),
        ("av1", ".mp4", 1),
        ("prores", ".mov", None),
        ("ffv1", ".mkv", None),
    ],
)
def test_ten_bits_stay_ten_bits(smooth, tmp_path, codec, ending, quality):
    target = tmp_path / f"out{ending}"
    plan = run_stages(smooth, target, codec=codec, quality=quality)
    after = read(target)
    (luma, *_), bits = samples_of(after[1])
    assert len(after) == 3
    assert bits >= 10
    assert len(np.unique(luma[16])) > 500
    assert bool(plan.notices) == (codec == "h264")
    if codec != "ffv1":
        assert np.abs(luma[16] / 2 ** (bits - 10) - gradient()[0, 16]).max() <= 8  # 2 of 255


def test_ten_bits_are_unchanged_by_rgb_of_12_bits(tmp_path):
    bars = media.color_bars()
    planes = media.to_yuv(bars, 1, full_range=False, bits=10)
    path = write(tmp_path / "in.mkv", [planar(planes, "yuv444p10le")], "libx264", tags=(1, 1, 1, 1), **LOSSLESS)
    run_stages(path, tmp_path / "rgb.mkv", codec="ffv1")
    rgb = read(tmp_path / "rgb.mkv")[0].to_ndarray() / 4095 * 255
    assert np.abs(media.bar_colors(np.rint(rgb)) - media.bar_colors(bars)).max() <= 1
    run_stages(tmp_path / "rgb.mkv", tmp_path / "yuv.mkv", codec="h264", quality=0)
    after, _ = samples_of(read(tmp_path / "yuv.mkv")[0])
    columns = [(2 * number + 1) * 12 for number in range(12)]
    assert np.abs(np.stack(after)[:, 24, columns] - planes[:, 24, columns]).max() <= 1


@pytest.mark.parametrize("stability", ["none", "smooth", "flow"])
def test_a_smooth_ten_bit_frame_is_stylized_smoothly(smooth, tmp_path, stability):
    run_stages(smooth, tmp_path / "out.mkv", replace(STYLIZED, stability=stability), codec="ffv1")
    picture = read(tmp_path / "out.mkv")[2].to_ndarray()
    assert picture.dtype == np.uint16
    assert len(np.unique(picture[..., 1])) > 400


@pytest.mark.parametrize("name", ["eager", "openvino", pytest.param("compile", marks=pytest.mark.prove)])
def test_engines_support_16_bits(tmp_path, name):
    torch = pytest.importorskip("torch")
    if name == "openvino":
        pytest.importorskip("openvino")
    network = StyleNetwork(TINY)
    spec = EngineSpec(
        network=network,
        height=20,
        width=24,
        device=torch.device("cpu"),
        precision="fp32",
        cache=tmp_path,
        is_16_bit=True,
    )
    run = build_engine(name, spec)
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 65536, (20, 24, 3)).astype(np.uint16))
    nothing = torch.zeros(())
    style = network.initial_style()
    same, _ = run(pixels, style, zero_statistics(network), nothing, nothing, nothing)
    stylized, _ = run(pixels, style, zero_statistics(network), nothing, nothing + 1, nothing)
    assert same.dtype == stylized.dtype == torch.uint16
    assert torch.equal(same.int(), pixels.int())
    assert len(np.unique(stylized.numpy())) > 600


def test_16_bits_are_stylized_like_8():
    pixels = media.moving_square(2)
    plain = Stylizer(STYLIZED, height=48, width=64).stylize(pixels)
    deep = Stylizer(STYLIZED, height=48, width=64, is_16_bit=True).stylize(pixels.astype(np.uint16) * 257)
    assert np.abs(deep / 257 - plain).max() <= 0.51
    assert abs((deep / 257 - plain).mean()) < 0.02


def test_the_noise_filter_keeps_the_depth():
    rng = np.random.default_rng(0)
    still = np.tile(np.linspace(5000, 60000, 200).astype(np.uint16), (40, 1))[..., None].repeat(3, 2)
    deep: FilteredFrame | None = None
    plain: FilteredFrame | None = None
    for _ in range(6):
        noisy = np.clip(still + rng.integers(-200, 200, still.shape), 0, 65535).astype(np.uint16)
        deep, plain = filter_noise(noisy, deep), filter_noise(np.rint(noisy / 257).astype(np.uint8), plain)
        assert np.abs(deep.pixels / 257 - plain.pixels).max() <= 1.01
    assert np.abs(deep.pixels.astype(int) - still).mean() < 0.6 * np.abs(noisy.astype(int) - still).mean()
    flow = np.zeros((40, 200, 2), np.float32)
    blended = blend_along_flow(still, still, still, still, flow)
    assert np.abs(blended.astype(int) - still).max() <= 1


def test_cuts_are_found_in_16_bits_as_in_8():
    pictures = [np.full((48, 64, 3), 40, np.uint8), media.moving_square(3), media.moving_square(4)]
    deep = [thumbnail(picture.astype(np.uint16) * 257) for picture in pictures]
    plain = [thumbnail(picture) for picture in pictures]
    assert [is_cut(*pair) for pair in pairwise(deep)] == [is_cut(*pair) for pair in pairwise(plain)] == [True, False]


def test_a_container_of_8_bits_has_a_notice(smooth, tmp_path):
    plan = run_stages(smooth, tmp_path / "out.webp")
    assert "8" in plan.notices[0]
    assert "webp" in plan.notices[0]


def test_an_encoder_built_without_10_bits_has_a_notice(smooth, tmp_path):
    offered = {offer.name for offer in av.Codec("libvpx-vp9", "w").video_formats}
    plan = run_stages(smooth, tmp_path / "out.webm")
    assert len(read(tmp_path / "out.webm")) == 3
    assert ("10" in plan.pixel_format) == ("yuv420p10le" in offered) == (not plan.notices)


# --- HDR ---


def test_hdr_is_tone_mapped_and_tagged_as_bt709_with_a_notice(tmp_path):
    grey = round(64 + 876 * 0.3789)  # 26 cd/m2: an 18 % grey card
    planes = np.stack([np.full((48, 64), level, np.uint16) for level in (grey, 512, 512)])
    path = write(tmp_path / "pq.mkv", [planar(planes, "yuv420p10le")], "libx264", tags=(9, 1, 9, 16), **LOSSLESS)
    plan = run_stages(path, tmp_path / "out.mkv", quality=0)
    after = read(tmp_path / "out.mkv")[0]
    assert (after.colorspace, after.color_range, after.color_primaries, after.color_trc) == (1, 1, 1, 1)
    assert rgb_of(after, 1) == pytest.approx(np.full((48, 64, 3), 255 * (26 / 203) ** (1 / 2.4)), abs=1)
    assert any("HDR (PQ)" in notice and "BT.709" in notice for notice in plan.notices)


def test_hdr_is_tone_mapped_for_8_bits_too(tmp_path):
    planes = np.stack([np.full((48, 64), level, np.uint16) for level in (721, 512, 512)])  # 75 % of HLG: white
    path = write(tmp_path / "hlg.mkv", [planar(planes, "yuv420p10le")], "libx264", tags=(9, 1, 9, 18), **LOSSLESS)
    with open_source(path) as source:
        assert source.info.tone_mapped_from == "HLG"
        frame = next(decode(source))
    assert frame.pixels.dtype == np.uint8
    assert 220 < frame.pixels.min() <= frame.pixels.max() < 240


@pytest.mark.parametrize(("told", "peak"), [("max-cll=640,100", 640), ("", 900), (None, None)])
def test_the_peak_is_that_of_the_stream(tmp_path, told, peak):
    params = "log-level=none:hdr10=1"
    if told is not None:
        params += ":master-display=G(8500,39850)B(6550,2300)R(35400,14600)WP(15635,16450)L(9000000,50)"
        params += f":{told}" if told else ""
    frames = [planar(gradient(64, 48), "yuv420p10le") for _ in range(4)]  # x265 gives one or two no dts at all
    path = write(tmp_path / "hdr.mp4", frames, "libx265", tags=(9, 1, 9, 16), **{"x265-params": params})
    with open_source(path) as source:
        assert source.info.peak_nits == peak


# --- orientation, size ---


@pytest.mark.parametrize(
    ("matrix", "turned"),
    [
        ((-1, 0, 0, 1), lambda picture: picture[:, ::-1]),
        ((1, 0, 0, -1), lambda picture: picture[::-1]),
        ((0, 1, 1, 0), lambda picture: picture.transpose(1, 0, 2)),
        ((0, -1, -1, 0), lambda picture: picture[::-1, ::-1].transpose(1, 0, 2)),
        ((0, 1, -1, 0), lambda picture: np.rot90(picture, -1)),
    ],
    ids=["mirrored", "upside down and mirrored", "transposed", "the other transposed", "turned right"],
)
def test_mirrored_clips_become_upright(tmp_path, matrix, turned):
    """The matrix (a, b, c, d) of a track maps (x, y) to (a x + c y, b x + d y)."""
    path = make_clip(tmp_path / "in.mp4", Clip(pts=range(0, 2560, 512)))
    data = path.read_bytes()
    place = data.index(b"tkhd") + 4 + 40
    a, b, c, d = (value * 65536 for value in matrix)
    path.write_bytes(data[:place] + struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30) + data[place + 36 :])
    run_stages(path, tmp_path / "out.mp4")
    after = media.contents(tmp_path / "out.mp4")
    expected = turned(media.moving_square(0))
    with av.open(str(tmp_path / "out.mp4")) as container:
        picture = next(container.decode(video=0)).to_ndarray(format="rgb24")
    assert after.rotation == 0
    assert picture.shape == expected.shape
    assert np.abs(picture.astype(int) - expected).mean() < 8


@pytest.mark.parametrize("codec", ["h264", "h265", "av1", "ffv1"])
def test_odd_sizes_stay_odd_in_10_bits(tmp_path, codec):
    planes = np.stack([np.full((97, 165), level, np.uint16) for level in (400, 500, 600)])
    frames = [planar(planes, "yuv444p10le") for _ in range(3)]
    path = write(tmp_path / "in.mkv", frames, "libx264", tags=(1, 1, 1, 1), **LOSSLESS)
    run_stages(path, tmp_path / "out.mkv", codec=codec)
    after = read(tmp_path / "out.mkv")[1]
    assert (after.width, after.height) == (165, 97)
    assert after.format.components[0].bits >= 10


# --- transparency ---


def disc(height=48, width=64):
    """Return pixels and alpha of a disc from red to yellow with a soft edge; alpha is 0 outside."""
    y, x = np.mgrid[:height, :width]
    distance = np.hypot(y - height / 2, x - width / 2)
    alpha = np.clip((20 - distance) * 25, 0, 255).astype(np.uint8)
    picture = np.zeros((height, width, 3), np.uint8)
    picture[distance < 24] = (250, 140, 20)
    picture[..., 1] = np.where(distance < 24, np.linspace(30, 250, height)[:, None], 0)
    return picture, alpha


def transparent(path, codec, pixel_format, **options):
    picture, alpha = disc()
    frames = [av.VideoFrame.from_ndarray(np.dstack((picture, alpha)), "rgba") for _ in range(3)]
    return write(path, [frame.reformat(format=pixel_format) for frame in frames], codec, **options)


@pytest.fixture(scope="module")
def see_through(tmp_path_factory):
    return transparent(tmp_path_factory.mktemp("alpha") / "disc.mkv", "ffv1", "bgra")


@pytest.mark.parametrize(
    ("codec", "ending", "decoder"),
    [
        ("prores", ".mov", None),
        ("prores", ".mkv", None),
        ("ffv1", ".mkv", None),
        ("vp9", ".webm", "libvpx-vp9"),
        ("vp9", ".mkv", "libvpx-vp9"),
    ],
)
@pytest.mark.parametrize("stylize", [IDENTITY, STYLIZED], ids=["same", "painted"])
def test_transparency_is_kept_if_supported(see_through, tmp_path, codec, ending, decoder, stylize):
    target = tmp_path / f"out{ending}"
    plan = run_stages(see_through, target, stylize, codec=codec)
    after = read(target, decoder)
    assert len(after) == 3
    rgba = after[1].reformat(format="rgba").to_ndarray()
    picture, alpha = disc()
    assert np.abs(rgba[..., 3].astype(int) - alpha).mean() < 2
    assert np.abs(rgba[..., 3].astype(int) - alpha)[(alpha == 0) | (alpha == 255)].mean() < 1
    is_stylized = np.abs(rgba[16:32, 24:40, :3].astype(int) - picture[16:32, 24:40]).mean() > 12
    assert is_stylized == (stylize is STYLIZED)
    assert not any("transparen" in notice for notice in plan.notices)


def test_an_animated_webp_keeps_its_transparency(see_through, tmp_path):
    Image = pytest.importorskip("PIL.Image")
    run_stages(see_through, tmp_path / "out.webp")
    image = Image.open(tmp_path / "out.webp")
    assert np.abs(np.asarray(image.convert("RGBA"))[..., 3].astype(int) - disc()[1]).max() <= 2
    with open_source(tmp_path / "out.webp", keep_alpha_and_depth=True) as source:
        assert source.info.has_alpha


@pytest.mark.parametrize(
    ("ending", "codec", "pixel_format"),
    [
        (".mov", "qtrle", "argb"),
        (".mov", "png", "rgba"),
        (".mov", "prores_ks", "yuva444p10le"),
        (".mkv", "ffv1", "yuva420p"),
    ],
)
def test_transparent_sources_are_read(tmp_path, ending, codec, pixel_format):
    path = transparent(tmp_path / f"in{ending}", codec, pixel_format)
    with open_source(path, keep_alpha_and_depth=True) as source:
        assert source.info.has_alpha
        frame = next(decode(source))
    levels = np.iinfo(frame.pixels.dtype).max / 255
    assert frame.alpha.dtype == frame.pixels.dtype
    assert np.abs(frame.alpha / levels - disc()[1]).max() <= 2
    assert np.abs(frame.pixels[24, 32] / levels - disc()[0][24, 32]).max() <= 3


def test_the_alpha_of_vp9_is_read(see_through, tmp_path):
    run_stages(see_through, tmp_path / "in.webm")
    assert read(tmp_path / "in.webm")[0].format.name == "yuv420p"  # FFmpeg's own decoder leaves it out
    with open_source(tmp_path / "in.webm", keep_alpha_and_depth=True) as source:
        frames = list(decode(source))
    assert len(frames) == 3
    assert np.abs(frames[2].alpha.astype(int) - disc()[1]).mean() < 2


@pytest.mark.parametrize(("ending", "ground"), [(".mkv", 0), (".gif", 255)])
def test_unsupported_transparency_is_composited_with_a_notice(tmp_path, ending, ground):
    if ending == ".gif":
        Image = pytest.importorskip("PIL.Image")
        picture, alpha = disc()
        images = [Image.fromarray(np.dstack((picture, np.where(alpha > 127, 255, 0).astype(np.uint8))))] * 2
        path = tmp_path / "in.gif"
        images[0].save(path, save_all=True, append_images=images[1:], duration=40, disposal=2)
    else:
        path = transparent(tmp_path / "in.mkv", "ffv1", "bgra")
    plan = run_stages(path, tmp_path / "out.mp4", quality=1)
    picture = read(tmp_path / "out.mp4")[0].to_ndarray(format="rgb24")
    assert np.abs(picture[:8, :8].astype(int) - ground).max() <= 2
    assert np.abs(picture[22:26, 30:34].astype(int) - disc()[0][22:26, 30:34]).max() <= 12
    assert any(("white" if ground else "black") in notice for notice in plan.notices)
    with open_source(path) as source:  # as those see it who do not ask for all
        plain = next(decode(source))
    assert plain.alpha is None
    assert np.abs(plain.pixels[:8, :8].astype(int) - ground).max() <= 2


@pytest.mark.parametrize(
    ("name", "codec", "decoder"),
    [
        ("out.webm", "auto", "libvpx-vp9"),
        ("out.mov", "prores", None),
        ("out.mkv", "ffv1", None),
        ("out.webp", "auto", None),
    ],
)
def test_segments_keep_transparency(tmp_path, name, codec, decoder):
    picture, alpha = disc()
    alphas = [np.roll(alpha, number, axis=1) for number in range(30)]
    frames = [
        av.VideoFrame.from_ndarray(np.dstack((picture, other)), "rgba").reformat(format="bgra") for other in alphas
    ]
    path = write(tmp_path / "in.mkv", frames, "ffv1")
    encoding = EncodeConfig(codec=codec)
    stylize_video(
        VideoConfig(source=str(path), target=str(tmp_path / name), stylize=IDENTITY, encode=encoding, segment_frames=9)
    )
    if decoder is None:  # FFmpeg reads no animated WebP
        with open_source(tmp_path / name, keep_alpha_and_depth=True) as source:
            found = [item.alpha / (np.iinfo(item.alpha.dtype).max / 255) for item in decode(source)]
    else:
        found = [
            frame.reformat(format="rgba").to_ndarray()[..., 3].astype(float) for frame in read(tmp_path / name, decoder)
        ]
    assert len(found) == 30
    assert max(np.abs(seen - other).mean() for seen, other in zip(found, alphas, strict=True)) < 4


@pytest.mark.parametrize("kind", ["deep", "HDR", "interlaced", "transparent"])
def test_an_interrupted_render_of_such_frames_is_resumed_exactly(tmp_path, kind):
    path = awkward(tmp_path, kind)
    ending = ".webm" if kind == "transparent" else ".mkv"
    decoder = "libvpx-vp9" if kind == "transparent" else None
    flow = replace(STYLIZED, stability="flow")

    def run(name, progress):
        stylize_video(
            VideoConfig(source=str(path), target=str(tmp_path / name), stylize=flow, segment_frames=6),
            progress=progress,
        )

    def stop(state):
        if state.frames == 16:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(f"out{ending}", stop)
    reused = []
    run(f"out{ending}", lambda state: reused.append(state.reused))
    run(f"plain{ending}", lambda state: None)
    pairs = zip(read(tmp_path / f"out{ending}", decoder), read(tmp_path / f"plain{ending}", decoder), strict=True)
    assert all(np.array_equal(samples_of(a)[0], samples_of(b)[0]) for a, b in pairs)
    assert reused[-1] >= 6


def awkward(folder, kind):
    """Write 24 moving frames of that kind."""
    if kind == "interlaced":
        return make_interlaced(folder / "in.mp4", 24)
    squares = [media.moving_square(number) for number in range(24)]
    if kind == "transparent":
        rgba = [np.dstack((square, np.roll(disc()[1], 2 * number, axis=1))) for number, square in enumerate(squares)]
        frames = [av.VideoFrame.from_ndarray(picture, "rgba").reformat(format="bgra") for picture in rgba]
        return write(folder / "in.mkv", frames, "ffv1")
    frames = [planar(media.to_yuv(square, 9, full_range=False, bits=10), "yuv420p10le") for square in squares]
    tags = (9, 1, 9, 16 if kind == "HDR" else 14)
    return write(folder / "in.mp4", frames, "libx264", tags=tags, g="10", bf="2", crf="12")


def test_an_opaque_gif_has_no_transparency(tmp_path):
    Image = pytest.importorskip("PIL.Image")
    Image.fromarray(media.moving_square(0)).save(tmp_path / "in.gif")
    with open_source(tmp_path / "in.gif", keep_alpha_and_depth=True) as source:
        assert not source.info.has_alpha


def test_a_prores_profile_without_alpha_is_used_with_a_notice(see_through, tmp_path):
    plan = run_stages(see_through, tmp_path / "out.mov", codec="prores", preset="hq")
    assert plan.pixel_format == "yuv422p10le"
    assert any("black" in notice for notice in plan.notices)


def test_hidden_pixels_are_grey():
    picture, alpha = disc()
    picture[alpha == 0] = (9, 200, 250)
    seen = fill_transparent(picture, alpha)
    assert np.abs(seen[alpha == 0] - 127.5).max() <= 0.5
    assert np.array_equal(seen[alpha > 20], picture[alpha > 20])
    assert np.ptp(fill_transparent(picture, np.zeros_like(alpha))) == 0
    assert fill_transparent(picture, np.full_like(alpha, 255)) is picture


def test_a_flat_logo_is_stylized(tmp_path):
    logo = np.zeros((48, 64, 3), np.uint8)
    logo[..., 0] = 230
    stylizer = Stylizer(replace(STYLIZED, stability="none"), height=48, width=64)
    stylized = stylizer.stylize(fill_transparent(logo, disc()[1]))
    assert np.abs(stylized.astype(int) - logo)[disc()[1] == 255].mean() > 20


def test_compositing_is_exact_in_8_and_16_bits():
    picture, alpha = disc()
    expected = (picture * (alpha[..., None] / 255) + 255 * (1 - alpha[..., None] / 255)).round()
    assert np.abs(composite(picture, alpha, 255) - expected).max() <= 1
    deep = composite(picture.astype(np.uint16) * 257, alpha.astype(np.uint16) * 257, 255)
    assert np.abs(deep / 257 - expected).max() <= 1


def test_both_halves_of_a_comparison_are_transparent():
    picture, alpha = disc()
    stylizer = Stylizer(replace(IDENTITY, compare="side"), height=48, width=64)
    frame = next(stylizer([Frame(picture, 0, Fraction(1, 30), None, alpha)]))
    assert np.array_equal(frame.alpha, np.concatenate((alpha, alpha), axis=1))
