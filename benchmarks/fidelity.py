"""Check that videos come through whole: frames, times, sound packets, offset between sound and picture.

    python benchmarks/fidelity.py FOLDER [--container mp4] [--identity] [--height PX] [--keep FOLDER]

Every file of FOLDER goes through `flowbrush video`, or with --identity through decode and encode alone, and the
result is compared with the source by PyAV alone. Prints a line a file and a summary; exits with 1 on a mismatch.
A file that no frame can be had of is expected to be refused, with nothing left behind.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pipeline.config import EncodeConfig
from pipeline.decode.decoder import decode
from pipeline.decode.source import open_source
from pipeline.encode.planner import plan_output
from pipeline.encode.writer import encode
from pipeline.errors import InputError, PipelineError
from pipeline.media.packets import SidePackets


@dataclass
class Contents:
    """What a file holds, as PyAV reads it: exact times, and the bytes of the sound."""

    size: tuple[int, int] = (0, 0)
    rotation: int = 0
    time_base: Fraction = Fraction(1)
    times: list[Fraction] = field(default_factory=list)
    audio_names: list[str] = field(default_factory=list)
    audio_rates: list[Fraction] = field(default_factory=list)
    audio_times: list[list[Fraction]] = field(default_factory=list)
    audio_bytes: list[list[bytes]] = field(default_factory=list)
    heard_from: list[Fraction | None] = field(default_factory=list)


def contents(path: Path) -> Contents:
    """Read all of ``path`` in one pass."""
    found = Contents()
    with av.open(f"file:{path}", metadata_errors="replace") as container:
        video = next(s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic)
        video.codec_context.thread_type = "AUTO"
        tracks = {stream.index: number for number, stream in enumerate(container.streams.audio)}
        found.audio_names = [stream.codec_context.name for stream in container.streams.audio]
        found.audio_rates = [stream.time_base for stream in container.streams.audio]
        found.audio_times = [[] for _ in tracks]
        found.audio_bytes = [[] for _ in tracks]
        found.heard_from = [None for _ in tracks]
        found.time_base = video.time_base
        for packet in container.demux((video, *container.streams.audio)):
            if packet.stream.index == video.index:
                for frame in _decoded(packet):
                    if not found.times:
                        found.size, found.rotation = (frame.width, frame.height), round(frame.rotation)
                    found.times.append((frame.pts or 0) * video.time_base)
            elif packet.size:
                number = tracks[packet.stream_index]
                time_of = packet.pts if packet.pts is not None else packet.dts
                found.audio_times[number].append((time_of or 0) * packet.time_base)
                found.audio_bytes[number].append(bytes(packet))
                if found.heard_from[number] is None:
                    found.heard_from[number] = next((f.pts * f.time_base for f in _decoded(packet)), None)
    return found


def _decoded(packet: av.Packet) -> list[av.VideoFrame]:
    try:
        return packet.decode()
    except av.FFmpegError:
        return []


def differences(source: Contents, result: Contents, *, has_audio: bool) -> Iterator[str]:
    """What is not as it should be, a few words each."""
    if len(source.times) != len(result.times):
        yield f"{len(source.times)} frames became {len(result.times)}"
    elif result.times:
        tick = max(source.time_base, result.time_base)
        worst = max(
            abs((b - result.times[0]) - (a - source.times[0])) for a, b in zip(source.times, result.times, strict=True)
        )
        if worst > (tick if source.time_base != result.time_base else 0):
            yield f"times differ by {float(worst) * 1000:.3f} ms"
    if result.rotation:
        yield f"turned by {result.rotation}"
    if has_audio and len(source.audio_names) != len(result.audio_names):
        yield f"{len(source.audio_names)} sound tracks became {len(result.audio_names)}"
    for number, (ours, theirs) in enumerate(zip(result.audio_bytes, source.audio_bytes, strict=False)):
        yield from _sound_differences(source, result, number, is_copied=_is_copied(source, result, number))
        if _is_copied(source, result, number) and ours != theirs:
            yield f"sound {number}: {len(theirs)} packets became {len(ours)}, not the same bytes"


def _is_copied(source: Contents, result: Contents, number: int) -> bool:
    same_name = source.audio_names[number] == result.audio_names[number]
    return same_name or source.audio_bytes[number] == result.audio_bytes[number]


def _sound_differences(source: Contents, result: Contents, number: int, *, is_copied: bool) -> Iterator[str]:
    """Whether sound and picture begin as far apart as before: to a tick, or to a packet where transcoded."""
    if not source.audio_times[number] or not result.audio_times[number] or not source.times or not result.times:
        return
    if is_copied:
        before, after = source.audio_times[number][0], result.audio_times[number][0]
        allowed = max(source.time_base, result.time_base, source.audio_rates[number], result.audio_rates[number])
    else:
        before, after = source.heard_from[number] or Fraction(0), result.heard_from[number] or Fraction(0)
        allowed = Fraction(25, 1000)
    drift = abs((after - result.times[0]) - (before - source.times[0]))
    if drift > allowed:
        yield f"sound {number} moved by {float(drift) * 1000:.3f} ms"


def run_identity(source: Path, target: Path, height: int | None) -> tuple[str, ...]:
    """Decode and encode alone."""
    from pipeline.config import DecodeConfig

    with open_source(source, DecodeConfig(height=height)) as opened:
        plan = plan_output(opened, target, EncodeConfig(preset="ultrafast" if target.suffix != ".webm" else None))
        packets = SidePackets(capacity_bytes=2**40)  # one thread, which must not wait for itself
        encode(decode(opened, packets), plan, side_packets=packets)
    return plan.notices


def run_command(source: Path, target: Path, height: int | None, style: str) -> tuple[str, ...]:
    """`flowbrush video` as a user calls it."""
    command = [sys.executable, str(Path(__file__).resolve().parents[1] / "cli.py"), "video", str(source), str(target)]
    command += ["--style", style, "--quiet"] + (["--height", str(height)] if height else [])
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 3:
        raise InputError(source, done.stderr.strip())
    if done.returncode:
        raise RuntimeError(f"exit code {done.returncode}: {done.stderr.strip()}")
    return ()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--container", default="mp4", help="ending of the results")
    parser.add_argument("--identity", action="store_true", help="without a network")
    parser.add_argument("--style", default="great-wave", help="for flowbrush video")
    parser.add_argument("--height", type=int, help="of the results in pixels; sizes are not compared then")
    parser.add_argument("--keep", type=Path, help="keep the results in this folder")
    arguments = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory() as temporary:
        results = arguments.keep or Path(temporary)
        results.mkdir(parents=True, exist_ok=True)
        files = sorted(path for path in arguments.folder.iterdir() if path.is_file())
        for path in files:
            line, is_right = check(path, results / f"{path.stem}.{arguments.container}", arguments)
            failed += not is_right
            print(f"{'ok  ' if is_right else 'FAIL'} {path.name}: {line}", flush=True)
    print(f"{len(files) - failed} of {len(files)} files as they should be ({arguments.container})")
    return 1 if failed else 0


def check(path: Path, target: Path, arguments: argparse.Namespace) -> tuple[str, bool]:
    """Run one file; a line about it, and whether all is as it should be."""
    start = time.perf_counter()
    target.unlink(missing_ok=True)
    try:
        if arguments.identity:
            notices = run_identity(path, target, arguments.height)
        else:
            notices = run_command(path, target, arguments.height, arguments.style)
    except InputError as error:
        is_hopeless = not _has_frames(path)
        return f"refused: {error}", is_hopeless and not target.exists()
    except (PipelineError, RuntimeError) as error:
        return f"failed: {error}", False
    seconds = time.perf_counter() - start
    source, result = contents(path), contents(target)
    found = list(differences(source, result, has_audio=arguments.container not in ("gif", "webp")))
    if not arguments.height and not _same_size(source, result):
        found.append(f"{source.size} turned by {source.rotation} became {result.size}")
    copied = sum(_is_copied(source, result, number) for number in range(len(result.audio_names)))
    facts = f"{len(result.times)} frames, {copied} of {len(source.audio_names)} sound tracks copied, {seconds:.1f} s"
    return "; ".join([facts, *found, *notices]), not found


def _has_frames(path: Path) -> bool:
    try:
        return bool(contents(path).times)
    except (av.FFmpegError, StopIteration, OSError):
        return False


def _same_size(source: Contents, result: Contents) -> bool:
    width, height = source.size
    return result.size == ((height, width) if source.rotation % 180 else (width, height))


if __name__ == "__main__":
    sys.exit(main())
