"""What killed builders and deleted apps left on the engine: found by label, removed when nobody works on it."""

import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from sqlalchemy import func, select

from dynoform.build import release_dyno
from dynoform.build.container import Engine
from dynoform.domain.jobs import Kind
from dynoform.errors import DynoformError
from dynoform.journal import Journal
from dynoform.store.session import Store
from dynoform.store.tables import App, Job

FOLDERS = ("build-*", "setup-*", "slug-*")
"""What jobs keep on disk while they are at work."""
_FOLDER_SECONDS = 2 * 3600
"""Longer than any job that has one may take."""


def remove(engine: Engine, store: Store, journal: Journal) -> None:
    """Remove what nobody needs, of this stack only.

    Containers and images of builds that nobody works on; containers of release commands whose end is written down
    (before that, whoever takes the job goes on with them); caches of apps that are gone.
    """
    # Listed before the store is asked: a job that begins in between is not taken for a dead one.
    containers, volumes, dynos = engine.containers(), engine.cache_volumes(), release_dyno.left(engine)
    images, kept = engine.build_images(), engine.kept_images()
    with store.transaction() as session:
        here = Job.host == store.configuration.host
        alive = select(Job.id).where(Job.kind == Kind.BUILD, Job.lease_expires_at > func.now(), here)
        building = {str(found) for found in session.scalars(alive)}
        commands = Job.kind.in_([Kind.RELEASE, Kind.SETUP])
        releasing = {str(found) for found in session.scalars(select(Job.id).where(commands))}
        apps = {str(found) for found in session.scalars(select(App.id))}
    for container_id, build_id in containers:
        if build_id not in building:
            _report(journal, "build container", build_id, partial(engine.remove, container_id))
    for name, build_id in images:
        if build_id not in building:
            _report(journal, "image of a build", build_id, partial(engine.remove_image, name))
    for container_id, release_id in dynos:
        if release_id not in releasing:
            _report(journal, "release dyno", release_id, partial(engine.remove, container_id))
    for name, app_id in volumes:
        if app_id not in apps:
            _report(journal, "build cache", app_id, partial(engine.remove_volume, name))
    for name, app_id in kept:
        if app_id not in apps:
            _report(journal, "image of a build", app_id, partial(engine.remove_image, name))


def remove_folders(journal: Journal, place: Path, seconds: float = _FOLDER_SECONDS) -> None:
    """Remove the folders of jobs that were killed: those below ``place`` that nobody wrote to for so long."""
    for path in (found for pattern in FOLDERS for found in place.glob(pattern)):
        try:
            if time.time() - path.stat().st_mtime > seconds:
                shutil.rmtree(path)
                journal.info("left-over folder removed", of=path.name)
        except OSError as error:
            journal.warning("left-over folder stays", of=path.name, error=str(error))


def _report(journal: Journal, kind: str, owner: str, remove_it: Callable[[], None]) -> None:
    try:
        remove_it()
        journal.info(f"left-over {kind} removed", of=owner)
    except DynoformError as error:
        journal.warning(f"left-over {kind} stays", of=owner, error=error)
