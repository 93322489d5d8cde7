"""Databases as add-ons, and the data API: everything but the container is real."""

import time
import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import psycopg
import pytest
from sqlalchemy import select, update

from dynoform.api import databases as api_databases
from dynoform.api.services import Services
from dynoform.domain import data_services
from dynoform.errors import UnavailableError
from dynoform.store import databases
from dynoform.store.addon_services import register_own
from dynoform.store.session import Store
from dynoform.store.tables import AddonChange, AddonService, Database, DatabaseCredential, now
from tests.contract.addon_fixtures import at_work
from tests.contract.addon_provider import MANIFEST
from tests.contract.conftest import Person
from tests.local_databases import Local, clean, local

ELSEWHERE = {"production": {"base_url": "https://provider.example.com"}}


@pytest.fixture
def place(services: Services, operator: object) -> Iterator[Local]:
    """A worker of databases, at work. The API knows their address."""
    made = local(services)
    with at_work(made.worker, made.turn):
        yield made
    clean(services)


@pytest.fixture
def addon(client: httpx.Client, app: str, place: Local) -> dict[str, Any]:
    """An essential database of ``myapp``."""
    return create(client)


def create(client: httpx.Client, app: str = "myapp", **more: Any) -> dict[str, Any]:
    answer = client.post(f"/apps/{app}/addons", json={"plan": "heroku-postgresql:essential-0", **more})
    made: dict[str, Any] = answer.raise_for_status().json()
    return made


def config(client: httpx.Client, app: str = "myapp") -> dict[str, str]:
    found: dict[str, str] = client.get(f"/apps/{app}/config-vars").raise_for_status().json()
    return found


def work_through(place: Local, store: Store) -> None:
    """Have what is due maintained, as a shift does; the worker in the background may have taken it already."""
    with store.transaction() as session:
        databases.enqueue_due(session)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with place.turn:
            place.worker.step()
            with store.transaction() as session:
                if not session.scalars(select(AddonChange).where(AddonChange.status == "pending")).all():
                    return
        time.sleep(0.05)
    raise AssertionError("a change is not finished")


def test_an_essential_database_comes_with_its_address_in_a_release(
    client: httpx.Client, addon: dict[str, Any], place: Local
) -> None:
    assert (addon["state"], addon["config_vars"]) == ("provisioned", ["DATABASE_URL"])
    url = config(client)["DATABASE_URL"]
    assert url.startswith("postgres://u") and "@172.29.0.1:15000/d" in url
    release = client.get("/apps/myapp/releases", headers={"Range": "version ..; order=desc,max=1"}).json()[0]
    assert release["description"] == f"Attach DATABASE (@ref:{addon['name']})"
    (instance,) = place.made.instances.values()
    assert instance["addon"] == addon["id"]
    wanted = ("image", "network", "port", "memory_mib", "cache_mib", "connections")
    assert [instance[name] for name in wanted] == ["postgres:1", "local_dynos-id", 15000, 256, 32, 28]


def test_a_user_owns_the_database_and_nothing_else(client: httpx.Client, addon: dict[str, Any], place: Local) -> None:
    with place.connect(config(client)["DATABASE_URL"]) as database:
        database.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        database.execute("CREATE EXTENSION citext")
        found = database.execute(
            "SELECT rolsuper, rolcreaterole, rolcreatedb, rolbypassrls FROM pg_roles "
            "WHERE rolname IN (session_user, current_user)"
        )
        assert found.fetchall() == [(False,) * 4] * 2
        limit = database.execute("SELECT datconnlimit FROM pg_database WHERE datname = current_database()").fetchone()
        assert limit == (20,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            database.execute("COPY kept TO PROGRAM 'cat'")
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        place.connect(config(client)["DATABASE_URL"].rpartition("/")[0] + "/postgres")


def test_a_database_is_closed_to_the_users_of_another(
    client: httpx.Client, addon: dict[str, Any], place: Local
) -> None:
    create(client)
    found = config(client)
    (other,) = found.keys() - {"DATABASE_URL"}
    assert other.startswith("HEROKU_POSTGRESQL_")
    assert "@172.29.0.1:15001/" in found[other]
    theirs, mine = found[other].rpartition("/")[0], found["DATABASE_URL"].rpartition("/")[2]
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        place.connect(f"{theirs}/{mine}")


def test_rotation_lets_both_passwords_work_until_the_old_one_ends(
    client: httpx.Client, addon: dict[str, Any], place: Local, store: Store
) -> None:
    client.post("/apps", json={"name": "other"}).raise_for_status()
    attached = {"addon": addon["name"], "app": "other", "name": "SHARED"}
    client.post("/addon-attachments", json=attached).raise_for_status()
    before = config(client)["DATABASE_URL"]
    with place.connect(before) as old:
        old.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        path = f"/postgres/v0/databases/{addon['name']}/credentials/default"
        answer = client.post(f"{path}/credentials_rotation", json={}).raise_for_status()
        assert answer.json() == {"message": "Credential rotated"}
        after = config(client)["DATABASE_URL"]
        assert after not in (before, None)
        assert config(client, "other")["SHARED_URL"] == after
        release = client.get("/apps/other/releases", headers={"Range": "version ..; order=desc,max=1"}).json()[0]
        assert release["description"] == "Update DATABASE_URL by heroku-postgresql"
        shown = client.get(path).json()
        assert [each["state"] for each in shown["credentials"]] == ["rotating", "active"]
        for url in (before, after):
            with place.connect(url) as each:
                each.execute("INSERT INTO kept VALUES (43)")
        with store.transaction() as session:
            ended = DatabaseCredential.ends_at.is_not(None)
            assert session.scalars(select(DatabaseCredential.ends_at).where(ended)).one() > now() + timedelta(
                minutes=29
            )
            session.execute(update(DatabaseCredential).where(ended).values(ends_at=now() - timedelta(seconds=1)))
        work_through(place, store)
        with pytest.raises(psycopg.OperationalError):
            old.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError):
        place.connect(before)
    with place.connect(after) as new:
        assert new.execute("SELECT sum(answer) FROM kept").fetchone() == (128,)
    assert [each["state"] for each in client.get(path).json()["credentials"]] == ["active"]


