"""The exec manager, as `heroku ps:exec` calls it: keys for dynos, and who gets them. Nobody connects with them here."""

import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import select, update

from dynoform.api.services import Services
from dynoform.domain import heroku_exec, one_off, ssh_keys
from dynoform.errors import InvalidInputError, NotFoundError
from dynoform.store import exec_keys
from dynoform.store.session import Store
from dynoform.store.tables import App, Dyno, ExecKey, Release, now
from tests.contract.conftest import Person, make_client, serve
from tests.store_fixtures import OPERATOR_KEY

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
BODY = {"client_key": f"{KEY} "}
"""With a blank at its end, as the CLI sends it."""
pytestmark = pytest.mark.usefixtures("web")


@pytest.fixture(scope="module")
def address(services: Services) -> Iterator[str]:
    """URL of an API whose stack has an address for the SSH server."""
    configuration = replace(services.configuration, exec_address="127.0.0.80")
    with serve(replace(services, configuration=configuration)) as url:
        yield url


@pytest.fixture
def web(store: Store, app: str, slug: uuid.UUID) -> uuid.UUID:
    """web.1, up, and web.2, starting."""
    with store.transaction() as session:
        found = session.scalars(select(App).where(App.name == app)).one()
        release = session.scalars(select(Release).where(Release.current)).one()
        made = [
            Dyno(app_id=found.id, release_id=release.id, type="web", number=number, size="Basic", command="x")
            for number in (1, 2)
        ]
        made[0].state = "up"
        session.add_all(made)
        session.flush()
        return made[0].id


@pytest.fixture
def put(nobody: httpx.Client) -> Callable[..., httpx.Response]:
    """Registers a key as the CLI does: Basic, the app as user, the token as password."""

    def call(dyno: str = "web.1", app: str = "myapp", token: str = OPERATOR_KEY, **body: Any) -> httpx.Response:
        return nobody.put(f"/api/v2/{dyno}", json=body or BODY, auth=(app, token))

    return call


Put = Callable[..., httpx.Response]


def keys(store: Store) -> list[ExecKey]:
    with store.transaction() as session:
        return list(session.scalars(select(ExecKey)))


def test_a_token_that_cannot_read_config_vars_opens_no_shell(put: Put, person: Person, store: Store) -> None:
    answer = put(token=person("bob", "write").headers["Authorization"].removeprefix("Bearer "))
    assert answer.status_code == 403
    assert answer.json()["message"].endswith("It has write; this call needs write-protected.")
    assert keys(store) == []


def test_a_key_is_registered_for_one_dyno_for_an_hour(
    put: Put, services: Services, store: Store, web: uuid.UUID
) -> None:
    answer = put()
    assert answer.status_code == 200, answer.text
    made = answer.json()
    public = ssh_keys.host_key(services.configuration.secret("exec_host_key")).public
    assert made == {
        "tunnel_host": "127.0.0.80",
        "client_user": made["client_user"],
        "proxy_public_key": public,
        "dyno_ip": "127.0.0.1",
    }
    assert re.fullmatch("[0-9a-f]{32}", made["client_user"])
    (row,) = keys(store)
    assert (row.dyno_id, row.public_key, row.expires_at - row.created_at) == (web, KEY, timedelta(hours=1))
    assert heroku_exec.key_id(made["client_user"]) == row.id
    logged = services.logs.lines  # type: ignore[attr-defined]
    assert logged[-1] == "app[api]: Opening Heroku Exec to web.1 by user ann@example.com"


def test_the_dynos_that_are_up_are_listed(nobody: httpx.Client, app: str) -> None:
    assert nobody.get("/api/v2", auth=(app, OPERATOR_KEY)).json() == [{"dyno_name": "web.1"}]


@pytest.mark.parametrize("token", ["", "wrong"])
def test_without_a_token_nobody_comes_in(put: Put, nobody: httpx.Client, store: Store, token: str) -> None:
    for answer in (put(token=token), nobody.get("/api/v2", auth=("myapp", token))):
        assert (answer.status_code, answer.json()["id"]) == (401, "unauthorized")
    assert keys(store) == []


def test_somebody_elses_app_is_not_there(put: Put, stranger: httpx.Client, nobody: httpx.Client, store: Store) -> None:
    token = stranger.headers["authorization"].removeprefix("Bearer ")
    for answer in (put(token=token), put(app="nope"), put(app=""), nobody.get("/api/v2", auth=("myapp", token))):
        assert (answer.status_code, answer.json()["message"]) == (404, "Couldn't find that app.")
    assert keys(store) == []


def test_who_may_not_run_things_in_the_app_may_not_come_in(
    put: Put, person: Person, client: httpx.Client, store: Store
) -> None:
    bob = person("bob")
    body = {"user": "bob@example.com", "permissions": ["view", "deploy"]}
    client.post("/teams", json={"name": "acme"}).raise_for_status()
    client.post("/teams/apps", json={"name": "teamapp", "team": "acme"}).raise_for_status()
    client.post("/teams/apps/teamapp/collaborators", json=body).raise_for_status()
    answer = put(app="teamapp", token=bob.headers["authorization"].removeprefix("Bearer "))
    assert (answer.status_code, answer.json()["id"]) == (403, "forbidden")
    assert "You need to have the operate permission on this app." in answer.json()["message"]
    assert keys(store) == []


