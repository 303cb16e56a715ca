"""A seed makes a case: its kind, and everything in it."""

import random
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from tests.support.fuzz.byte_cases import bytes_case
from tests.support.fuzz.clip_cases import timeline_case
from tests.support.fuzz.job_cases import job_case
from tests.support.fuzz.picture_cases import picture_case
from tests.support.fuzz.state_cases import States, batch_case, records_case, work_folder_case


class Material:
    """What cases start from; made when it is first asked for.

    Args:
        originals: folder of whole clips, see `make_originals`.
        folder: for what this process makes.
    """

    def __init__(self, originals: Path, folder: Path) -> None:
        self._originals = originals
        self.states = States(folder)

    @cached_property
    def originals(self) -> list[Path]:
        """The whole clips."""
        return sorted(self._originals.iterdir())


Case = Callable[[random.Random, Path, Material], str]

CASES: dict[str, Case] = {
    "bytes": lambda chance, folder, material: bytes_case(chance, folder, material.originals),
    "timeline": lambda chance, folder, material: timeline_case(chance, folder),
    "picture": lambda chance, folder, material: picture_case(chance, folder),
    "job": lambda chance, folder, material: job_case(chance, folder),
    "work_folder": lambda chance, folder, material: work_folder_case(chance, folder, material.states),
    "batch": lambda chance, folder, material: batch_case(chance, folder),
    "records": lambda chance, folder, material: records_case(chance, folder, material.states),
}
# The kinds of seeds 0 to 15, and so on again.
KINDS = (
    *("bytes", "timeline", "picture", "bytes", "timeline", "job", "bytes", "timeline"),
    *("work_folder", "bytes", "picture", "timeline", "bytes", "job", "records", "batch"),
)


def kind_of(seed: int) -> str:
    """Return the kind of the case of ``seed``."""
    return KINDS[seed % len(KINDS)]


def run_case(seed: int, material: Material, folder: Path) -> str:
    """Run the case of ``seed`` in an empty folder; return its outcome in a word, with ``BUG`` before what is wrong.

    Raises:
        Exception: any but ours is a finding too.
    """
    return CASES[kind_of(seed)](random.Random(seed), folder, material)
