"""Waits for the platform's services to run as declared.

Pulumi's docker plugin waits for replicated services alone: those that run on every host it takes for done as soon as
the engine knows them.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dynoform.cli.console import Console
from dynoform.cli.engine import Engine, is_of_apps
from dynoform.errors import DynoformError

SECONDS = 120.0
POLL_SECONDS = 0.5
CALM_LOOKS = 3
"""How often in a row all has to be well after a change: the engine needs a moment to begin with it."""
STUCK = ("paused", "rollback_started", "rollback_paused", "rollback_completed")


@dataclass(frozen=True)
class Lagging:
    """A service that does not run as declared; `stuck` says that the engine has given up."""

    name: str
    running: int
    wanted: int
    reason: str
    stuck: bool = False

    def __str__(self) -> str:
        """``local_router: 0 of 1 run: task: non-zero exit (1)``."""
        return f"{self.name}: {self.running} of {self.wanted} run{f': {self.reason}' if self.reason else ''}"


def wait(engine: Engine, console: Console, *, changed: bool) -> None:
    """Returns when every service of the platform has as many running tasks as it wants.

    Raises `DynoformError` naming service, task error and next step when one has not in time, or the engine gave up.
    """
    calm, until = CALM_LOOKS if changed else 1, time.monotonic() + SECONDS
    with console.step("waiting for the platform's services") as step:
        while True:
            behind = list(lagging(engine))
            calm = CALM_LOOKS if behind else calm - 1
            if calm <= 0:
                return
            if behind and (time.monotonic() > until or any(one.stuck for one in behind)):
                raise _failed(next((one for one in behind if one.stuck), behind[0]))
            step.detail = "; ".join(str(one) for one in behind)
            time.sleep(POLL_SECONDS)


def lagging(engine: Engine) -> Iterator[Lagging]:
    """The platform's services that do not run as declared, dynos left out."""
    for service in sorted(engine.services(), key=lambda one: str(one["Spec"]["Name"])):
        if is_of_apps(service):
            continue
        name, update = service["Spec"]["Name"], service.get("UpdateStatus") or {}
        running, wanted = _counts(service)
        # The word stays with a service that was mended since: its tasks tell.
        stuck = update.get("State") in STUCK and (running < wanted or _has_old_tasks(engine, service))
        if running < wanted or stuck or update.get("State") == "updating":
            reason = _reason(engine, service["ID"]) or str(update.get("Message", ""))
            yield Lagging(name, running, wanted, reason, stuck)


def _counts(service: Mapping[str, Any]) -> tuple[int, int]:
    """Running and wanted tasks. Of a service for every host the engine wants none until it has looked for hosts."""
    status = service.get("ServiceStatus") or {}
    everywhere = "Global" in (service["Spec"].get("Mode") or {})
    return int(status.get("RunningTasks", 0)), max(int(status.get("DesiredTasks", 0)), int(everywhere))


def _has_old_tasks(engine: Engine, service: Mapping[str, Any]) -> bool:
    wanted = service["Spec"]["TaskTemplate"].get("ContainerSpec")
    live = [task for task in engine.tasks(service["ID"]) if task.get("DesiredState") == "running"]
    return any((task.get("Spec") or {}).get("ContainerSpec") != wanted for task in live)


def _reason(engine: Engine, service: str) -> str:
    """What the newest task that complains says."""
    tasks = sorted(engine.tasks(service), key=lambda task: str(task["CreatedAt"]), reverse=True)
    found = (str((task.get("Status") or {}).get("Err", "")) for task in tasks)
    return next((error for error in found if error), "")


def _failed(one: Lagging) -> DynoformError:
    why = f"{one.running} of {one.wanted} tasks run{f': {one.reason}' if one.reason else ''}"
    next_step = f"docker service logs {one.name}; mend that, then run the same command again"
    return DynoformError(f"service {one.name}", why, next_step)
