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
from fractions import Fraction
from pathlib import Path

import av

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.streams.contents import Contents, Track, contents
from benchmarks.streams.faults import frame_faults
from pipeline.config import DecodeConfig, EncodeConfig
from pipeline.decode.decoder import decode
from pipeline.decode.source import open_source
from pipeline.encode.planner import plan_output
from pipeline.encode.writer import encode
from pipeline.errors import InputError, PipelineError
from pipeline.media.packets import SidePackets


def differences(source: Contents, result: Contents, *, has_audio: bool) -> Iterator[str]:
    """What is not as it should be, a few words each."""
    yield from frame_faults(source, result)
    if result.rotation:
        yield f"turned by {result.rotation}"
    tracks = list(zip(source.of("audio"), result.of("audio"), strict=False))
    if has_audio and len(source.of("audio")) != len(result.of("audio")):
        yield f"{len(source.of('audio'))} audio tracks became {len(result.of('audio'))}"
    for number, (before, after) in enumerate(tracks):
        if source.times and result.times and before.times and after.times:
            drift, allowed = _drift(before, after), _allowed_drift(source, result, before, after)
            if drift > allowed:
                yield f"audio {number} moved by {float(drift) * 1000:.3f} ms"
        if _is_copied(before, after) and before.digests != after.digests:
            yield f"audio {number}: {len(before.digests)} packets became {len(after.digests)}, not the same bytes"


def _is_copied(before: Track, after: Track) -> bool:
    return before.codec == after.codec or before.digests == after.digests


def _drift(before: Track, after: Track) -> Fraction:
    """How far the offset between audio and picture has changed, in seconds."""
    if _is_copied(before, after):
        return abs(after.times[0] - before.times[0])
    return abs((after.heard_from or Fraction(0)) - (before.heard_from or Fraction(0)))


def _allowed_drift(source: Contents, result: Contents, before: Track, after: Track) -> Fraction:
    """A tick of the coarsest clock; a packet where the audio is transcoded."""
    ticks = max(source.clock, result.clock, before.clock, after.clock)
    return ticks if _is_copied(before, after) else Fraction(25, 1000)


def run_identity(source: Path, target: Path, height: int | None) -> tuple[str, ...]:
    """Decode and encode alone."""
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
    copied = sum(_is_copied(*tracks) for tracks in zip(source.of("audio"), result.of("audio"), strict=False))
    facts = f"{len(result.times)} frames, {copied} of {len(source.of('audio'))} audio tracks copied, {seconds:.1f} s"
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
