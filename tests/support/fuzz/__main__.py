"""Make cases that are meant to fail, and look at what comes out: frames as reported, or one of our errors.

    python -m tests.support.fuzz 2000                    # as `make prove` does
    python -m tests.support.fuzz 200 --kind timeline     # of one kind; see tests/support/fuzz/cases.py
    python -m tests.support.fuzz --seed 1234             # repeats one of them, with its traceback

Everything in a case follows from its seed.
"""

import argparse
import sys
import tempfile
from itertools import count, islice
from pathlib import Path

from pipeline.system.process import silence_pillow
from tests.support.fuzz.cases import KINDS, Material, kind_of, run_case
from tests.support.fuzz.originals import make_originals
from tests.support.fuzz.workers import fuzz, work


def main() -> int:
    """Fuzz, and print the findings."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("count", type=int, nargs="?", default=2000)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--kind", choices=sorted(set(KINDS)), help="cases of this kind only")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, help="this one alone, in this process")
    parser.add_argument("--keep", type=Path, help="with --seed: a new folder for its files")
    parser.add_argument("--worker", nargs=2, type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.worker:
        work(*chosen.worker)
        return 0
    with tempfile.TemporaryDirectory() as name:
        if chosen.seed is not None:
            place = chosen.keep or Path(name, "case")
            place.mkdir()
            silence_pillow()  # as the workers do
            make_originals(Path(name, "originals"))
            material = Material(Path(name, "originals"), Path(name, "material"))
            print(kind_of(chosen.seed), run_case(chosen.seed, material, place))
            return 0
        seeds = (seed for seed in count(chosen.first) if chosen.kind in (None, kind_of(seed)))
        tally = fuzz(islice(seeds, chosen.count), Path(name), workers=chosen.workers)
    for outcome, number in tally.outcomes.most_common():
        print(f"{number:6} {outcome}")
    for seed, outcome in sorted(tally.found.items()):
        print(f"seed {seed}, {kind_of(seed)}: {outcome}")
    return bool(tally.found)


if __name__ == "__main__":
    sys.exit(main())
