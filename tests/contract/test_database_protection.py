"""Backups of databases by the data API, and databases made from them: everything but the containers is real."""

import threading
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psycopg
import pytest
from sqlalchemy import select, update

from dynoform.addons.engine import JobState
from dynoform.api.services import Services
from dynoform.domain import data_services
from dynoform.errors import UnavailableError
from dynoform.store import databases
from dynoform.store.session import Store
from dynoform.store.tables import AddonChange, Database, now
from tests.contract.test_databases import config, create, place, work_through
from tests.local_databases import Local, backup, repository

__all__ = ["place"]
FULL = timedelta(hours=1)


@pytest.fixture
def addon(client: httpx.Client, app: str, place: Local, store: Store) -> dict[str, Any]:
    """An essential database of ``myapp`` that was looked at."""
    made = create(client)
    work_through(place, store)
    return made


def look(place: Local, store: Store) -> None:
    """Have its repository looked at now."""
    with store.transaction() as session:
        session.execute(update(Database).values(look_at=now() - timedelta(seconds=1)))
    work_through(place, store)


def info(client: httpx.Client, addon: dict[str, Any]) -> dict[str, str]:
    shown = client.get(f"/client/v11/databases/{addon['id']}").raise_for_status().json()
    return {line["name"]: line["values"][0] for line in shown["info"]}


def test_a_new_database_gets_a_repository_of_its_own_and_its_first_backup(
    client: httpx.Client, app: str, place: Local, store: Store
) -> None:
    place.engine.said = repository(code=1, message="missing stanza path")
    made, other = create(client), create(client)
    texts = [place.made.instances[each["id"]]["repository"] for each in (made, other)]
    assert len(set(texts)) == 2 and all("repo1-retention-full=2" in text for text in texts)
    assert info(client, made)["Continuous Protection"] == "Begins with the first backup"
    work_through(place, store)
    service = f"{place.worker.around.region}_addon-{made['id']}"
    assert [service, "/opt/dynoform/protect", "backup", "full"] in place.engine.started
    with store.transaction() as session:
        found = session.get_one(Database, uuid.UUID(made["id"]))
        assert found.cipher is not None and texts[0].encode() not in found.cipher
        assert found.look_at is not None and found.look_at < now() + timedelta(seconds=6)


def test_info_shows_what_can_be_had_again(client: httpx.Client, addon: dict[str, Any], place: Local) -> None:
    lines = info(client, addon)
    assert lines["Continuous Protection"] == "On"
    assert lines["Fork/Follow"] == "Fork alone"
    ago = datetime.now(UTC) - datetime.strptime(lines["Rollback"], "earliest from %Y-%m-%d %H:%M:%S %Z").replace(
        tzinfo=UTC
    )
    assert FULL - timedelta(seconds=2) < ago < FULL + timedelta(minutes=5)
    assert lines["Last Backup"].endswith(", 1 kept, 2.9 MB")


def test_a_broken_repository_is_an_alarm_in_info_and_in_the_apps_log(
    client: httpx.Client, addon: dict[str, Any], place: Local, store: Store, services: Services
) -> None:
    client.post("/apps", json={"name": "other"}).raise_for_status()
    client.post("/addon-attachments", json={"addon": addon["name"], "app": "other"}).raise_for_status()
    told: list[tuple[str, str, str]] = []
    place.worker.logs = Told(told)
    place.engine.said = repository(code=99, message="other")
    look(place, store)
    alarm = "the repository of backups cannot be read: other"
    assert info(client, addon)["Continuous Protection"] == f"Off: {alarm}"
    line = f"source={addon['name']} Continuous protection: {alarm}"
    assert told == [("app", "heroku-postgresql", line)] * 2, "both apps that have it"
    look(place, store)
    assert len(told) == 2, "it is said once"
    place.engine.said = repository(backup(FULL))
    look(place, store)
    assert told[-1][2] == f"source={addon['name']} Continuous protection: works again"
    assert info(client, addon)["Continuous Protection"] == "On"


def test_a_database_that_says_nothing_is_looked_at_again_and_holds_up_nothing(
    client: httpx.Client, addon: dict[str, Any], place: Local, store: Store
) -> None:
    place.engine.said = "not what it should be"
    look(place, store)
    lines = info(client, addon)
    assert lines["Continuous Protection"].startswith("Off: backups could not be looked at: ")
    assert lines["Rollback"].startswith("earliest from ")
    with store.transaction() as session:
        assert session.scalars(select(AddonChange).where(AddonChange.status == "pending")).all() == []


