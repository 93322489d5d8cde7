"""The release phase: a release's command in a one-off dyno, and then the release, or not.

https://devcenter.heroku.com/articles/release-phase.
"""

import time

from sqlalchemy import select

from dynoform.build.command_job import CommandJob, PhaseFailedError
from dynoform.build.job import Tools
from dynoform.build.release_dyno import Phase
from dynoform.domain import dyno_names, dyno_sizes, releases, stacks
from dynoform.domain.process_types import RELEASE
from dynoform.errors import DynoformError, UnavailableError
from dynoform.store import dyno_metadata, jobs, webhooks
from dynoform.store import releases as store
from dynoform.store.tables import App, Formation, Release, ReleaseOutput


class CommandFailedError(PhaseFailedError):
    """It ended with a status that is not 0, and will have said why."""


class ReleaseJob(CommandJob):
    """The work on a pending release."""

    noun = "release command"

    def __init__(self, tools: Tools, claim: jobs.Claim) -> None:
        """Of a release's id."""
        began = claim.started_at.timestamp() if claim.started_at else time.time()
        self.seconds = began + releases.PHASE_SECONDS - time.time()
        super().__init__(tools, claim, ReleaseOutput, dyno_names.name(RELEASE, releases.phase_dyno(claim.id)))

    def work(self) -> None:
        """Run the command, or go on with it, and release."""
        phase = self._phase()
        code = self.run_command(phase)
        if code:
            raise CommandFailedError(f"the release command exited with status {code}")
        self.until_stored(lambda: self._finish(succeeded=True))
        self.tools.journal.info("release succeeded", release=phase.release_id, app=phase.app_name)

    def begun(self, phase: Phase) -> None:
        """Tell whose release it is."""
        self.log(releases.running_command(phase.version, phase.email))

    def fail(self, error: DynoformError) -> None:
        """Leave what is current, and say why."""
        reason = error.what if isinstance(error, PhaseFailedError) else _platforms(error)
        if not isinstance(error, CommandFailedError):
            self.output.say(f" !     {reason[0].upper()}{reason[1:]}.\n")
        self.find_dyno()
        release = self.until_stored(lambda: self._finish(succeeded=False))
        self.log(releases.command_failed(release.version, reason))
        self.tools.journal.info("release failed", release=release.id, app=self.claim.app_id, reason=error)

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


def _platforms(error: DynoformError) -> str:
    if isinstance(error, UnavailableError):
        return "the platform could not run the release command: use `heroku releases:retry`"
    return str(error)
