"""Formation and dynos: show, scale, resize, restart, stop, wait."""

from collections.abc import Callable

import httpx
from sqlalchemy import select, update

from dynoform.store.session import Store
from dynoform.store.tables import Dyno, Release
from tests.heroku.invocations import covers
from tests.heroku_cli import REFUSED, HerokuCLI

States = Callable[[], dict[str, str]]


def scale(client: httpx.Client) -> dict[str, tuple[int, str]]:
    """Each process type's quantity and size."""
    return {row["type"]: (row["quantity"], row["size"]) for row in client.get("/apps/myapp/formation").json()}


@covers("ps -a myapp", "ps -a myapp --extended")
def test_ps_shows_each_dyno(heroku: HerokuCLI, dynos: States) -> None:
    plain, extended = heroku.each("ps -a myapp", "ps -a myapp --extended")
    assert "=== web (Standard-1X): python web.py (2)" in plain.out
    assert "web.1: up " in plain.out
    assert "=== worker (Standard-1X): python worker.py (1)" in plain.out
    assert {row[1]: row[2] for row in extended.table[1:]} == dynos()


@covers("ps:scale -a myapp", "ps:scale web=2 -a myapp", "ps:scale web=2:standard-1x worker+1 -a myapp")
def test_scale_shows_and_sets_the_formation(heroku: HerokuCLI, client: httpx.Client, deployed: str) -> None:
    assert heroku("ps:scale -a myapp").out == "web=1:Standard-1X worker=0:Standard-1X\n"
    heroku("ps:scale web=2 -a myapp")
    assert scale(client) == {"web": (2, "Standard-1X"), "worker": (0, "Standard-1X")}
    ran = heroku("ps:scale web=3:standard-2x worker+1 -a myapp")
    assert scale(client) == {"web": (3, "Standard-2X"), "worker": (1, "Standard-1X")}
    assert "web at 3:Standard-2X" in ran.text
    assert "Couldn't find that process type (nope)" in heroku("ps:scale nope=1 -a myapp", code=REFUSED).text
    assert scale(client)["web"] == (3, "Standard-2X")


@covers("ps:type -a myapp", "ps:type web=standard-2x -a myapp")
def test_type_shows_and_sets_sizes(heroku: HerokuCLI, client: httpx.Client, deployed: str) -> None:
    assert ["web", "Standard-1X", "1"] in [row[:3] for row in heroku("ps:type -a myapp").table]
    changed = heroku("ps:type web=standard-2x -a myapp")
    assert scale(client) == {"web": (1, "Standard-2X"), "worker": (0, "Standard-1X")}
    assert ["web", "Standard-2X", "1"] in [row[:3] for row in changed.table]


@covers("ps:restart -a myapp")
def test_restart_of_an_app_restarts_every_dyno(heroku: HerokuCLI, dynos: States) -> None:
    heroku("ps:restart -a myapp")
    assert dynos() == {"web.1": "down", "web.2": "down", "worker.1": "down"}


@covers("ps:restart -a myapp --dyno-name web.1")
def test_restart_of_a_dyno_leaves_the_others(heroku: HerokuCLI, dynos: States) -> None:
    heroku("ps:restart -a myapp --dyno-name web.1")
    assert dynos() == {"web.1": "down", "web.2": "up", "worker.1": "up"}


@covers("ps:restart -a myapp --process-type web")
def test_restart_of_a_type_leaves_the_others(heroku: HerokuCLI, dynos: States) -> None:
    heroku("ps:restart -a myapp --process-type web")
    assert dynos() == {"web.1": "down", "web.2": "down", "worker.1": "up"}


@covers("ps:stop -a myapp --dyno-name web.1")
def test_stop_of_a_dyno_leaves_the_others(heroku: HerokuCLI, dynos: States) -> None:
    heroku("ps:stop -a myapp --dyno-name web.1")
    assert dynos() == {"web.1": "down", "web.2": "up", "worker.1": "up"}


@covers("ps:stop -a myapp --process-type web")
def test_stop_of_a_type_leaves_the_others(heroku: HerokuCLI, dynos: States) -> None:
    heroku("ps:stop -a myapp --process-type web")
    assert dynos() == {"web.1": "down", "web.2": "down", "worker.1": "up"}


@covers("ps:wait -a myapp --with-run")
def test_wait_ends_when_every_dyno_runs_the_latest_release(
    heroku: HerokuCLI, client: httpx.Client, dynos: States, store: Store
) -> None:
    assert heroku("ps:wait -a myapp --with-run").text == ""
    client.patch("/apps/myapp/config-vars", json={"A": "1"}).raise_for_status()

    def rolled_out(seen: str) -> bool:
        if "running v4" in seen:
            with store.transaction() as session:
                current = session.scalars(select(Release).where(Release.current)).one()
                session.execute(update(Dyno).values(release_id=current.id))
        return "3 / 3, done" in seen

    heroku.until("ps:wait -a myapp --with-run", rolled_out)
