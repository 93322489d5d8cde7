"""Signs that the host differs from what the last `up` left."""

import os
import time
from typing import Any

import pytest
from docker.errors import APIError

from dynoform.cli import drift
from dynoform.cli.stack import Stack

IMAGE = f"sha256:{'a' * 64}"
STATE = [
    {"type": "docker:index/service:Service", "id": "s1", "urn": "u::local-router"},
    {"type": "docker:index/remoteImage:RemoteImage", "id": f"{IMAGE}dynoform/router:1", "urn": "u::local-image"},
    {
        "type": "dynoform:index:Playbook",
        "id": "p1",
        "urn": "u::local-roles",
        "inputs": {"playbook": "playbooks/host.yml"},
    },
]


class Lists:
    """The lists that an engine gives, as recorded from one; the real one is asked in the end-to-end tests."""

    remote = False

    def __init__(self) -> None:
        self.there: dict[str, set[str]] = {
            "Service": {"s1", "other"},
            "Network": {"n1", "local_dynos", "local_platform"},
            "RemoteImage": {IMAGE},
        }
        self.version = 41
        self.labels: dict[str, str] = {}
        self.refusal: APIError | None = None

    def everything(self) -> dict[str, set[str]]:
        if self.refusal:
            raise self.refusal
        return self.there

    def services(self) -> list[dict[str, Any]]:
        return [{"Version": {"Index": self.version}, "Spec": {"Name": "local_router", "Labels": self.labels}}]


@pytest.fixture
def settled(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """A stack whose last `up` finished just now."""
    stack.directory.mkdir(parents=True)
    monkeypatch.setattr(Stack, "deployment", lambda self: {"resources": STATE})
    drift.mark(stack, Lists())  # type: ignore[arg-type]
    return stack


def reason(stack: Stack, lists: Lists | None) -> str | None:
    return drift.reason(stack, lists)  # type: ignore[arg-type]


def test_hosts_are_the_plays_that_bring_the_engine(settled: Stack) -> None:
    assert drift.hosts(settled) == ["u::local-roles"]


def test_no_sign_means_no_look(settled: Stack) -> None:
    assert reason(settled, Lists()) is None


def test_unfinished_run_is_a_sign(settled: Stack) -> None:
    drift.unmark(settled)
    assert reason(settled, Lists()) == "no finished up is known"


@pytest.mark.parametrize(("age", "expected"), [(25 * 3600, "the last run was long ago"), (60, None)])
def test_age_is_a_sign(settled: Stack, monkeypatch: pytest.MonkeyPatch, age: int, expected: str | None) -> None:
    monkeypatch.setattr(drift, "_booted", lambda: 0.0)
    os.utime(settled.directory / drift.MARK, (time.time() - age,) * 2)
    assert reason(settled, Lists()) == expected


def test_new_start_of_the_host_is_a_sign(settled: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drift, "_booted", lambda: time.time() + 1)
    assert reason(settled, Lists()) == "the host was started again"


@pytest.mark.parametrize(
    ("kind", "gone", "expected"),
    [
        ("Service", "s1", "local-router is gone"),
        ("RemoteImage", IMAGE, "local-image is gone"),
        ("Network", "local_dynos", "network local_dynos is gone"),
    ],
)
def test_missing_object_is_a_sign(settled: Stack, kind: str, gone: str, expected: str) -> None:
    lists = Lists()
    lists.there[kind].remove(gone)
    assert reason(settled, lists) == expected


def test_changed_service_is_a_sign(settled: Stack) -> None:
    lists = Lists()
    lists.version += 1
    assert reason(settled, lists) == "local_router was changed"


def test_changed_dyno_is_none(settled: Stack) -> None:
    lists = Lists()
    lists.version += 1
    lists.labels = {"dynoform.dyno": "web.1"}
    assert reason(settled, lists) is None


def test_engine_that_is_away_is_a_sign(settled: Stack) -> None:
    assert reason(settled, None) == "the Docker engine does not answer"


def test_engine_that_left_the_swarm_is_a_sign(settled: Stack) -> None:
    lists = Lists()
    lists.refusal = APIError("503 Server Error", explanation="This node is not a swarm manager.")
    assert reason(settled, lists) == "the Docker engine cannot tell what it has: This node is not a swarm manager."


def test_new_start_of_this_machine_is_none_of_a_stack_on_hosts(settled: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drift, "_booted", lambda: time.time() + 60)
    lists = Lists()
    lists.remote = True
    assert reason(settled, lists) is None