def test_a_forced_rotation_ends_the_old_password_at_once(
    client: httpx.Client, addon: dict[str, Any], place: Local, store: Store
) -> None:
    before = config(client)["DATABASE_URL"]
    path = f"/postgres/v0/databases/{addon['id']}/credentials_rotation"
    client.post(path, json={"forced": True}).raise_for_status()
    work_through(place, store)
    with pytest.raises(psycopg.OperationalError):
        place.connect(before)
    place.connect(config(client)["DATABASE_URL"]).close()


def test_a_rotation_that_is_worked_on_twice_makes_one_password(
    client: httpx.Client, addon: dict[str, Any], services: Services, store: Store
) -> None:
    identifier, change = uuid.UUID(addon["id"]), uuid.uuid4()
    made = []
    for _ in range(2):
        with store.transaction() as session:
            made.append(databases.rotated(session, services.vault, identifier, change, data_services.GRACE).username)
    assert made[0] == made[1]
    with store.transaction() as session:
        assert len(databases.all_credentials(session, identifier)) == 2


def test_info_shows_what_the_database_says_of_itself(client: httpx.Client, addon: dict[str, Any]) -> None:
    shown = client.get(f"/client/v11/databases/{addon['id']}").raise_for_status().json()
    assert shown["resource_url"] == config(client)["DATABASE_URL"]
    lines = {line["name"]: line["values"][0] for line in shown["info"]}
    assert (lines["Plan"], lines["Status"], lines["Tables"]) == ("Essential 0", "Available", "0")
    assert lines["Connections"].endswith("/20")
    assert lines["Data Size"].endswith("%) (In compliance)") and " / 1.0 GB (" in lines["Data Size"]
    assert lines["PG Version"].partition(".")[0].isdecimal()


def test_info_says_so_when_the_database_does_not_answer(
    client: httpx.Client, addon: dict[str, Any], place: Local, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_databases, "WAIT_SECONDS", 0.2)
    place.engine.url = place.engine.url.replace("127.0.0.1", "127.0.0.2")
    shown = client.get(f"/client/v11/databases/{addon['name']}").raise_for_status().json()
    lines = {line["name"]: line["values"][0] for line in shown["info"]}
    assert lines["Status"] == "Unavailable"
    assert "Connections" not in lines
    answer = client.post(f"/client/v11/databases/{addon['name']}/connection_reset")
    assert answer.status_code == 503
    assert answer.json()["message"] == (
        "The database: is slow to answer — what was asked for is still done: look again in a minute"
    )


def test_reset_leaves_an_empty_database_with_the_extensions_asked_for(
    client: httpx.Client, addon: dict[str, Any], place: Local
) -> None:
    url = config(client)["DATABASE_URL"]
    with place.connect(url) as database:
        database.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        path = f"/client/v11/databases/{addon['id']}/reset"
        refused = client.put(path, json={"extensions": ["file_fdw"]})
        assert (refused.status_code, "Extension file_fdw is not one of" in refused.json()["message"]) == (422, True)
        client.put(path, json={"extensions": ["citext"]}).raise_for_status()
    with place.connect(url) as database:
        assert database.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)
        assert database.execute("SELECT count(*) FROM pg_extension WHERE extname = 'citext'").fetchone() == (1,)


