"""Progress for people: only what takes long, colours only on a terminal."""

import io
import re
import time

import pytest

from dynoform.cli import console as module
from dynoform.cli.console import Console, duration, table


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("environ", "coloured"), [({}, True), ({"NO_COLOR": ""}, False), ({"TERM": "dumb"}, False)])
def test_colours_only_where_wanted(environ: dict[str, str], coloured: bool) -> None:
    terminal = Terminal()
    Console(environ, terminal).line("done", "good")
    assert ("\x1b[" in terminal.getvalue()) is coloured
    pipe = io.StringIO()
    Console(environ, pipe).line("done", "good")
    assert pipe.getvalue() == "done\n"


def test_short_step_is_silent(console: Console, said: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    assert module.QUIET_SECONDS == 2
    monkeypatch.setattr(module, "QUIET_SECONDS", 60)  # a thread that stands still makes no step a long one
    with console.step("checking"):
        pass
    assert said.getvalue() == ""


def test_long_step_is_told_with_its_detail(
    console: Console, said: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "QUIET_SECONDS", 0.05)
    monkeypatch.setattr(module, "REPEAT_SECONDS", 0.1)
    with console.step("building") as step:
        step.detail = "half"
        while said.getvalue().count(": half\n") < 2:
            time.sleep(0.01)
    first, *others, last = said.getvalue().splitlines()
    assert first in {"… building: half", "… building"}  # without it if this thread stood still for the first 50 ms
    assert re.fullmatch(r"… building \d+(\.\d)? s: half", others[-1])
    assert re.fullmatch(r"✓ building \(\d+(\.\d)? s\)", last)


@pytest.mark.parametrize(("seconds", "text"), [(4.12, "4.1 s"), (42.4, "42 s"), (185, "3 min 05 s")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_table_is_aligned() -> None:
    assert table([["A", "BB"], ["ccc", "d"]]) == "A    BB\nccc  d"
    assert table([]) == ""
