"""What an operator sees of an operation: progress as it goes, reasons and the next step when it fails."""

import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dynoform.cli import deploy
from dynoform.cli.console import Console
from dynoform.cli.events import Run, Tail
from dynoform.cli.stack import Stack
from tests.unit.cli.test_events import out, pre
from tests.unit.cli.test_events import said as said_event


@pytest.mark.parametrize(
    ("operation", "command"),
    [("up", "up"), ("refresh", "up"), ("preview", "up --preview"), ("destroy", "down")],
)
def test_failed_operation_names_the_command_that_there_is(
    stack: Stack, console: Console, program: Callable[[Path, str], Path], operation: str, command: str
) -> None:
    program(stack.places.pulumi, "echo 'error: no such thing' >&2; exit 255")
    with pytest.raises(deploy.OperationError) as caught:
        deploy.apply(stack, operation, [], console)
    assert caught.value.lines == ["no such thing"]
    assert str(caught.value).endswith(f" — mend that, then run bin/dynoform {command} --stack local again")


class Followed:
    """A reporter that follows a file of events, in which a test writes what Pulumi wrote, in its own time."""

    def __init__(self, file: Path, console: Console) -> None:
        self._file = file
        self._over = threading.Event()
        reporter = deploy.Reporter(Tail(file), Run(), console)
        self._thread = threading.Thread(target=reporter.follow, args=(self._over,))
        self._thread.start()

    def write(self, *events: dict[str, Any], age: int = 0) -> None:
        at = int(time.time()) - age
        with self._file.open("a", encoding="utf-8") as stream:
            for event in events:
                stream.write(json.dumps({**event, "timestamp": at}) + "\n")

    def end(self) -> None:
        self._over.set()
        self._thread.join()


@pytest.fixture
def followed(tmp_path: Path, console: Console, monkeypatch: pytest.MonkeyPatch) -> Iterator[Followed]:
    monkeypatch.setattr(deploy, "POLL_SECONDS", 0.02)
    found = Followed(tmp_path / "events", console)
    yield found
    found.end()


@pytest.fixture
def slowly(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Followed:
    """The same, where only what takes ten minutes is slow: a thread that stands still for seconds is not told of."""
    assert deploy.SLOW_SECONDS == 2
    monkeypatch.setattr(deploy, "SLOW_SECONDS", 600)
    found: Followed = request.getfixturevalue("followed")
    return found


def eventually(said: io.StringIO, line: str) -> None:
    until = time.monotonic() + 60
    while line not in said.getvalue() and time.monotonic() < until:
        time.sleep(0.02)
    assert line in said.getvalue()


@pytest.mark.parametrize(("op", "doing"), [("refresh", "reading"), ("create", "creating"), ("update", "updating")])
def test_step_of_more_than_two_seconds_is_announced_once(
    slowly: Followed, said: io.StringIO, op: str, doing: str
) -> None:
    slowly.write(pre(op), age=603)
    eventually(said, f"… {doing} docker:Service local-router\n")
    slowly.write(out(op))
    eventually(said, "✓ docker:Service local-router ")
    slowly.end()
    assert said.getvalue().count("…") == 1


def test_short_steps_are_told_when_they_changed_something(slowly: Followed, said: io.StringIO) -> None:
    slowly.write(pre("refresh"), out("refresh"), pre("create"), out("create"))
    slowly.end()
    assert said.getvalue() == "✓ docker:Service local-router created\n"


def test_time_of_the_program_itself_is_told_as_soon_as_a_step_s(
    followed: Followed, said: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deploy, "SLOW_SECONDS", 0.1)
    eventually(said, ": waiting for the program\n")
    time.sleep(0.5)
    followed.end()
    assert said.getvalue().count("waiting for the program") == 1


def test_what_takes_long_is_repeated_with_its_last_news(
    followed: Followed, said: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deploy, "REPEAT_SECONDS", 0.2)
    followed.write(pre("create"), said_of("pulling", ephemeral=True), age=3)
    eventually(said, ": creating docker:Service local-router (pulling)\n")
    followed.end()


def said_of(message: str, **more: Any) -> dict[str, Any]:
    return said_event("info", message, **more)
