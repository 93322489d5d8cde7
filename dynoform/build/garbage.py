"""Images that nobody needs leave the registry: of failed builds, of apps that are gone, pushed and pushed over.

The registry itself takes away their layers later, when nobody pushes (``images/registry/entrypoint``).
"""

import threading

from dynoform.build.registry import Registry
from dynoform.build.stack_image import REPOSITORY, tag_of
from dynoform.domain import garbage
from dynoform.errors import DynoformError
from dynoform.journal import Journal
from dynoform.store import pushed_images, stack_images
from dynoform.store.session import Store


class Collector:
    """One look at all of them. Several at once do no harm: each image is one collector's."""

    def __init__(self, store: Store, registry: Registry, journal: Journal, stopped: threading.Event) -> None:
        """Nothing is done before ``run``. Once ``stopped`` is set, the rest is left to the next one."""
        self._store = store
        self._registry = registry
        self._journal = journal
        self._stopped = stopped

    def run(self) -> None:
        """Remove what may go; what cannot be removed now stays for the next look. Raises nothing of ours."""
        removed = 0
        try:
            if pushed_images.inventory_is_due(self._store):
                self._take_stock()
            for repository, digest in pushed_images.candidates(self._store):
                if self._stopped.is_set():
                    break
                removed += self._remove(repository, digest)
        except DynoformError as error:
            self._journal.warning("images that nobody needs stay", error=error)
        removed += self._former_stack_images()
        if removed:
            self._journal.info("images removed that nobody needs", images=removed)

    def _former_stack_images(self) -> int:
        """Those that slugs are not laid on any more: what lies on them has its layers in its own repository."""
        removed = 0
        try:
            with self._store.transaction() as session:
                former = stack_images.superseded(session)
            for image in former:
                digest = self._registry.digest(REPOSITORY, tag_of(image.id))
                if digest is not None:
                    self._registry.delete(REPOSITORY, digest)
                    removed += 1
                with self._store.transaction() as session:
                    stack_images.forget(session, image)
        except DynoformError as error:
            self._journal.warning("former stack images stay", error=error)
        return removed

    def _take_stock(self) -> None:
        for repository in self._registry.repositories():
            if garbage.owner(repository) is not None and not self._stopped.is_set():
                digests = self._tagged(repository)
                with self._store.transaction() as session:
                    pushed_images.found(session, repository, digests)

    def _remove(self, repository: str, digest: str) -> bool:
        with self._store.transaction() as session:
            image = pushed_images.lock(session, repository, digest)
            if image is None or not garbage.may_go(image):
                return False
            if garbage.may_be_released(image) and digest in self._tagged(repository):
                return False
            self._registry.delete(repository, digest)
            pushed_images.forget(session, repository, digest)
            return True

    def _tagged(self, repository: str) -> set[str]:
        found = (self._registry.digest(repository, tag) for tag in self._registry.tags(repository))
        return {digest for digest in found if digest}
