"""Repositories of backups that are elsewhere: databases move there, jobs reach them, and they go with the add-on."""

import io
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import select, update

from dynoform.addons.engine import Job
from dynoform.addons.postgres import PostgresProvider
from dynoform.api.services import Services
from dynoform.domain.addons import ATTEMPTS
from dynoform.journal import Journal
from dynoform.store.session import Store
from dynoform.store.tables import Addon, AddonChange, now
from tests.contract.test_database_protection import Told, addon, info, look
from tests.contract.test_databases import create, place, work_through
from tests.local_databases import Local, backup, repository

__all__ = ["addon", "place"]
S3 = {"type": "s3", "bucket": "shop-backups", "endpoint": "s3.example.com", "region": "eu-1"}


PLAN = "heroku-postgresql:essential-0"


def move(place: Local, services: Services, key: str = "id:secret") -> None:
    """Have repositories in S3 from now on."""
    (services.configuration.secrets / "backup_repository_key").write_text(key)
    set_repository(place, S3)


def set_repository(place: Local, settings: Mapping[str, Any]) -> None:
    """Have repositories there from now on."""
    provider = place.worker.providers["heroku-postgresql"]
    assert isinstance(provider, PostgresProvider)
    configuration = replace(provider._place.configuration, backup_repository=settings)
    provider._place = replace(provider._place, configuration=configuration)


def settled(place: Local, store: Store) -> None:
    """Have a backup in the repository that was made after the last look."""
    place.engine.said = repository(backup(timedelta(seconds=-1)))
    look(place, store)


def again(store: Store, change: AddonChange) -> None:
    """Have a change tried again at once."""
    with store.transaction() as session:
        session.execute(update(AddonChange).where(AddonChange.id == change.id).values(run_after=now()))


