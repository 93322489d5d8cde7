"""A slug that was uploaded, made an image."""

import tempfile
from pathlib import Path

from dynoform.build import slug_image
from dynoform.build.job import Job
from dynoform.build.slug import write_layers
from dynoform.build.uploaded_slug import UploadedSlug
from dynoform.domain import images
from dynoform.errors import DynoformError, UnavailableError
from dynoform.store import jobs
from dynoform.store.session import BUILD_OUTPUT, notify
from dynoform.store.tables import Slug


class SlugJob(Job):
    """The work on one tarball. None of it is unpacked: it is read, checked, and written as layers."""

    def work(self) -> None:
        """Look through it, push it, write down where it is."""
        with tempfile.TemporaryDirectory(prefix="slug-", ignore_cleanup_errors=True) as name:
            folder = Path(name)
            found = UploadedSlug.inspect(self.tools.uploads.path(self.claim.id, folder))
            stack = self.tools.stack_images.get()
            slug_image.mount(self.tools, self.claim, stack)
            made = write_layers(found.stream(), folder)
            digest = slug_image.push(self.tools, self.claim, stack, made)
        size = sum(each.layer.size for each in made)
        self.keeper.check()
        place = f"{self.tools.registry.address}/{images.app_repository(self.claim.app_id)}@{digest}"
        self.until_stored(lambda: self._finish(image=place, size=size, base=stack.version))
        self.tools.journal.info("slug made", slug=self.claim.id, app=self.claim.app_id, size=size)

    def fail(self, error: DynoformError) -> None:
        """Say why to whoever uploaded it, or tries to release it."""
        platform = isinstance(error, UnavailableError)
        why = "the platform could not read it — upload it again" if platform else f"{error.why} — {error.next_step}"
        self.until_stored(lambda: self._finish(failure=why))
        self.tools.journal.warning("slug refused", slug=self.claim.id, app=self.claim.app_id, error=error)

    def _finish(self, **outcome: object) -> None:
        with self.tools.store.transaction() as session:
            jobs.finish(session, self.claim)
            slug = session.get_one(Slug, self.claim.id)
            for name, value in outcome.items():
                setattr(slug, name, value)
            notify(session, BUILD_OUTPUT, slug.id)
