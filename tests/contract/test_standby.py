"""Databases with a standby: everything but the containers is real."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import select, update

from dynoform.api import databases as api_databases
from dynoform.api.services import Services
from dynoform.domain import data_services, placement
from dynoform.domain.data_hosts import DataHost
from dynoform.store import databases, hosts
from dynoform.store.session import Store
from dynoform.store.tables import AddonChange, Database, LeftVolume, now
from tests.contract.addon_fixtures import at_work
from tests.contract.test_database_pools import attach, newest
from tests.contract.test_database_protection import look
from tests.contract.test_databases import config, work_through
from tests.local_databases import Local, clean, local

STANDING = json.dumps(
    {
        "members": [
            {"name": "member-1", "role": "leader", "state": "running", "host": "172.29.0.1"},
            {"name": "member-2", "role": "sync_standby", "state": "streaming", "host": "172.29.0.1", "lag": 0},
        ]
    }
)


@pytest.fixture
def place(services: Services, operator: object) -> Iterator[Local]:
    """A worker of databases, at work."""
    made = local(services)
    made.engine.standing = STANDING
    with at_work(made.worker, made.turn):
        yield made
    clean(services)


@pytest.fixture
def addon(client: httpx.Client, app: str, place: Local) -> dict[str, Any]:
    """A premium database of ``myapp``."""
    made: dict[str, Any] = create(client).raise_for_status().json()
    return made


def swapped(standing: str) -> str:
    """The same with the servers' roles exchanged."""
    members = json.loads(standing)["members"]
    names = [each["name"] for each in members]
    return json.dumps({"members": [{**each, "name": name} for each, name in zip(members, names[::-1], strict=True)]})


def create(client: httpx.Client, plan: str = "premium-0", **more: Any) -> httpx.Response:
    return client.post("/apps/myapp/addons", json={"plan": f"heroku-postgresql:{plan}", **more})


def info(client: httpx.Client, addon: dict[str, Any]) -> dict[str, str]:
    shown = client.get(f"/client/v11/databases/{addon['id']}").raise_for_status().json()
    return {line["name"]: line["values"][0] for line in shown["info"]}


def test_it_has_one_address_for_life_and_ports_of_its_own_behind_that(
    client: httpx.Client, addon: dict[str, Any], place: Local, store: Store
) -> None:
    assert addon["state"] == "provisioned"
    url = config(client)["DATABASE_URL"]
    assert "@172.29.0.1:15000/d" in url
    (instance,) = place.made.instances.values()
    assert (instance["image"], instance["restored"]) == ("postgres-ha:1", False)
    assert [list(each) for each in instance["servers"]] == [[15001, 15002], [15003, 15004]]
    assert [list(each) for each in instance["voters"]] == [[15005, 15006], [15007, 15008], [15009, 15010]]
    essential = create(client, "essential-0", attachment={"name": "OTHER"}).raise_for_status().json()
    with store.transaction() as session:
        found = session.get_one(Database, essential["id"])
        assert (found.port, found.member_ports) == (15011, None), "nobody's port is another's"

    place.engine.primary = 2
    place.engine.served.clear()
    client.post(f"/postgres/v0/databases/{addon['id']}/credentials_rotation", json={}).raise_for_status()
    assert {each.rpartition("-")[2] for each in place.engine.served} == {"2"}, "where the primary is, it is done"
    rotated = config(client)["DATABASE_URL"]
    assert rotated != url and "@172.29.0.1:15000/d" in rotated


def test_its_standby_is_on_another_host_where_one_is_marked_and_what_it_has_there_goes_with_it(
    client: httpx.Client, app: str, place: Local, store: Store
) -> None:
    place.engine.hosts = [
        DataHost("one", "10.0.0.1", platform=True),
        DataHost("two", "10.0.0.2", marked=True),
        DataHost("three", "10.0.0.3", marked=True),
    ]
    made = create(client).raise_for_status().json()
    (instance,) = place.made.instances.values()
    three, two = ("three", "10.0.0.3"), ("two", "10.0.0.2")
    assert instance["hosts"] == (None, three, None, three, two) and instance["shells"] == (15011, 15012)
    assert [list(each) for each in instance["voters"]] == [[15005, 15006], [15007, 15008], [15009, 15010]]

    place.engine.hosts = []
    client.post(f"/postgres/v0/databases/{made['id']}/credentials_rotation", json={}).raise_for_status()
    assert place.made.told[-1]["hosts"] == instance["hosts"], "it stays where it is"
    client.delete(f"/apps/myapp/addons/{made['id']}").raise_for_status()
    own = f"local_addon-{made['id']}"
    with store.transaction() as session:
        left = {(each.host, each.name) for each in session.scalars(select(LeftVolume))}
    assert left == {("three", f"{own}-2"), ("three", f"{own}-etcd-2"), ("two", f"{own}-etcd-3")}


