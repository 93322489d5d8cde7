"""The API over https, as the CLI wants it, from a real PostgreSQL; and the CLI in the hands of two people."""

import dataclasses
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select

from dynoform.api.server import server_configuration
from dynoform.api.services import Services
from dynoform.configuration import Configuration
from dynoform.store.secrets import digest
from dynoform.store.session import Store
from dynoform.store.tables import Account, Authorization, Dyno, Release
from tests import heroku_cli
from tests.api_server import running
from tests.contract.conftest import deploy, make_services, operator
from tests.heroku_cli import HerokuCLI, Program
from tests.integration.certificates import Authority
from tests.postgres import free_port
from tests.store_fixtures import OPERATOR_KEY, migrated, store
from tests.store_fixtures import configuration as store_configuration

__all__ = ["migrated", "operator", "store", "store_configuration"]
BOB = "bob@example.com"
BOBS_KEY = "key-of-bob"


@dataclasses.dataclass(frozen=True)
class Site:
    """Where the API answers, and the files of the authority that signed its certificate."""

    url: str
    authority: Path


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def configuration(store_configuration: Configuration) -> Configuration:
    """Links that the API gives out lead to the port that it is served on."""
    acme = "https://acme.invalid/directory"
    return dataclasses.replace(store_configuration, https_port=free_port(), acme_directory=acme)


@pytest.fixture(scope="session")
def services(configuration: Configuration, migrated: Store) -> Services:
    """What the API works with."""
    return make_services(configuration, migrated)


@pytest.fixture(scope="session")
def site(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The running API."""
    folder, authority = tmp_path_factory.mktemp("tls"), Authority()
    certificate, key = authority.issue("localhost", "localhost")
    for name, content in {"ca.pem": authority.pem, "certificate.pem": certificate, "key.pem": key}.items():
        (folder / name).write_bytes(content)
    settings = server_configuration(services, "127.0.0.1", services.configuration.https_port)
    settings.ssl_certfile, settings.ssl_keyfile = str(folder / "certificate.pem"), str(folder / "key.pem")
    with running(settings):
        yield Site(services.configuration.api_url, folder / "ca.pem")


@pytest.fixture(scope="session")
def program() -> Program:
    """The CLI, installed."""
    return heroku_cli.bring()


@pytest.fixture(scope="session")
def people(program: Program, site: Site, tmp_path_factory: pytest.TempPathFactory) -> dict[str, HerokuCLI]:
    """The CLI of each person, with a HOME that has seen the CLI's first run."""
    made = {}
    for name, key in {"ann": OPERATOR_KEY, "bob": BOBS_KEY}.items():
        environment = heroku_cli.environment(site.url, key, site.authority)
        made[name] = HerokuCLI(program, tmp_path_factory.mktemp(name), environment)
    return made


@pytest.fixture
def heroku(people: dict[str, HerokuCLI], operator: Account) -> HerokuCLI:
    """The operator's CLI, over an otherwise empty store."""
    people["ann"].ran.clear()
    return people["ann"]


@pytest.fixture
def bob(people: dict[str, HerokuCLI], store: Store, operator: Account) -> HerokuCLI:
    """The CLI of another person, with an account."""
    with store.transaction() as session:
        account = Account(email=BOB)
        session.add(Authorization(account=account, description="test", token_digest=digest(BOBS_KEY)))
    return people["bob"]


@pytest.fixture
def client(site: Site, operator: Account) -> Iterator[httpx.Client]:
    """The operator's client: prepares what a command needs, and sees what it did."""
    headers = {"Authorization": f"Bearer {OPERATOR_KEY}", "Accept": "application/vnd.heroku+json; version=3"}
    trust = ssl.create_default_context(cafile=str(site.authority))
    with httpx.Client(base_url=site.url, headers=headers, verify=trust, timeout=60, trust_env=False) as made:
        yield made


@pytest.fixture
def create(client: httpx.Client) -> Callable[[str], str]:
    """Makes an app of that name; returns its id."""
    return lambda name: str(client.post("/apps", json={"name": name}).raise_for_status().json()["id"])


@pytest.fixture
def myapp(create: Callable[[str], str]) -> str:
    """The id of the app ``myapp``, just made."""
    return create("myapp")


@pytest.fixture
def deployed(myapp: str, store: Store, operator: Account) -> str:
    """The id of ``myapp``, with a slug that knows web and worker, released as v3."""
    deploy(store, "myapp", operator, {"web": "python app.py", "worker": "python work.py"})
    return myapp


@pytest.fixture
def dynos(deployed: str, store: Store) -> Callable[[], dict[str, str]]:
    """Starts web.1, web.2 and worker.1 of ``myapp`` in the store; called, gives the state of each by name."""
    with store.transaction() as session:
        release = session.scalars(select(Release).where(Release.current)).one()
        for process_type, number in (("web", 1), ("web", 2), ("worker", 1)):
            dyno = Dyno(app_id=release.app_id, release_id=release.id, type=process_type, number=number, state="up")
            dyno.size, dyno.command = "Standard-1X", f"python {process_type}.py"
            session.add(dyno)

    def states() -> dict[str, str]:
        with store.transaction() as session:
            return {f"{row.type}.{row.number}": row.state for row in session.scalars(select(Dyno))}

    return states
