"""The life of one one-off dyno: made, attached, ended, removed; in Heroku's words in the app's log.

A session may be killed at any moment. What it does is done so that the next agent, which sees the row and the engine's
containers alone, can tell what is left to do: a command begins only after its row says ``up``, and never twice.
"""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from dynoform.configuration import Configuration
from dynoform.domain import dyno_lines, one_off, rendezvous
from dynoform.errors import ConflictError, DynoformError, NotFoundError, UnavailableError
from dynoform.journal import Journal
from dynoform.run.engine import Engine, Stream
from dynoform.run.link import AttachError, Link
from dynoform.run.places import Command, InsideDyno, OwnContainer, Place
from dynoform.run.rows import Rows, Run
from dynoform.store.secrets import Vault

FLUSH_SECONDS = 10.0
"""How long a process that was killed, or output that nobody may end, is waited for."""
_FAILED = b"\r\n !     The dyno could not be started. Try again; your operator's log of runtime-agent says why.\r\n"


class Logs(Protocol):
    """Where lines for apps go."""

    def line(self, app_id: object, source: str, process: str, message: str) -> None:
        """Write one line; never waits."""


@dataclass(frozen=True)
class Parts:
    """What all sessions of an agent work with."""

    configuration: Configuration
    engine: Engine
    rows: Rows
    vault: Vault
    logs: Logs
    journal: Journal


