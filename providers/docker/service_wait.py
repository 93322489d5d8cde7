"""Waits: for a service to be as declared, and for the containers of a removed one to end."""

import time
from collections.abc import Mapping
from typing import Any, Final

from .engine import Engine
from .errors import MissingError, OperationError
from .formats import format_duration, parse_duration
from .operation import Operation
from .service_progress import Progress, progress

POLL_SECONDS: Final = 0.5
SETTLE_SECONDS: Final = 5.0
"""How long a roll-out may take to show. Where none does, the engine found nothing to replace."""
KILL_SECONDS: Final = 10.0
"""How long a container may take to go after it was killed."""

SECOND: Final = 1_000_000_000


def wait_converged(
    operation: Operation, engine: Engine, identifier: str, converge: Mapping[str, Any], *, rolls: bool, update: bool
) -> None:
    """Waits for the service to run as declared.

    Parameters:
        converge: ``convergeConfig``: delay before the first look, and timeout.
        rolls: see ``service_progress.progress``.
        update: an update is looked at from the start, without the delay.
    Raises ``OperationError`` when the engine gave up, or the time is over.
    """
    timeout = parse_duration(converge.get("timeout") or "3m")
    delay = 0 if update else parse_duration(converge.get("delay") or "7s")
    settled = time.monotonic() + SETTLE_SECONDS
    operation.pause(min(delay, timeout) / SECOND)
    end = time.monotonic() + max(0, timeout - delay) / SECOND
    while True:
        now = _look(engine, identifier, rolls=rolls and time.monotonic() < settled)
        if now.converged:
            return
        if now.stopped:
            raise OperationError(now.stopped + (f" ({now.detail})" if now.detail else ""))
        if time.monotonic() >= end or operation.remaining() <= 0:
            raise OperationError(
                f"Service with ID ({identifier}) did not converge after {format_duration(timeout)}: {now.detail}"
            )
        operation.status(now.detail)
        operation.pause(POLL_SECONDS)


def wait_gone(operation: Operation, engine: Engine, identifier: str, grace: int) -> None:
    """Waits for the containers that this engine still has of a removed service; ``grace`` is in nanoseconds."""
    end = time.monotonic() + min(grace / SECOND + KILL_SECONDS, operation.remaining())
    filters = {"label": f"com.docker.swarm.service.id={identifier}"}
    while True:
        with engine.api() as client:
            left = client.containers(filters=filters, all=True, quiet=True)
        if not left:
            return
        if time.monotonic() >= end:
            operation.warn(f"the service is removed, but {len(left)} of its containers did not end yet")
            return
        operation.status(f"waiting for {len(left)} containers to end")
        operation.pause(POLL_SECONDS)


def _look(engine: Engine, identifier: str, *, rolls: bool) -> Progress:
    with engine.api() as client:
        found = [each for each in client.services(filters={"id": identifier}, status=True) if each["ID"] == identifier]
        if not found:
            raise MissingError(f"Error response from daemon: service {identifier} not found")
        return progress(found[0], client.tasks(filters={"service": identifier}), rolls=rolls)