def test_a_token_that_only_reads_registers_nothing(put: Put, person: Person, client: httpx.Client) -> None:
    reader = person("ann", "read")
    answer = put(token=reader.headers["authorization"].removeprefix("Bearer "))
    assert (answer.status_code, answer.json()["id"]) == (403, "forbidden")


def test_only_a_dyno_that_is_up_can_be_come_into(put: Put, store: Store) -> None:
    assert (put("web.9").status_code, put("web.9").json()["message"]) == (404, "Couldn't find that dyno.")
    assert put("nonsense").status_code == 404
    answer = put("web.2")
    assert (answer.status_code, answer.json()["message"]) == (
        409,
        "Dyno web.2: is starting — run heroku ps:wait, then try again",
    )
    assert keys(store) == []


@pytest.mark.parametrize("body", [{"client_key": "x"}, {"client_key": 5}, {"nothing": ""}])
def test_what_is_no_key_is_refused(put: Put, store: Store, body: dict[str, object]) -> None:
    answer = put(**body)
    assert (answer.status_code, answer.json()["id"]) == (422, "invalid_params")
    assert keys(store) == []


def test_an_app_can_turn_it_off(put: Put, client: httpx.Client, store: Store, app: str) -> None:
    user = put().json()["client_user"]
    client.patch(f"/apps/{app}/features/runtime-heroku-exec", json={"enabled": False}).raise_for_status()
    answer = put()
    assert (answer.status_code, answer.json()["message"]) == (
        403,
        "Heroku Exec is off for myapp. Turn it on with: heroku features:enable runtime-heroku-exec -a myapp",
    )
    with store.transaction() as session:
        assert exec_keys.find(session, uuid.UUID(user)) is None


def test_a_stack_without_an_address_says_so(services: Services, operator: object) -> None:
    with serve(services) as url, make_client(url, OPERATOR_KEY) as client:
        answer = client.put("/api/v2/web.1", json=BODY)
    assert (answer.status_code, answer.json()["message"]) == (
        404,
        "This platform has no Heroku Exec: its operator has set execAddress to nothing.",
    )


def test_a_key_is_good_while_it_is_used_and_a_day_at_most(put: Put, store: Store) -> None:
    key_id = uuid.UUID(put().json()["client_user"])
    with store.transaction() as session:
        session.execute(update(ExecKey).values(expires_at=now() + timedelta(minutes=1)))
    with store.transaction() as session:
        door = exec_keys.find(session, key_id)
        assert door is not None
        assert (door.public_key, door.app, door.dyno, door.email) == (KEY, "myapp", "web.1", "ann@example.com")
    assert keys(store)[0].expires_at < now() + timedelta(minutes=2)  # knowing its name is no use
    with store.transaction() as session:
        exec_keys.enter(session, key_id, "s" * 43, tty=True)
    assert keys(store)[0].expires_at > now() + timedelta(minutes=59)
    with store.transaction() as session:
        session.execute(update(ExecKey).values(created_at=now() - timedelta(hours=25)))
        exec_keys.enter(session, key_id, "t" * 43, tty=True)
    assert keys(store)[0].expires_at < now()
    with store.transaction() as session:
        assert exec_keys.find(session, key_id) is None
        with pytest.raises(NotFoundError, match="key: is not good any more — run the command again"):
            exec_keys.enter(session, key_id, "u" * 43, tty=True)
    assert exec_keys.sweep(store) == 1
    assert keys(store) == []


def test_an_app_has_a_limited_number_of_channels(put: Put, store: Store) -> None:
    key_id = uuid.UUID(put().json()["client_user"])
    with store.transaction() as session:
        for number in range(one_off.MOST):
            exec_keys.enter(session, key_id, f"{number:043}", tty=False)
        with pytest.raises(InvalidInputError, match="Cannot run more than 50 Basic size dynos"):
            exec_keys.enter(session, key_id, "x" * 43, tty=False)


def test_a_key_goes_with_its_dyno(put: Put, store: Store) -> None:
    key_id = uuid.UUID(put().json()["client_user"])
    with store.transaction() as session:
        session.delete(session.scalars(select(Dyno).where(Dyno.number == 1)).one())
    with store.transaction() as session:
        assert exec_keys.find(session, key_id) is None
        assert exec_keys.find(session, uuid.uuid4()) is None


def test_a_key_goes_with_the_right_to_the_app(put: Put, person: Person, client: httpx.Client, store: Store) -> None:
    bob = person("bob")
    client.post("/apps/myapp/collaborators", json={"user": "bob@example.com"}).raise_for_status()
    token = bob.headers["authorization"].removeprefix("Bearer ")
    key_id = uuid.UUID(put(token=token).raise_for_status().json()["client_user"])
    with store.transaction() as session:
        assert exec_keys.find(session, key_id) is not None
    client.delete("/apps/myapp/collaborators/bob@example.com").raise_for_status()
    with store.transaction() as session:
        assert exec_keys.find(session, key_id) is None
