"""`up` ends when the platform runs: services on every host, which Pulumi does not wait for, too."""

import io
import re
from typing import Any

import pytest

from dynoform.cli import convergence
from dynoform.cli.console import Console
from dynoform.cli.engine import DYNO, Engine
from dynoform.errors import DynoformError


class Lists:
    """The lists that an engine gives, one after the other; the last one stays. Recorded from one with a service."""

    def __init__(self, *looks: dict[str, Any]) -> None:
        self.looks = list(looks)
        self.asked = 0
        self.errors: list[str] = []
        self.image = "new"
        self.api = self

    def services(self, filters: dict[str, str], status: bool) -> list[dict[str, Any]]:
        look = self.looks[min(self.asked, len(self.looks) - 1)]
        self.asked += 1
        labels = {DYNO: "web.1"} if look.get("dyno") else {}
        task = {"ContainerSpec": {"Image": "new"}}
        spec = {"Name": "local_router", "Labels": labels, "Mode": {"Global": {}}, "TaskTemplate": task}
        counts = {"RunningTasks": look["running"], "DesiredTasks": look["wanted"]}
        update = {"State": look["update"], "Message": "update paused"} if "update" in look else None
        return [{"ID": "s1", "Spec": spec, "ServiceStatus": counts, "UpdateStatus": update}]

    def tasks(self, filters: dict[str, str]) -> list[dict[str, Any]]:
        failed = [{"CreatedAt": str(number), "Status": {"Err": error}} for number, error in enumerate(self.errors)]
        spec = {"ContainerSpec": {"Image": self.image}}
        return [*failed, {"CreatedAt": "9", "DesiredState": "running", "Spec": spec, "Status": {}}]


def wait(lists: Lists, console: Console, *, changed: bool = True) -> None:
    convergence.wait(Engine(lists, "local"), console, changed=changed)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convergence, "POLL_SECONDS", 0.01)


RUNS = {"running": 1, "wanted": 1}


def test_platform_that_runs_is_looked_at_once_when_nothing_changed(console: Console) -> None:
    lists = Lists(RUNS)
    wait(lists, console, changed=False)
    assert lists.asked == 1


@pytest.mark.parametrize(
    "first", [{"running": 0, "wanted": 1}, {"running": 0, "wanted": 0}, {**RUNS, "update": "updating"}]
)
def test_service_that_does_not_run_yet_is_waited_for(console: Console, first: dict[str, Any]) -> None:
    lists = Lists(RUNS, first, RUNS)
    wait(lists, console)
    assert lists.asked == 2 + convergence.CALM_LOOKS


def test_dynos_are_not_waited_for(console: Console) -> None:
    wait(Lists({"running": 0, "wanted": 1, "dyno": True}), console)


def test_service_that_never_runs_is_named_with_the_error_of_its_newest_task(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convergence, "SECONDS", 0.2)
    lists = Lists({"running": 0, "wanted": 1})
    lists.errors = ["old", "task: non-zero exit (64)", ""]
    with pytest.raises(DynoformError) as caught:
        wait(lists, console)
    assert str(caught.value) == (
        "service local_router: 0 of 1 tasks run: task: non-zero exit (64) "
        "— docker service logs local_router; mend that, then run the same command again"
    )


@pytest.mark.parametrize(("running", "image"), [(0, "new"), (1, "old")])
def test_update_that_the_engine_gave_up_is_told_at_once(
    console: Console, monkeypatch: pytest.MonkeyPatch, running: int, image: str
) -> None:
    monkeypatch.setattr(convergence, "SECONDS", 3600.0)
    lists = Lists({"running": running, "wanted": 1, "update": "paused"})
    lists.image = image
    with pytest.raises(DynoformError, match=f"service local_router: {running} of 1 tasks run: update paused"):
        wait(lists, console)


def test_update_that_was_given_up_and_mended_since_passes(console: Console) -> None:
    wait(Lists({**RUNS, "update": "paused"}), console)


def test_wait_is_told(console: Console, said: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    line = re.compile(r"… waiting for the platform's services[^:\n]*: local_router: 0 of 1 run\n")

    class UntilTold(Lists):
        def services(self, filters: dict[str, str], status: bool) -> list[dict[str, Any]]:
            if line.search(said.getvalue()):
                self.looks = [RUNS]
            return super().services(filters, status)

    monkeypatch.setattr("dynoform.cli.console.QUIET_SECONDS", 0.05)
    monkeypatch.setattr("dynoform.cli.console.REPEAT_SECONDS", 0.1)
    wait(UntilTold({"running": 0, "wanted": 1}), console)
    assert line.search(said.getvalue())
