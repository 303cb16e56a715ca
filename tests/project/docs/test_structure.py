"""What must agree: the packages in pyproject.toml, the options in the code, and both with the documents."""

import re
import runpy
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer

import cli
from models.registry import bundled, find

ROOT = Path(cli.__file__).parent
GROUP: Any = typer.main.get_command(cli.app)
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_every_package_is_installed() -> None:
    """Except for what renders the sample clips, which are installed themselves."""
    names = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    roots = {name.split(".")[0] for name in names}
    found = [path.parent.relative_to(ROOT) for root in roots for path in (ROOT / root).rglob("__init__.py")]
    packages = {".".join(path.parts) for path in found}
    assert packages - set(names) == {"sample_videos.renderer"}
    assert set(names) <= packages


def test_the_page_of_the_command_line_is_what_the_code_says() -> None:
    page = runpy.run_path(str(ROOT / "docs" / "make_cli.py"))["page"]()
    on_disk = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert on_disk == page, "run: python docs/make_cli.py"


def test_the_tables_of_the_weights_are_made_from_their_metadata() -> None:
    path = ROOT / "models" / "weights" / "README.md"
    on_disk = path.read_text(encoding="utf-8")
    page = runpy.run_path(str(ROOT / "docs" / "make_weights.py"))["page"]
    assert page(on_disk) == on_disk, "run: python docs/make_weights.py"
    one = next(line for line in on_disk.splitlines() if line.startswith("| `great-wave` | .0"))
    assert page(on_disk.replace(one, "| `great-wave` | by hand |", 1)) == on_disk


def test_the_distance_from_the_optimum_is_listed_for_all_styles(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tool = runpy.run_path(str(ROOT / "docs" / "make_weights.py"))
    styles = [(name, find(name)[1]) for name in bundled()]
    styles[0] = (styles[0][0], replace(styles[0][1], figures={"times_optimum": 4.26}))
    styles[1] = (styles[1][0], replace(styles[1][1], figures={}))
    (tmp_path / "page.md").write_text("")
    tool["main"].__globals__.update(_styles=lambda: styles, PAGE=tmp_path / "page.md")
    tool["main"]()
    rows, missing = capsys.readouterr().out.rsplit("times_optimum is missing in ", 1)
    assert sum(line.startswith("| `") for line in rows.splitlines()) == len(styles)
    assert f"| `{styles[0][0]}` | 4.3 |" in rows
    assert f"| `{styles[1][0]}` | not measured |" in rows
    assert styles[1][0] in missing
    assert styles[0][0] not in missing


@pytest.mark.parametrize("name", GROUP.commands)
def test_every_command_and_option_is_documented(name: str) -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    section = page.split(f"## flowbrush {name}\n")[1].split("\n## ")[0]
    for parameter in GROUP.commands[name].params:
        for flag in (*parameter.opts, *parameter.secondary_opts):
            if flag.startswith("--"):
                assert re.search(rf"`[^`]*{flag}\b", section), flag


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_options_in_the_documents_exist(document: Path) -> None:
    known = {"--help", "--version"}
    known |= {
        flag
        for command in GROUP.commands.values()
        for each in command.params
        for flag in (*each.opts, *each.secondary_opts)
    }
    for line in re.findall(r"^ *flowbrush .*$", document.read_text(encoding="utf-8"), re.MULTILINE):
        for flag in re.findall(r"(?<![\w-])--[a-z][a-z-]*", line):
            assert flag in known, f"{flag} in {line!r}"