def test_the_latest_backup_is_restored_for_a_trial_and_its_result_is_shown(
    client: httpx.Client, addon: dict[str, Any], place: Local, store: Store
) -> None:
    assert place.engine.begun == [], "not at once"
    with store.transaction() as session:
        session.execute(update(Database).values(drill_at=now() - timedelta(seconds=1)))
    look(place, store)
    (job,) = place.engine.begun
    assert job.name == f"local_addon-{addon['id']}-drill" and job.beside == ""
    assert [mode for _, _, mode in job.volumes] == ["ro"], "it has its backups to read, and nothing of the database"
    said = '@drill {"tables": 3, "relations": 420, "bytes": 8388608, "seconds": 12}\n'
    place.engine.done[job.name] = JobState(False, "", said)
    look(place, store)
    assert info(client, addon)["Restore Drill"].endswith(" UTC, passed: 3 tables, 8.0 MB, in 12 s")
    look(place, store)
    assert len(place.engine.begun) == 1 and place.engine.jobs == {}, "the next one is a week away"
    with store.transaction() as session:
        session.execute(update(Database).values(drill_at=now() - timedelta(seconds=1)))
    look(place, store)
    place.engine.done[job.name] = JobState(False, "restore: a block is not what was written")
    look(place, store)
    failed = "the restore drill failed: restore: a block is not what was written"
    assert info(client, addon)["Continuous Protection"] == f"Off: {failed}"


def test_a_fork_has_the_data_and_lets_nobody_in_who_could_get_into_the_other(
    client: httpx.Client, addon: dict[str, Any], place: Local
) -> None:
    before = config(client)["DATABASE_URL"]
    with place.connect(before) as database:
        database.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    made = create(client, config={"fork": "DATABASE_URL"}, attachment={"name": "COPY"})
    assert made["state"] == "provisioned"
    instance = place.made.instances[made["id"]]
    assert instance["restored"] is True
    assert instance["repository"] != place.made.instances[addon["id"]]["repository"]
    url = config(client)["COPY_URL"]
    assert url.rpartition("/")[2] == before.rpartition("/")[2], "the names inside come with the data"
    with place.connect(url) as copy:
        assert copy.execute("SELECT answer FROM kept").fetchone() == (42,)
        copy.execute("INSERT INTO kept VALUES (43)")
    # Here both are one server: with the copy's users the other's have gone.
    with pytest.raises(psycopg.OperationalError):
        place.connect(before)
    shown = client.get(f"/client/v11/databases/{made['id']}").raise_for_status().json()
    assert shown["forked_from"] == addon["name"]
    assert place.engine.jobs == {}


def test_a_rollback_is_made_by_a_job_that_reads_the_others_repository_alone(
    client: httpx.Client, addon: dict[str, Any], place: Local
) -> None:
    to = (datetime.now(UTC) - timedelta(minutes=5)).replace(microsecond=0)
    options = {"rollback": addon["name"], "to": f"{to:%Y-%m-%d %H:%M:%S} UTC"}
    made = create(client, config=options)
    (job,) = place.engine.begun
    assert job.name == f"local_addon-{made['id']}-restore" and job.addon == made["id"]
    assert job.environment == {"RESTORE_TO": f"{to:%Y-%m-%d %H:%M:%S}+00:00"}
    assert job.stdin == place.made.instances[addon["id"]]["repository"] + ".\n"
    assert job.volumes == [
        (f"local_addon-{addon['id']}-backups", "/var/lib/pgbackrest", "ro"),
        (f"local_addon-{made['id']}", "/var/lib/postgresql", "rw"),
    ]
    assert "RESTORE" not in job.stdin and "cipher" not in " ".join(job.argv)
    assert place.engine.volumes == {f"local_addon-{made['id']}": made["id"]}
    client.delete(f"/apps/myapp/addons/{made['id']}").raise_for_status()
    assert place.engine.volumes == {}


def test_data_are_brought_while_their_server_is_made_which_is_seen_to_in_the_end(
    client: httpx.Client, addon: dict[str, Any], place: Local, monkeypatch: pytest.MonkeyPatch
) -> None:
    up, tried = place.made.up, list[tuple[int, bool]]()

    def broken_off(name: str, instance: Mapping[str, Any], *, again: bool) -> None:
        tried.append((len(place.engine.begun), again))
        if len(tried) == 1:
            raise UnavailableError("pulumi up", "was killed")
        up(name, instance, again=again)

    monkeypatch.setattr(place.made, "up", broken_off)
    assert create(client, config={"fork": "DATABASE_URL"})["state"] == "provisioned"
    assert tried == [(1, False), (1, True)]
    assert len(place.engine.begun) == 1 and place.engine.jobs == {}


def test_a_restore_that_was_killed_goes_on(client: httpx.Client, addon: dict[str, Any], place: Local) -> None:
    place.engine.kills = 1
    assert create(client, config={"fork": "DATABASE_URL"})["state"] == "provisioned"
    assert len(place.engine.begun) == 2 and place.engine.jobs == {}


def test_a_lost_database_that_could_not_be_brought_back_is_tried_again_after_a_while(
    client: httpx.Client, addon: dict[str, Any], place: Local, store: Store
) -> None:
    place.engine.fails = "restore: the backup could not be read from the repository"
    for _ in range(2):
        with store.transaction() as session:  # its service is gone; then there is one, which waits for its data
            databases.enqueue_due(session, [] if not place.engine.begun else [addon["id"]])
        work_through(place, store)
        assert len(place.engine.begun) == 1, "not at once"
    assert {f"local_addon-{addon['id']}", f"local_addon-{addon['id']}-backups"} <= set(place.engine.volumes)
    place.engine.fails = ""
    with store.transaction() as session:
        session.execute(update(Database).values(lost_at=now() - data_services.LOST_AGAIN))
        databases.enqueue_due(session, [addon["id"]])
    work_through(place, store)
    assert len(place.engine.begun) == 2
    with store.transaction() as session:
        assert session.get_one(Database, uuid.UUID(addon["id"])).lost_at is None


