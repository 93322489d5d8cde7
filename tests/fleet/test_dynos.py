"""Dynos on several hosts: spread, reached from everywhere, elsewhere when a host is lost, back when it is.

Order matters: each test leaves the fleet as the next one needs it, since making one takes minutes.
"""

import time
import uuid
from collections import Counter

import pytest

from tests.fleet.chaos import record
from tests.fleet.hosts import Fleet
from tests.fleet.load import Load, requests
from tests.fleet.platform import HTTP_PORT, SERVER, Apps, FleetPlatform

pytestmark = [pytest.mark.fleet, pytest.mark.engine, pytest.mark.timeout(900)]
BALANCED = 60
"""Seconds for dynos to be even again: one moves at a time, and rests before."""


@pytest.fixture(scope="module")
def shop(apps: Apps) -> uuid.UUID:
    """An app with a web dyno for every host."""
    made = apps.app("shop", web=SERVER)
    apps.scale(made, web=4)
    return made


def up(apps: Apps, app_id: uuid.UUID, *addresses: str) -> bool:
    """Whether all four dynos are up, on these hosts alone, and no host has two more than another."""
    dynos = apps.dynos(app_id)
    found = Counter(dyno.address for dyno in dynos)
    counts = [found.get(address, 0) for address in addresses]
    return (
        len(dynos) == 4
        and all(dyno.state == "up" for dyno in dynos)
        and set(found) <= set(addresses)
        and max(counts) - min(counts) <= 1
    )


def load(fleet: Fleet, through: str) -> Load:
    """Requests to the shop by way of a host's router."""
    return Load(fleet[through].address, HTTP_PORT, "shop.localhost")


def test_what_makes_a_host_changes_nothing_the_second_time(platform: FleetPlatform, fleet: Fleet) -> None:
    peers = list(fleet.hosts.values())
    for name, role in (("host1", "manager"), ("host4", "worker")):
        host = fleet[name]
        assert platform.play("host", host, **platform.host_variables(role)).changes == []
        assert platform.play("dyno_runtime", host, **platform.runtime_variables(host, peers)).changes == []


def test_the_join_token_is_in_no_journal_of_the_hosts(platform: FleetPlatform, fleet: Fleet) -> None:
    token = fleet["host1"].docker("swarm", "join-token", "--quiet", "worker")
    for host in fleet.hosts.values():
        assert token not in host.container.logs().decode()
        found = host.run("grep", "-rlF", token, "/var/log", "/tmp", "/root", "/etc", check=False)  # noqa: S108 - theirs
        assert found == ""


def test_dynos_are_spread_over_all_hosts_and_routed_from_each(
    platform: FleetPlatform, apps: Apps, fleet: Fleet, shop: uuid.UUID
) -> None:
    addresses = [host.address for host in fleet.hosts.values()]
    apps.wait(lambda: up(apps, shop, *addresses), 120, "four dynos on four hosts")
    for host in fleet.hosts.values():
        with requests(load(fleet, host.name)) as asked:
            apps.wait(lambda asked=asked: asked.answered > 20, 30, f"the router on {host.name} serves")  # type: ignore[misc]
        assert asked.answered > 20
    assert set(apps.hosts().values()) == {"open"}


def test_dynos_reach_neither_hosts_nor_dynos_on_them(
    platform: FleetPlatform, apps: Apps, fleet: Fleet, shop: uuid.UUID
) -> None:
    here, there = fleet["host1"], fleet["host4"]
    mine = here.docker("ps", "--quiet", "--filter", "label=dynoform.dyno-id").split()[0]
    other = next(dyno for dyno in apps.dynos(shop) if dyno.address == there.address)
    closed = [(there.address, other.port), (there.address, 22), (there.address, 2377), (here.address, 22)]
    for address, port in closed:
        script = f"""import socket
try:
    socket.create_connection(('{address}', {port}), 3)
    print('open')
except OSError:
    print('closed')"""
        assert here.docker("exec", mine, "python3", "-c", script) == "closed", f"{address}:{port}"


