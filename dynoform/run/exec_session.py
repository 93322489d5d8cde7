"""The life of one channel of the SSH server into a dyno: as that of ``run:inside``, told by the client what to run."""

from collections.abc import Mapping

from dynoform.domain import rendezvous
from dynoform.domain.exec_channels import Channel, Size
from dynoform.run.exec_link import ExecLink
from dynoform.run.places import Command, InsideDyno, Place, launcher
from dynoform.run.rows import Run
from dynoform.run.session import Parts, Session


class ExecSession(Session):
    """One channel on this host."""

    def __init__(self, parts: Parts, run: Run) -> None:
        """As a ``Session``."""
        super().__init__(parts, run)
        self._inside = InsideDyno(parts.engine, parts.configuration.stack, run, None)

    def _place(self, variables: Mapping[str, str]) -> Place:
        return self._inside

    async def _new(self, place: Place, variables: Mapping[str, str]) -> int:
        """From the row to the exit code: the client is there before anything can be prepared."""
        configuration, digest = self.parts.configuration, self.run.digest or ""
        address = (configuration.platform_address, configuration.rendezvous_dyno_port)
        self._link = link = await ExecLink.dial(*address, digest)
        await link.met(rendezvous.ATTACH_SECONDS - self.run.age)
        channel = await link.channel()
        self._inside.command = self._command(channel)
        link.resize = self._resize
        await self._inside.prepare()
        await self.parts.rows.mark_up(self.run.id)
        self._begun = True
        stream = await self._inside.begin({})
        code = await self._attached(self._inside, link, stream)
        await link.ended(code)
        return code

    def _command(self, channel: Channel) -> Command:
        size = channel.size
        terminal = (size.rows, size.columns) if size is not None and size.known else None
        return Command(channel.words(launcher(self.run)), channel.variables, terminal)

    async def _resize(self, size: Size) -> None:
        if size.known:
            await self._inside.resize(size.rows, size.columns)
