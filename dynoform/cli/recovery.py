"""What a killed run leaves behind, found and put right: its `pulumi`, its lock, its half-done creates."""

import contextlib
import fcntl
import json
import os
import re
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dynoform.cli.console import Console
from dynoform.cli.stack import Stack
from dynoform.errors import ConflictError, DynoformError

LOCKED = re.compile(r"currently locked by")
OWNER = re.compile(r"created by (?P<user>[^@\s]*)@(?P<host>\S+) \(pid (?P<pid>\d+)\) at (?P<since>\S+)")
PATIENCE = ((signal.SIGINT, 90), (signal.SIGTERM, 15), (signal.SIGKILL, 5))


@contextlib.contextmanager
def claim(stack: Stack) -> Iterator[None]:
    """Keeps other runs of `bin/dynoform` off the stack; the kernel lets go when this process dies.

    Raises `ConflictError` naming the process that has it.
    """
    stack.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (stack.directory / "lock").open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            why = f"process {file.read().strip() or 'unknown'} is changing it"
            raise ConflictError(
                f"stack {stack.name}", why, "wait for it to end, then run the same command again"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _started(pid: int) -> str | None:
    """When a process started, in clock ticks: with its id this names a process for good. None when it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else fields[19]


def remember(stack: Stack, pid: int) -> None:
    """Notes which `pulumi` works on the stack, for a next run to find if we are killed."""
    fresh = _notes(stack).with_suffix(".new")
    fresh.write_text(json.dumps([*_noted(stack).items(), (pid, _started(pid))]), encoding="utf-8")
    fresh.replace(_notes(stack))


def forget(stack: Stack) -> None:
    """No `pulumi` of ours works on the stack any more, nor has left a lock."""
    _notes(stack).unlink(missing_ok=True)


def _notes(stack: Stack) -> Path:
    return stack.directory / "pulumi.pid"


def _noted(stack: Stack) -> dict[int, str | None]:
    """Process → when it started, of each `pulumi` that may have left a lock."""
    try:
        return {int(pid): started for pid, started in json.loads(_notes(stack).read_text(encoding="utf-8"))}
    except (OSError, ValueError, TypeError):  # TypeError: an earlier version's
        return {}


def end_orphans(stack: Stack, console: Console) -> None:
    """Ends the `pulumi` of a killed run: it is asked to stop, so that it saves what it has done."""
    for pid, started in _noted(stack).items():
        if started and _started(pid) == started:
            with console.step(f"waiting for the pulumi of a killed run (process {pid}) to end"):
                _end(pid, started)


def _end(pid: int, started: str) -> None:
    for number, seconds in PATIENCE:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if _started(pid) != started:
                return
            time.sleep(0.2)


def is_locked(output: str) -> bool:
    """Whether `pulumi` said that the stack is locked."""
    return bool(LOCKED.search(output))


def check_free(stack: Stack, console: Console) -> None:
    """Asks for the lock of a stack that is there, after what a killed run has left is cleared up.

    Raises `ConflictError` while somebody else changes it.
    """
    end_orphans(stack, console)
    done = stack.init()
    if done.code and is_locked(done.stderr):
        break_lock(stack, done.stderr, console)


def break_lock(stack: Stack, output: str, console: Console) -> None:
    """Removes locks whose owners are dead; `output` is what `pulumi` said.

    Raises `ConflictError` when an owner is alive or on another machine, since only people can tell what it does.
    """
    for owner in OWNER.finditer(output):
        if not _is_dead(stack, owner["host"], int(owner["pid"])):
            who = f"{owner['user']}@{owner['host']}, process {owner['pid']}, since {owner['since']}"
            next_step = f"wait for it; if it is dead: pulumi cancel --stack {stack.name}"
            raise ConflictError(f"stack {stack.name}", f"is locked by {who}", next_step)
    console.line(f"removing the lock of a killed run from stack {stack.name}", "dim")
    done = stack.ask("cancel", "--yes", "--stack", stack.name)
    if done.code:
        raise DynoformError(f"pulumi cancel --stack {stack.name}", done.last_words, "run it by hand")


def _is_dead(stack: Stack, host: str, pid: int) -> bool:
    """Whether who has the lock is a process of this machine that has ended.

    Machines that share a backend may have the same name, containers of a pipeline for instance: there it has to be a
    `pulumi` of which we know that it was ours.
    """
    if host != socket.gethostname():
        return False
    noted, started = _noted(stack), _started(pid)
    if pid in noted:
        return started is None or started != noted[pid]
    return stack.state_file is not None and started is None


@dataclass(frozen=True)
class Pending:
    """A create that was under way when a run was killed: whether it happened is not known."""

    urn: str
    kind: str
    inputs: Mapping[str, Any]


def pending_creates(deployment: Mapping[str, Any]) -> list[Pending]:
    """The creates that a state (see `Stack.deployment`) says were never finished."""
    found = []
    for operation in deployment.get("pending_operations") or []:
        resource = operation.get("resource") or {}
        if operation.get("type") == "creating":
            found.append(Pending(resource["urn"], resource.get("type", ""), resource.get("inputs") or {}))
    return found


def settled(deployment: Mapping[str, Any], ids: Mapping[str, str]) -> dict[str, Any]:
    """`deployment` with nothing pending: creates that happened (`ids`, by URN) are resources, the rest is forgotten.

    ``pulumi refresh --import-pending-creates`` is not what it says: as of 3.259 it forgets all of them. The outputs are
    a guess that the next refresh puts right, as it does what became of updates and deletes.
    """
    operations, resources = deployment.get("pending_operations") or [], list(deployment.get("resources") or [])
    known = {resource["urn"] for resource in resources}
    for operation in operations:
        resource = operation.get("resource") or {}
        urn = str(resource.get("urn"))
        if operation.get("type") == "creating" and urn in ids and urn not in known:
            resources.append({**resource, "id": ids[urn], "outputs": resource.get("inputs") or {}})
    return {**deployment, "resources": resources, "pending_operations": []}
