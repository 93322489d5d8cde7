"""The life of a dyno that is as declared: does its process run, has it crashed, is it up?"""

from collections.abc import Iterator
from datetime import timedelta

from dynoform.domain import backoff
from dynoform.domain.dyno_actions import Action, MarkCrashed, MarkStarting, MarkUp
from dynoform.domain.dyno_hosting import SWARM_TURN, Hosting
from dynoform.domain.dyno_snapshot import WEB, DynoState, Task

BOOT_TIMEOUT = timedelta(seconds=60)
STEADY = timedelta(seconds=1)
"""A dyno without a port is up when it has run for this long."""
NO_TASK = timedelta(seconds=15)
"""How long a new service may be without a task."""

_CRASHED = frozenset({"complete", "failed", "rejected"})
_PORT_TAKEN = ("host-mode port", "port is already allocated", "address already in use")


class Life:
    """The decisions about single dynos of one app."""

    def __init__(self, hosting: Hosting) -> None:
        """``hosting`` says where they are and go."""
        self.hosting, self.snapshot, self.services = hosting, hosting.snapshot, hosting.services

    def live(self, dyno: DynoState) -> Iterator[Action]:
        """A dyno that is as declared: does it run, has it crashed, is it up?"""
        service = self.services.get(dyno.id)
        if service is None:
            yield from self._start_missing(dyno)
            return
        if dyno.state != "crashed" and self.hosting.is_lost(service) and self.hosting.has_some():
            yield from self.hosting.start(dyno, "its host is lost")
            return
        if service.altered:
            yield from self.hosting.start(dyno, f"its service was changed: {service.altered}")
            return
        if dyno.state != "crashed" and self.hosting.is_drained(service):
            yield from self.hosting.leave(dyno)
            return
        crash = next((task for task in service.tasks if self._is_new_crash(task)), None)
        if crash is not None:
            yield self._crashed(dyno, crash)
            return
        latest = service.tasks[-1] if service.tasks else None
        if latest is None or not latest.live:
            yield from self._restart_ended(dyno, latest)
        else:
            yield from self._observe(dyno, latest)

    def _crashed(self, dyno: DynoState, task: Task) -> MarkCrashed:
        reason = task.error or f"its process ended ({task.state})"
        if task.state == "rejected":
            after = self.snapshot.now + backoff.RELAUNCH
            return MarkCrashed(dyno.id, dyno.crashes, after, reason, task.id, launch_failed=True)
        ran_for = task.at - dyno.since if dyno.state == "up" else timedelta(0)
        crashes = backoff.count(dyno.crashes, ran_for)
        return MarkCrashed(dyno.id, crashes, self.snapshot.now + backoff.delay(crashes), reason, task.id)

    def _is_new_crash(self, task: Task) -> bool:
        if task.state not in _CRASHED or task.id in self.snapshot.counted or _port_taken(task):
            return False
        return self.snapshot.watched_since is None or task.at >= self.snapshot.watched_since

    def _start_missing(self, dyno: DynoState) -> Iterator[Action]:
        if dyno.state != "crashed":
            yield from self.hosting.start(dyno, "new" if dyno.state == "starting" else "its service is gone")
        elif dyno.start_after is None or dyno.start_after <= self.snapshot.now:
            yield from self.hosting.start(dyno, "cool-off is over")

    def _restart_ended(self, dyno: DynoState, latest: Task | None) -> Iterator[Action]:
        """No task runs or will run unless somebody starts one: Swarm, whose turn the first time is, or we."""
        if dyno.state == "crashed":
            due = dyno.start_after or self.snapshot.now
            if dyno.crashes == 1:
                due = max(due, dyno.since + SWARM_TURN)
            if due <= self.snapshot.now:
                yield from self.hosting.start(dyno, "cool-off is over")
        elif latest is not None and _port_taken(latest):
            yield from self._leave_port(dyno)
        elif self.snapshot.now - (latest.at if latest else dyno.since) >= (SWARM_TURN if latest else NO_TASK):
            yield from self.hosting.start(
                dyno, "it was stopped with its engine" if latest else "Swarm has no task for it"
            )

    def _observe(self, dyno: DynoState, task: Task) -> Iterator[Action]:
        """The newest task is alive: how far is it?"""
        if _port_taken(task):
            yield from self._wait_for_port(dyno, task)
        elif dyno.state == "crashed":
            yield MarkStarting(dyno.id, "Swarm starts it again")
        elif dyno.state == "up":
            moved = task.port is not None and (task.address, task.port) != (dyno.address, dyno.port)
            if task.state != "running" or moved:
                yield MarkStarting(dyno.id, "Swarm has moved or restarted it")
        elif task.state == "running":
            yield from self._boot(dyno, task)

    def _wait_for_port(self, dyno: DynoState, task: Task) -> Iterator[Action]:
        """Its port is in use: for a moment by its own predecessor, which leaves, or else by somebody who stays."""
        if any(earlier.live for earlier in self.services[dyno.id].tasks[:-1]):
            if dyno.state == "up":
                yield MarkStarting(dyno.id, "Swarm has moved or restarted it")
        else:
            yield from self._leave_port(dyno)

    def _leave_port(self, dyno: DynoState) -> Iterator[Action]:
        """Another port for the dyno, unless Swarm may still get this one: its predecessor has only just ended."""
        latest_change = max(task.at for task in self.services[dyno.id].tasks)
        if self.snapshot.now - latest_change >= SWARM_TURN:
            yield from self.hosting.start(dyno, "its port is taken")

    def _boot(self, dyno: DynoState, task: Task) -> Iterator[Action]:
        if dyno.type != WEB:
            if self.snapshot.now - task.at >= STEADY:
                yield MarkUp(dyno.id, None, None, "it runs")
        elif dyno.id in self.snapshot.answering:
            yield MarkUp(dyno.id, task.address, task.port, "its port answers")
        elif self.snapshot.now - max(dyno.since, task.at) >= BOOT_TIMEOUT:
            crashes = backoff.count(dyno.crashes, timedelta(0))
            after = self.snapshot.now + backoff.delay(crashes)
            yield MarkCrashed(dyno.id, crashes, after, "nothing listens on its $PORT", task.id, boot_timeout=True)


def _port_taken(task: Task) -> bool:
    return any(words in task.error for words in _PORT_TAKEN)
