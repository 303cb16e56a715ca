"""Commands of the command line, made from configurations."""

import inspect
from collections.abc import Callable
from dataclasses import MISSING, is_dataclass
from functools import wraps
from typing import Annotated, Any

import typer

from pipeline.config.options import Argument, Field, configure, options_of
from pipeline.console.terminal import error_lines, usage_errors


def configured(command: Callable[..., None]) -> Callable[..., None]:
    """Decorate ``command``: each parameter that is a configuration becomes the options of that configuration.

    A value that a configuration does not accept is a usage error; see `pipeline.console.terminal.error_lines` for
    other errors.
    """
    parameters = inspect.signature(command).parameters.values()
    configs: dict[str, Any] = {each.name: each.annotation for each in parameters if is_dataclass(each.annotation)}

    @wraps(command)
    def run(**given: Any) -> None:
        with error_lines(verbose=given.get("verbose", False)):
            with usage_errors():
                made = {name: configure(config, given) for name, config in configs.items()}
            command(**made, **{each.name: given[each.name] for each in parameters if each.name not in configs})

    options = [_parameter(option) for config in configs.values() for option in options_of(config)]
    options += [each for each in parameters if each.name not in configs]
    run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in options]
    )
    run.__annotations__ = {each.name: each.annotation for each in options}
    return run


def _parameter(option: Field) -> inspect.Parameter:
    """The parameter of a command that typer makes into the option."""
    kind, default = _kind_and_default(option)
    info = _argument(option) if isinstance(option.setting, Argument) else _option(option)
    return inspect.Parameter(
        option.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, info]
    )


def _kind_and_default(option: Field) -> tuple[Any, Any]:
    """Flags are read by typer, everything else is text, which `Field.read` reads; the default is only shown."""
    if option.kind is bool:
        return bool | None, False if option.is_negated else option.default
    kind = list[str] if option.is_repeatable else str
    if option.default is MISSING:
        return kind, inspect.Parameter.empty
    if option.default in (None, (), ""):
        return kind | None, None
    return kind, f"{option.default:g}" if isinstance(option.default, float) else str(option.default)


def _argument(option: Field) -> Any:
    return typer.Argument(help=option.setting.help, metavar=option.metavar)


def _option(option: Field) -> Any:
    flag = f"--{option.name.replace('_', '-')}"
    if option.kind is not bool:
        return typer.Option(flag, help=option.setting.help, metavar=option.metavar)
    both = option.default is not False and not option.is_negated
    return typer.Option(f"{flag}/--no-{flag[2:]}" if both else flag, help=option.setting.help)
