"""What the keys of the window do."""

from dataclasses import dataclass
from enum import Enum, auto


class Action(Enum):
    """What a key does."""

    STYLE = auto()
    NEXT_STYLE = auto()
    PREVIOUS_STYLE = auto()
    STRONGER = auto()
    WEAKER = auto()
    COLORS = auto()
    MIRROR = auto()
    STILL = auto()
    RECORD = auto()
    ORIGINAL = auto()
    FULL_SCREEN = auto()
    HELP = auto()
    QUIT = auto()


@dataclass(frozen=True, slots=True)
class Binding:
    """Keys with the same action.

    Attributes:
        keys: their names: a character, or ``left``, ``right``, ``up``, ``down``, ``escape``.
        label: how the help writes them.
        action: what they do.
        text: how the help describes it.
        repeats: whether the action is repeated while the key is held.
    """

    keys: tuple[str, ...]
    label: str
    action: Action
    text: str
    repeats: bool = False


BINDINGS = (
    Binding(tuple("1234567890"), "1 .. 9, 0", Action.STYLE, "style by its number"),
    Binding(("right",), "right", Action.NEXT_STYLE, "next style", repeats=True),
    Binding(("left",), "left", Action.PREVIOUS_STYLE, "previous style", repeats=True),
    Binding(("up",), "up", Action.STRONGER, "stronger", repeats=True),
    Binding(("down",), "down", Action.WEAKER, "weaker", repeats=True),
    Binding(("c",), "c", Action.COLORS, "keep colors"),
    Binding(("m",), "m", Action.MIRROR, "mirror"),
    Binding(("s",), "s", Action.STILL, "save a still"),
    Binding(("r",), "r", Action.RECORD, "record, stop"),
    Binding(("b",), "b", Action.ORIGINAL, "original (hold or tap)", repeats=True),
    Binding(("f",), "f", Action.FULL_SCREEN, "full screen"),
    Binding(("h",), "h", Action.HELP, "this help"),
    Binding(("q", "escape"), "q, Esc", Action.QUIT, "quit"),
)
BY_KEY = {key: binding for binding in BINDINGS for key in binding.keys}
