"""Repositories of backups that are elsewhere: databases move there, jobs reach them, and they go with the add-on."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
from sqlalchemy import select, update

from dynoform.addons.postgres import PostgresProvider
from dynoform.api.services import Services
from dynoform.store.session import Store
from dynoform.store.tables import AddonChange, now
from tests.contract.test_database_protection import addon, look
from tests.contract.test_databases import create, place, work_through
from tests.local_databases import Local

__all__ = ["addon", "place"]
S3 = {"type": "s3", "bucket": "shop-backups", "endpoint": "s3.example.com", "region": "eu-1"}


def move(place: Local, services: Services, key: str = "id:secret") -> None:
    """Have repositories in S3 from now on."""
    (services.configuration.secrets / "backup_repository_key").write_text(key)
    provider = place.worker.providers["heroku-postgresql"]
    assert isinstance(provider, PostgresProvider)
    configuration = replace(provider._place.configuration, backup_repository=S3)
    provider._place = replace(provider._place, configuration=configuration)


def test_databases_move_to_where_repositories_are_now_and_again_when_the_key_is_another(
    client: httpx.Client, addon: dict[str, Any], place: Local, store: Store, services: Services
) -> None:
    look(place, store)
    assert place.made.instances[addon["id"]]["elsewhere"] is False
    times = len(place.made.told)
    move(place, services)
    look(place, store)
    told = place.made.instances[addon["id"]]
    assert told["elsewhere"] is True
    assert "repo1-s3-key-secret=secret" in told["repository"]
    assert f"/{addon['id']}\n" in told["repository"]
    look(place, store)
    assert len(place.made.told) == times + 1, "once"
    move(place, services, "id:another")
    look(place, store)
    assert "repo1-s3-key-secret=another" in place.made.instances[addon["id"]]["repository"]
    assert "another" not in str(client.get(f"/client/v11/databases/{addon['id']}").json())


def test_copies_are_made_by_jobs_with_the_network_of_their_server(
    client: httpx.Client, addon: dict[str, Any], place: Local, store: Store, services: Services
) -> None:
    move(place, services)
    look(place, store)
    create(client, config={"fork": "DATABASE"})
    work_through(place, store)
    (job,) = [each for each in place.engine.begun if each.argv == ["/opt/dynoform/restore"]]
    assert [path for _, path, _ in job.volumes] == ["/var/lib/postgresql"]
    assert job.beside == job.name.removesuffix("-restore")
    assert f"/{addon['id']}\n" in job.stdin and "repo1-s3-bucket=shop-backups" in job.stdin


def test_a_destroyed_databases_repository_goes_first(
    client: httpx.Client, addon: dict[str, Any], place: Local, store: Store, services: Services
) -> None:
    move(place, services)
    look(place, store)
    place.engine.runs_from, place.engine.fails = "postgres:1", "S3 is away"
    client.delete("/apps/myapp").raise_for_status()
    change = until(lambda: pending(store, postponed=True))
    forgets = [each for each in place.engine.begun if each.argv == ["/opt/dynoform/forget"]]
    assert forgets[0].beside == forgets[0].name.removesuffix("-forget") and forgets[0].volumes == []
    assert addon["id"] in place.made.instances, "it is tried again"
    place.engine.fails = ""
    with store.transaction() as session:
        session.execute(update(AddonChange).where(AddonChange.id == change.id).values(run_after=now()))
    until(lambda: not pending(store))
    assert addon["id"] not in place.made.instances


def pending(store: Store, *, postponed: bool = False) -> AddonChange | None:
    with store.transaction() as session:
        query = select(AddonChange).where(AddonChange.status == "pending")
        found = session.scalars(query.where(AddonChange.run_after > now()) if postponed else query).first()
        session.expunge_all()
        return found


def until(check: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if found := check():
            return found
        time.sleep(0.05)
    raise AssertionError("not within 20 s")
