"""One whole clip of each kind of file that is read."""

import os
from fractions import Fraction
from pathlib import Path

from tests.support.clips.extras import FONT, Extras, Subtitles, cues, enrich
from tests.support.media import Audio, Clip, make_clip, moving_square

MILLISECONDS = {"time_base": Fraction(1, 1000), "pts": range(0, 480, 40)}
TICKS = {"time_base": Fraction(1, 90000), "pts": range(0, 12 * 3600, 3600)}
SHORT = {"pts": range(0, 512 * 12, 512)}
FRAMES = {"time_base": Fraction(1, 25), "pts": range(12)}
HALF = Fraction(1, 2)
# The threads of libvpx wait for each other by spinning: minutes on a loaded machine.
VPX = {"deadline": "realtime", "cpu-used": "8", "threads": "1"}
QUICK = {"preset": "ultrafast", "bf": "2", "g": "6"}


def _audio(codec: str, rate: int = 48000) -> dict[str, list[Audio]]:
    return {"audio": [Audio(codec=codec, rate=rate, seconds=HALF)]}


CLIPS: dict[str, Clip] = {
    "h264.mp4": Clip(**SHORT, **_audio("aac"), options=QUICK),
    "h265.mp4": Clip(**SHORT, codec="libx265", options={"preset": "ultrafast", "x265-params": "log-level=none"}),
    "av1.mp4": Clip(**SHORT, codec="libsvtav1", options={"preset": "12"}),
    "h264.mkv": Clip(**MILLISECONDS, **_audio("ac3"), options=QUICK),
    "ffv1.mkv": Clip(**MILLISECONDS, codec="ffv1", options={"level": "3"}),
    "vp9.webm": Clip(**MILLISECONDS, **_audio("libopus"), codec="libvpx-vp9", options=VPX),
    "vp8.webm": Clip(**MILLISECONDS, codec="libvpx", options=VPX),
    "prores.mov": Clip(**SHORT, codec="prores_ks", pixel_format="yuva444p10le", options={}),
    "turned.mov": Clip(**SHORT, **_audio("pcm_s16le"), rotation=90, options=QUICK),
    "h264.ts": Clip(**TICKS, **_audio("aac"), options=QUICK),
    "mpeg4.avi": Clip(**FRAMES, **_audio("libmp3lame"), codec="mpeg4", options={}),
    "mjpeg.avi": Clip(**FRAMES, codec="mjpeg", pixel_format="yuvj420p", options={}),
    "flv.flv": Clip(**MILLISECONDS, codec="flv", options={}),
    "h264.flv": Clip(**MILLISECONDS, **_audio("aac", 44100), options=QUICK),
    "gif.gif": Clip(time_base=Fraction(1, 100), pts=range(0, 48, 4), codec="gif", pixel_format="rgb8", options={}),
    "vp8.ogg": Clip(**FRAMES, **_audio("libopus"), codec="libvpx", options=VPX),
    "wmv.asf": Clip(**MILLISECONDS, codec="wmv2", options={}),
    "ffv1.nut": Clip(**FRAMES, codec="ffv1", options={}),
    "raw.y4m": Clip(**FRAMES, codec="rawvideo", options={}, width=32, height=24),
    "vp8.ivf": Clip(**FRAMES, codec="libvpx", options=VPX),
}
FORMS = {".y4m": "yuv4mpegpipe"}


def make_originals(folder: Path) -> list[Path]:
    """Make a clip of each kind, with subtitles, chapters and a font if the container supports them."""
    os.environ["SVT_LOG"] = "1"  # read when its encoder is first opened
    folder.mkdir(exist_ok=True)
    made = [make_clip(folder / name, clip, form=FORMS.get(Path(name).suffix)) for name, clip in CLIPS.items()]
    chapters = [(Fraction(0), HALF, "one")]
    rich = {
        "rich.mkv": Extras([Subtitles(cues("Hello"))], chapters, [("a.ttf", "font/ttf", FONT)], has_cover=True),
        "rich.mp4": Extras([Subtitles(cues("Hello"), "mov_text")], chapters, has_cover=True),
    }
    made += [enrich(made[0], folder / name, extras) for name, extras in rich.items()]
    return [*made, _webp(folder / "moving.webp")]


def _webp(path: Path) -> Path:
    from PIL import Image

    pictures = [Image.fromarray(moving_square(number)) for number in range(6)]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=40)
    return path