def test_dynos_of_a_killed_host_serve_elsewhere(
    platform: FleetPlatform, apps: Apps, fleet: Fleet, shop: uuid.UUID
) -> None:
    left = [fleet[name].address for name in ("host1", "host2", "host3")]
    with requests(load(fleet, "host2")) as asked:
        time.sleep(2)
        killed = time.monotonic()
        fleet["host4"].kill()
        took = apps.wait(lambda: up(apps, shop, *left), 60, "all dynos on the hosts that are left")
        time.sleep(3)
    failed = asked.failed_since(killed)
    record("host-lost", took, 15, asked, killed)
    assert took < 15
    assert [after for after in failed if after > 2] == [], asked.kinds()


def test_a_host_that_is_back_gets_dynos_again(
    platform: FleetPlatform, apps: Apps, fleet: Fleet, shop: uuid.UUID
) -> None:
    addresses = [host.address for host in fleet.hosts.values()]
    with requests(load(fleet, "host2")) as asked:
        fleet["host4"].boot()
        apps.wait(lambda: up(apps, shop, *addresses), BALANCED + 60, "four dynos on four hosts again")
        time.sleep(1)
    assert asked.failures == []
    # Else Swarm could not have made them anew, and no dyno could have started (moby issue 37087).
    assert "networks that Swarm makes anew, forgotten: " in fleet["host4"].container.logs().decode()


def test_a_drained_host_is_left_and_taken_again_without_a_failed_request(
    platform: FleetPlatform, apps: Apps, fleet: Fleet, shop: uuid.UUID
) -> None:
    host, left = fleet["host4"], [fleet[name].address for name in ("host1", "host2", "host3")]
    with requests(load(fleet, "host2")) as asked:
        platform.play("drain_host", host, host_drain_manager="host1")
        assert up(apps, shop, *left), apps.explain()
        assert apps.hosts()["host4"] in ("draining", "drained")
        assert platform.play("drain_host", host, host_drain_manager="host1").changes == []
        platform.play("undrain_host", host, host_drain_manager="host1")
        addresses = [host.address for host in fleet.hosts.values()]
        apps.wait(lambda: up(apps, shop, *addresses), BALANCED, "four dynos on four hosts again")
        time.sleep(1)
    assert asked.failures == []


def test_a_host_without_network_is_lost_and_leaves_no_dyno_behind_when_it_is_back(
    platform: FleetPlatform, apps: Apps, fleet: Fleet, shop: uuid.UUID
) -> None:
    left = [fleet[name].address for name in ("host1", "host2", "host3")]
    fleet["host4"].cut()
    apps.wait(lambda: up(apps, shop, *left), 60, "all dynos on the hosts that are left")
    fleet["host4"].mend()
    addresses = [host.address for host in fleet.hosts.values()]
    apps.wait(lambda: up(apps, shop, *addresses), BALANCED + 60, "four dynos on four hosts again")
    running = "label=dynoform.dyno-id"
    apps.wait(lambda: len(fleet["host4"].docker("ps", "-q", "--filter", running).split()) == 1, 60, "one dyno each")


def test_dynos_of_the_leader_host_serve_elsewhere(
    platform: FleetPlatform, apps: Apps, fleet: Fleet, shop: uuid.UUID
) -> None:
    nodes = platform.nodes(fleet["host2"])
    leader = next(name for name, node in nodes.items() if (node.get("ManagerStatus") or {}).get("Leader"))
    through = next(name for name in ("host2", "host3", "host1") if name != leader)
    left = [host.address for host in fleet.hosts.values() if host.name != leader]
    with requests(load(fleet, through)) as asked:
        time.sleep(2)
        killed = time.monotonic()
        fleet[leader].kill()
        took = apps.wait(lambda: up(apps, shop, *left), 90, "all dynos on the hosts that are left")
        time.sleep(3)
    record("leader-lost", took, 35, asked, killed)
    assert took < 35
    assert [after for after in asked.failed_since(killed) if after > 2] == [], asked.kinds()


def test_the_leader_host_that_is_back_gets_dynos_again(
    platform: FleetPlatform, apps: Apps, fleet: Fleet, shop: uuid.UUID
) -> None:
    (lost,) = [host for host in fleet.hosts.values() if not host.runs()]
    addresses = [host.address for host in fleet.hosts.values()]
    lost.boot()
    apps.wait(lambda: up(apps, shop, *addresses), BALANCED + 60, "four dynos on four hosts again")
