"""One source of options: a field of a configuration carries its help, its range and how its text is read.

    strength: Annotated[float, Option("0 leaves the video as it is, 1 stylizes it fully.", min=0, max=1)] = 1.0
    precision: Annotated[Literal["auto", "fp32", "bf16"], Option("Number format of the network.")] = "auto"

Everything else is made from these fields: the checks of values (`check_settings`), the commands
(`pipeline.console.command`), the options of job files (`pipeline.batch.inputs.jobfile`) and docs/cli.md.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, fields, is_dataclass
from decimal import Decimal
from difflib import get_close_matches
from fractions import Fraction
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from pipeline.config.arguments import READERS, WrongTypeError

_UNITS = {"_seconds": "s", "_ms": "ms"}
_METAVARS = {int: "N", float: "NUMBER", Fraction: "TIME", Path: "FILE"}
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Setting:
    """What a field of a configuration means, and which values it accepts.

    Attributes:
        help: one line for users; the documentation of the field.
        min: smallest value.
        above: bound below all values.
        max: largest value.
        unit: unit of the bounds, for messages.
        check: called with each value but None; raises ValueError if the value is wrong.
    """

    help: str
    _: KW_ONLY
    min: float | None = None
    above: float | None = None
    max: float | None = None
    unit: str = ""
    check: Callable[[Any], object] | None = None


@dataclass(frozen=True, slots=True)
class Option(Setting):
    """A setting that is an option of a command, and of job files.

    Attributes:
        name: of the option, with underscores; empty takes the field's name, without ``_seconds`` or ``_ms``.
            ``no_NAME`` makes a field False that is True by default.
        metavar: stands for the value in help texts; empty takes one that fits the type.
        read: returns the value of a text, or of all texts of an option that may be repeated; raises ValueError.
            None reads by the field's type.
    """

    name: str = ""
    metavar: str = ""
    read: Callable[[Any], object] | None = None


class Argument(Option):
    """An option that a command takes by position, and job files do not have."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class OptionsOf:
    """Marks a field that takes the options of another configuration, but not its arguments.

    A field that is a configuration takes all of its options without this mark.

    Attributes:
        config: the other configuration; the field is of its type, or a mapping from names to values not yet read.
        without: names of options to leave out.
    """

    config: type
    without: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a configuration with its setting.

    Attributes:
        attribute: name of the field.
        setting: what it means.
        kind: its type without None.
        is_optional: whether None is accepted.
        default: `dataclasses.MISSING` if the field is required.
    """

    attribute: str
    setting: Setting
    kind: Any
    is_optional: bool
    default: object

    @property
    def name(self) -> str:
        """Name of the option, with underscores."""
        return getattr(self.setting, "name", "") or self.attribute.removesuffix(self._unit_suffix)

    @property
    def choices(self) -> tuple[str, ...]:
        """The accepted texts; empty if there is no list of them."""
        return get_args(self.kind) if get_origin(self.kind) is Literal else ()

    @property
    def is_repeatable(self) -> bool:
        """Whether the option may be given more than once."""
        return get_origin(self.kind) in (Sequence, Mapping) or get_args(self.kind)[1:] == (...,)

    @property
    def is_negated(self) -> bool:
        """Whether giving the option makes the field False."""
        return self.kind is bool and self.default is True and self.name.startswith("no_")

    def check(self, value: Any) -> None:
        """Raise ValueError if the field does not accept ``value``."""
        if value is None and self.is_optional:
            return
        if self.choices and value not in self.choices:
            raise ValueError(f"{self._words} must be one of {', '.join(self.choices)}, not {value!r}")
        setting = self.setting
        is_in_range = (
            (setting.min is None or value >= setting.min)
            and (setting.above is None or value > setting.above)
            and (setting.max is None or value <= setting.max)
        )
        if not is_in_range:
            allowed = f"{_range(setting)} {setting.unit or _UNITS.get(self._unit_suffix, '')}".rstrip()
            raise ValueError(f"{self._words} must be {allowed}, not {_shown(value)}")
        if setting.check is not None:
            setting.check(value)

    def read(self, value: object) -> Any:
        """Return the value that a command line, a job file or a caller means by ``value``.

        Raises:
            ValueError: it cannot be read.
        """
        read = getattr(self.setting, "read", None)
        try:
            if self.is_repeatable:
                return read(value) if read else tuple(map(READERS[get_args(self.kind)[0]], value))  # type: ignore[call-overload]
            if read:
                return read(value)
            given = READERS[str if self.choices else self.kind](value)
        except WrongTypeError as error:
            raise ValueError(f"{self._words} {error}") from error
        return not given if self.is_negated else given

    @property
    def metavar(self) -> str:
        """What stands for the value in help texts."""
        setting = self.setting
        if given := getattr(setting, "metavar", ""):
            return str(given)
        if self.choices:
            return "|".join(self.choices)
        if self.kind is float and setting.min is not None and setting.max is not None:
            return f"{setting.min:g}..{setting.max:g}"
        return _METAVARS.get(get_args(self.kind)[0] if self.is_repeatable else self.kind, "TEXT")

    @property
    def _words(self) -> str:
        return self.name.replace("_", " ")

    @property
    def _unit_suffix(self) -> str:
        return next((suffix for suffix in _UNITS if self.attribute.endswith(suffix)), "")


@dataclass(frozen=True, slots=True)
class _Group:
    """A field that takes the options of another configuration."""

    attribute: str
    config: Any
    options: tuple[Field, ...]
    is_mapping: bool


def check_settings(config: Any) -> None:
    """Check every field of ``config`` against its setting; for ``__post_init__``.

    Raises:
        ValueError: a value is not accepted; the message has the option's name, what is accepted, and the value.
    """
    for field in _fields(config.__class__):
        if isinstance(field, Field):
            field.check(getattr(config, field.attribute))


def options_of(config: Any) -> tuple[Field, ...]:
    """Return the options of a configuration and of those in it, in the order of the fields.

    An option that two of them have is listed once; both get its value.
    """
    options: list[Field] = []
    for field in _fields(config):
        if isinstance(field, _Group):
            options += field.options
        elif isinstance(field.setting, Option):
            options.append(field)
    named: dict[str, Field] = {}
    for option in options:
        named.setdefault(option.name, option)
    return tuple(named.values())


def option_named(config: Any, text: str) -> str:
    """Return the name of the option that ``text`` means, with ``-`` or ``_``; arguments do not count.

    Raises:
        ValueError: there is no such option.
    """
    names = [field.name for field in options_of(config) if not isinstance(field.setting, Argument)]
    name = text.strip().lower().lstrip("-").replace("-", "_")
    if name not in names:
        near = get_close_matches(name, names, 1)
        raise ValueError(f"there is no option {text!r}{f'; is {near[0]} meant?' if near else ''}")
    return name


def configure(config: Callable[..., T], values: Mapping[str, object]) -> T:
    """Return a configuration of class ``config``.

    Args:
        config: the class.
        values: by the names of options; what is missing or None takes its default, other names do not count.

    Raises:
        ValueError: a value cannot be read, or is not accepted.
    """
    given: dict[str, Any] = {}
    for field in _fields(config):
        if isinstance(field, _Group):
            taken = {option.name: values[option.name] for option in field.options if option.name in values}
            given[field.attribute] = taken if field.is_mapping else configure(field.config, taken)
        elif isinstance(field.setting, Option) and values.get(field.name) is not None:
            given[field.attribute] = field.read(values[field.name])
    return config(**given)


@cache
def _fields(config: Any) -> tuple[Field | _Group, ...]:
    """The fields of ``config`` that have a setting, or take the options of another configuration."""
    hints = get_type_hints(config, include_extras=True)
    found: list[Field | _Group] = []
    for field in fields(config):
        kind, marks = hints[field.name], ()
        if get_origin(kind) is Annotated:
            kind, marks = kind.__origin__, kind.__metadata__
        mark: object = marks[0] if marks else OptionsOf(kind) if is_dataclass(kind) else None  # type: ignore[arg-type]
        if isinstance(mark, OptionsOf):
            options = [each for each in options_of(mark.config) if not isinstance(each.setting, Argument)]
            chosen = tuple(each for each in options if each.name not in mark.without)
            found.append(_Group(field.name, mark.config, chosen, is_mapping=not is_dataclass(kind)))
        elif isinstance(mark, Setting):
            found.append(Field(field.name, mark, *_without_none(kind), field.default))
    return tuple(found)


def _without_none(kind: Any) -> tuple[Any, bool]:
    """``kind`` without None, and whether None was part of it."""
    if get_origin(kind) in (Union, UnionType):
        (rest,) = (each for each in get_args(kind) if each is not NoneType)
        return rest, True
    return kind, False


def _range(setting: Setting) -> str:
    if setting.above is not None:
        return f"above {_shown(setting.above)}" + (f" and at most {_shown(setting.max)}" if setting.max else "")
    if setting.min is not None and setting.max is not None:
        return f"between {_shown(setting.min)} and {_shown(setting.max)}"
    return f"{_shown(setting.min)} or more" if setting.min is not None else f"at most {_shown(setting.max)}"


def _shown(number: Any) -> str:
    """``number``, however large, for messages."""
    if isinstance(number, int):
        return str(number)
    return f"{number.numerator / Decimal(number.denominator) if isinstance(number, Fraction) else number:.6g}"
