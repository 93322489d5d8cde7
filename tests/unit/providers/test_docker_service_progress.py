"""When a service counts as being as declared, and when it will never be."""

from typing import Any

import pytest

from providers.docker.service_progress import progress, rolls

NEW = {"ContainerSpec": {"Image": "app:2"}, "ForceUpdate": 0}
OLD = {"ContainerSpec": {"Image": "app:1"}, "ForceUpdate": 0}


def service(running: int, desired: int, replicas: int | None = 1, state: str | None = None) -> dict[str, Any]:
    mode = {"Global": {}} if replicas is None else {"Replicated": {"Replicas": replicas}}
    status = {} if state is None else {"UpdateStatus": {"State": state, "Message": "update paused due to failure"}}
    numbers = {"RunningTasks": running, "DesiredTasks": desired}
    return {"Spec": {"Mode": mode, "TaskTemplate": {**NEW, "Runtime": "container"}}, "ServiceStatus": numbers, **status}


def task(spec: dict[str, Any] = NEW, desired: str = "running", error: str = "", created: str = "1") -> dict[str, Any]:
    return {"Spec": spec, "DesiredState": desired, "CreatedAt": created, "Status": {"State": "failed", "Err": error}}


@pytest.mark.parametrize(
    ("found", "tasks", "rolling", "converged"),
    [
        (service(1, 1), [task()], False, True),
        (service(0, 1), [task()], False, False),
        (service(1, 1, replicas=2), [task()], False, False),
        (service(0, 0, replicas=0), [], False, True),
        (service(0, 0, replicas=0), [], True, True),
        (service(0, 0, replicas=None), [], False, False),
        (service(2, 2, replicas=None), [task(), task()], False, True),
        # An old task still runs, and the roll-out has not begun.
        (service(1, 1), [task(OLD)], True, False),
        (service(1, 1), [task(OLD)], False, False),
        # Only the ports changed: tasks look the same, so the roll-out has to show.
        (service(1, 1), [task()], True, False),
        (service(1, 1, state="updating"), [task()], True, False),
        (service(1, 1, state="completed"), [task(), task(OLD, "shutdown")], True, True),
        (service(0, 1, state="completed"), [task()], True, False),
    ],
)
def test_service_is_as_declared(
    found: dict[str, Any], tasks: list[dict[str, Any]], rolling: bool, converged: bool
) -> None:
    assert progress(found, tasks, rolls=rolling).converged is converged


@pytest.mark.parametrize(
    ("state", "text"),
    [
        ("paused", "service update paused: update paused due to failure"),
        ("rollback_paused", "service rollback paused: update paused due to failure"),
        ("rollback_completed", "service rollback completed: update paused due to failure"),
    ],
)
def test_service_that_the_engine_gave_up_on_is_said_to_be(state: str, text: str) -> None:
    found = progress(service(1, 1, state=state), [task()], rolls=True)
    assert found.stopped == text
    assert not found.converged


def test_trouble_is_that_of_the_newest_present_task() -> None:
    tasks = [task(error="no such image"), task(OLD, error="old", created="3"), task(error="port in use", created="2")]
    assert progress(service(0, 1), tasks, rolls=False).detail == "0 of 1 tasks run: a task is failed: port in use"


def test_a_task_that_waits_for_its_health_is_said_to() -> None:
    starting = {**task(), "Status": {"State": "starting"}}
    assert progress(service(0, 1), [starting], rolls=False).detail == "0 of 1 tasks run: a task is starting"


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({"TaskTemplate": OLD}, {"TaskTemplate": NEW}, True),
        ({"TaskTemplate": NEW, "Labels": {}}, {"TaskTemplate": NEW, "Labels": {"a": "1"}}, False),
        ({"TaskTemplate": NEW}, {"TaskTemplate": {**NEW, "Placement": {"MaxReplicas": 1}}}, False),
        ({"TaskTemplate": NEW}, {"TaskTemplate": NEW, "EndpointSpec": {"Mode": "vip"}}, True),
    ],
)
def test_only_some_changes_replace_tasks(before: dict[str, Any], after: dict[str, Any], expected: bool) -> None:
    assert rolls(before, after) is expected
