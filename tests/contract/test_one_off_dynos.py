"""One-off dynos: asking for them, seeing and stopping them; the runtime agent is not there."""

import re
import uuid

import httpx
import pytest
from sqlalchemy import select, update

from dynoform.api.services import Services
from dynoform.domain import rendezvous
from dynoform.domain.placement import Host
from dynoform.store import hosts
from dynoform.store.session import Store
from dynoform.store.tables import App, Dyno, OneOffDyno, Release

pytestmark = pytest.mark.usefixtures("slug")
TAKEN = {"attach": True, "command": "bash", "env": {"TERM": "xterm", "COLUMNS": 80, "LINES": 24}}


def rows(store: Store) -> list[OneOffDyno]:
    with store.transaction() as session:
        return list(session.scalars(select(OneOffDyno)))


def test_an_attached_dyno_gets_a_link_that_is_shown_once(
    client: httpx.Client, app: str, store: Store, services: Services
) -> None:
    answer = client.post(f"/apps/{app}/dynos", json=TAKEN)
    made = answer.json()
    assert answer.status_code == 201
    port = services.configuration.rendezvous_port
    secret = re.fullmatch(rf"rendezvous://localhost:{port}/([\w-]{{43}})", made["attach_url"])[1]  # type: ignore[index]
    assert re.fullmatch(r"run\.\d{4}", made["name"])
    assert (made["type"], made["state"], made["size"], made["command"]) == ("run", "starting", "Standard-1X", "bash")
    assert made["release"]["version"] == 3
    assert set(made) == set(client.get(f"/apps/{app}/dynos").json()[0])
    assert client.get(f"/apps/{app}/dynos/{made['name']}").json() == {**made, "attach_url": None}
    assert client.get(f"/apps/{app}/dynos/{made['id']}").json() == {**made, "attach_url": None}
    (row,) = rows(store)
    assert row.attach_digest == rendezvous.digest(secret)
    assert secret not in str(vars(row))
    assert services.vault.decrypt(row.app_id, row.variables) == {"TERM": "xterm", "COLUMNS": "80", "LINES": "24"}
    assert (row.tty, row.time_to_live) == (True, 86400)
    logged = services.logs.lines  # type: ignore[attr-defined]
    assert logged[-1] == "app[api]: Starting process with command `bash` by user ann@example.com"
    assert "xterm" not in str(services.journal.entries)  # type: ignore[attr-defined]


def test_a_detached_dyno_has_no_link(client: httpx.Client, app: str, store: Store) -> None:
    body = {"command": "work", "type": "scheduler", "size": "standard-2x", "time_to_live": 60, "force_no_tty": None}
    made = client.post(f"/apps/{app}/dynos", json=body).json()
    assert (made["attach_url"], made["type"], made["size"]) == (None, "scheduler", "Standard-2X")
    assert made["name"].startswith("scheduler.")
    (row,) = rows(store)
    assert (row.attach_digest, row.tty, row.time_to_live) == (None, False, 60)


def test_a_dyno_is_told_of_itself_when_its_app_wants_that(
    client: httpx.Client, app: str, store: Store, services: Services
) -> None:
    client.patch(f"/apps/{app}/features/runtime-dyno-metadata", json={"enabled": True}).raise_for_status()
    client.post(f"/apps/{app}/dynos", json={"command": "env", "env": {"A": "b"}}).raise_for_status()
    (row,) = rows(store)
    told = services.vault.decrypt(row.app_id, row.variables)
    assert (told["A"], told["HEROKU_APP_NAME"], told["HEROKU_RELEASE_VERSION"]) == ("b", app, "v3")
    assert (told["HEROKU_APP_ID"], told["HEROKU_DYNO_ID"]) == (str(row.app_id), str(row.id))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"command": " "}, "Command can't be blank."),
        ({"command": "a\0"}, "Command must be text of up to 16384 characters, without NUL."),
        ({"command": None}, "Invalid request. command must be a string."),
        ({"size": "huge"}, "Couldn't find that dyno size (huge)."),
        ({"env": {"A B": "x"}}, "Config var name 'A B' is invalid"),
        ({"env": {"A": ["x"]}}, "Invalid request. env.A must be a string or a whole number."),
        ({"type": "a b"}, "process type 'a b': may only have letters"),
        ({"time_to_live": 0}, "Invalid request. time_to_live must be at least 1."),
        ({"time_to_live": 86401}, "Invalid request. time_to_live must be at most 86400."),
    ],
)
def test_what_cannot_be_run_is_refused(
    client: httpx.Client, app: str, store: Store, change: dict[str, object], message: str
) -> None:
    answer = client.post(f"/apps/{app}/dynos", json=TAKEN | change)
    assert (answer.status_code, answer.json()["id"]) == (422, "invalid_params")
    assert answer.json()["message"].startswith(message)
    assert rows(store) == []


def test_an_app_without_code_has_nothing_to_run(client: httpx.Client) -> None:
    client.post("/apps", json={"name": "empty"}).raise_for_status()
    answer = client.post("/apps/empty/dynos", json=TAKEN)
    assert answer.status_code == 422
    assert answer.json()["message"] == "App empty has no code to run yet. Deploy it first: git push heroku main"


def test_somebody_elses_app_is_not_there(stranger: httpx.Client, app: str) -> None:
    calls = [("POST", "dynos"), ("POST", "dynos/web.1"), ("POST", "dynos/web.1/actions/stop"), ("DELETE", "dynos")]
    for method, path in [*calls, ("POST", "formations/web/actions/stop"), ("GET", "dynos")]:
        answer = stranger.request(method, f"/apps/{app}/{path}", json=TAKEN)
        assert (answer.status_code, answer.json()["message"]) == (404, "Couldn't find that app.")


