"""Render the sample clips: ``python -m sample_videos.renderer [--output FOLDER]``."""

import argparse
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream

from sample_videos import CLIPS, clip
from sample_videos.renderer import audio
from sample_videos.renderer.scenes import FPS, FRAMES, HEIGHT, WIDTH, Scene, scene

BT709 = 1
LIMITED_RANGE = 1
QUALITY = {"harbor": "20", "street": "20"}
"""Constant rate factors that keep each clip under a megabyte."""

TRACKS = {"harbor": audio.harbor, "street": audio.street}


def render(name: str, folder: Path) -> Path:
    """Render the clip ``name`` into ``folder`` and return its path; byte-identical with the same PyAV."""
    path = folder / f"{name}.mp4"
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        video = video_stream(container, QUALITY[name])
        track = container.add_stream("aac", rate=audio.RATE, layout="stereo")
        track.bit_rate = 96_000
        write_frames(container, video, scene(name))
        write_audio(container, track, TRACKS[name](FRAMES / FPS))
    return path


def video_stream(container: OutputContainer, quality: str) -> VideoStream:
    """Add an H.264 stream, 4:2:0, BT.709, limited range."""
    options = {"crf": quality, "preset": "veryslow", "threads": "1"}
    stream = container.add_stream("libx264", rate=FPS, options=options)
    stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    context = stream.codec_context
    context.time_base = Fraction(1, FPS)
    context.colorspace = context.color_primaries = context.color_trc = BT709
    context.color_range = LIMITED_RANGE
    return stream


def write_frames(container: OutputContainer, stream: VideoStream, scenery: Scene) -> None:
    """Render and encode every frame."""
    for index in range(FRAMES):
        frame = av.VideoFrame.from_ndarray(scenery.frame(index), format="rgb24").reformat(
            format="yuv420p",
            src_color_range=ColorRange.JPEG,
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
        )
        frame.pts, frame.time_base = index, Fraction(1, FPS)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def write_audio(container: OutputContainer, stream: AudioStream, samples: audio.Samples) -> None:
    """Encode the audio track."""
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout="stereo")
    frame.sample_rate, frame.pts, frame.time_base = audio.RATE, 0, Fraction(1, audio.RATE)
    container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def main() -> None:
    """Render all clips into the folder given on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=clip(CLIPS[0]).parent, metavar="FOLDER")
    folder: Path = parser.parse_args().output
    folder.mkdir(parents=True, exist_ok=True)
    for name in CLIPS:
        path = render(name, folder)
        print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
