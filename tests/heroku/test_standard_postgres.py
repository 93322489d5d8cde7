"""What the CLI shows of a standard database's reports and upgrades; the database is on the tests' own server."""

from collections.abc import Iterator

import httpx
import pytest

from dynoform.api.services import Services
from tests.contract.addon_fixtures import at_work
from tests.heroku.invocations import covers
from tests.heroku_cli import HerokuCLI
from tests.local_databases import Local, clean, local

NAME = "reports-1"


@pytest.fixture
def place(client: httpx.Client, services: Services, myapp: str) -> Iterator[Local]:
    """A worker of databases, at work, and a standard database of ``myapp``."""
    made = local(services)
    with at_work(made.worker):
        body = {"plan": "heroku-postgresql:standard-0", "name": NAME}
        client.post("/apps/myapp/addons", json=body, timeout=30).raise_for_status()
        yield made
    clean(services)


@covers("pg:stats-reset -a myapp", "pg:diagnose -a myapp", "pg:diagnose DATABASE --json -a myapp")
def test_reports_are_made_and_shown_again(heroku: HerokuCLI, place: Local, client: httpx.Client) -> None:
    url = client.get("/apps/myapp/config-vars").raise_for_status().json()["DATABASE_URL"]
    with place.connect(url) as mine:
        mine.execute("CREATE UNLOGGED TABLE fast (a int)")
    assert "Stats reset successful." in heroku("pg:stats-reset -a myapp").text
    report = heroku("pg:diagnose -a myapp").text
    assert "for myapp::DATABASE_URL available for one month after creation on 20" in report
    assert "YELLOW: Unlogged Tables Table public.fast" in report and "GREEN: Connection Count" in report
    assert '"name": "Unlogged Tables"' in heroku("pg:diagnose DATABASE --json -a myapp").text
    identifier = report.split()[1]
    assert f"Report {identifier} for myapp::DATABASE_URL" in heroku(f"pg:diagnose {identifier} -a myapp").text


@covers("pg:upgrade:wait DATABASE -a myapp")
def test_there_is_no_newer_version(heroku: HerokuCLI, place: Local) -> None:
    assert "no upgrade in progress" in heroku("pg:upgrade:wait DATABASE -a myapp").text
    newest = f"{NAME} has PostgreSQL 17 already, there is no newer version. Minor updates come by maintenance:"
    for what in ("prepare", "dryrun", "run"):
        assert newest in heroku(f"pg:upgrade:{what} DATABASE -a myapp --confirm myapp", code=2).text
    older = heroku("pg:upgrade:run DATABASE --version 16 -a myapp --confirm myapp", code=2).text
    assert "PostgreSQL 16 is not there: version 17 is the only one" in older
    cancelled = heroku("pg:upgrade:cancel DATABASE -a myapp --confirm myapp", code=2).text
    assert f"{NAME} has no upgrade scheduled: there is nothing to cancel" in cancelled
