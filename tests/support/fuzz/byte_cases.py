"""Cases that change bytes of a clip, and read it: frames, or one of our errors."""

import random
from pathlib import Path

from pipeline.config import EncodeConfig
from pipeline.decode.decoder import decode
from pipeline.decode.source import open_source
from pipeline.encode.planner import plan_output
from pipeline.errors import PipelineError
from tests.support.clips.transcoding import transcode
from tests.support.fuzz.mutations import mutated
from tests.support.fuzz.oracle import play, report_faults


def bytes_case(chance: random.Random, folder: Path, originals: list[Path]) -> str:
    """Open, plan and decode; every third file is also written. Return the outcome in a word.

    Raises:
        Exception: one that is not ours, which is what is looked for.
    """
    name, data = mutated(chance, originals)
    path = folder / f"in{Path(name).suffix}"
    target = folder / f"out{chance.choice(('.mkv', '.mp4', '.mov'))}"
    path.write_bytes(data)
    is_written = chance.random() < 1 / 3
    faults: list[str] = []
    try:
        with open_source(path) as source:
            plan = plan_output(source, target, EncodeConfig(preset="ultrafast", codec="h264"))
            is_small = source.info.width * source.info.height < 2**20
            if is_written and is_small:
                report = transcode(source, plan)
                played = play(target)
                played.faults = [fault for fault in played.faults if not fault.startswith("audio")]  # copied as it is
                faults = report_faults(report, played)
            elif not any(True for _ in decode(source)):
                faults = ["a source without a frame"]
            outcome = f"{'written' if is_written and is_small else 'read'}{', damaged' if source.damage else ''}"
    except PipelineError as error:
        outcome = type(error).__name__
        if "\n" in str(error).replace(str(folder), ""):
            faults.append(f"{outcome} of two lines: {error!r}")
    left = {each.name for each in folder.iterdir()} - {path.name, target.name}
    if left:
        faults.append(f"left {left}")
    return f"BUG: {'; '.join(faults)} ({name} into {target.suffix})" if faults else outcome