def test_killall_ends_every_connection(client: httpx.Client, addon: dict[str, Any], place: Local) -> None:
    with place.connect(config(client)["DATABASE_URL"]) as database:
        answer = client.post(f"/client/v11/databases/{addon['id']}/connection_reset").raise_for_status()
        assert answer.json() == {"message": "Connections terminated"}
        with pytest.raises(psycopg.OperationalError):
            database.execute("SELECT 1")


def test_waiting_is_over_when_it_is_there(client: httpx.Client, addon: dict[str, Any]) -> None:
    status = client.get(f"/client/v11/databases/{addon['id']}/wait_status").raise_for_status().json()
    assert status == {"message": "available", "waiting?": False}


def test_what_is_not_there_yet_is_waited_for(client: httpx.Client, app: str, services: Services) -> None:
    with services.store.transaction() as session:
        register_own(session, services.vault)
    import dynoform.api.addons as api_addons

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(api_addons, "_WAIT_SECONDS", 0.0)
        addon = create(client)
    status = client.get(f"/client/v11/databases/{addon['id']}/wait_status").raise_for_status().json()
    assert status == {"message": "preparing", "waiting?": True}
    assert client.get(f"/client/v11/databases/{addon['id']}").status_code == 404


def test_a_database_is_its_apps_own(
    client: httpx.Client, addon: dict[str, Any], stranger: httpx.Client, person: Person
) -> None:
    paths = (f"/client/v11/databases/{addon['id']}", f"/postgres/v0/databases/{addon['id']}/credentials")
    assert [stranger.get(path).status_code for path in paths] == [404, 404]
    viewer = person("eve")
    client.post("/apps/myapp/collaborators", json={"user": "eve@example.com", "silent": True}).raise_for_status()
    assert viewer.get(paths[1]).status_code == 200
    reader = person("ann-reads", "read")
    client.post("/apps/myapp/collaborators", json={"user": "ann-reads@example.com", "silent": True}).raise_for_status()
    assert [reader.get(path).status_code for path in paths] == [403, 403]
    changes = (
        ("PUT", f"/client/v11/databases/{addon['id']}/reset"),
        ("POST", f"/client/v11/databases/{addon['id']}/connection_reset"),
        ("POST", f"/postgres/v0/databases/{addon['id']}/credentials_rotation"),
        ("POST", f"/redis/v0/databases/{addon['id']}/credentials_rotation"),
    )
    assert [stranger.request(method, path, json={}).status_code for method, path in changes] == [404] * 4
    assert client.post(changes[3][1], json={}).status_code == 404, "a PostgreSQL is no Redis"
    assert client.get(f"/postgres/v0/databases/{addon['id']}/credentials/readonly").status_code == 404


def test_another_app_sees_what_is_attached_to_it_and_changes_nothing(
    client: httpx.Client, addon: dict[str, Any], person: Person
) -> None:
    bob = person("bob")
    bob.post("/apps", json={"name": "bobs"}).raise_for_status()
    bob.post("/apps/bobs/collaborators", json={"user": "ann@example.com", "silent": True}).raise_for_status()
    client.post("/addon-attachments", json={"addon": addon["name"], "app": "bobs"}).raise_for_status()
    assert bob.get(f"/client/v11/databases/{addon['id']}").status_code == 200
    assert bob.put(f"/client/v11/databases/{addon['id']}/reset", json={}).status_code in (403, 404)


def test_plans_are_the_ones_that_are_there(client: httpx.Client, place: Local) -> None:
    plans = client.get("/addon-services/heroku-postgresql/plans").raise_for_status().json()
    offered = [*(f"essential-{number}" for number in range(3)), "standard-0", "premium-0"]
    assert {plan["name"] for plan in plans} == {f"heroku-postgresql:{name}" for name in offered}
    assert {plan["price"]["cents"] for plan in plans} == {0}
    assert [plan["name"] for plan in plans if plan["default"]] == ["heroku-postgresql:essential-0"]
    redis = client.get("/addon-services/heroku-redis/plans").raise_for_status().json()
    offered = {plan["name"]: plan["description"] for plan in redis}
    assert offered["heroku-redis:mini"] == "Valkey 8, 25 MB, 20 connections"
    assert offered["heroku-redis:premium-5"] == "Valkey 8, 1024 MB, 1,000 connections, HA"
    assert [plan["name"] for plan in redis if plan["default"]] == ["heroku-redis:mini"]


def test_another_plan_brings_other_sizes(client: httpx.Client, addon: dict[str, Any], place: Local) -> None:
    changed = client.patch(f"/apps/myapp/addons/{addon['id']}", json={"plan": "heroku-postgresql:essential-2"})
    assert changed.raise_for_status().json()["plan"]["name"] == "heroku-postgresql:essential-2"
    (instance,) = place.made.instances.values()
    assert (instance["memory_mib"], instance["connections"]) == (512, 48)
    with place.connect(config(client)["DATABASE_URL"]) as database:
        limit = database.execute("SELECT datconnlimit FROM pg_database WHERE datname = current_database()").fetchone()
        assert limit == (40,)


