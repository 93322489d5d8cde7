"""An app's slugs laid on the newest stack image: the same layers on others, so nothing is built.

What is wanted is that every slug that can run lies on the newest image; each look finds what is left. There is no new
release, as on Heroku (https://devcenter.heroku.com/articles/stack-update-policy): dynos start on the newest, and those
that run are replaced (``dynoform.domain.reconciliation``).
"""

import uuid

from dynoform.build import slug_image, stack_image
from dynoform.build.job import Job
from dynoform.domain import images
from dynoform.errors import DynoformError, UnavailableError
from dynoform.store import jobs, pushed_images, stack_images
from dynoform.store.releases import lock_app
from dynoform.store.session import FORMATION, notify
from dynoform.store.tables import Slug


class RelayJob(Job):
    """The work on one app. As a job of the app it never meets a build that pushes, or a release that is being made."""

    def work(self) -> None:
        """What runs first; the others in a second turn, when all other apps have had their first."""
        stack = self.tools.stack_images.get()
        found = self._elsewhere(stack.version)
        running = [slug for slug, runs in found if runs]
        first = running or [slug for slug, _ in found]
        slug_image.mount(self.tools, self.claim, stack)
        changed = [self._relay(stack, slug) for slug in first]
        if running and any(changed):
            self.log(
                f"Stack {running[0].stack} was updated to image {stack.version}: dynos are replaced, no new release"
            )
        self.until_stored(lambda: self._finish(more=len(found) > len(first)))
        told = {"app": self.claim.app_id, "slugs": len(first), "stack_image": stack.version}
        self.tools.journal.info("slugs laid on the stack image", **told)

    def fail(self, error: DynoformError) -> None:
        """Let it be: the next shift finds what is left."""
        self.tools.journal.warning("slugs stay on their stack image", app=self.claim.app_id, error=error)
        self.until_stored(lambda: self._finish(more=False))

    def _elsewhere(self, version: str) -> list[tuple[Slug, bool]]:
        with self.tools.store.transaction() as session:
            jobs.held(session, self.claim)
            return list(stack_images.elsewhere(session, self.claim.app_id, version))

    def _relay(self, stack: stack_image.StackImage, slug: Slug) -> bool:
        """Make the image and write it down; whether it is another than before."""
        self.keeper.check()
        repository, digest = images.parts(slug.image)
        manifest = self.tools.registry.manifest(repository, digest)
        image = slug.image
        if manifest is None:
            # Nothing can be laid anywhere, now or later: that is told once, and nobody waits for it.
            why = UnavailableError(f"image {slug.image}", "is not in the registry any more", "deploy the app anew")
            self.tools.journal.error("slug cannot be laid on the stack image", slug=slug.id, error=why)
        else:
            layers = images.slug_of(manifest, self.tools.registry.config(repository, manifest["config"]["digest"]))
            tag = f"{slug.id}-{stack.version}"
            made = slug_image.lay(self.tools, self.claim, stack, layers, repository, tag)
            image = f"{self.tools.registry.address}/{images.app_repository(self.claim.app_id)}@{made}"
        self.until_stored(lambda: self._store(slug.id, slug.image, image, stack.version))
        return image != slug.image

    def _store(self, slug_id: uuid.UUID, before: str, image: str, version: str) -> None:
        with self.tools.store.transaction() as session:
            jobs.held(session, self.claim)
            slug = session.get(Slug, slug_id, with_for_update=True)
            if slug is not None and slug.image == before:
                # Who has just been told of the former image is still to find it there.
                pushed_images.note(session, *images.parts(before))
                slug.image, slug.base = image, version
                notify(session, FORMATION, self.claim.app_id)

    def _finish(self, *, more: bool) -> None:
        with self.tools.store.transaction() as session:
            app = lock_app(session, self.claim.app_id)
            jobs.finish(session, self.claim)
            if more and app is not None:
                stack_images.add_job(session, app.id)
