"""What decodes from an output, compared with what the run reported and with what the input shows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import av
import numpy as np

from tests.support.fuzz.recordings import Truth, shown_number

# How far audio may be off the frames: below what viewers notice, 45 ms early (ITU-R BT.1359).
SYNC_SECONDS = Fraction(45, 1000)
# Of each recording an encoder and a decoder add or drop up to two packets of audio; the longest here have 1536 samples
# at 22,050 Hz.
EDGE_SECONDS = Fraction(14, 100)
# Containers with the coarsest clock count in milliseconds, on both sides; GIF and WebP in hundredths of a second.
TICK_SECONDS = Fraction(2, 1000)
COARSE_TICK_SECONDS = Fraction(2, 100)
# How much longer than its clock says a break between two recordings may become.
BREAK_SECONDS = 1
# After damage a decoder may show a frame or two late.
STRAY_FRAMES = 3


@dataclass
class Sounds:
    """An audio track; times in seconds.

    Attributes:
        codec: FFmpeg's name.
        packets: time, duration and bytes of each packet.
        seconds: duration of the samples that decode.
    """

    codec: str
    packets: list[tuple[Fraction, Fraction, bytes]] = field(default_factory=list)
    seconds: Fraction = Fraction(0)


@dataclass
class Played:
    """What a player shows; times in seconds.

    Attributes:
        frames: time of each frame, and the number it shows, None for none.
        tracks: of audio.
        cues: text, start and end of each subtitle.
        faults: what the player complains about.
    """

    frames: list[tuple[Fraction, int | None]] = field(default_factory=list)
    tracks: list[Sounds] = field(default_factory=list)
    cues: list[tuple[str, Fraction, Fraction]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def play(path: Path) -> Played:
    """Decode all of a file with PyAV alone, as a player does: what an edit list hides is not shown."""
    if path.suffix == ".webp":
        return _play_webp(path)
    played = Played()
    with av.open(f"file:{path}", metadata_errors="surrogateescape") as container:
        video = next(stream for stream in container.streams.video if not stream.disposition & _COVER)
        audio = {stream.index: Sounds(stream.codec_context.name) for stream in container.streams.audio}
        played.tracks = list(audio.values())
        for packet in container.demux([video, *container.streams.audio, *container.streams.subtitles]):
            stream = packet.stream
            try:
                if stream.index == video.index:
                    for frame in packet.decode():
                        number = shown_number(frame.to_ndarray(format="gray"))
                        played.frames.append(((frame.pts or 0) * video.time_base, number))
                elif stream.type == "audio":
                    _hear(audio[stream.index], packet)
                elif packet.size:
                    played.cues += _read(packet)
            except EOFError:
                continue
            except av.FFmpegError as error:
                played.faults.append(f"{stream.type}: {error.strerror}")
    return played


_COVER = av.stream.Disposition.attached_pic


def _hear(track: Sounds, packet: Any) -> None:
    if packet.size:
        time = packet.pts if packet.pts is not None else packet.dts
        base = packet.time_base
        track.packets.append(((time or 0) * base, (packet.duration or 0) * base, bytes(packet)))
    for frame in packet.decode():
        track.seconds += Fraction(frame.samples, frame.sample_rate or 1)


def _read(packet: Any) -> Iterator[tuple[str, Fraction, Fraction]]:
    shown = packet.stream.codec_context.decode2(packet)
    text = "\\N".join(rect.ass.split(b",", 8)[-1].decode("utf-8", "replace") for rect in shown or ())
    if text:
        start = packet.pts * packet.time_base
        yield text, start, start + (packet.duration or 0) * packet.time_base


def _play_webp(path: Path) -> Played:
    from PIL import Image

    played, time = Played(), 0
    with Image.open(path) as image:
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            image.load()
            played.frames.append((Fraction(time, 1000), shown_number(np.asarray(image.convert("L")))))
            time += int(image.info.get("duration", 0))
    return played


def report_faults(summary: Any, played: Played, *, may_join: bool = False) -> list[str]:
    """Return where the report of a run differs from its output.

    Args:
        summary: the report.
        played: the output.
        may_join: whether frames that are alike may be one, as libwebp makes them.
    """
    faults = list(dict.fromkeys(played.faults))
    if len(played.frames) != summary.frames and not (may_join and len(played.frames) < summary.frames):
        faults.append(f"{len(played.frames)} frames decode, {summary.frames} are reported")
    times = [time for time, _ in played.frames]
    is_told = any("the same time as the frame before" in notice for notice in summary.notices)
    if any(b < a or (b == a and not is_told) for a, b in pairwise(times)):
        faults.append("frames do not follow each other")
    packets = sum(len(track.packets) for track in played.tracks)
    is_same_unit = all(not track.codec.startswith("pcm") for track in played.tracks)  # chunks are the muxer's
    if is_same_unit and packets != summary.audio_packets:
        faults.append(f"{packets} audio packets, {summary.audio_packets} are reported")
    return faults


def truth_faults(
    truth: Truth, played: Played, kept: Sequence[int] = (0, 1), *, is_damaged: bool, is_coarse: bool = False
) -> list[str]:
    """Return where an output differs from what its input shows.

    Args:
        truth: of the input.
        played: the output.
        kept: numbers of the audio tracks of the input that are in the output.
        is_damaged: whether the run reported damage; then something may be missing, but nothing may be at a wrong time.
        is_coarse: whether the container counts in hundredths of a second.
    """
    faults = [] if is_damaged else _missing_frames(truth, played)
    moved = _frame_times(truth, played, COARSE_TICK_SECONDS if is_coarse else TICK_SECONDS)
    faults += [] if is_damaged and len(moved) <= STRAY_FRAMES else moved[:2]
    for number, track in zip(kept, played.tracks, strict=False):
        faults += [f"audio {number}: {fault}" for fault in _sound_faults(truth, played, number, track, is_damaged)]
    if played.cues and not is_damaged:
        faults += _cue_faults(truth, played)
    return faults


def without_repeats(frames: list[tuple[Fraction, int | None]]) -> list[tuple[Fraction, int | None]]:
    """Return ``frames`` without those that repeat the one before, of a run that reports such frames."""
    pairs = zip([None, *frames], frames, strict=False)
    return [frame for before, frame in pairs if before is None or before[1] != frame[1]]


def part_faults(
    truth: Truth, played: Played, kept: Sequence[int], *, is_damaged: bool, is_coarse: bool = False
) -> list[str]:
    """Return what is wrong with a part of a clip: frames are missing in its middle, or something is at a wrong time."""
    numbers = [number for _, number in played.frames]
    whole = _before_torn(numbers, truth.torn) if is_damaged else numbers
    faults = []
    if None in whole or (whole and whole != list(range(whole[0] or 0, (whole[0] or 0) + len(whole)))):
        faults.append(f"frames {numbers} are shown")
    moved = _frame_times(truth, played, COARSE_TICK_SECONDS if is_coarse else TICK_SECONDS)
    is_stray = is_damaged and len(whole) < len(numbers) and len(moved) <= STRAY_FRAMES
    faults += [] if is_stray else moved[:2]
    for number, track in zip(kept, played.tracks, strict=False):
        faults += [f"audio {number}: {fault}" for fault in _sound_faults(truth, played, number, track, True)]
    return faults


def _before_torn(numbers: list[int | None], torn: set[int]) -> list[int | None]:
    """Return ``numbers`` up to the first frame that is ``torn``, or shown in the place of one."""
    for place, number in enumerate(numbers):
        before = numbers[place - 1] if place else None
        if number in torn or (before is not None and before + 1 in torn):
            return numbers[:place]
    return numbers


def _missing_frames(truth: Truth, played: Played) -> list[str]:
    shown = [number for _, number in played.frames]
    if shown == sorted(truth.frames):
        return []
    missing = sorted(set(truth.frames) - set(shown))
    return [f"{len(shown)} of {len(truth.frames)} frames are shown, without {missing[:5]}, and no damage is reported"]


def _frame_times(truth: Truth, played: Played, tick: Fraction) -> list[str]:
    faults: list[str] = []
    before: tuple[Fraction, int, Fraction] | None = None
    for time, number in played.frames:
        if number not in truth.frames or number in truth.loose:
            continue
        recording, moment = truth.frames[number]
        if before is not None:
            step = time - before[0]
            if recording == before[1] and abs(step - (moment - before[2])) > tick:
                faults.append(f"frame {number} is {float(step):.3f} s after the one before it")
            if recording != before[1] and step > truth.longest_break(before[1], recording) + BREAK_SECONDS:
                faults.append(f"a break of {float(step):.3f} s before frame {number}")
        before = time, recording, moment
    return faults


def _sound_faults(truth: Truth, played: Played, number: int, track: Sounds, is_damaged: bool) -> Iterator[str]:
    edge = EDGE_SECONDS * len(truth.recordings)
    wanted = truth.lengths[number]
    if abs(track.seconds - wanted) > edge and not is_damaged:
        yield f"{float(track.seconds):.3f} s decode of {float(wanted):.3f} s"
    if track.packets:
        first, last = track.packets[0], track.packets[-1]
        span = last[0] + last[1] - first[0]
        if span < min(track.seconds, wanted) - edge:
            yield f"{float(track.seconds):.3f} s are crowded into {float(span):.3f} s"
    told = [(time, *truth.frames[n]) for time, n in played.frames if n in truth.frames and n not in truth.loose]
    offsets = {
        recording: median(time - moment for time, other, moment in told if other == recording)
        for recording in {recording for _, recording, _ in told}
    }
    for time, _, data in track.packets:
        found = truth.packets[number].get(data)
        if found is not None and found[0] in offsets:
            off = time - found[1] - offsets[found[0]]
            if abs(off) > SYNC_SECONDS:
                yield f"{float(off):+.3f} s off the frames of recording {found[0]}"
                return


def _cue_faults(truth: Truth, played: Played) -> list[str]:
    zero = played.frames[0][0] if played.frames else Fraction(0)
    found = {text: (start - zero, end - zero) for text, start, end in played.cues}
    faults = []
    for text, (start, end) in truth.cues.items():
        if text not in found:
            faults.append(f"the subtitle {text!r} is missing")
            continue
        begin, stop = found[text]
        if abs(begin - start) > SYNC_SECONDS or abs(stop - end) > SYNC_SECONDS:
            faults.append(f"the subtitle {text!r} is shown from {float(begin):.3f} to {float(stop):.3f} s")
    return faults
