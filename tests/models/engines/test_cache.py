"""Compiled code is kept and looked for in the private cache, never in the shared temporary folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from models.engines.capabilities import can_compile

ROOT = Path(__file__).resolve().parents[3]
CPU = torch.device("cpu")

# What each command does before torch compiles: `video`, `live` and the workers of a batch, on a CPU and a GPU; `train`.
ENGINE = """
from models.engines.build import build_engine
from models.engines.engine import EngineSpec
from models.network import Architecture, StyleNetwork
import torch
narrow = StyleNetwork(Architecture(widths=(8, 8, 8)))  # which torch compiles
spec = EngineSpec(network=narrow, height=16, width=16, device=torch.device("cpu"), precision="bf16",
                  cache=cache)
"""
STARTS = {
    "compile": ENGINE
    + """
from models.engines.aot import AotGraph
class Enough(Exception): pass
def stop(*_): raise Enough
AotGraph._compile = stop
try: build_engine('compile', spec)
except Enough: pass
""",
    "trace": ENGINE + "from models.engines.compile import trace; trace(spec)",
    "train": """
from models.network import StyleNetwork
from models.training.config import TrainingConfig
from models.training.trainer import Trainer
import torch
class Objective:
    def targets(self, image, weights): return None
photos = [torch.zeros(3, 300, 300, dtype=torch.uint8)] * 8
network = StyleNetwork()
Trainer(network, [network.initial_style()], [torch.zeros(1, 3, 8, 8)], photos, Objective(),
        TrainingConfig(compile=True, crop_px=64), torch.device("cpu"), cache=cache)
""",
}
REPORT = """
from torch._inductor import codecache
print(codecache.cache_dir()); print(codecache._HEADER_DIR); print(codecache._HEADER_LOCK_DIR)
"""


def run(code: str, cache: Path, shared: Path) -> list[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("TORCHINDUCTOR")}
    environment |= {"TMPDIR": str(shared), "PYTHONPATH": str(ROOT)}
    code = f"import sys; from pathlib import Path; cache = Path(sys.argv[1])\n{code}"
    done = subprocess.run(
        [sys.executable, "-c", code, str(cache)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.skipif(not can_compile(CPU), reason="no C++ compiler")
@pytest.mark.parametrize("command", STARTS)
def test_every_command_compiles_in_the_private_cache(command: str, tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    folders = run(STARTS[command] + REPORT, tmp_path / "cache", tmp_path / "shared")
    assert [Path(folder).relative_to(tmp_path).parts[0] for folder in folders] == ["cache"] * 3
    assert not os.listdir(tmp_path / "shared")


@pytest.mark.skipif(not can_compile(CPU), reason="no C++ compiler")
@pytest.mark.slow
def test_what_is_compiled_leaves_nothing_in_the_shared_temporary_folder(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    code = """
import torch
from models.engines.cache import use_compiler_cache
use_compiler_cache(cache)
double = torch.compile(lambda x: 2 * x + 1, options={"cpp_wrapper": True})
print(int(double(torch.ones(1000)).sum()))
"""
    assert run(code, tmp_path / "cache", tmp_path / "shared") == ["3000"]
    assert not os.listdir(tmp_path / "shared")
    assert list((tmp_path / "cache" / "headers").glob("*.gch")), "precompiled headers make compiling faster"
