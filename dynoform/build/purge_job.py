"""An app's build cache, emptied on request. As a job of the app it never meets a build that uses the cache."""

from dynoform.build.job import Job
from dynoform.errors import DynoformError
from dynoform.store import jobs
from dynoform.store.releases import lock_app


class PurgeJob(Job):
    """The work on one app's cache."""

    def work(self) -> None:
        """Remove the volume and the kept images; the next build makes new ones."""
        engine = self.tools.engine
        engine.remove_volume(engine.cache_volume(self.claim.app_id))
        for name, app_id in engine.kept_images():
            if app_id == str(self.claim.app_id):
                engine.remove_image(name)
        self.until_stored(lambda: self._finish(purged=True))
        self.log("Build cache purged")

    def fail(self, error: DynoformError) -> None:
        """Say so: the cache is as it was."""
        self.until_stored(lambda: self._finish(purged=False))
        self.log("Build cache not purged -- try again")
        self.tools.journal.warning("build cache cannot be purged", app=self.claim.app_id, error=error)

    def _finish(self, *, purged: bool) -> None:
        with self.tools.store.transaction() as session:
            app = lock_app(session, self.claim.app_id)
            jobs.finish(session, self.claim)
            if purged and app is not None:
                app.cache_generation += 1  # what other hosts have of it is not used any more