SPREAD = [DataHost("one", "10.0.0.1", platform=True), DataHost("two", "10.0.0.2", marked=True)]


def releases(client: httpx.Client) -> list[str]:
    """What the app's releases are called."""
    return [each["description"] for each in client.get("/apps/myapp/releases").raise_for_status().json()]


def test_apps_find_one_on_several_hosts_at_their_own_host(
    client: httpx.Client, app: str, place: Local, store: Store
) -> None:
    place.engine.hosts = SPREAD
    made = create(client).raise_for_status().json()
    own = f"local_addon-{made['id']}"
    assert "@172.29.96.1:15000/d" in config(client)["DATABASE_URL"]
    assert place.engine.led == [f"{own}-address"], "once it is there on each"
    (instance,) = place.made.instances.values()
    assert (instance["gateway"], instance["address"]) == ("172.29.96.1", "172.29.0.1")
    shown = client.get(f"/postgres/v0/databases/{made['id']}/credentials/default").raise_for_status().json()
    assert (shown["host"], shown["port"]) == ("172.29.96.1", 15000)
    attach(client, made).raise_for_status()
    assert "@172.29.96.1:15013/d" in config(client)["DATABASE_CONNECTION_POOL_URL"], "its pool is, too"
    assert place.engine.led[-1] == f"{own}-pool-address"
    (instance,) = place.made.instances.values()
    assert (
        instance["pool"]["size"]
        == data_services.pool_size(data_services.plan(data_services.POSTGRES, "premium-0")) // 2
    )
    before = releases(client)
    with store.transaction() as session:
        session.execute(update(Database).values(maintenance_at=now() - timedelta(minutes=1)))
    work_through(place, store)
    assert releases(client) == before, "nothing has changed"


def test_one_that_cannot_be_on_each_host_yet_is_told_as_on_the_platforms_until_it_is_and_that_is_a_release(
    client: httpx.Client, app: str, place: Local, store: Store
) -> None:
    place.engine.hosts, place.engine.reaches_all = SPREAD, False
    create(client).raise_for_status()
    before = config(client)["DATABASE_URL"]
    assert "@172.29.0.1:15000/d" in before

    def maintained() -> str:
        with store.transaction() as session:
            session.execute(update(Database).values(maintenance_at=now() - timedelta(minutes=1)))
        work_through(place, store)
        return config(client)["DATABASE_URL"]

    assert maintained() == before
    place.engine.reaches_all = True
    assert maintained() == before.replace("@172.29.0.1:", "@172.29.96.1:")
    assert newest(client) == "Update DATABASE_URL by heroku-postgresql"
    place.engine.reaches_all = False
    assert "@172.29.96.1:" in maintained(), "a host in trouble takes it from no other"


def test_one_whose_hosts_are_gone_is_found_on_the_platforms_again(
    client: httpx.Client, app: str, place: Local, store: Store
) -> None:
    place.engine.hosts = SPREAD
    create(client).raise_for_status()
    place.engine.hosts = SPREAD[:1]
    with store.transaction() as session:
        assert databases.enqueue_due(session, running=set()) == 1
    work_through(place, store)
    assert "gateway" not in place.made.told[-1]
    assert "@172.29.0.1:15000/d" in config(client)["DATABASE_URL"]


def test_one_that_lost_all_finds_other_hosts_where_the_swarm_does_not_know_its_own(
    client: httpx.Client, app: str, place: Local, store: Store
) -> None:
    platform, two = DataHost("one", "10.0.0.1", platform=True), DataHost("two", "10.0.0.2", marked=True)
    place.engine.hosts = [platform, two]
    create(client).raise_for_status()

    def lost() -> Any:
        with store.transaction() as session:
            assert databases.enqueue_due(session, running=set()) == 1
        work_through(place, store)
        return place.made.told[-1].get("hosts")

    assert lost() == (None, ("two", "10.0.0.2"), None, ("two", "10.0.0.2"), None)
    place.engine.hosts = [platform, DataHost("three", "10.0.0.3", marked=True)]
    assert lost()[1] == ("three", "10.0.0.3")


