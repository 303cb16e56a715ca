"""The fields of the configurations, and what is made from them: commands, job files, checks."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import typer

import cli
from pipeline.batch.config import BatchConfig
from pipeline.batch.inputs.jobs import video_config
from pipeline.config import DecodeConfig, EncodeConfig, RefineConfig, StylizeConfig, VideoConfig
from pipeline.config.arguments import read_frame_size, read_memory, read_seconds
from pipeline.config.optimize import OPTIMIZE_OPTIONS, OptimizeConfig
from pipeline.config.options import (
    Argument,
    Option,
    OptionsOf,
    Setting,
    check_settings,
    configure,
    option_named,
    options_of,
)
from pipeline.console.config import PreviewConfig
from pipeline.evaluate.config import EvaluateConfig
from pipeline.image.config import ImageConfig
from pipeline.image.pattern_config import PatternConfig
from pipeline.live.config import LiveConfig, SinkConfig
from pipeline.train.config import TrainConfig

COMMANDS: dict[str, tuple[type, ...]] = {
    "video": (VideoConfig,),
    "image": (ImageConfig,),
    "pattern": (PatternConfig,),
    "live": (LiveConfig, SinkConfig),
    "batch": (BatchConfig,),
    "styles": (PreviewConfig,),
    "evaluate": (EvaluateConfig,),
    "train": (TrainConfig,),
}
CONFIGS = sorted(  # in one order: each process of pytest-xdist collects the tests for itself
    {DecodeConfig, EncodeConfig, OptimizeConfig, RefineConfig, StylizeConfig}.union(*COMMANDS.values()),
    key=lambda config: config.__name__,
)


@dataclass(frozen=True, kw_only=True)
class Inner:
    level: Annotated[float, Option("Level.", min=0, max=1)] = 0.5
    mode: Annotated[Literal["soft", "hard"], Option("Mode.")] = "soft"
    secret: Annotated[bool, Option("Not for all.")] = False

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True, kw_only=True)
class Outer:
    file: Annotated[Path, Argument("File.")]
    inner: Annotated[Inner, OptionsOf(Inner, without=("secret",))]
    start_seconds: Annotated[
        Fraction | None, Option("Start.", name="start", read=read_seconds, above=0, max=100, unit="s")
    ] = None
    tag: Annotated[bool, Option("Do not tag.", name="no_tag")] = True
    names: Annotated[tuple[str, ...], Option("Names.")] = ()
    depth: Annotated[int, Setting("Depth.", min=1)] = 4
    rest: Annotated[Mapping[str, object], OptionsOf(Inner, without=("level", "mode"))] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_settings(self)


def test_a_configuration_is_made_from_text() -> None:
    given = {"file": "a.mp4", "level": "1", "mode": "hard", "start": "0:02.5", "names": ["a", "b"], "secret": "yes"}
    made = configure(Outer, given | {"no_tag": True, "depth": "9", "unknown": 1})
    assert made == Outer(
        file=Path("a.mp4"),
        inner=Inner(level=1.0, mode="hard"),
        start_seconds=Fraction(5, 2),
        tag=False,
        names=("a", "b"),
        rest={"secret": "yes"},  # read by whoever gets the mapping
    )
    assert configure(Outer, {"file": "a.mp4", "start": None, "no_tag": False}) == Outer(
        file=Path("a.mp4"), inner=Inner()
    )
    assert [option.name for option in options_of(Outer)] == [
        *("file", "level", "mode", "start", "no_tag", "names", "secret"),
    ]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"level": 2}, "level must be between 0 and 1, not 2"),
        ({"level": "nan"}, "level must be a number, not 'nan'"),
        ({"level": 10**400}, "level must be a number"),
        ({"mode": "medium"}, "mode must be one of soft, hard, not 'medium'"),
        ({"mode": 3}, "mode must be text, not 3"),
        ({"start": 0}, "start must be above 0 and at most 100 s, not 0"),
        ({"start": "9" * 400}, "start must be above 0 and at most 100 s"),
        ({"start": "soon"}, "'soon' is not a time"),
        ({"start": True}, "start must be text, not True"),
        ({"no_tag": "perhaps"}, "no tag must be true or false"),
        ({"names": ["a", 3]}, "names must be text, not 3"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_accepted(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        configure(Outer, {"file": "a.mp4", **values})


def test_callers_are_checked_too() -> None:
    with pytest.raises(ValueError, match="depth must be 1 or more, not 0"):
        Outer(file=Path("a"), inner=Inner(), depth=0)
    with pytest.raises(ValueError, match="level must be between 0 and 1, not nan"):
        Inner(level=float("nan"))


def test_a_name_may_be_written_in_several_ways() -> None:
    assert {option_named(Outer, text) for text in ("no_tag", "--no-tag", " No-Tag ")} == {"no_tag"}
    with pytest.raises(ValueError, match="no option 'levle'; is level meant"):
        option_named(Outer, "levle")
    with pytest.raises(ValueError, match="no option 'file'"):
        option_named(Outer, "file")


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.__name__)
def test_every_field_has_a_setting(config: Any) -> None:
    settings = {name: getattr(hint, "__metadata__", (hint,))[0] for name, hint in config.__annotations__.items()}
    assert set(settings) == {field.name for field in fields(config)}
    for name, setting in settings.items():
        assert isinstance(setting, OptionsOf) or setting in CONFIGS or setting.help.endswith("."), name


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_the_options_of_its_configurations(name: str) -> None:
    group: Any = typer.main.get_command(cli.app)
    shown = {parameter.name: parameter.help for parameter in group.commands[name].params}
    options = [option for config in COMMANDS[name] for option in options_of(config)]
    assert {option.name: option.setting.help for option in options}.items() <= shown.items()
    assert len({option.name for option in options}) == len(options)


def test_batch_and_job_files_have_every_option_of_video() -> None:
    left_out = set(OPTIMIZE_OPTIONS) - {"loss_weights"}  # hours for each clip
    options = [
        option
        for option in options_of(VideoConfig)
        if not isinstance(option.setting, Argument) and option.name not in left_out
    ]
    assert {option.name for option in options} <= {option.name for option in options_of(BatchConfig)}
    values: dict[str, object] = {"style": "great-wave", "style_end": "minotaur", "max_memory": "4G", "mask": "a.png"}
    values |= {"start": "1:00", "duration": 2, "height": "240", "quality": "30", "preset": "fast", "codec": "h264"}
    for option in options:
        given = values.get(option.name, option.choices[-1] if option.choices else option.default)
        config = video_config("a.mp4", "b.mp4", {"style": "great-wave", option.name: given})
        assert config is not None, option.name


def test_times_are_exact() -> None:
    assert read_seconds("83.1") == Fraction(831, 10)
    assert read_seconds("1:23.5") == Fraction(167, 2)
    assert read_seconds("01:00:00.001") == 3600 + Fraction(1, 1000)
    for wrong in ("", "1:2:3:4", "-3", "1e3", "a", "1::2"):
        with pytest.raises(ValueError, match="is not a time"):
            read_seconds(wrong)


def test_amounts_of_memory() -> None:
    assert [read_memory(text) for text in ("4G", "500M", "1.5 GiB", "2gb", "1000")] == [
        *(4 * 2**30, 500 * 2**20, 3 * 2**29, 2 * 2**30, 1000),
    ]
    for text in ("", "four", "4X", "-1G", "0", "1G2"):
        with pytest.raises(ValueError, match="write 4G or 500M"):
            read_memory(text)


def test_frame_sizes() -> None:
    assert read_frame_size(" 1280X720 ") == (1280, 720)
    for wrong in ("1280", "1280x", "8x8", "99999x100", "-3x50", "١٢٨٠x720"):
        with pytest.raises(ValueError, match="is not a frame size"):
            read_frame_size(wrong)
