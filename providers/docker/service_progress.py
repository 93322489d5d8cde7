"""How far a service is: from the engine's service, its numbers and its tasks to a verdict. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Answer = Mapping[str, Any]

COMPARED = ("ContainerSpec", "ForceUpdate", "Resources", "RestartPolicy", "Networks", "LogDriver")
"""Parts of a task that an update replaces it for. A changed placement alone replaces only the tasks it moves."""


@dataclass(frozen=True)
class Progress:
    """Parameters: converged: as declared; stopped: why it will not get there, if so; detail: what it waits for."""

    converged: bool
    stopped: str | None
    detail: str


def progress(service: Answer, tasks: Sequence[Answer], *, rolls: bool) -> Progress:
    """Judges a service.

    Parameters:
        service: the engine's answer with ``ServiceStatus`` and, during or after a roll-out, ``UpdateStatus``.
        rolls: the last change makes the engine replace tasks, so a roll-out has to show before it can be over.
    """
    status = service.get("UpdateStatus") or {}
    state, message = status.get("State"), status.get("Message", "")
    stopped = _stopped(state, message)
    trouble = _trouble(service, tasks)
    if stopped:
        return Progress(converged=False, stopped=stopped, detail=trouble)
    numbers = service.get("ServiceStatus") or {}
    running, desired = numbers.get("RunningTasks", 0), numbers.get("DesiredTasks", 0)
    wanted = _wanted(service.get("Spec") or {}, desired)
    live = [task for task in tasks if task.get("DesiredState") == "running"]
    current = all(_is_current(task, service) for task in live)
    over = state == "completed" or (state is None and current and (not rolls or wanted == 0))
    detail = f"{running} of {wanted} tasks run" + (f"; {message}" if message and state != "completed" else "")
    return Progress(over and running == desired == wanted, None, f"{detail}: {trouble}" if trouble else detail)


def rolls(before: Answer, after: Answer) -> bool:
    """Whether going from one of the engine's specs to another makes it replace tasks."""
    old, new = before.get("TaskTemplate") or {}, after.get("TaskTemplate") or {}
    if any(old.get(part) != new.get(part) for part in COMPARED):
        return True
    return before.get("EndpointSpec") != after.get("EndpointSpec")


def _wanted(spec: Answer, desired: int) -> int:
    replicated = (spec.get("Mode") or {}).get("Replicated")
    # A global service runs on as many nodes as the engine finds fit, but on one at least.
    return int(replicated.get("Replicas", 0)) if replicated is not None else max(desired, 1)


def _stopped(state: str | None, message: str) -> str | None:
    if state == "paused":
        return f"service update paused: {message}"
    if state == "rollback_paused":
        return f"service rollback paused: {message}"
    if state == "rollback_completed":
        return f"service rollback completed: {message}"
    return None


def _is_current(task: Answer, service: Answer) -> bool:
    wanted, has = (service.get("Spec") or {}).get("TaskTemplate") or {}, task.get("Spec") or {}
    return all(has.get(part) == wanted.get(part) for part in COMPARED)


def _trouble(service: Answer, tasks: Sequence[Answer]) -> str:
    """What the newest of the present tasks says that is in trouble, or what one does that does not run yet."""
    present = [task for task in tasks if _is_current(task, service)]
    newest = sorted(present, key=lambda task: str(task.get("CreatedAt")), reverse=True)
    for task in newest:
        status = task.get("Status") or {}
        if status.get("Err"):
            return f"a task is {status.get('State')}: {status['Err']}"
    waiting = next((task for task in newest if (task.get("Status") or {}).get("State") != "running"), None)
    return f"a task is {waiting['Status']['State']}" if waiting and waiting.get("Status") else ""
