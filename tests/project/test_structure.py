"""Rules that keep the code readable: imports point one way, and the docs name every command and option."""

import ast
import re
from pathlib import Path
from typing import Any

import pytest
import typer

import cli

ROOT = Path(cli.__file__).parent


def imported(path: Path) -> set[str]:
    """Modules that a file imports anywhere, also inside functions."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("path", modules("models"), ids=lambda path: path.stem)
def test_models_know_neither_files_nor_videos(path: Path) -> None:
    roots = {name.split(".")[0] for name in imported(path)}
    finder = {"cv2"} if path.stem == "flow" else set()  # optical flow is OpenCV's; it takes arrays
    assert not (roots - finder) & {"av", "typer", "rich", "cli", "pipeline", "cv2", "PIL"}
    if "training" not in path.parts:
        assert not any(name.startswith("models.training") for name in imported(path))


@pytest.mark.parametrize("path", modules("pipeline"), ids=lambda path: path.stem)
def test_the_pipeline_knows_no_command_line(path: Path) -> None:
    drawing = {"rich"} if path.parent.name == "console" else set()  # bars; the lines above them are printed by cli
    assert not ({name.split(".")[0] for name in imported(path)} - drawing) & {"cli", "typer", "rich"}
    assert "print(" not in path.read_text(encoding="utf-8").replace("fingerprint(", "")


@pytest.mark.parametrize("name", ["threads", "errors"])
def test_the_foundations_use_the_standard_library_alone(name: str) -> None:
    roots = {module.split(".")[0] for module in imported(ROOT / "pipeline" / f"{name}.py")}
    assert not roots & {"av", "torch", "numpy", "cv2", "models", "pipeline", "PIL"}


def test_run_fits_on_one_screen() -> None:
    assert len((ROOT / "pipeline" / "run.py").read_text(encoding="utf-8").splitlines()) <= 64


def documentation() -> str:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    return "\n".join(page.read_text(encoding="utf-8") for page in pages)


def test_every_command_and_option_is_documented() -> None:
    text = documentation()
    group: Any = typer.main.get_command(cli.app)
    assert hasattr(group, "commands")
    for name, command in group.commands.items():
        assert f"flowbrush {name}" in text
        for parameter in command.params:
            for option in parameter.opts:
                if option.startswith("--"):
                    assert re.search(rf"{option}\b", text), f"flowbrush {name} {option} is in no document"


def test_names_in_the_documents_exist() -> None:
    known = {option for command in all_commands() for parameter in command.params for option in parameter.opts}
    known |= {"--help", "--version"}
    for line in re.findall(r"^ *flowbrush .*$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE):
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]*", line):
            assert option in known, f"{option} in {line!r}"


def all_commands() -> list[Any]:
    group: Any = typer.main.get_command(cli.app)
    return [group, *group.commands.values()]
