"""The pages of documentation agree with the tree: links, headings, files and modules exist."""

import re
from pathlib import Path

import pytest

import cli

ROOT = Path(cli.__file__).parent
PATTERNS = ("*.md", "docs/**/*.md", "benchmarks/*.md", "models/weights/*.md", "models/predictor/*.md")
PAGES = sorted(path for pattern in PATTERNS for path in ROOT.glob(pattern))


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def test_the_readme_is_short() -> None:
    assert (ROOT / "README.md").stat().st_size <= 10_000


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if target.startswith(("http:", "https:")):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), f"{named(page)} links to {target}"
        if anchor:
            assert anchor in anchors(linked), f"{named(page)} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_files_and_modules_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    folders = r"(?:pipeline|models|tests|benchmarks|docs|sample_videos)"
    for path in re.findall(rf"`(?:python )?({folders}/[\w/.]+\.(?:py|md|json|safetensors|png|jpg))", text):
        assert (ROOT / path).exists(), f"{named(page)} names {path}"
    for module in re.findall(r"`((?:pipeline|models)(?:\.[a-z_]+)+)`", text):
        place = ROOT / module.replace(".", "/")
        assert place.is_dir() or place.with_suffix(".py").exists(), f"{named(page)} names {module}"


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/architecture.md", "docs/batch.md", "docs/python.md"])
def test_names_of_the_code_exist(page: str) -> None:
    code = "\n".join(
        path.read_text(encoding="utf-8")
        for path in [ROOT / "cli.py", *(ROOT / "pipeline").rglob("*.py"), *(ROOT / "models").rglob("*.py")]
    )
    words = set(re.findall(r"\w+", code))
    text = (ROOT / page).read_text(encoding="utf-8")
    for name in re.findall(r"`(?:\w+\.)?(_?[A-Z][a-z]+[A-Z]\w*|_?[A-Z]+_[A-Z_]+|[a-z]+_[a-z_]+)(?:\(.*?\))?`", text):
        assert name in words, f"{page} names {name}"


def test_tests_that_hold_a_promise_exist() -> None:
    page = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    promises = re.findall(r"^\| (?!promise|---)(.+?) \| (.+) \|$", page, re.MULTILINE)
    assert len(promises) > 20
    for promise, held_by in promises:
        module = ""
        assert "`tests/" in held_by, promise
        for path, name in re.findall(r"`(tests/[\w/]+\.py)?(?:::(\w+))?`", held_by):
            module = path or module
            text = (ROOT / module).read_text(encoding="utf-8")
            assert f"def {name}(" in text or not name, f"{promise} is held by {module}::{name}, which does not exist"


def test_pages_that_the_code_names_exist() -> None:
    for folder in ("pipeline", "models", "benchmarks", "tests"):
        for path in (ROOT / folder).rglob("*.py"):
            for page in re.findall(r"\bdocs/[\w/]+\.md", path.read_text(encoding="utf-8")):
                assert (ROOT / page).exists(), f"{named(path)} names {page}"
