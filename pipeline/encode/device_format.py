"""Which outputs take samples that a GPU has computed."""

from pipeline.encode.output_plan import OutputPlan
from pipeline.frames import VideoInfo
from pipeline.media.pixels.bit_depth import bit_depth
from pipeline.media.pixels.encoder_samples import EncoderFormat


def device_format(plan: object, info: VideoInfo) -> EncoderFormat | None:
    """Return the format in which stylized frames may leave a GPU; None if they must be RGB.

    Only with ``--hwaccel cuda``: otherwise the colors of a clip stay those of swscale, bit for bit.

    Args:
        plan: of the output.
        info: of the source.
    """
    from models.pixels.yuv_output import RgbToYuv

    if not isinstance(plan, OutputPlan) or info.hwaccel is None or info.has_alpha or plan.container.is_animation:
        return None
    if min(plan.width, plan.height) < RgbToYuv.SMALLEST_PX or (info.is_16_bit and bit_depth(plan.pixel_format) == 8):
        return None
    found = EncoderFormat(plan.pixel_format, plan.color)
    return None if found.samples is None else found
