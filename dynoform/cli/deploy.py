"""Runs a Pulumi operation on a stack and shows how it goes: one line per thing done, one per thing that takes long."""

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from dynoform.cli import recovery
from dynoform.cli.console import Console, duration
from dynoform.cli.engine import connect
from dynoform.cli.events import Operation, Run, Tail, reasons, short
from dynoform.cli.process import stream
from dynoform.cli.stack import Stack
from dynoform.errors import DynoformError

LIMIT_SECONDS = 2 * 3600
POLL_SECONDS = 0.2
SLOW_SECONDS = 2
REPEAT_SECONDS = 15
KEPT_LOGS = 40
COMMANDS = {"up": "up", "refresh": "up", "preview": "up --preview", "destroy": "down"}
"""Operation of Pulumi → the command of ours that runs it."""
SECRET = "docker:index/secret:Secret"  # noqa: S105 a type's name


@dataclass(frozen=True)
class Outcome:
    """What an operation came to: its events, how long it took in seconds, its log."""

    run: Run
    seconds: float
    log: Path


class OperationError(DynoformError):
    """An operation failed; `lines` are the reasons, one line each, `log` the whole story."""

    def __init__(self, what: str, lines: list[str], log: Path, next_step: str) -> None:
        """`what` names stack and operation."""
        super().__init__(what, f"did not finish, the log is {log}", next_step)
        self.lines = lines
        self.log = log


def apply(stack: Stack, operation: str, words: list[str], console: Console) -> Outcome:
    """Runs ``pulumi <operation> <words>``: clears up after a killed run first, shows progress, keeps a log.

    Raises `OperationError` with the reasons when Pulumi reports an error, `DynoformError` when it cannot run.
    The caller holds `recovery.claim`.
    """
    recovery.end_orphans(stack, console)
    settle(stack, console)
    outcome, output, code = _once(stack, operation, words, console)
    if code and recovery.is_locked(output):
        recovery.break_lock(stack, output, console)
        settle(stack, console)
        outcome, output, code = _once(stack, operation, words, console)
    if code:
        lines = [stack.masked(line) for line in reasons(outcome.run)] or [_complaint(output)]
        again = f"mend that, then run bin/dynoform {COMMANDS[operation]} --stack {stack.name} again"
        raise OperationError(f"{operation} of stack {stack.name}", lines, outcome.log, again)
    return outcome


def settle(stack: Stack, console: Console) -> None:
    """Finds out what became of creates that a killed run had begun, and puts it into the state.

    Whatever runs next has to refresh: `up` does without a finished one before it, `down` always.
    """
    if not recovery.pending_creates(stack.deployment()):
        return
    # They may be those of a run on another machine, which is at them.
    recovery.check_free(stack, console)
    pending = recovery.pending_creates(stack.deployment())
    ids = _existing(stack, pending)
    console.line(
        f"creates that a killed run had begun: {len(pending)}, of which {len(ids)} happened and are kept", "dim"
    )
    done = stack.edit(partial(recovery.settled, ids=ids))
    if done.code:
        raise DynoformError(f"state of stack {stack.name}", done.last_words, "bin/dynoform doctor")


def _existing(stack: Stack, pending: list[recovery.Pending]) -> dict[str, str]:
    """Ids, by URN, of those that exist after all."""
    ids: dict[str, str] = {}
    with connect(stack) as engine:
        if engine is None:
            return ids
        for one in pending:
            name = str(one.inputs.get("name", ""))
            found = engine.id_of(one.kind, name)
            if found:
                ids[one.urn] = found
            elif one.kind == SECRET:
                # Nothing uses it yet: whatever would is made after it.
                engine.forget_secret(name)
    return ids


def _once(stack: Stack, operation: str, words: list[str], console: Console) -> tuple[Outcome, str, int]:
    base = _log_base(stack, operation)
    events, log = Path(f"{base}.events"), Path(f"{base}.log")
    command = stack.pulumi(operation, *words, "--event-log", str(events), timeout=LIMIT_SECONDS, leader=True)
    seen, began = Run(), time.monotonic()
    with log.open("w", encoding="utf-8", buffering=1) as file, _watched(events, seen, console):

        def note(line: str) -> None:
            file.write(stack.masked(line) + "\n")

        done = stream(command, note, lambda pid: recovery.remember(stack, pid))
    if not (done.code and recovery.is_locked(done.stdout)):
        recovery.forget(stack)
    return Outcome(seen, time.monotonic() - began, log), stack.masked(done.stdout), done.code


def _log_base(stack: Stack, operation: str) -> Path:
    directory = stack.directory / "logs"
    directory.mkdir(parents=True, exist_ok=True)
    for old in sorted(directory.iterdir())[:-KEPT_LOGS]:
        old.unlink(missing_ok=True)
    return directory / f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}-{operation}"


@contextlib.contextmanager
def _watched(events: Path, seen: Run, console: Console) -> Iterator[None]:
    """Shows what `events` tells, while the block runs and once more after it."""
    over = threading.Event()
    reporter = Reporter(Tail(events), seen, console)
    watcher = threading.Thread(target=reporter.follow, args=(over,), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


class Reporter:
    """Turns events into lines for the operator."""

    def __init__(self, tail: Tail, seen: Run, console: Console) -> None:
        """`seen` is kept up to date with what `tail` brings."""
        self._tail, self._seen, self._console = tail, seen, console
        self._announced: set[str] = set()
        self._began = self._last = time.monotonic()
        self._waiting = False

    def follow(self, over: threading.Event) -> None:
        """Reports until `over`, then what is left."""
        while not over.wait(POLL_SECONDS):
            self._catch_up()
            self._mention_slow()
        self._catch_up()

    def _catch_up(self) -> None:
        for event in self._tail.fresh():
            for progress in self._seen.take(event):
                self._console.line(progress.text, progress.tone)
                self._last, self._waiting = time.monotonic(), False

    def _mention_slow(self) -> None:
        now = time.time()
        running = dict(self._seen.running)
        for urn, operation in running.items():
            if now - operation.since > SLOW_SECONDS and urn not in self._announced:
                self._announced.add(urn)
                self._say(f"… {operation.doing} {short(urn)}")
        # Between two operations it is the program, or Pulumi's start, that takes its time: told as soon as a step is.
        patience = REPEAT_SECONDS if running or self._waiting else SLOW_SECONDS
        if time.monotonic() - self._last > patience:
            self._waiting = not running
            self._say(f"… {duration(time.monotonic() - self._began)}: {_busy(running)}")

    def _say(self, line: str) -> None:
        self._last = time.monotonic()
        self._console.line(line, "dim")


def _busy(running: dict[str, Operation]) -> str:
    shown = []
    for urn, operation in list(running.items())[:3]:
        detail = f" ({operation.detail[:80]})" if operation.detail else ""
        shown.append(f"{operation.doing} {short(urn)}{detail}")
    more = f" and {len(running) - 3} more" if len(running) > 3 else ""
    return ", ".join(shown) + more if shown else "waiting for the program"


def _complaint(output: str) -> str:
    """Pulumi's own error line, when no event tells why."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line.partition("error: ")[2] for line in lines if "error: " in line]
    return errors[-1] if errors else (lines[-1] if lines else "pulumi said nothing")
