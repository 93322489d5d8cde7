"""Named credentials of databases: made, granted, attached, rotated, destroyed, on a real server."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import psycopg
import pytest
from sqlalchemy import update

from dynoform.store.session import Store
from dynoform.store.tables import DatabaseCredential, now
from tests.contract.conftest import Person
from tests.contract.test_databases import config, place, work_through
from tests.local_databases import Local

__all__ = ["place"]
NAME = "cred_reads"


@pytest.fixture
def addon(client: httpx.Client, app: str, place: Local) -> dict[str, Any]:
    """A standard database of ``myapp``."""
    answer = client.post("/apps/myapp/addons", json={"plan": "heroku-postgresql:standard-0"})
    made: dict[str, Any] = answer.raise_for_status().json()
    return made


@pytest.fixture
def path(client: httpx.Client, addon: dict[str, Any]) -> str:
    """The credentials of the database, which has a named one."""
    found = f"/postgres/v0/databases/{addon['name']}/credentials"
    made = client.post(found, json={"name": NAME}).raise_for_status()
    assert (made.status_code, made.json()["name"], made.json()["state"]) == (201, NAME, "active")
    return found


@pytest.fixture
def mine(client: httpx.Client, addon: dict[str, Any], place: Local) -> "Iterator[psycopg.Connection[tuple[Any, ...]]]":
    """A connection by the default credential."""
    with place.connect(config(client)["DATABASE_URL"]) as connection:
        yield connection


def attach(client: httpx.Client, addon: dict[str, Any], app: str, name: str) -> httpx.Response:
    body = {"addon": addon["name"], "app": app, "name": name, "namespace": f"credential:{NAME}"}
    return client.post("/addon-attachments", json=body)


@pytest.fixture
def bob(client: httpx.Client, path: str, addon: dict[str, Any], person: Person) -> httpx.Client:
    """Who has the named credential alone, at an app of his own."""
    made = person("bob")
    made.post("/apps", json={"name": "bobs"}).raise_for_status()
    made.post("/apps/bobs/collaborators", json={"user": "ann@example.com", "silent": True}).raise_for_status()
    attach(client, addon, "bobs", "READS").raise_for_status()
    return made


def url(client: httpx.Client, path: str, name: str = NAME) -> str:
    """As ``pg:credentials:url`` puts it together."""
    found = client.get(f"{path}/{name}").raise_for_status().json()
    (used,) = [each for each in found["credentials"] if each["state"] == "active"]
    return f"postgres://{used['user']}:{used['password']}@{found['host']}:{found['port']}/{found['database']}"


def test_a_credential_may_do_what_it_is_granted(
    client: httpx.Client, path: str, place: Local, mine: "psycopg.Connection[tuple[Any, ...]]"
) -> None:
    assert [each["name"] for each in client.get(path).json()] == ["default", NAME]
    mine.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    with place.connect(url(client, path)) as theirs:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            theirs.execute("SELECT answer FROM kept")
        mine.execute(f"GRANT SELECT ON kept TO {NAME}")
        assert theirs.execute("SELECT answer FROM kept").fetchone() == (42,)
        for statement in ("INSERT INTO kept VALUES (43)", "DROP TABLE kept", "COPY kept TO PROGRAM 'cat'"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                theirs.execute(statement)
        (owner,) = mine.execute("SELECT current_user").fetchone() or ("",)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            theirs.execute(f'SET ROLE "{owner}"')


def test_what_a_credential_makes_the_default_one_sees_and_gets(
    client: httpx.Client, path: str, place: Local, addon: dict[str, Any], mine: "psycopg.Connection[tuple[Any, ...]]"
) -> None:
    mine.execute(f"CREATE SCHEMA theirs AUTHORIZATION {NAME}")
    with place.connect(url(client, path)) as theirs:
        theirs.execute("CREATE TABLE theirs.made AS SELECT 1 AS one")
    assert mine.execute("SELECT one FROM theirs.made").fetchone() == (1,)
    owners = "SELECT tableowner = current_user FROM pg_tables WHERE tablename = 'made'"
    assert mine.execute(owners).fetchone() == (False,)
    repaired = client.post(f"/postgres/v0/databases/{addon['name']}/repair-default")
    assert repaired.raise_for_status().json() == {"message": "Default credential repaired"}
    assert mine.execute(owners).fetchone() == (True,)
    with place.connect(url(client, path)) as theirs:
        theirs.execute("CREATE TABLE IF NOT EXISTS pg_temp.own (a int)")
    gone = client.delete(f"{path}/{NAME}").raise_for_status()
    assert gone.json() == {"message": "Credential destroyed"}
    assert mine.execute("SELECT one FROM theirs.made").fetchone() == (1,)
    assert mine.execute("SELECT count(*) FROM pg_roles WHERE rolname = %s", [NAME]).fetchone() == (0,)
    assert [each["name"] for each in client.get(path).json()] == ["default"]


def test_an_attachment_of_a_credential_has_its_address_and_follows_rotations(
    client: httpx.Client, path: str, place: Local, addon: dict[str, Any], store: Store
) -> None:
    shown = client.get(f"/addons/{addon['name']}/config/credential:{NAME}").raise_for_status().json()
    assert [each["name"] for each in shown] == ["DATABASE_URL"]
    assert client.get(f"/addons/{addon['name']}/config/credential:nobody").json() == []
    client.post("/apps", json={"name": "other"}).raise_for_status()
    assert attach(client, addon, "other", "READS").raise_for_status().json()["namespace"] == f"credential:{NAME}"
    before, default = config(client, "other")["READS_URL"], config(client)["DATABASE_URL"]
    assert before == url(client, path)
    with place.connect(before) as open_one:
        client.post(f"{path}/{NAME}/credentials_rotation", json={}).raise_for_status()
        after = config(client, "other")["READS_URL"]
        assert after != before
        assert config(client)["DATABASE_URL"] == default
        release = client.get("/apps/other/releases", headers={"Range": "version ..; order=desc,max=1"}).json()[0]
        assert release["description"] == "Update DATABASE_URL by heroku-postgresql"
        assert open_one.execute("SELECT current_user").fetchone() == (NAME,)
        for each in (before, after):
            place.connect(each).close()
        assert client.get(f"{path}/{NAME}").json()["state"] == "rotating"
        assert client.get(f"{path}/default").json()["state"] == "active"
        with store.transaction() as session:
            over = DatabaseCredential.ends_at.is_not(None)
            session.execute(update(DatabaseCredential).where(over).values(ends_at=now() - timedelta(seconds=1)))
        work_through(place, store)
        with pytest.raises(psycopg.OperationalError):
            open_one.execute("SELECT 1")
    place.connect(after).close()
    client.post(path.replace("credentials", "credentials_rotation"), json={}).raise_for_status()
    assert config(client, "other")["READS_URL"] != after
    assert config(client)["DATABASE_URL"] != default


def test_a_reset_keeps_credentials_and_takes_their_permissions(
    client: httpx.Client, path: str, place: Local, addon: dict[str, Any]
) -> None:
    before = url(client, path)
    client.put(f"/client/v11/databases/{addon['name']}/reset", json={}).raise_for_status()
    with place.connect(before) as theirs:
        assert theirs.execute("SELECT current_user").fetchone() == (NAME,)


def test_whoever_was_given_a_credential_sees_no_other(path: str, addon: dict[str, Any], bob: httpx.Client) -> None:
    assert [each["name"] for each in bob.get(path).raise_for_status().json()] == [NAME]
    assert [bob.get(f"{path}/{name}").status_code for name in (NAME, "default")] == [200, 404]
    info = bob.get(f"/client/v11/databases/{addon['name']}").raise_for_status().json()
    assert info["resource_url"] == config(bob, "bobs")["READS_URL"]
    assert bob.get(f"/addons/{addon['name']}/config").status_code in (403, 404)
    changes = (
        ("POST", path, {"name": "cred_more"}),
        ("DELETE", f"{path}/{NAME}", {}),
        ("POST", f"{path}/{NAME}/credentials_rotation", {}),
        ("POST", path.replace("credentials", "repair-default"), {}),
    )
    assert {bob.request(method, where, json=body).status_code for method, where, body in changes} <= {403, 404}


@pytest.mark.parametrize(
    "setting",
    [
        "role = '{owner}'",
        "search_path = theirs",
        "default_transaction_read_only = on",
        "statement_timeout = 1",
        "local_preload_libraries = 'nothing'",
        "standard_conforming_strings = off",
    ],
)
def test_what_a_user_sets_for_all_who_connect_does_not_keep_his_password(
    client: httpx.Client, addon: dict[str, Any], place: Local, store: Store, setting: str
) -> None:
    """Whoever has it may set what he likes for the database."""
    before = config(client)["DATABASE_URL"]
    with place.connect(before) as mine:
        owner, name = mine.execute("SELECT current_user, current_database()").fetchone() or ("", "")
        mine.execute(f'ALTER DATABASE "{name}" SET {setting.format(owner=owner)}')
    path = f"/postgres/v0/databases/{addon['name']}/credentials/default/credentials_rotation"
    client.post(path, json={"forced": True}).raise_for_status()
    work_through(place, store)
    with pytest.raises(psycopg.OperationalError):
        place.connect(before)
    assert config(client)["DATABASE_URL"] != before


def test_whoever_was_given_a_credential_gets_no_copy_and_no_follower(
    client: httpx.Client, addon: dict[str, Any], bob: httpx.Client, place: Local
) -> None:
    """Both have all of it; a follower has all its credentials, too, so an attachment of the default one does not do."""
    made = list(place.made.instances)
    for name in ("READS_URL", "READS"):
        for option in ("fork", "follow"):
            body = {"plan": "heroku-postgresql:standard-0", "config": {option: name}}
            refused = bob.post("/apps/bobs/addons", json=body)
            why = "is attached with a credential that may have less than all of it: ask who has its app for a copy"
            assert (refused.status_code, refused.json()["message"]) == (422, f"{name} {why}")
    whole = {"addon": addon["name"], "app": "bobs", "name": "WHOLE"}
    client.post("/addon-attachments", json=whole).raise_for_status()
    body = {"plan": "heroku-postgresql:standard-0", "config": {"follow": "WHOLE"}}
    assert bob.post("/apps/bobs/addons", json=body).status_code in (403, 404)
    assert list(place.made.instances) == made
    assert (
        "no backup yet" in bob.post("/apps/bobs/addons", json={**body, "config": {"fork": "WHOLE"}}).json()["message"]
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (NAME, f"Credential {NAME} exists already"),
        ("default", "Name default is reserved: choose another one for the credential"),
        ("pg_monitor", "Name pg_monitor is reserved: choose another one for the credential"),
        ("u0123456789abcd", "Name u0123456789abcd is reserved: choose another one for the credential"),
        ('x"; DROP', "Name of a credential must start with a lowercase letter and can only contain lowercase letters, "
         "digits, dashes and underscores, at most 50"),
    ],
)  # fmt: skip
def test_names_that_cannot_be_are_refused(client: httpx.Client, path: str, name: str, message: str) -> None:
    refused = client.post(path, json={"name": name})
    assert (refused.status_code, refused.json()["message"]) == (422, message)


def test_what_is_attached_or_the_default_one_is_not_destroyed(
    client: httpx.Client, path: str, addon: dict[str, Any]
) -> None:
    attach(client, addon, "myapp", "READS").raise_for_status()
    attached, default, nobody = (client.delete(f"{path}/{name}") for name in (NAME, "default", "nobody"))
    assert attached.json()["message"] == f"Credential {NAME} must be detached from myapp before destroying."
    assert default.json()["message"] == "Default credential cannot be destroyed."
    assert [each.status_code for each in (attached, default, nobody)] == [422, 422, 404]


def test_essential_plans_have_the_default_one_alone(client: httpx.Client, app: str, place: Local) -> None:
    made = client.post("/apps/myapp/addons", json={"plan": "heroku-postgresql:essential-0"}).raise_for_status().json()
    refused = client.post(f"/postgres/v0/databases/{made['name']}/credentials", json={"name": NAME})
    assert refused.status_code == 422
    assert refused.json()["message"] == (
        "You can't create a custom credential on Essential-tier databases. Change to a Standard plan first"
    )
