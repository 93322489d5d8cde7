"""The run agent's process: takes the one-off dynos that are asked for, and leaves nothing behind of those that ended.

Level-triggered: every look compares rows, sessions and the engine's containers. SIGTERM leaves all as it is, as kill -9
does: detached dynos go on, and the next agent, a moment later, takes over.
"""

import asyncio
import json
import signal
import socket
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from dynoform.configuration import Configuration
from dynoform.domain.dyno_container import RUN_ID_LABEL, STACK_LABEL
from dynoform.domain.retries import pause
from dynoform.errors import DynoformError
from dynoform.journal import Journal
from dynoform.logplex_client import LogplexClient
from dynoform.run import places
from dynoform.run.engine import Engine
from dynoform.run.exec_session import ExecSession
from dynoform.run.rows import Rows, Run
from dynoform.run.session import Parts, Session
from dynoform.store.secrets import Vault

LOOK_SECONDS = 5.0
LOG_SECONDS = 60.0
"""How long a detached dyno's container stays after its end, for the log agent to read the last lines."""


class Agent:
    """The sessions of this host."""

    def __init__(self, parts: Parts) -> None:
        """None at first; an earlier agent's are found at the first look."""
        self.parts = parts
        self._sessions: dict[uuid.UUID, tuple[Session, asyncio.Task[None]]] = {}

    async def look(self) -> None:
        """Compare what is asked for with what there is, and begin to mend the difference. Raises ``DynoformError``."""
        runs = {run.id: run for run in await self.parts.rows.mine()}
        self._forget_ended()
        for run in runs.values():
            self._see(run)
        for run_id, (session, _) in self._sessions.items():
            if run_id not in runs:
                session.stop()  # its app is gone
        await self._sweep(runs)

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

    async def _sweep(self, runs: Mapping[uuid.UUID, Run]) -> None:
        """Remove containers that nobody has a row or a session for."""
        labels = [f"{STACK_LABEL}={self.parts.configuration.stack}", RUN_ID_LABEL]
        query = {"all": "1", "filters": json.dumps({"label": labels})}
        for found in await self.parts.engine.call("GET", "/containers/json", query=query):
            try:
                run_id: uuid.UUID | None = uuid.UUID(found["Labels"][RUN_ID_LABEL])
            except ValueError:
                run_id = None
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


def run(configuration: Configuration) -> None:
    """Take care of one-off dynos until SIGTERM."""
    asyncio.run(_work(configuration))


async def _work(configuration: Configuration) -> None:
    journal = Journal("run-agent")
    stopping, wake = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _ask_to_stop, stopping, wake)
    rows = Rows(configuration, socket.gethostname(), wake)
    logs = LogplexClient(configuration)
    vault = Vault(configuration.secret("encryption_key"))
    agent = Agent(Parts(configuration, Engine(), rows, vault, logs, journal))
    failures = 0
    while not stopping.is_set():
        wake.clear()
        try:
            await agent.look()
            failures = 0
        except DynoformError as error:
            journal.warning("look failed", error=error, failures=failures)
            failures += 1
        try:
            async with asyncio.timeout(pause(failures) if failures else LOOK_SECONDS):
                await wake.wait()
        except TimeoutError:
            continue
    await agent.stop()
    await rows.close()
    logs.close()


def _ask_to_stop(stopping: asyncio.Event, wake: asyncio.Event) -> None:
    stopping.set()
    wake.set()