def test_an_app_has_a_limited_number_of_them(client: httpx.Client, app: str) -> None:
    names = {client.post(f"/apps/{app}/dynos", json=TAKEN).raise_for_status().json()["name"] for _ in range(50)}
    assert len(names) == 50
    answer = client.post(f"/apps/{app}/dynos", json=TAKEN)
    assert (answer.status_code, answer.json()["message"]) == (422, "Cannot run more than 50 Standard-1X size dynos.")


@pytest.mark.parametrize(
    "path", ["dynos/{name}/actions/stop", "dynos/{id}/actions/stop", "formations/run/actions/stop"]
)
def test_a_one_off_dyno_is_stopped(client: httpx.Client, app: str, store: Store, path: str) -> None:
    made = client.post(f"/apps/{app}/dynos", json=TAKEN).json()
    path = path.format(**made)
    answer = client.post(f"/apps/{app}/{path}")
    assert (answer.status_code, answer.json()) == (202, {})
    assert [row.state for row in rows(store)] == ["down"]
    assert client.get(f"/apps/{app}/dynos").json() == []
    answer = client.post(f"/apps/{app}/{path}")
    assert (answer.status_code, answer.json()["message"]) == (404, "Couldn't find that dyno.")


def test_a_restart_of_the_app_lets_one_off_dynos_go_on(client: httpx.Client, app: str) -> None:
    made = client.post(f"/apps/{app}/dynos", json=TAKEN).json()
    assert client.delete(f"/apps/{app}/dynos").status_code == 202
    assert [row["name"] for row in client.get(f"/apps/{app}/dynos").json()] == [made["name"]]
    assert client.delete(f"/apps/{app}/dynos/{made['name']}").status_code == 202
    assert client.get(f"/apps/{app}/dynos").json() == []


@pytest.fixture
def web(store: Store, app: str) -> uuid.UUID:
    """web.1, starting."""
    with store.transaction() as session:
        found = session.scalars(select(App).where(App.name == app)).one()
        release = session.scalars(select(Release).where(Release.current)).one()
        dyno = Dyno(
            app_id=found.id, release_id=release.id, type="web", number=1, size="Standard-1X", command="python app.py"
        )
        session.add(dyno)
        session.flush()
        return dyno.id


def test_a_command_runs_inside_a_dyno_that_is_up(client: httpx.Client, app: str, store: Store, web: uuid.UUID) -> None:
    body = {"command": "bash", "env": {"TERM": "xterm"}}
    answer = client.post(f"/apps/{app}/dynos/web.1", json=body)
    assert (answer.status_code, answer.json()["message"]) == (
        409,
        "Dyno web.1: is starting — run heroku ps:wait, then try again",
    )
    with store.transaction() as session:
        session.execute(update(Dyno).values(state="up"))
    made = client.post(f"/apps/{app}/dynos/web.1", json=body).raise_for_status().json()
    assert (made["name"], made["attach_url"].startswith("rendezvous://")) == ("web.1", True)
    assert [row.inside_id for row in rows(store)] == [web]
    assert [row["name"] for row in client.get(f"/apps/{app}/dynos").json()] == ["web.1"]
    answer = client.post(f"/apps/{app}/dynos/web.9", json=body)
    assert (answer.status_code, answer.json()["message"]) == (404, "Couldn't find that dyno.")


def test_a_formation_dyno_that_is_stopped_is_started_anew(
    client: httpx.Client, app: str, store: Store, web: uuid.UUID
) -> None:
    assert client.post(f"/apps/{app}/dynos/web.1/actions/stop").status_code == 202
    with store.transaction() as session:
        assert session.scalars(select(Dyno.state)).one() == "down"


def test_extended_dynos_show_where_they_run(client: httpx.Client, app: str, store: Store, web: uuid.UUID) -> None:
    with store.transaction() as session:
        session.execute(update(Dyno).values(state="up", address="172.29.0.1", port=20_001))
    (row,) = client.get(f"/apps/{app}/dynos?extended=true").json()
    shown = row["extended"]
    assert (shown["ip"], shown["port"], shown["region"], shown["az"]) == ("172.29.0.1", 20_001, "local", None)
    assert "extended" not in client.get(f"/apps/{app}/dynos").json()[0]


def test_a_size_larger_than_any_host_is_refused(client: httpx.Client, app: str, store: Store) -> None:
    with store.transaction() as session:
        hosts.replace(session, [Host("n1", "one", 8 * 1024**3), Host("n2", "two", 4 * 1024**3)])
    answers = [
        client.patch(f"/apps/{app}/formation/web", json={"size": "performance-l"}),
        client.post(f"/apps/{app}/dynos", json=TAKEN | {"size": "performance-l"}),
    ]
    for answer in answers:
        assert (answer.status_code, answer.json()["message"]) == (
            422,
            "Cannot use dyno size Performance-L: it needs 14 GB of memory, and the largest host has 8 GB. "
            "Use a smaller size, or add a larger host.",
        )
    assert client.patch(f"/apps/{app}/formation/web", json={"size": "performance-m"}).status_code == 200
    with store.transaction() as session:
        hosts.replace(session, [Host("n2", "two", 1024**3)])
    # What is there already may always become less.
    assert client.patch(f"/apps/{app}/formation/web", json={"quantity": 0}).status_code == 200
    assert client.patch(f"/apps/{app}/formation/web", json={"quantity": "+1"}).status_code == 422
