"""What killed builders and deleted apps left on the engine: found by label, removed when nobody works on it."""

from collections.abc import Callable
from functools import partial

from sqlalchemy import func, select

from dynoform.build.container import Engine
from dynoform.domain import builds
from dynoform.errors import DynoformError
from dynoform.journal import Journal
from dynoform.store.session import Store
from dynoform.store.tables import App, Build


def remove(engine: Engine, store: Store, journal: Journal) -> None:
    """Remove containers of builds that nobody holds, and caches of apps that are gone, of this stack only."""
    # Listed before the store is asked: a build that begins in between is not taken for a dead one.
    containers, volumes = engine.containers(), engine.cache_volumes()
    with store.transaction() as session:
        alive = select(Build.id).where(Build.status == builds.PENDING, Build.lease_expires_at > func.now())
        building = {str(found) for found in session.scalars(alive)}
        apps = {str(found) for found in session.scalars(select(App.id))}
    for container_id, build_id in containers:
        if build_id not in building:
            _report(journal, "build container", build_id, partial(engine.remove, container_id))
    for name, app_id in volumes:
        if app_id not in apps:
            _report(journal, "build cache", app_id, partial(engine.remove_volume, name))


def _report(journal: Journal, kind: str, owner: str, remove_it: Callable[[], None]) -> None:
    try:
        remove_it()
        journal.info(f"left-over {kind} removed", of=owner)
    except DynoformError as error:
        journal.warning(f"left-over {kind} stays", of=owner, error=error)
