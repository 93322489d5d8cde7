"""The one-off dynos of a host: takes those that are asked for, and leaves nothing behind of those that ended.

Level-triggered: every look compares rows, sessions and the engine's containers.
"""

import asyncio
import json
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from dynoform.domain.dyno_container import DYNO_ID_LABEL, DYNO_LABEL, RUN_ID_LABEL, STACK_LABEL
from dynoform.errors import DynoformError
from dynoform.run import places
from dynoform.run.exec_session import ExecSession
from dynoform.run.rows import Run
from dynoform.run.session import Parts, Session

LOOK_SECONDS = 5.0
LOG_SECONDS = 60.0
"""How long a detached dyno's container stays after its end, for the log agent to read the last lines."""


class Sessions:
    """The sessions of this host."""

    def __init__(self, parts: Parts) -> None:
        """None at first; an earlier agent's are found at the first look."""
        self.parts = parts
        self._sessions: dict[uuid.UUID, tuple[Session, asyncio.Task[None]]] = {}

    async def look(self) -> None:
        """Compare what is asked for with what there is, and begin to mend the difference. Raises ``DynoformError``."""
        containers = await self._containers()
        runs = {run.id: run for run in await self.parts.rows.mine(_running(containers))}
        self._forget_ended()
        for run in runs.values():
            self._see(run)
        for run_id, (session, _) in self._sessions.items():
            if run_id not in runs:
                session.stop()  # its app is gone
        await self._sweep(runs, containers)

    async def stop(self) -> None:
        """Let go of all sessions; what they run goes on."""
        tasks = [task for _, task in self._sessions.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _see(self, run: Run) -> None:
        if run.id not in self._sessions:
            session = (ExecSession if run.over_ssh else Session)(self.parts, run)
            self._sessions[run.id] = session, asyncio.ensure_future(session.live())
            self.parts.journal.info("one-off dyno", dyno=run.id, name=run.name, app=run.app_name, state=run.state)
        if run.state == "down":
            self._sessions[run.id][0].stop()

    def _forget_ended(self) -> None:
        for run_id, (_, task) in list(self._sessions.items()):
            if task.done():
                del self._sessions[run_id]
                error = None if task.cancelled() else task.exception()
                if error is not None:
                    self.parts.journal.error("session failed", dyno=run_id, error=repr(error))

    async def _containers(self) -> Sequence[Mapping[str, Any]]:
        """All of this stack's dynos on this host, those that have ended too."""
        labels = [f"{STACK_LABEL}={self.parts.configuration.stack}", DYNO_LABEL]
        query = {"all": "1", "filters": json.dumps({"label": labels})}
        found: list[dict[str, Any]] = await self.parts.engine.call("GET", "/containers/json", query=query)
        return found

    async def _sweep(self, runs: Mapping[uuid.UUID, Run], containers: Sequence[Mapping[str, Any]]) -> None:
        """Remove containers of one-off dynos that nobody has a row or a session for."""
        for found in containers:
            if RUN_ID_LABEL not in found["Labels"]:
                continue
            run_id = _id(found["Labels"][RUN_ID_LABEL])
            if run_id not in runs and run_id not in self._sessions and await self._is_over(found["Id"]):
                await places.remove(self.parts.engine, f"/containers/{found['Id']}")

    async def _is_over(self, container: str) -> bool:
        """Whether nothing of it is needed any more: its log, if it has one, has been read."""
        try:
            found: dict[str, Any] = await self.parts.engine.call("GET", f"/containers/{container}/json")
        except DynoformError:
            return False  # gone meanwhile, or looked at again
        if found["State"]["Status"] != "exited" or found["HostConfig"]["LogConfig"]["Type"] == "none":
            return True
        ended = datetime.fromisoformat(found["State"]["FinishedAt"][:19]).replace(tzinfo=UTC)
        return (datetime.now(UTC) - ended).total_seconds() > LOG_SECONDS


def _running(containers: Sequence[Mapping[str, Any]]) -> list[uuid.UUID]:
    """The formation dynos among them that run."""
    running = [found["Labels"].get(DYNO_ID_LABEL, "") for found in containers if found["State"] == "running"]
    return [dyno_id for label in running if (dyno_id := _id(label)) is not None]


def _id(label: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(label)
    except ValueError:
        return None