def test_destroying_takes_all_of_it(client: httpx.Client, addon: dict[str, Any], place: Local, store: Store) -> None:
    gone = client.delete(f"/apps/myapp/addons/{addon['id']}").raise_for_status().json()
    assert gone["state"] == "deprovisioned"
    assert place.made.instances == {}
    assert "DATABASE_URL" not in config(client)
    with store.transaction() as session:
        for table in (Database, DatabaseCredential, AddonChange):
            assert session.scalars(select(table)).all() == []


def test_a_port_that_somebody_has_is_left_alone(client: httpx.Client, app: str, place: Local) -> None:
    place.engine.published |= {15000, 15001}
    create(client)
    assert "@172.29.0.1:15002/" in config(client)["DATABASE_URL"]


def test_a_lost_service_is_made_again(client: httpx.Client, addon: dict[str, Any], place: Local, store: Store) -> None:
    with store.transaction() as session:
        assert databases.enqueue_due(session, running={addon["id"]}) == 0
    work_through(place, store)
    with store.transaction() as session:
        session.get_one(Database, addon["id"]).look_at = now() + timedelta(hours=1)
        assert databases.enqueue_due(session, running=set()) == 1
    work_through(place, store)
    assert place.made.again[-1] is True
    (instance,) = place.made.instances.values()
    assert instance["restored"] is True, "it never begins with no data"
    (job,) = place.engine.begun
    assert (f"local_addon-{addon['id']}-backups", "/var/lib/pgbackrest", "ro") in job.volumes, "its own"
    with store.transaction() as session:
        look_at = session.get_one(Database, addon["id"]).look_at
        assert look_at and look_at <= now(), "it gets a backup of its own"


def test_looks_at_a_database_that_does_not_answer_end_at_once_and_leave_it_to_what_mends_it(
    client: httpx.Client, addon: dict[str, Any], place: Local, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    work_through(place, store)

    def absent(service: str, argv: list[str], stdin: str, user: str) -> str:
        raise UnavailableError(service, "has no running container on this host")

    with monkeypatch.context() as patched:
        patched.setattr(place.engine, "run", absent)
        found = client.get(f"/client/v11/databases/{addon['id']}").raise_for_status().json()
        assert {"name": "Status", "values": ["Unavailable"]} in found["info"]
        report = client.post("/reports", json={"app": "myapp", "database": "DATABASE_URL"})
        assert (report.status_code, report.json()["message"]) == (
            422,
            "The add-on's provider does not answer. Try again later",
        )
        with store.transaction() as session:
            looks = session.scalars(select(AddonChange).where(AddonChange.action.in_(data_services.LOOKS))).all()
            assert [(each.status, each.attempts) for each in looks] == [("failed", 1)] * 2
    with store.transaction() as session:
        assert databases.enqueue_due(session, running=set()) == 1


def test_a_wrong_option_is_refused_before_anything_is_made(client: httpx.Client, app: str, place: Local) -> None:
    body = {"plan": "heroku-redis:mini", "config": {"maxmemory_policy": "never"}}
    refused = client.post("/apps/myapp/addons", json=body)
    assert refused.status_code == 422
    assert refused.json()["message"].startswith("maxmemory_policy must be one of: noeviction, ")
    assert place.made.instances == {}


def test_databases_of_a_provider_of_ones_own_stay(client: httpx.Client, services: Services, store: Store) -> None:
    manifest = {**MANIFEST, "id": "heroku-redis", "api": {**MANIFEST["api"], **ELSEWHERE}}
    client.put("/dynoform/addon-services/heroku-redis", json=manifest).raise_for_status()
    with store.transaction() as session:
        register_own(session, services.vault)
        providers = {each.name: each.provider for each in session.scalars(select(AddonService))}
    others = {name: name for name in ("heroku-postgresql", "heroku-kafka", "scheduler")}
    assert providers == {"heroku-redis": "partner", **others}
    gone = client.delete("/dynoform/addon-services/heroku-postgresql")
    assert gone.json()["message"] == "heroku-postgresql is provided by the platform itself: it cannot be removed"


def test_a_provider_of_ones_own_waits_until_there_are_no_addons(client: httpx.Client, addon: dict[str, Any]) -> None:
    api = {**MANIFEST["api"], **ELSEWHERE, "config_vars": ["DATABASE_URL"], "config_vars_prefix": "DATABASE"}
    manifest = {**MANIFEST, "id": "heroku-postgresql", "api": api}
    refused = client.put("/dynoform/addon-services/heroku-postgresql", json=manifest)
    assert refused.status_code == 409
    assert refused.json()["message"] == (
        "heroku-postgresql has add-ons: the platform itself provides them — destroy them first"
    )
