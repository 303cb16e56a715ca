"""What a terminal shows of a batch, line by line."""

import re

import pytest

from pipeline.batch.events import Ended, Event, Failed, Finished, Noted, Planned, Progressed, Skipped, Started
from pipeline.console.batch_view import BatchView

FIGURES = {"frames": 1, "fps": 0.0, "damaged_places": 1}


class Terminal:
    """What a terminal has received on standard error."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys, self._text = capsys, ""

    def text(self) -> str:
        self._text += self._capsys.readouterr().err
        return self._text

    def lines(self) -> list[str]:
        """The lines to see, with those that have scrolled away."""
        lines, row = [""], 0
        for code in re.findall(r"\x1b\[[?\d;]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", self.text()):
            if code == "\n":
                row += 1
                lines += [""] * (row - len(lines) + 1)
            elif code == "\x1b[1A":
                row -= 1
            elif code in ("\x1b[2K", "\r"):
                lines[row] = "" if code == "\x1b[2K" else lines[row]
            elif not code.startswith("\x1b"):
                lines[row] += code
        return [line.rstrip() for line in lines if line.strip()]

    def shows_its_cursor(self) -> bool:
        text = self.text()
        return text.rfind("\x1b[?25h") > text.rfind("\x1b[?25l")


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    """Standard error, as a terminal of 80 columns."""
    for name, value in {"TERM": "xterm", "FORCE_COLOR": "1", "COLUMNS": "80", "LINES": "24"}.items():
        monkeypatch.setenv(name, value)
    return Terminal(capsys)


def planned(clips: int, megapixels: float) -> Planned:
    return Planned(clips, 0, 0, megapixels, 0.0, 0, 0)


def share(view: BatchView) -> float:
    """Share of the batch that its bar shows."""
    whole = view.bars.tasks[0]
    return whole.completed / (whole.total or 1)


def test_bars_show_the_progress_of_each_clip(terminal: Terminal) -> None:
    with BatchView(quiet=False) as view:
        view(planned(3, 10.0))
        view(Started("a.mp4", "in/a.mp4", 1, 6.0))
        view(Progressed("a.mp4", 50, 100, 12.5))
        view(Started("b.mp4", "in/b.mp4", 1, 4.0))
        view(Progressed("b.mp4", 0, 40, 0.0))
        view(Skipped("c.mp4"))
        view.bars.refresh()
        whole, first, second = terminal.lines()
        assert re.fullmatch(r"all clips\s+\S+\s+1/3 clips\s+\S+", whole)
        assert re.fullmatch(r"a\.mp4\s+\S+\s+50/100  12\.5 fps\s+\S+", first)
        assert re.fullmatch(r"b\.mp4\s+\S+\s+starting", second)
    assert terminal.lines() == []
    assert terminal.shows_its_cursor()


def test_the_bar_of_the_batch_follows_its_clips(terminal: Terminal) -> None:
    view, shares = BatchView(quiet=False), list[float]()
    for event in (
        planned(2, 10.0),
        Started("a.mp4", "in/a.mp4", 1, 6.0),
        Started("b.mp4", "in/b.mp4", 1, 4.0),
        Progressed("a.mp4", 90, 100, 1.0),
        Failed("a.mp4", "the disk is full", will_retry=True),
        Progressed("b.mp4", 35, 40, 1.0),  # the last frames are not reported
        Finished("b.mp4", FIGURES),
        Started("a.mp4", "in/a.mp4", 2, 6.0),
        Progressed("a.mp4", 100, 100, 1.0),
        Failed("a.mp4", "the disk is full", will_retry=False),
        Started("later.mp4", "in/later.mp4", 1, 10.0),  # came while the folder was watched
        Finished("later.mp4", FIGURES),
    ):
        view(event)
        shares.append(round(share(view), 3))
    assert shares == [0, 0, 0, 0.54, 0, 0.35, 0.4, 0.4, 1, 1, 0.5, 1]
    assert view.bars.tasks[0].fields["state"] == "2/3 clips, 1 failed"


def test_the_view_accepts_events_in_any_order(terminal: Terminal) -> None:
    """Events of clips that never started, have ended, or started twice at once."""
    with BatchView(quiet=False) as view:
        for event in (
            Progressed("a.mp4", 1, None, 1.0),
            Finished("a.mp4", FIGURES),
            Progressed("a.mp4", 1, 0, 1.0),
            Started("a.mp4", "in/a.avi", 1, 0.0),
            Started("a.mp4", "in/a.mkv", 1, 1.0),
            Progressed("a.mp4", 3, 2, 1.0),
            Failed("a.mp4", "changed", will_retry=False),
            Finished("a.mp4", FIGURES),
            Failed("b.mp4", "changed", will_retry=True),
        ):
            view(event)
            view.bars.refresh()
    view.print_table(Ended(1, 0, 0, 1, 1.0, "report.html"))
    note, *table = terminal.lines()
    assert note == "note: b.mp4 failed: changed; it is tried once more after the others"
    row = "a.mp4  stylized  1 frame, 1 damaged place in the input"
    assert table == [row, "1 stylized, 1 not finished in 1.0 s; report.html"]


def test_names_neither_harm_the_terminal_nor_fill_its_width(terminal: Terminal) -> None:
    names = ["\x1b]0;owned\x07\u202egpj.mp4", "w\udcffrd.mp4", "[red]:smile:.mp4", "folder/" + "\u7d75" * 60 + ".mp4"]
    with BatchView(quiet=False) as view:
        view(planned(4, 1.0))
        for name in names:
            view(Started(name, "in/" + name, 1, 1.0))
            view(Progressed(name, 1000, 9999, 144.5))
        view.bars.refresh()
        rows = terminal.lines()
    assert "\x1b]" not in terminal.text()
    assert not {"\x07", "\u202e", "\udcff"} & set(terminal.text())
    shown = [row.split("  ")[0].split(" \u2501")[0] for row in rows[1:]]
    assert shown[:3] == [r"\x1b]0;owned\x07\u202egpj.mp4", r"w\xffrd.mp4", "[red]:smile:.mp4"]
    assert re.fullmatch("\\.\\.\\.\u7d75+\\.mp4", shown[3])
    assert all(re.search("[\u2501\u2578\u257a]{8,} 1000/9999  144.5 fps", row) for row in rows[1:])


def test_notices_stay_above_the_bars(terminal: Terminal) -> None:
    long = "a line that is much wider than a terminal, " * 4
    with BatchView(quiet=False) as view:
        view(planned(3, 3.0))
        for name in ("a.mp4", "b.mp4", "c.mp4"):
            view(Started(name, f"in/{name}", 1, 1.0))
            view.bars.refresh()
            view(Noted(name, long + name))
        view(Noted(None, "the disk may become full"))
        view.bars.refresh()
    shown = " ".join(terminal.lines())
    assert shown == " ".join(
        [*(f"note: {name}: {long}{name}" for name in ("a.mp4", "b.mp4", "c.mp4")), "note: the disk may become full"]
    )


def test_an_interruption_restores_the_terminal(terminal: Terminal) -> None:
    with BatchView(quiet=False) as view:
        view(planned(2, 2.0))
        view(Skipped("a.mp4"))
        view(Started("b.mp4", "in/b.mp4", 1, 1.0))
        view.bars.refresh()
        assert not terminal.shows_its_cursor()
        view.report_interruption()  # in the middle of the batch; the process ends after this line
        assert terminal.shows_its_cursor()
        assert terminal.lines() == ["interrupted; 1 of 2 are done; run the same command to resume"]


def test_the_table_is_in_columns_and_quiet_shows_failures_only(terminal: Terminal) -> None:
    ended = Ended(2, 0, 1, 0, 61.0, "out/report.html")
    last = "2 stylized, 1 failed in 0:01:01; out/report.html"
    good, wide = "a.mp4", "\u7d75\x1b.mp4"
    events: list[Event] = [
        Started("broken.mp4", "in/broken.mp4", 2, 0.0),
        Failed("broken.mp4", "is no video", will_retry=False),
        Finished(good, {"frames": 90, "fps": 26.04, "damaged_places": 0}),
        Finished(wide, {"frames": 2, "fps": 3.0, "damaged_places": 2}),
    ]
    tables = []
    for view in (BatchView(quiet=False), BatchView(quiet=True), BatchView(quiet=False, emit=lambda event: None)):
        for event in events:
            view(event)
        start = len(terminal.lines())
        view.print_table(ended)
        tables.append(terminal.lines()[start:])
    failed = "broken.mp4  failed    is no video"
    stylized = [
        "a.mp4       stylized  90 frames, 26.0 fps",
        "\u7d75\\x1b.mp4  stylized  2 frames, 3.0 fps, 2 damaged places in the input",
    ]
    assert tables == [[*stylized, failed, last], [failed, last], [last]]
    silent = BatchView(quiet=True)
    silent(Finished(good, FIGURES))
    start = len(terminal.lines())
    silent.print_table(Ended(1, 0, 0, 0, 1.0, "out/report.html"))
    assert len(terminal.lines()) == start
