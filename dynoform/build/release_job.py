"""The release phase: a release's command in a one-off dyno, and then the release, or not.

https://devcenter.heroku.com/articles/release-phase. The command runs once, whatever happens to the workers: one that
takes the job over goes on with the dyno that is there.
"""

import time
from contextlib import AbstractContextManager, suppress

from sqlalchemy import select

from dynoform.build import release_dyno
from dynoform.build.job import Job, Tools
from dynoform.build.output import Output
from dynoform.build.release_dyno import Phase, ReleaseDyno
from dynoform.domain import dyno_lines, dyno_names, dyno_sizes, releases, stacks
from dynoform.domain.process_types import RELEASE
from dynoform.errors import DynoformError, UnavailableError
from dynoform.store import dyno_metadata, jobs, webhooks
from dynoform.store import releases as store
from dynoform.store.tables import App, Formation, Release, ReleaseOutput


class PhaseFailedError(DynoformError):
    """The command did not succeed; ``what`` completes "Release v5 failed: …"."""


class CommandFailedError(PhaseFailedError):
    """It ended with a status that is not 0, and will have said why."""


class ReleaseJob(Job):
    """The work on a pending release."""

    attempts = 5  # to go on with a dyno does no harm

    def __init__(self, tools: Tools, claim: jobs.Claim) -> None:
        """Of a release's id."""
        began = claim.started_at.timestamp() if claim.started_at else time.time()
        self.seconds = began + releases.PHASE_SECONDS - time.time()
        super().__init__(tools, claim)
        self.name = dyno_names.name(RELEASE, releases.phase_dyno(claim.id))
        self.output = Output(tools.store, claim, ReleaseOutput, self._app_line)
        self.dyno: ReleaseDyno | None = None
        self.finished = False

    def beside(self) -> AbstractContextManager[object]:
        """The output is written down."""
        return self.output

    def work(self) -> None:
        """Run the command, or go on with it, and release."""
        phase = self._phase()
        dyno = self._running(phase)
        for piece in dyno.output():
            self.output.feed(piece)
        self.output.feed(b"", final=True)
        code = dyno.wait()
        self.keeper.check()
        self.output.flush()
        self._dyno_lines(dyno_lines.exited(code), dyno_lines.state_changed("up", "complete"))
        if self.keeper.late:
            raise PhaseFailedError(f"the release command took longer than {releases.PHASE_SECONDS // 60} minutes")
        if code:
            raise CommandFailedError(f"the release command exited with status {code}")
        self.until_stored(lambda: self._finish(succeeded=True))
        self.tools.journal.info("release succeeded", release=phase.release_id, app=phase.app_name)

    def fail(self, error: DynoformError) -> None:
        """Leave what is current, and say why."""
        reason = error.what if isinstance(error, PhaseFailedError) else _platforms(error)
        if not isinstance(error, CommandFailedError):
            self.output.say(f" !     {reason[0].upper()}{reason[1:]}.\n")
        with suppress(DynoformError):  # without it the sweep removes what is left
            self.dyno = self.dyno or release_dyno.find(self.tools.engine, self.claim.id)
        release = self.until_stored(lambda: self._finish(succeeded=False))
        self.log(releases.command_failed(release.version, reason))
        self.tools.journal.info("release failed", release=release.id, app=self.claim.app_id, reason=error)

    def end(self) -> None:
        """Kill the dyno: its time is over, or its app is gone. If another worker has the job it stays."""
        if self.dyno is not None and (self.keeper.late or not self._wanted()):
            self.dyno.kill()

    def clear(self) -> None:
        """Remove the dyno when what came of it is written down; before that, somebody goes on with it."""
        if self.dyno is not None and (self.finished or not self._wanted()):
            self.dyno.remove()

    def _phase(self) -> Phase:
        with self.tools.store.transaction() as session:
            jobs.held(session, self.claim)
            release = session.get_one(Release, self.claim.id)
            if release.slug is None:
                raise PhaseFailedError("its slug is gone")
            sizes = select(Formation.size).where(Formation.app_id == release.app_id, Formation.type == RELEASE)
            app = session.get_one(App, release.app_id)
            told = dyno_metadata.of(session, self.tools.configuration.domain, app, release, release.id)
            return Phase(
                release.id,
                app.id,
                app.name,
                release.version,
                self.name,
                release.account.email,
                release.slug.process_types[RELEASE],
                release.slug.image_of(RELEASE),
                release.slug.stack == stacks.CONTAINER,
                session.scalar(sizes) or dyno_sizes.DEFAULT,
                store.config_of(session, self.tools.vault, release) | told,
            )

    def _running(self, phase: Phase) -> ReleaseDyno:
        found = release_dyno.find(self.tools.engine, phase.release_id)
        if self.claim.started_at and found is None:
            raise PhaseFailedError("the dyno of the release command was lost with its host")
        self.dyno = dyno = found or release_dyno.create(self.tools.engine, phase)
        if self.claim.started_at:
            self.output.resume()
            dyno.begin(phase.config)  # the earlier attempt may have died on the way to this
            return dyno
        dyno.start()
        jobs.begin(self.tools.store, self.claim)
        self.log(releases.running_command(phase.version, phase.email))
        self._dyno_lines(dyno_lines.starting(phase.command))
        dyno.begin(phase.config)
        self._dyno_lines(dyno_lines.state_changed("starting", "up"))
        if self.keeper.lost or self.keeper.late:
            self.end()  # it was told to end before there was anything to end
        return dyno

    def _finish(self, *, succeeded: bool) -> Release:
        self.output.flush()
        with self.tools.store.transaction() as session:
            app = store.lock_app(session, self.claim.app_id)
            if app is None:
                raise jobs.LeaseLostError(f"app {self.claim.app_id}", "is gone")
            jobs.finish(session, self.claim)
            release = session.get_one(Release, self.claim.id)
            if succeeded:
                store.succeed(session, app, release)
            else:
                store.fail(session, release)
            session.flush()
            webhooks.release_changed(session, app, release, releases.PENDING)
        self.finished = True
        return release

    def _wanted(self) -> bool:
        """Whether somebody still has to see to this release. So it is, as long as the store does not say otherwise."""
        try:
            return jobs.waits(self.tools.store, self.claim.id)
        except DynoformError:
            return True

    def _app_line(self, text: str) -> None:
        self.tools.logs.line(self.claim.app_id, "app", self.name, text)

    def _dyno_lines(self, *lines: str) -> None:
        for line in lines:
            self.tools.logs.line(self.claim.app_id, "heroku", self.name, line)


def _platforms(error: DynoformError) -> str:
    if isinstance(error, UnavailableError):
        return "the platform could not run the release command: use `heroku releases:retry`"
    return str(error)