class Session:
    """One one-off dyno on this host."""

    def __init__(self, parts: Parts, run: Run) -> None:
        """``run`` is new, or was begun by an agent that is no more."""
        self.parts, self.run = parts, run
        self._begun = run.state != "starting"
        self._link: Link | None = None
        self._asked = asyncio.Event()
        """Somebody wants it to end."""
        self._signal, self._reason = "TERM", dyno_lines.STOPPING
        self._signalled: float | None = None

    @property
    def keeps_container(self) -> bool:
        """Whether the container stays for a while after the end: the log agent reads from it."""
        return self.run.digest is None

    def stop(self) -> None:
        """End it as a dyno is stopped: SIGTERM."""
        self._asked.set()

    def hang_up(self) -> None:
        """End it as its client is gone: SIGHUP."""
        if not self._asked.is_set():
            self._signal, self._reason = "HUP", dyno_lines.HANGING_UP
            self._asked.set()

    async def live(self) -> None:
        """All of it, to the row's end. Raises ``UnavailableError`` when the row could not be removed."""
        try:
            variables = self._open(self.run.variables)
            place = self._place(variables)
        except DynoformError as error:  # the key, or the sizes, are not what they were
            self._refuse(error)
            await self.parts.rows.forget(self.run.id)
            return
        try:
            await self._run(place, variables)
        except AttachError as error:
            self.parts.journal.info("not attached", dyno=self.run.id, error=error)
            self._say(dyno_lines.ATTACH_FAILED)
        except DynoformError as error:
            if isinstance(error, NotFoundError) and self._begun:
                self.parts.journal.info("gone", dyno=self.run.id, error=error)
            else:
                self._refuse(error)
                await self._apologize()
        await self._leave(place)

    def _refuse(self, error: DynoformError) -> None:
        self.parts.journal.error("dyno refused", dyno=self.run.id, error=error)
        self._say(dyno_lines.LAUNCH_FAILED)

    async def _apologize(self) -> None:
        """Tell the client, if it comes."""
        if self._link is not None:
            with suppress(AttachError):
                await self._link.met(rendezvous.MEETING_SECONDS)
                await self._link.say(_FAILED)

    def _place(self, variables: Mapping[str, str]) -> Place:
        configuration, run, engine = self.parts.configuration, self.run, self.parts.engine
        if run.inside_id is not None:
            return InsideDyno(engine, configuration.stack, run, Command.of(run, variables))
        terminal = one_off.terminal(variables)
        return OwnContainer(engine, configuration.stack, configuration.dyno_network, run, terminal)

    async def _run(self, place: Place, variables: Mapping[str, str]) -> None:
        working = asyncio.ensure_future(self._adopted(place) if self._begun else self._new(place, variables))
        asked = asyncio.ensure_future(self._asked.wait())
        try:
            limit = max(0.0, self.run.time_to_live - self.run.age)
            await asyncio.wait({working, asked}, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                await self._end(place, working)
            if not working.cancelled():
                self._report(working.result())
        finally:
            asked.cancel()
            working.cancel()

    async def _new(self, place: Place, variables: Mapping[str, str]) -> int:
        """From the row to the exit code."""
        run = self.run
        configuration = self.parts.configuration
        if run.digest is not None:
            self._say(dyno_lines.AWAITING_CLIENT)
            address = (configuration.platform_address, configuration.rendezvous_dyno_port)
            self._link = await Link.dial(*address, run.digest)
        await place.prepare()
        if self._link is not None:
            await self._link.met(rendezvous.ATTACH_SECONDS - run.age)
        self._say(dyno_lines.starting(run.command))
        await self.parts.rows.mark_up(run.id)
        self._begun = True
        self._say(dyno_lines.state_changed("starting", "up"))
        stream = await place.begin({**self._open(run.config), **variables})
        if self._link is None or stream is None:
            return await place.wait()
        return await self._attached(place, self._link, stream)

    async def _adopted(self, place: Place) -> int:
        """What another agent has begun: a detached one goes on, any other has lost its client."""
        if self.run.digest is None:
            with suppress(ConflictError):  # it has ended
                variables = self._open(self.run.variables)
                await place.begin({**self._open(self.run.config), **variables})  # had it not come to that
        else:
            self.hang_up()
        return await place.wait()

    async def _attached(self, place: Place, link: Link, stream: Stream) -> int:
        async def take_input() -> None:
            await link.pass_input(stream, tty=self.run.tty)
            self.hang_up()

        output = asyncio.ensure_future(link.pass_output(stream))
        input_ = asyncio.ensure_future(take_input())
        try:
            code = await place.wait()
            # Inside a dyno, a process that the command has left behind may keep its terminal open.
            await asyncio.wait({output}, timeout=None if self.run.inside_id is None else FLUSH_SECONDS)
            return code
        finally:
            input_.cancel()
            output.cancel()
            stream.close()

    async def _end(self, place: Place, working: "asyncio.Future[int]") -> None:
        """Ask the processes to end, and make them after 30 s."""
        if not self._begun:
            working.cancel()
            await asyncio.wait({working})
            return
        self._say(self._reason)
        self._signalled = time.monotonic()
        with suppress(UnavailableError):  # then it is killed
            await place.signal(self._signal)
        await asyncio.wait({working}, timeout=dyno_lines.EXIT_SECONDS)
        if not working.done():
            await place.kill()
            await asyncio.wait({working}, timeout=FLUSH_SECONDS)
        if not working.done():
            raise UnavailableError(f"dyno {self.run.name}", "does not end", "look at the engine's log")

    def _report(self, code: int) -> None:
        seconds = None if self._signalled is None else time.monotonic() - self._signalled
        self._say(*dyno_lines.stopped(code, seconds))

    async def _leave(self, place: Place) -> None:
        if self._link is not None:
            await self._link.close()
        if not (self.keeps_container and self._begun):
            try:
                await place.remove()
            except DynoformError as error:
                self.parts.journal.warning("container stays for now", dyno=self.run.id, error=error)
        self._say(dyno_lines.state_changed("up" if self._begun else "starting", "complete"))
        await self.parts.rows.forget(self.run.id)

    def _open(self, sealed: bytes) -> dict[str, str]:
        return self.parts.vault.decrypt(self.run.app_id, sealed) if sealed else {}

    def _say(self, *lines: str) -> None:
        if self.run.inside_id is not None:
            return  # the log would say it of the dyno itself
        for line in lines:
            self.parts.logs.line(self.run.app_id, "heroku", self.run.name, line)