def test_databases_move_to_where_repositories_are_now_and_are_told_of_another_key(
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
    settled(place, store)
    move(place, services, "id:another")
    look(place, store)
    assert "repo1-s3-key-secret=another" in place.made.instances[addon["id"]]["repository"]
    assert "another" not in str(client.get(f"/client/v11/databases/{addon['id']}").json())
    assert info(client, addon)["Rollback"].startswith("earliest from "), "the place is the same"


def test_what_was_elsewhere_cannot_be_had_and_a_full_backup_begins_the_new_place(
    client: httpx.Client, addon: dict[str, Any], place: Local, store: Store, services: Services
) -> None:
    look(place, store)
    told: list[tuple[str, str, str]] = []
    place.worker.logs = Told(told)
    move(place, services)
    place.engine.started.clear()
    look(place, store)  # there is an older backup at the new place, from another time that it was there
    assert [words[1:] for words in place.engine.started] == [["/opt/dynoform/protect", "backup", "full"]]
    lines = info(client, addon)
    assert lines["Continuous Protection"] == "Begins with the first backup"
    assert lines["Rollback"] == "Available after the first backup"
    refused = client.post("/apps/myapp/addons", json={"plan": PLAN, "config": {"fork": "DATABASE"}})
    assert f"{addon['name']} has no backup yet" in refused.json()["message"]
    settled(place, store)
    assert info(client, addon)["Rollback"].startswith("earliest from ")
    assert told == [], "nothing was lost that was not to be left"


def test_copies_are_made_by_jobs_with_the_network_of_their_server(
    client: httpx.Client,
    addon: dict[str, Any],
    place: Local,
    store: Store,
    services: Services,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    look(place, store)
    move(place, services)
    create(client, config={"fork": "DATABASE"})
    work_through(place, store)
    job = place.engine.begun[-1]
    assert [path for _, path, _ in job.volumes] == ["/var/lib/pgbackrest", "/var/lib/postgresql"], "it is still there"
    assert job.beside == "" and "repo1-s3" not in job.stdin
    look(place, store)
    settled(place, store)
    begin, served = place.engine.begin, list[bool]()

    def seen(job: Job) -> None:
        served.append(job.addon in place.made.instances)
        begin(job)

    monkeypatch.setattr(place.engine, "begin", seen)
    create(client, config={"fork": "DATABASE"})
    work_through(place, store)
    job = place.engine.begun[-1]
    assert job.argv == ["/opt/dynoform/restore"] and served == [True], "whose network it has is there"
    assert [path for _, path, _ in job.volumes] == ["/var/lib/postgresql"]
    assert job.beside == job.name.removesuffix("-restore")
    assert f"/{addon['id']}\n" in job.stdin and "repo1-s3-bucket=shop-backups" in job.stdin


def test_a_copy_is_tried_again_when_the_place_could_not_be_read(
    client: httpx.Client, addon: dict[str, Any], place: Local, store: Store, services: Services
) -> None:
    move(place, services)
    look(place, store)
    settled(place, store)
    place.engine.fails = "restore: the backup could not be read from the repository"
    body = {"plan": PLAN, "config": {"fork": "DATABASE"}}
    made = client.post("/apps/myapp/addons", json=body).raise_for_status().json()
    change = until(lambda: pending(store, postponed=True))
    place.engine.fails = ""
    again(store, change)
    path = f"/apps/myapp/addons/{made['id']}"
    until(lambda: client.get(path).raise_for_status().json()["state"] == "provisioned")


def test_a_destroyed_databases_repository_goes_first(
    client: httpx.Client, addon: dict[str, Any], place: Local, store: Store, services: Services
) -> None:
    move(place, services)
    look(place, store)
    place.engine.fails = "S3 is away"
    client.delete("/apps/myapp").raise_for_status()
    change = until(lambda: pending(store, postponed=True))
    forgets = [each for each in place.engine.begun if each.argv == ["/opt/dynoform/forget"]]
    assert forgets[0].beside == forgets[0].name.removesuffix("-forget") and forgets[0].volumes == []
    assert (forgets[0].beside, "stop") in place.engine.asked, "nothing is written to it any more"
    assert addon["id"] in place.made.instances, "it is tried again"
    place.engine.fails = ""
    again(store, change)
    until(lambda: not pending(store))
    assert addon["id"] not in place.made.instances


def test_a_destroyed_database_does_not_wait_for_ever_for_a_repository_that_is_away(
    client: httpx.Client, addon: dict[str, Any], place: Local, store: Store, services: Services
) -> None:
    move(place, services)
    look(place, store)
    told: list[tuple[str, str, str]] = []
    place.worker.logs = Told(told)
    place.engine.fails = "S3 is away"
    with store.transaction() as session:  # no last backup is made of it
        session.execute(update(Addon).values(provider_id=None))

    def gone() -> bool:
        if change := pending(store, postponed=True):
            again(store, change)
        return addon["id"] not in place.made.instances

    with ThreadPoolExecutor(1) as beside:  # the request is answered once the add-on is destroyed
        answer = beside.submit(client.delete, f"/apps/myapp/addons/{addon['id']}")
        until(gone)
        answer.result().raise_for_status()
    assert len([each for each in place.engine.begun if each.argv == ["/opt/dynoform/forget"]]) == ATTEMPTS
    until(lambda: told)
    (line,) = [line for _, _, line in told]
    where = f"s3://s3.example.com/shop-backups/local/{addon['id']}"
    assert line == (
        f"source={addon['name']} Continuous protection: backups that nobody can read any more are left at {where}: "
        "repository of backups: could not be removed: S3 is away"
    )


def test_what_was_kept_at_a_place_that_is_no_longer_set_is_left_there(
    client: httpx.Client, addon: dict[str, Any], place: Local, store: Store, services: Services
) -> None:
    move(place, services)
    look(place, store)
    told = io.StringIO()
    place.worker.journal = Journal("addons", told)
    set_repository(place, {})
    client.delete("/apps/myapp").raise_for_status()
    until(lambda: addon["id"] not in place.made.instances and not pending(store))
    assert not [each for each in place.engine.begun if each.argv == ["/opt/dynoform/forget"]]
    assert "the platform's settings name another place" in told.getvalue()


def pending(store: Store, *, postponed: bool = False) -> AddonChange | None:
    with store.transaction() as session:
        query = select(AddonChange).where(AddonChange.status == "pending")
        found = session.scalars(query.where(AddonChange.run_after > now()) if postponed else query).first()
        session.expunge_all()
        return found


def until(check: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if found := check():
            return found
        time.sleep(0.05)
    raise AssertionError("not within 60 s")
