"""The API, served by uvicorn on the loopback from a real PostgreSQL, and clients for it."""

import ssl
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from dynoform.api.limits import RateLimiter, SignInLimiter
from dynoform.api.services import Services
from dynoform.api.wake import Wakers
from dynoform.configuration import Configuration
from dynoform.journal import Journal
from dynoform.store import accounts
from dynoform.store.accounts import ensure_operator
from dynoform.store.secrets import Vault, digest
from dynoform.store.session import Store
from dynoform.store.tables import Account, App, Authorization, Release, Slug
from tests.api_server import serving
from tests.contract.hooks import add
from tests.contract.receiver import Receiver, receiver
from tests.integration.certificates import Authority
from tests.postgres import free_port
from tests.store_fixtures import EMAIL, OPERATOR_KEY, configuration, migrated, small_store, store

__all__ = ["configuration", "migrated", "small_store", "store"]
PLAIN = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Never used: loading the system's authorities for each client would take longer than the test."""


Person = Callable[..., httpx.Client]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # A thousand requests of a real API to a real PostgreSQL take minutes, however fast each is.
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slow)


class Recorder:
    """Keeps the lines that the API writes to apps' logs."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def line(self, app_id: uuid.UUID, source: str, process: str, message: str) -> None:
        self.lines.append(f"{source}[{process}]: {message}")


class Notebook(Journal):
    """Keeps what the API writes to its journal."""

    def __init__(self) -> None:
        super().__init__("api")
        self.entries: list[tuple[str, dict[str, Any]]] = []

    def _write(self, level: str, event: str, fields: dict[str, object]) -> None:
        self.entries.append((f"{level} {event}", fields))


@pytest.fixture(scope="session")
def authority() -> Authority:
    """Signs the certificates of the tests' own webhook receivers."""
    return Authority()


@pytest.fixture(scope="session")
def services(
    configuration: Configuration, migrated: Store, authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> Services:
    """What the API works with; it delivers webhooks to this machine."""
    authorities = tmp_path_factory.mktemp("webhooks") / "authorities.pem"
    authorities.write_bytes(authority.pem)
    acme = "https://acme.invalid/directory"
    configuration = replace(configuration, webhook_private=True, webhook_authorities=authorities, acme_directory=acme)
    return make_services(configuration, migrated)


def make_services(configuration: Configuration, migrated: Store) -> Services:
    """Services that keep what is logged."""
    vault = Vault(configuration.secret("encryption_key"))
    limiter, sign_ins = RateLimiter(clock=lambda: 0), SignInLimiter(clock=lambda: 0)
    return Services(
        configuration,
        migrated,
        vault,
        Recorder(),
        Notebook(),
        Wakers(migrated),
        limiter,
        sign_ins,
        logplex_port=free_port(),
    )


@pytest.fixture(scope="session")
def address(services: Services) -> Iterator[str]:
    """URL of the running API."""
    with serving(services) as url:
        yield url


def serve(services: Services) -> AbstractContextManager[str]:
    """Run one more API; gives its URL."""
    return serving(apart(services))


def apart(services: Services) -> Services:
    """The same for one more API: what wakes one event loop cannot wake another."""
    return replace(services, wakers=Wakers(services.store))


@pytest.fixture
def operator(services: Services, store: Store) -> Account:
    """The operator's account in an otherwise empty store; the rate limit is whole again."""
    services.limiter.clear()
    services.sign_ins.clear()
    services.logs.lines.clear()  # type: ignore[attr-defined]
    services.journal.entries.clear()  # type: ignore[attr-defined]
    with store.transaction() as session:
        return ensure_operator(session, EMAIL, OPERATOR_KEY)


@pytest.fixture
def client(address: str, operator: Account) -> Iterator[httpx.Client]:
    """A client with the operator's token."""
    with make_client(address, OPERATOR_KEY) as made:
        yield made


@pytest.fixture
def person(address: str, store: Store, operator: Account) -> Iterator[Person]:
    """Makes accounts: called with a name and perhaps scopes, gives a client with a token of ``<name>@example.com``."""
    clients = []

    def make(name: str, *scope: str) -> httpx.Client:
        token = f"token-of-{name}-{'-'.join(scope)}"
        with store.transaction() as session:
            account = accounts.find_or_make(session, f"{name}@example.com")
            made = Authorization(account=account, description="test", token_digest=digest(token))
            made.scope = list(scope) or ["global"]
            session.add(made)
        clients.append(make_client(address, token))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def stranger(person: Person) -> httpx.Client:
    """A client with the token of another account."""
    return person("bob")


@pytest.fixture
def nobody(address: str, operator: Account) -> Iterator[httpx.Client]:
    """A client without a token."""
    with httpx.Client(base_url=address, timeout=30, trust_env=False, verify=PLAIN) as made:
        yield made


@pytest.fixture
def app(client: httpx.Client) -> str:
    """The name of an app that was just made."""
    return str(client.post("/apps", json={"name": "myapp"}).raise_for_status().json()["name"])


@pytest.fixture
def slug(app: str, store: Store, operator: Account) -> uuid.UUID:
    """A slug with web and worker, deployed as release 3, as the builder does it."""
    return deploy(store, app, operator, {"web": "python app.py", "worker": "python work.py"})


@pytest.fixture
def hooks(authority: Authority, tmp_path: Path, services: Services) -> Iterator[Receiver]:
    with receiver(authority, tmp_path) as made:
        made.journal = services.journal.entries  # type: ignore[attr-defined]
        yield made


@pytest.fixture
def hook(client: httpx.Client, app: str, hooks: Receiver) -> dict[str, Any]:
    """A webhook of level sync for releases, formation and the app itself."""
    return add(client, app, hooks.url)


def deploy(store: Store, app: str, account: Account, process_types: dict[str, str]) -> uuid.UUID:
    """Release a slug that no builder built; returns its id."""
    from sqlalchemy import select

    from dynoform.store.releases import create_release

    with store.transaction() as session:
        found = session.scalars(select(App).where(App.name == app)).one()
        made = Slug(id=uuid.uuid4(), app_id=found.id, image="registry/apps@sha256:" + "0" * 64, size=1234)
        made.checksum, made.stack, made.commit, made.process_types = (
            "SHA256:00",
            "dynoform-13",
            "abc1234def",
            process_types,
        )
        session.add(made)
        create_release(session, found, description="Deploy abc1234d", account_id=account.id, slug=made)
        return made.id


def make_client(address: str, token: str) -> httpx.Client:
    """A client that sends this token."""
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/vnd.heroku+json; version=3"}
    return httpx.Client(base_url=address, headers=headers, timeout=30, trust_env=False, verify=PLAIN)


def path_of(link: str) -> str:
    """A link of the API without its host: the tests reach the server without the router."""
    url = httpx.URL(link)
    return url.raw_path.decode()


def versions(store: Store) -> list[int]:
    """All versions of all releases, in order."""
    from sqlalchemy import select

    with store.transaction() as session:
        return sorted(session.scalars(select(Release.version)))