def test_a_restore_that_fails_says_why_and_leaves_nothing(
    client: httpx.Client, addon: dict[str, Any], place: Local
) -> None:
    place.engine.fails = "restore: there is no such time in the repository"
    refused = client.post(
        "/apps/myapp/addons",
        json={"plan": "heroku-postgresql:essential-0", "config": {"fork": "DATABASE"}},
    )
    assert (refused.status_code, refused.json()["message"]) == (
        422,
        "The database could not be made from the backup: restore: there is no such time in the repository",
    )
    assert place.engine.jobs == {}


def test_a_rollback_works_while_the_other_says_nothing_and_a_fork_waits(
    client: httpx.Client, addon: dict[str, Any], place: Local, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = place.engine.run

    def silent(service: str, argv: list[str], stdin: str, user: str) -> str:
        if argv[1] == "archive":
            raise UnavailableError(service, "has no running container on this host")
        return run(service, argv, stdin, user)

    monkeypatch.setattr(place.engine, "run", silent)
    made = create(client, config={"rollback": "DATABASE", "by": "10 minutes"})
    assert made["state"] == "provisioned"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"follow": "DATABASE_URL"}, "Essential databases have no followers: make a copy with --fork"),
        ({"rollback": "DATABASE_URL", "by": "3 hours"}, " and no further"),
        ({"rollback": "DATABASE_URL", "to": "2999-01-01"}, ", which is to come: leave out --to for now"),
    ],
)
def test_what_cannot_be_had_is_refused_before_anything_is_made(
    client: httpx.Client, addon: dict[str, Any], place: Local, options: dict[str, str], message: str
) -> None:
    refused = client.post("/apps/myapp/addons", json={"plan": "heroku-postgresql:essential-0", "config": options})
    assert refused.status_code == 422
    assert message in refused.json()["message"]
    assert list(place.made.instances) == [addon["id"]]


def test_only_who_may_read_a_database_may_copy_it(
    client: httpx.Client, addon: dict[str, Any], stranger: httpx.Client
) -> None:
    stranger.post("/apps", json={"name": "theirs"}).raise_for_status()
    names = (addon["id"], addon["name"], "myapp::DATABASE")
    plan = {"plan": "heroku-postgresql:essential-0"}
    bodies = [{**plan, "config": {"fork": name}} for name in names]
    assert [stranger.post("/apps/theirs/addons", json=body).status_code for body in bodies] == [404] * 3
    client.post("/apps/myapp/collaborators", json={"user": "bob@example.com", "silent": True}).raise_for_status()
    assert stranger.post("/apps/theirs/addons", json=bodies[-1]).status_code == 201


def test_a_source_that_is_destroyed_meanwhile_ends_the_copy(services: Services, place: Local) -> None:
    with pytest.raises(Exception, match="The database to copy was destroyed meanwhile"):
        place_of(place).source(uuid.uuid4())


def place_of(place: Local) -> Any:
    return place.worker.providers["heroku-postgresql"]._place  # type: ignore[attr-defined]


class Told:
    """Keeps what logs are told."""

    def __init__(self, told: list[tuple[str, str, str]]) -> None:
        self._told = told

    def line(self, app_id: uuid.UUID, source: str, process: str, message: str) -> None:
        if process == "heroku-postgresql":
            self._told.append((source, process, message))


def test_a_place_of_backups_that_is_silent_holds_up_no_other_database(
    client: httpx.Client, app: str, place: Local, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One thread of two leaves looks at backups alone."""
    first, second, third = (create(client) for _ in range(3))
    work_through(place, store)
    heard, run = threading.Event(), place.engine.run

    def silent(service: str, argv: Sequence[str], stdin: str, user: str) -> str:
        if argv[:2] == ["/opt/dynoform/protect", "state"]:
            heard.wait(30)
        return run(service, argv, stdin, user)

    monkeypatch.setattr(place.engine, "run", silent)
    with store.transaction() as session:
        of_two = Database.addon_id.in_([uuid.UUID(first["id"]), uuid.UUID(second["id"])])
        session.execute(update(Database).where(of_two).values(look_at=now() - timedelta(seconds=1)))
        databases.enqueue_due(session)
    client.post(f"/data/maintenances/v1/{third['id']}/run").raise_for_status()
    assert place.worker.step((data_services.PROTECT,)) and not place.worker.step((data_services.PROTECT,))
    assert client.get(f"/data/maintenances/v1/{third['id']}").json()["status"] == "completed"
    with store.transaction() as session:
        pending = session.scalars(select(AddonChange.action).where(AddonChange.status == "pending")).all()
    assert pending == [data_services.PROTECT] * 2
    heard.set()
    work_through(place, store)
