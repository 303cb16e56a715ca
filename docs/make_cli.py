"""Write docs/cli.md from the commands and their options.

python docs/make_cli.py
"""

import sys
from pathlib import Path
from typing import Any

import typer

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import cli

PAGE = Path(__file__).with_name("cli.md")
HEAD = """# Command line

Written by `python docs/make_cli.py`; do not edit. `flowbrush COMMAND --help` shows the same.

Exit codes and output: [video.md](video.md#output-of-the-command).
"""


def main() -> None:
    """Write ``cli.md`` beside this file."""
    PAGE.write_text(page(), encoding="utf-8")


def page() -> str:
    """Return the text of docs/cli.md."""
    group: Any = typer.main.get_command(cli.app)
    return "\n".join([HEAD, *(_section(name, command) for name, command in group.commands.items())])


def _section(name: str, command: Any) -> str:
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    options = [each for each in command.params if each.param_type_name == "option"]
    usage = " ".join(["flowbrush", name, "[OPTIONS]", *(_usage(each) for each in arguments)])
    lines = [f"## flowbrush {name}", "", *command.help.splitlines(), "", f"    {usage}", ""]
    if arguments:
        lines += ["| argument | |", "|---|---|", *(_row(each.metavar, each) for each in arguments), ""]
    lines += ["| option | |", "|---|---|", *(_row(_flags(each), each) for each in options), ""]
    return "\n".join(lines)


def _usage(argument: Any) -> str:
    return str(argument.metavar) if argument.required else f"[{argument.metavar}]"


def _flags(option: Any) -> str:
    flags = ", ".join([*option.opts, *option.secondary_opts])
    return flags if option.is_flag else f"{flags} {option.metavar}"


def _row(name: str, parameter: Any) -> str:
    notes = ["Required."] if parameter.required and parameter.param_type_name == "option" else []
    if parameter.default not in (None, False, True) and not parameter.required:
        notes.append(f"Default: `{parameter.default}`.")
    name, text = (cell.replace("|", "\\|") for cell in (name, " ".join([parameter.help, *notes])))
    return f"| `{name}` | {text} |"


if __name__ == "__main__":
    main()
