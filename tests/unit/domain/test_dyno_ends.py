"""Ends of dynos, from the engine's events and from what it says of a container."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dynoform.domain import dyno_ends, dyno_lines
from dynoform.domain.dyno_ends import End

APP, DYNO = uuid.UUID(int=1), uuid.UUID(int=2)
LABELS = {
    "dynoform.stack": "local",
    "dynoform.app": str(APP),
    "dynoform.dyno": "web.1",
    "dynoform.dyno-id": str(DYNO),
    "dynoform.size": "Standard-1X",
}
NOW = datetime(2026, 11, 26, 1, 2, 3, 456789, tzinfo=UTC)


def end(code: int, *, signalled: float | None = None, out_of_memory: bool = False) -> End:
    resident = dyno_ends.resident("c0", LABELS)
    assert resident is not None
    asked = None if signalled is None else NOW - timedelta(seconds=signalled)
    return End(resident, code, NOW, asked, out_of_memory)


def test_labels_say_whose_a_container_is() -> None:
    found = dyno_ends.resident("c0", LABELS)
    assert found is not None
    assert (found.app_id, found.id, found.formation, found.name) == (APP, DYNO, True, "web.1")
    assert found.size is not None
    assert found.size.memory_mb == 512
    one_off = LABELS | {"dynoform.run-id": str(DYNO), "dynoform.dyno": "run.1"}
    del one_off["dynoform.dyno-id"]
    found = dyno_ends.resident("c1", one_off)
    assert found is not None
    assert (found.id, found.formation) == (DYNO, False)


@pytest.mark.parametrize("label", ["dynoform.app", "dynoform.dyno", "dynoform.dyno-id"])
def test_what_is_not_labelled_as_a_dyno_is_none(label: str) -> None:
    assert dyno_ends.resident("c0", {key: value for key, value in LABELS.items() if key != label}) is None
    if label != "dynoform.dyno":
        assert dyno_ends.resident("c0", LABELS | {label: "x"}) is None


def test_a_dyno_of_an_older_release_has_no_size_to_measure_by() -> None:
    for labels in ({**LABELS, "dynoform.size": "huge"}, {k: v for k, v in LABELS.items() if k != "dynoform.size"}):
        found = dyno_ends.resident("c0", labels)
        assert found is not None
        assert found.size is None


@pytest.mark.parametrize(
    ("ended", "lines", "error"),
    [
        (end(0), ["Process exited with status 0"], ""),
        (end(143, signalled=1), ["Process exited with status 143"], ""),
        (end(137, signalled=3), ["Process exited with status 137"], ""),
        (
            end(137, signalled=30.2),
            [dyno_lines.EXIT_TIMEOUT, dyno_lines.KILLING, "Process exited with status 137"],
            "R12",
        ),
        (
            end(137, out_of_memory=True),
            [
                "Process running mem=1024M(200.0%)",
                "Error R15 (Memory quota vastly exceeded)",
                "Stopping process with SIGKILL",
                "Process exited with status 137",
            ],
            "R15",
        ),
    ],
    ids=["by itself", "asked", "killed by hand", "did not exit", "out of memory"],
)
def test_an_end_is_told_with_its_reason(ended: End, lines: list[str], error: str) -> None:
    assert (ended.lines(), ended.error) == (lines, error)


def state(**changes: Any) -> dict[str, Any]:
    running = {"Running": False, "ExitCode": 137, "OOMKilled": True, "FinishedAt": "2026-11-26T01:02:03.456789012Z"}
    return {"State": running | changes}


def test_an_ended_container_tells_how() -> None:
    resident = end(0).resident
    assert dyno_ends.found(resident, state()) == End(resident, 137, NOW, out_of_memory=True)
    # An earlier process of it was ended by the kernel; this end is its own.
    assert dyno_ends.found(resident, state(ExitCode=1)) == End(resident, 1, NOW)
    assert dyno_ends.found(resident, state(Running=True)) is None
    assert dyno_ends.found(resident, state(FinishedAt="0001-01-01T00:00:00Z")) is None


def test_events_are_those_of_containers() -> None:
    described = {
        "Type": "container",
        "Action": "kill",
        "Actor": {"ID": "c0", "Attributes": LABELS | {"signal": "15"}},
        "timeNano": 1_795_654_923_456_789_012,
    }
    found = dyno_ends.event(described)
    assert found is not None
    assert (found.action, found.container, found.asks_to_end) == ("kill", "c0", True)
    assert abs(found.at - NOW) < timedelta(days=1)
    assert dyno_ends.resident(found.container, found.attributes) == end(0).resident
    killed = dyno_ends.event({**described, "Actor": {"ID": "c0", "Attributes": {"signal": "9"}}})
    assert killed is not None
    assert not killed.asks_to_end
    for wrong in ({**described, "Type": "network"}, {"Type": "container"}, {**described, "Actor": None}, {}):
        assert dyno_ends.event(wrong) is None
