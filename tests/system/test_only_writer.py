"""Files are created, written, renamed and deleted in two modules; no other does it, but for reasoned exceptions."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import cli

ROOT = Path(cli.__file__).parent
WRITERS = {"pipeline/system/files/atomic.py", "pipeline/system/files/writing.py", "pipeline/system/folders.py"}

EXCEPTIONS = {
    ("pipeline/system/files/reading.py", "os.open"): "for reading alone",
    ("models/engines/cache.py", "*"): "the models know nothing of pipeline; the caller hands in a private folder",
    ("models/engines/aot.py", "compiled.save"): "torch writes into the folder that models.engines.cache fills",
    (
        "models/engines/openvino.py",
        "openvino.save_model",
    ): "OpenVINO writes into the folder that models.engines.cache fills",
    ("pipeline/encode/muxer.py", "av.open"): "a temporary file that its caller reserved, or standard output",
    ("pipeline/encode/planner.py", "av.open"): "memory",
    ("pipeline/encode/side_streams/stream_map.py", "av.open"): "memory",
    ("pipeline/encode/metadata.py", "av.open"): "memory",
    ("pipeline/resume/segments.py", "av.open"): "a temporary file that it reserved",
    ("pipeline/live/sinks/writer.py", "av.open"): "a file that RecordSink claimed, or a pipe",
    ("pipeline/live/sinks/stream_process.py", "av.open"): "a network connection",
    ("pipeline/media/stills.py", "Image.fromarray(pixels).save"): "memory",
    (
        "pipeline/media/photo/writer.py",
        "Image.fromarray(pixels if alpha is None else np.dstack((pixels, alpha))).save",
    ): "memory",
    ("pipeline/live/sinks/window.py", "Image.fromarray(self._frame.pixels).save"): "memory",
    ("pipeline/batch/thumbnails.py", "image.save"): "memory",
    ("pipeline/studio/live/codecs.py", "Image.fromarray(pixels).save"): "memory",
    ("pipeline/studio/render/processes/still.py", "image.save"): "memory",
}

NAMES = {
    "os": {
        "open", "replace", "rename", "renames", "unlink", "remove", "removedirs", "rmdir", "mkdir", "makedirs", "link",
        "symlink", "truncate", "ftruncate", "mkfifo", "mknod", "chmod", "chown", "utime",
    },
    "shutil": {"rmtree", "move", "copy", "copy2", "copyfile", "copytree", "copyfileobj"},
}  # fmt: skip
METHODS = {
    "write_bytes", "write_text", "unlink", "rmdir", "mkdir", "touch", "rename", "symlink_to", "hardlink_to", "chmod",
    "save", "save_file", "save_model", "imwrite", "tofile",
}  # fmt: skip
SUSPECT = METHODS.union({"open", "replace"}, *NAMES.values())


def writes(tree: ast.AST) -> Iterator[str]:
    """Yield the calls in a module that create, write, rename or delete files."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            yield from (name for name in names if name == "tempfile")
            if isinstance(node, ast.ImportFrom) and node.module in NAMES:
                yield from (alias.name for alias in node.names if alias.name in NAMES[node.module])
        if isinstance(node, ast.Call) and _writes(node):
            yield ast.unparse(node.func)


def _writes(call: ast.Call) -> bool:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if name not in SUSPECT or any(ast.unparse(argument) == "os.devnull" for argument in call.args):
        return False
    owner = ast.unparse(call.func.value) if isinstance(call.func, ast.Attribute) else ""
    if name == "open" and owner != "os":
        return bool(_mode(call) & set("wax+"))
    if owner in NAMES:
        return name in NAMES[owner]
    # `text.replace` has two arguments, `path.replace` one.
    return bool(owner) and (name in METHODS or (name == "replace" and len(call.args) == 1 and not call.keywords))


def _mode(call: ast.Call) -> set[str]:
    """Return the letters of the mode of a call of any function named ``open``."""
    constants = [each.value for each in call.args if isinstance(each, ast.Constant)]
    constants += [
        each.value.value for each in call.keywords if each.arg == "mode" and isinstance(each.value, ast.Constant)
    ]
    return {letter for each in constants if isinstance(each, str) and len(each) <= 3 for letter in each}


def modules() -> list[str]:
    found = [ROOT / "cli.py", *(ROOT / "pipeline").rglob("*.py"), *(ROOT / "models").rglob("*.py")]
    return sorted(path.relative_to(ROOT).as_posix() for path in found)


def test_no_other_module_writes_files() -> None:
    trees = {module: ast.parse((ROOT / module).read_text()) for module in modules() if module not in WRITERS}
    found = {(module, call) for module, tree in trees.items() for call in writes(tree)}
    excepted = {each for each in found if each in EXCEPTIONS or (each[0], "*") in EXCEPTIONS}
    assert found - excepted == set(), "use pipeline.system.files"
    unused = {each for each in EXCEPTIONS if each not in found and not (each[1] == "*" and each[0] in dict(found))}
    assert unused == set(), "an exception that nothing needs"


@pytest.mark.parametrize(
    "code",
    [
        "open(path, 'w')",
        "open(path, mode='ab')",
        "path.open('r+b')",
        "av.open(path, 'w', format='mp4')",
        "os.open(path, os.O_CREAT)",
        "os.replace(a, b)",
        "from os import unlink",
        "import tempfile",
        "from tempfile import mkdtemp",
        "shutil.rmtree(path)",
        "path.write_text('')",
        "path.unlink()",
        "path.replace(other)",
        "image.save(path)",
    ],
)
def test_writing_is_recognized(code: str) -> None:
    assert list(writes(ast.parse(code)))


@pytest.mark.parametrize("code", ["open(path)", "open(path, 'rb')", "open(os.devnull, 'w')", "text.replace('a', 'b')"])
def test_reading_is_no_writing(code: str) -> None:
    assert not list(writes(ast.parse(code)))
