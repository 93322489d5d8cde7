"""Slugs that are too old to be rolled back to: their releases expire, their images leave the registry."""

from dynoform.build.job import Job
from dynoform.domain import images
from dynoform.errors import DynoformError
from dynoform.store import jobs, retention
from dynoform.store.releases import lock_app


class ExpiryJob(Job):
    """The work on one app. As a job of the app it never meets a build that pushes, or a release that is being made."""

    def work(self) -> None:
        """Mark them first, so that nobody makes a release of one; then delete the images; then the rows."""
        with self.tools.store.transaction() as session:
            lock_app(session, self.claim.app_id)
            jobs.held(session, self.claim)
            slugs = retention.expire(session, self.claim.app_id)
            unused = retention.unused_images(session, slugs)
        for image in unused:
            self.keeper.check()
            self.tools.registry.delete(*images.parts(image))
        self.until_stored(lambda: self._finish([slug.id for slug in slugs]))
        self.tools.journal.info("slugs expired", app=self.claim.app_id, slugs=len(slugs), images=len(unused))

    def fail(self, error: DynoformError) -> None:
        """Let it be: the next sweep finds what is left."""
        self.tools.journal.warning("slugs cannot expire", app=self.claim.app_id, error=error)
        self.until_stored(lambda: self._finish([]))

    def _finish(self, slug_ids: list[retention.SlugId]) -> None:
        with self.tools.store.transaction() as session:
            jobs.finish(session, self.claim)
            retention.forget(session, slug_ids)
