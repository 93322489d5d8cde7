"""What the executor writes to the store and to apps' logs, by actions that need no engine."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import pytest
from sqlalchemy import select

from dynoform.configuration import Configuration
from dynoform.domain import dyno_lines
from dynoform.domain.dyno_actions import AddDyno, CycleDyno, MarkCrashed, MarkUp, Retire, StartDyno
from dynoform.journal import Journal
from dynoform.reconcile import declared
from dynoform.reconcile.executor import Executor
from dynoform.reconcile.specification import DynoService
from dynoform.reconcile.swarm import Swarm
from dynoform.store import features
from dynoform.store.accounts import ensure_operator
from dynoform.store.apps import create_app
from dynoform.store.releases import add_config, create_release, current_release
from dynoform.store.secrets import Vault
from dynoform.store.session import Store
from dynoform.store.tables import App, AppFeature, Dyno, Slug, now


@dataclass
class Lines:
    """A log plane that keeps what it is told."""

    said: list[str] = field(default_factory=list)

    def line(self, app_id: object, source: str, process: str, message: str) -> None:
        self.said.append(f"{source}[{process}]: {message}")


@pytest.fixture
def lines() -> Lines:
    return Lines()


@pytest.fixture
def executor(store: Store, configuration: Configuration, lines: Lines) -> Executor:
    vault = Vault(configuration.secret("encryption_key"))
    return Executor(store, cast(Swarm, None), vault, lines, "dynos", Journal("reconcile"))


@pytest.fixture
def app(store: Store, executor: Executor) -> App:
    with store.transaction() as session:
        owner = ensure_operator(session, "ann@example.com", "token")
        return create_app(session, executor.vault, owner, "myapp", "dynoform-13")[0]


@pytest.fixture
def added(store: Store, executor: Executor, app: App) -> Callable[..., Dyno]:
    def add(*, restart: bool = False) -> Dyno:
        with store.transaction() as session:
            release = current_release(session, app.id)
            assert release is not None
        executor.do(AddDyno(app.id, release.id, "web", 1, "Eco", "run it", "wanted", restart))
        return dynos(store)[-1]

    return add


def dynos(store: Store) -> list[Dyno]:
    with store.transaction() as session:
        return list(session.scalars(select(Dyno).order_by(Dyno.created_at)))


def test_a_cycled_dyno_serves_on_beside_its_successor(
    store: Store, executor: Executor, lines: Lines, added: Callable[..., Dyno]
) -> None:
    old = added()
    executor.do(MarkUp(old.id, "172.29.0.1", 20001, "answers"))
    lines.said.clear()
    for _ in range(2):  # by a leader that does not know yet that another did it
        executor.do(CycleDyno(old.id, "has had its day"))
    before, after = dynos(store)
    assert (before.id, before.state, before.address, before.port) == (old.id, "down", "172.29.0.1", 20001)
    assert after.state == "starting"
    assert [getattr(after, name) for name in ("release_id", "type", "number", "size", "command", "crashes")] == [
        old.release_id, "web", 1, "Eco", "run it", 0,
    ]  # fmt: skip
    assert after.created_at > before.created_at
    assert lines.said == ["heroku[web.1]: Cycling", "heroku[web.1]: State changed from up to starting"]


def test_a_dyno_that_went_down_meanwhile_is_not_cycled(
    store: Store, executor: Executor, lines: Lines, added: Callable[..., Dyno]
) -> None:
    old = added()
    executor.do(Retire(old.id, "scaled down"))
    lines.said.clear()
    executor.do(CycleDyno(old.id, "has had its day"))
    assert len(dynos(store)) == 1
    assert lines.said == []


@pytest.mark.parametrize("restart", [True, False])
def test_a_dyno_that_takes_anothers_place_is_a_restart(lines: Lines, added: Callable[..., Dyno], restart: bool) -> None:
    added(restart=restart)
    said = ["heroku[web.1]: Restarting", "heroku[web.1]: State changed from up to starting"]
    assert lines.said == (said if restart else [])


def test_a_dyno_whose_image_is_gone_says_so_and_crashes_once(
    executor: Executor, lines: Lines, added: Callable[..., Dyno]
) -> None:
    dyno = added()
    for number in range(2):
        action = MarkCrashed(dyno.id, 0, now(), "No such image: x@sha256:0", f"task-{number}", launch_failed=True)
        executor.do(action)
    gone = f"heroku[web.1]: {dyno_lines.launch_failed('No such image')}"
    assert lines.said == [gone, "heroku[web.1]: State changed from starting to crashed", gone]


class NewServices:
    """A Swarm that keeps what services are made with."""

    stack = "test"

    def __init__(self) -> None:
        self.configs: list[dict[str, str]] = []
        self.services: list[DynoService] = []

    def remove(self, name: str) -> None:
        pass

    def create(self, service: DynoService, config: dict[str, str], ports: object, had: str) -> str:
        self.configs.append(config)
        self.services.append(service)
        return "service"


@pytest.mark.parametrize("on", [True, False])
def test_a_dyno_is_told_of_itself_when_its_app_wants_that(store: Store, executor: Executor, app: App, on: bool) -> None:
    swarm = NewServices()
    executor.swarm, executor.domain = cast(Swarm, swarm), "apps.example.com"
    with store.transaction() as session:
        features.turn(session, AppFeature, app.id, "runtime-dyno-metadata", on)
        place = {
            "image": "registry/apps/x@sha256:0",
            "size": 1,
            "stack": "dynoform-13",
            "commit": "a" * 40,
            "checksum": "",
        }
        slug = Slug(app_id=app.id, process_types={"web": "run it"}, **place)
        config = add_config(session, executor.vault, app.id, {"GREETING": "Hej", "HEROKU_APP_NAME": "forged"})
        account = app.owner_id
        release = create_release(session, app, description="Deploy", account_id=account, slug=slug, config=config)
    executor.do(AddDyno(app.id, release.id, "web", 1, "Eco", "run it", "wanted", False))
    executor.do(StartDyno(dynos(store)[-1].id, "wanted"))
    (found,) = swarm.configs
    if on:
        assert (found["GREETING"], found["HEROKU_APP_NAME"], found["HEROKU_RELEASE_VERSION"]) == ("Hej", "myapp", "v3")
        assert found["HEROKU_APP_DEFAULT_DOMAIN_NAME"] == "myapp.apps.example.com"
        assert found["HEROKU_SLUG_COMMIT"] == "a" * 40
        # Of all that it is told, this is no other dyno's: it is not in the secret, which they share.
        assert "HEROKU_DYNO_ID" not in found
        assert swarm.services[-1].variables == {"HEROKU_DYNO_ID": str(dynos(store)[-1].id)}
    else:
        assert found == {"GREETING": "Hej", "HEROKU_APP_NAME": "forged"}
        assert swarm.services[-1].variables == {}


@pytest.mark.parametrize("on", [True, False])
def test_what_is_declared_tells_whether_an_app_has_preboot(store: Store, app: App, on: bool) -> None:
    with store.transaction() as session:
        features.turn(session, AppFeature, app.id, "preboot", on)
    (found,) = declared.read(store).apps
    assert found.preboot is on
