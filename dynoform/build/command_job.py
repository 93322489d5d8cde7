"""A job that runs a command of an app in a one-off dyno: once, whatever happens to the workers.

One that takes the job over goes on with the dyno that is there.
"""

from abc import abstractmethod
from contextlib import AbstractContextManager, suppress

from dynoform.build import release_dyno
from dynoform.build.job import Job, Tools
from dynoform.build.output import Output
from dynoform.build.release_dyno import Phase, ReleaseDyno
from dynoform.domain import dyno_lines, releases
from dynoform.errors import DynoformError
from dynoform.store import jobs
from dynoform.store.output import Table


class PhaseFailedError(DynoformError):
    """The command did not succeed; ``what`` completes "Release v5 failed: …"."""


class CommandJob(Job):
    """``finished`` says that what came of the command is written down: nobody goes on with its dyno then."""

    attempts = 5  # to go on with a dyno does no harm
    noun: str
    """What the command is called: ``release command``."""

    def __init__(self, tools: Tools, claim: jobs.Claim, table: Table, dyno: str) -> None:
        """Its output goes to ``table``; ``dyno`` is the name of the one-off dyno."""
        super().__init__(tools, claim)
        self.name = dyno
        self.output = Output(tools.store, claim, table, self._app_line)
        self.dyno: ReleaseDyno | None = None
        self.finished = False

    def beside(self) -> AbstractContextManager[object]:
        """The output is written down."""
        return self.output

    def end(self) -> None:
        """Kill the dyno: its time is over, or its app is gone. If another worker has the job it stays."""
        if self.dyno is not None and (self.keeper.late or not self._wanted()):
            self.dyno.kill()

    def clear(self) -> None:
        """Remove the dyno when what came of it is written down; before that, somebody goes on with it."""
        if self.dyno is not None and (self.finished or not self._wanted()):
            self.dyno.remove()

    @abstractmethod
    def begun(self, phase: Phase) -> None:
        """The dyno is there, and its command is about to begin."""

    def run_command(self, phase: Phase) -> int:
        """Run the command, or go on with it; its exit code. Raises ``PhaseFailedError`` when it took too long."""
        dyno = self._running(phase)
        for piece in dyno.output():
            self.output.feed(piece)
        self.output.feed(b"", final=True)
        code = dyno.wait()
        self.keeper.check()
        self.output.flush()
        self._dyno_lines(dyno_lines.exited(code), dyno_lines.state_changed("up", "complete"))
        if self.keeper.late:
            raise PhaseFailedError(f"the {self.noun} took longer than {releases.PHASE_SECONDS // 60} minutes")
        return code

    def find_dyno(self) -> None:
        """Know the dyno of an earlier attempt, to remove it; without it the sweep removes what is left."""
        with suppress(DynoformError):
            self.dyno = self.dyno or release_dyno.find(self.tools.engine, self.claim.id)

    def _running(self, phase: Phase) -> ReleaseDyno:
        found = release_dyno.find(self.tools.engine, phase.release_id)
        if self.claim.started_at and found is None:
            raise PhaseFailedError(f"the dyno of the {self.noun} was lost with its host")
        self.dyno = dyno = found or release_dyno.create(self.tools.engine, phase)
        if self.claim.started_at:
            self.output.resume()
            dyno.begin(phase.config)  # the earlier attempt may have died on the way to this
        else:
            dyno.start()
            jobs.begin(self.tools.store, self.claim)
            self.begun(phase)
            self._dyno_lines(dyno_lines.starting(phase.command))
            dyno.begin(phase.config)
            self._dyno_lines(dyno_lines.state_changed("starting", "up"))
        if self.keeper.lost or self.keeper.late:
            self.end()  # it was told to end before there was anything to end
        return dyno

    def _wanted(self) -> bool:
        """Whether somebody still has to see to this. So it is, as long as the store does not say otherwise."""
        try:
            return jobs.waits(self.tools.store, self.claim.id)
        except DynoformError:
            return True

    def _app_line(self, text: str) -> None:
        self.tools.logs.line(self.claim.app_id, "app", self.name, text)

    def _dyno_lines(self, *lines: str) -> None:
        for line in lines:
            self.tools.logs.line(self.claim.app_id, "heroku", self.name, line)