def test_its_standby_takes_over_before_the_host_of_its_primary_is_drained(
    client: httpx.Client, app: str, place: Local, store: Store
) -> None:
    known = [DataHost("one", "10.0.0.1", platform=True), DataHost("two", "10.0.0.2", marked=True)]
    place.engine.hosts = known
    made = create(client).raise_for_status().json()
    own = f"local_addon-{made['id']}"
    create(client, "standard-0", attachment={"name": "OTHER"}).raise_for_status()
    place.engine.asked.clear()

    def hand_over(*draining: str) -> tuple[int, list[tuple[str, str]]]:
        """How many databases were asked, after what each was asked before is long ago, and what their servers were."""
        place.engine.hosts = [
            replace(host, draining=host.name in draining, ready=host.name not in draining) for host in known
        ]
        with store.transaction() as session:
            session.execute(update(AddonChange).values(created_at=now() - timedelta(minutes=1)))
        with store.transaction() as session:
            asked = databases.enqueue_hand_overs(session, place.engine.hosts)
            assert databases.enqueue_hand_overs(session, place.engine.hosts) == 0, "it has something to do already"
        work_through(place, store)
        found, place.engine.asked = place.engine.asked, []
        return asked, found

    assert hand_over() == (0, [])
    state = (f"{own}-1", "state")
    assert hand_over("two") == (1, [state]), "the primary is on another host"
    assert hand_over("one") == (1, [state, (f"{own}-1", "switchover")])
    place.engine.standing, place.engine.primary = swapped(STANDING), 2
    assert hand_over("one") == (1, [state])
    assert hand_over("two") == (1, [state, (f"{own}-2", "switchover")])
    assert hand_over("one", "two") == (1, [state]), "there is nobody elsewhere"
    place.engine.standing = swapped(STANDING).replace("sync_standby", "replica")
    assert hand_over("two") == (1, [state]), "it has not all that is acknowledged"
    place.engine.standing = "nothing"
    assert hand_over("two")[0] == 1
    with store.transaction() as session:
        ended = select(AddonChange).where(AddonChange.action == data_services.HAND_OVER)
        last = session.scalars(ended.order_by(AddonChange.created_at.desc())).first()
        assert last is not None
        assert (last.status, last.failure) == ("failed", "Patroni: says nothing that can be read — it is tried again")
        last.created_at = now()
        session.flush()
        assert databases.enqueue_hand_overs(session, place.engine.hosts) == 0, "it has just been asked"


def test_hosts_that_are_drained_have_databases_looked_at(store: Store) -> None:
    host = placement.Host("node1", "one", memory_bytes=1)
    for draining in (False, True, False):
        with store.transaction() as session:
            hosts.replace(session, [replace(host, draining=draining, open=not draining)])
            assert databases.draining(session) is draining


def test_info_says_whether_the_standby_could_take_over(
    client: httpx.Client, addon: dict[str, Any], place: Local, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = info(client, addon)
    assert [*shown][:4] == ["Plan", "Status", "HA Status", "Standby"]
    assert shown["HA Status"] == "Available"
    assert shown["Standby"] == "Has all that is acknowledged, on the same host"
    assert shown["Connections"].endswith("/120")
    place.engine.standing = STANDING.replace("sync_standby", "replica")
    assert info(client, addon)["HA Status"] == "Temporarily Unavailable"
    monkeypatch.setattr(api_databases, "WAIT_SECONDS", 1.0)
    place.engine.primary = 0
    shown = info(client, addon)
    assert (shown["Status"], shown["HA Status"]) == ("Unavailable", "Temporarily Unavailable")


def test_a_standard_database_is_a_single_server_and_says_nothing_of_a_standby(
    client: httpx.Client, app: str, place: Local
) -> None:
    made = create(client, "standard-0").raise_for_status().json()
    (instance,) = place.made.instances.values()
    assert (instance["image"], instance["memory_mib"]) == ("postgres:1", 1024) and "servers" not in instance
    assert "HA Status" not in info(client, made)
    with place.connect(config(client)["DATABASE_URL"]) as database:
        extensions = database.execute("SELECT current_setting('extwlist.extensions')").fetchone()
        assert extensions == (",".join(data_services.EXTENSIONS),), "where the CLI looks for them on such plans"


def test_data_do_not_move_between_a_plan_with_a_standby_and_one_without(
    client: httpx.Client, addon: dict[str, Any], place: Local
) -> None:
    for plan in ("standard-0", "essential-0"):
        refused = client.patch(f"/apps/myapp/addons/{addon['id']}", json={"plan": f"heroku-postgresql:{plan}"})
        assert refused.status_code == 422
        assert refused.json()["message"] == (
            "Data do not move to a plan with a standby, nor from one: make another with --fork"
        )


def test_a_copy_with_a_standby_is_restored_to_the_first_of_its_servers(
    client: httpx.Client, addon: dict[str, Any], place: Local, store: Store
) -> None:
    look(place, store)
    copy = create(client, config={"fork": "DATABASE"}, attachment={"name": "COPY"})
    made = copy.raise_for_status().json()
    (job,) = place.engine.begun
    own, theirs = (f"local_addon-{each['id']}" for each in (made, addon))
    assert [volume[:2] for volume in job.volumes] == [
        (f"{theirs}-backups", "/var/lib/pgbackrest"), (f"{own}-1", "/var/lib/postgresql"),
    ]  # fmt: skip
    assert place.made.told[-1]["restored"] is True
