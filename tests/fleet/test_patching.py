"""patch_kernels.yml on real swarm nodes while two apps are asked, and a database is written to, all the time. Only the
kernel is a stand-in's. In the end one of the hosts goes, and comes back.

Order matters: each test leaves the fleet as the next one needs it.
"""

import os
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.fleet.chaos import record_patching
from tests.fleet.hosts import Fleet
from tests.fleet.inventory import Inventory, changed, told
from tests.fleet.kernels import NEW, OLD, booted, kernel, with_kernels
from tests.fleet.load import Load, requests
from tests.fleet.platform import HTTP_PORT, SERVER, Apps, FleetPlatform, wait_for
from tests.fleet.writes import Writes, written

pytestmark = [pytest.mark.fleet, pytest.mark.engine, pytest.mark.timeout(3600)]
NEWEST = f"{NEW}-amd64"
LOCK = "/run/dynoform-patch-kernels.json"
QUANTITIES = {"shop": 4, "blog": 2}
AWAY_SECONDS = 300
"""How long a database of one node may be away with its host."""


@pytest.fixture(scope="module")
def two(apps: Apps) -> dict[str, uuid.UUID]:
    """Two apps, one of them with a dyno on each host."""
    made = {name: apps.app(name, web=SERVER) for name in QUANTITIES}
    for name, quantity in QUANTITIES.items():
        apps.scale(made[name], web=quantity)
    apps.wait(lambda: all(serves(apps, made[name], QUANTITIES[name]) for name in made), 180, "both apps serve")
    return made


@pytest.fixture(scope="module")
def database(platform: FleetPlatform, fleet: Fleet) -> str:
    """Where a database is that has one node, on a manager."""
    address = platform.start_database(platform.manager, fleet["host3"])
    wait_for(fleet["host3"].address, 5432)
    Writes(address).prepare()
    return address


@pytest.fixture(scope="module")
def inventory(platform: FleetPlatform, fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Inventory:
    """The hosts, with an old kernel that runs and a newer one in their repository."""
    with_kernels(list(fleet.hosts.values()), tmp_path_factory.mktemp("kernels"))
    return Inventory(
        fleet, tmp_path_factory.mktemp("inventory"), workers=("host4",), variables={"kernel_patching_boot_free_mib": 1}
    )


def serves(apps: Apps, app_id: uuid.UUID, quantity: int) -> bool:
    """Whether all dynos of an app are up."""
    return [dyno.state for dyno in apps.dynos(app_id)] == ["up"] * quantity


@contextmanager
def load(fleet: Fleet) -> Iterator[list[Load]]:
    """Some 100 requests/s to both apps, through whichever router lets a connection in, as a load balancer has it."""
    addresses = [host.address for host in fleet.hosts.values()]
    with ExitStack() as stack:
        turns = enumerate(QUANTITIES)
        asked = [
            Load(addresses[turn], HTTP_PORT, f"{name}.localhost", others=addresses[turn + 1 :] + addresses[:turn])
            for turn, name in turns
        ]
        yield [stack.enter_context(requests(each)) for each in asked]
        time.sleep(1)


def availabilities(platform: FleetPlatform) -> dict[str, str]:
    """Host → what Swarm may do with it."""
    return {name: node["Spec"]["Availability"] for name, node in platform.nodes(platform.manager).items()}


def leader(platform: FleetPlatform) -> str:
    """The host that leads."""
    nodes = platform.nodes(platform.manager).items()
    return next(name for name, node in nodes if (node.get("ManagerStatus") or {}).get("Leader"))


def test_dry_run_tells_what_would_happen_and_changes_nothing(
    platform: FleetPlatform, inventory: Inventory, two: dict[str, uuid.UUID]
) -> None:
    done = inventory.play("patch_kernels", "--check")
    assert done.returncode == 0, told(done)
    would = f"runs {OLD}-amd64 6.1.124-1: drain, upgrade linux-image-{NEW}-amd64, linux-image-amd64, reboot, undrain"
    for name, part in {"host1": "leader", "host2": "manager", "host3": "manager", "host4": "worker"}.items():
        assert f"{name} ({part}) {would}" in told(done)
    assert changed(done) == dict.fromkeys(inventory.fleet.hosts, 0)
    assert set(availabilities(platform).values()) == {"active"}


def test_a_host_without_room_for_a_kernel_stops_it_before_anything_is_drained(
    platform: FleetPlatform, inventory: Inventory
) -> None:
    done = inventory.play("patch_kernels", kernel_patching_boot_free_mib=10**9)
    assert done.returncode != 0
    assert "MiB free, a kernel needs 1000000000 — run 'apt-get autoremove --purge' on the host" in told(done)
    assert set(availabilities(platform).values()) == {"active"}


def test_killed_and_resumed_hosts_are_patched_one_by_one_without_a_failed_request_or_a_lost_row(
    platform: FleetPlatform, inventory: Inventory, apps: Apps, two: dict[str, uuid.UUID], database: str
) -> None:
    fleet = inventory.fleet
    began = time.time()
    last = leader(platform)
    with load(fleet) as asked, written(Writes(database)) as writes:
        with inventory.start("patch_kernels") as first:
            apps.wait(
                lambda: "owner" in fleet["host1"].run("cat", LOCK, check=False), 300, "the first run has the lock"
            )
            second = inventory.play("patch_kernels")
            apps.wait(lambda: "drain" in availabilities(platform).values(), 900, "a host is drained")
            os.killpg(first.pid, 9)
        assert second.returncode != 0
        assert "another run has these hosts" in told(second)
        third = inventory.play("patch_kernels")
        assert "if it was killed, go on with --extra-vars kernel_patching_lock_seconds=0" in told(third)
        done = inventory.play("patch_kernels", kernel_patching_lock_seconds=0, seconds=2400)
        assert done.returncode == 0, told(done)
        seconds = time.time() - began
    wait_for(fleet["host3"].address, 5432)
    lost = writes.lost()
    away = f"the database, of one node, is away with its host: a row had to be tried for {writes.slowest:.0f} s at most"
    record_patching(seconds, len(fleet.hosts), asked, writes, len(lost), away)
    assert {kernel(host) for host in fleet.hosts.values()} == {NEWEST}
    moments = {name: booted(host) for name, host in fleet.hosts.items()}
    assert min(moments.values()) > began
    order = sorted(moments, key=lambda name: moments[name])
    assert (order[0], order[-1]) == ("host4", last)
    assert set(availabilities(platform).values()) == {"active"}
    # The first run may have come to the boot of one, and on a busy machine to more than the worker.
    assert f"{last}: {OLD}-amd64 6.1.124-1 → {NEWEST} 6.1.140-1, closes CVE-2025-38001" in told(done)
    assert [one for each in asked for one in each.failures] == []
    assert lost == set()
    assert writes.slowest < AWAY_SECONDS
    apps.wait(lambda: all(serves(apps, two[name], QUANTITIES[name]) for name in two), 60, "both apps are whole")


def test_a_second_run_changes_nothing(platform: FleetPlatform, inventory: Inventory) -> None:
    again = inventory.play("patch_kernels")
    assert again.returncode == 0, told(again)
    assert changed(again) == dict.fromkeys(inventory.fleet.hosts, 0)
    assert "nothing to do, it is the newest" in told(again)


def test_a_host_that_does_not_come_back_stops_the_run_and_apps_serve(
    platform: FleetPlatform, inventory: Inventory, apps: Apps, two: dict[str, uuid.UUID]
) -> None:
    host = inventory.fleet["host4"]
    host.run("sh", "-c", f"echo {OLD}-amd64 >/run/fake-kernel")
    host.container.update(restart_policy={"Name": "no"})
    with load(inventory.fleet) as asked:
        done = inventory.play("patch_kernels", kernel_patching_reboot_seconds=20)
        assert done.returncode != 0
        assert "upgrade | Boot the newest kernel" in told(done)
        assert "No further host is touched. This one may be drained still" in told(done)
        host.container.update(restart_policy={"Name": "always"})
        host.boot()
        again = inventory.play("patch_kernels")
        assert again.returncode == 0, told(again)
    assert [one for each in asked for one in each.failures] == []
    assert kernel(host) == NEWEST
    assert set(availabilities(platform).values()) == {"active"}


def test_a_host_that_goes_and_comes_back_is_left_and_taken_again_without_a_failed_request(
    platform: FleetPlatform, inventory: Inventory, apps: Apps, two: dict[str, uuid.UUID]
) -> None:
    """As ``up`` has it for a host whose line is taken out of the settings, and put back."""
    fleet = inventory.fleet
    host, peers = fleet["host4"], list(fleet.hosts.values())
    words = platform.runtime_variables(host, peers, dyno_runtime_manager="host1")
    with load(fleet) as asked:
        platform.play("dyno_runtime_absent", host, **words)
        assert availabilities(platform)["host4"] == "drain"
        apps.wait(lambda: all(serves(apps, two[name], QUANTITIES[name]) for name in two), 60, "both apps are whole")
        assert host.address not in apps.places(two["shop"])
        platform.play("dyno_runtime", host, **words)
        assert availabilities(platform)["host4"] == "active"
        apps.wait(lambda: host.address in apps.places(two["shop"]), 180, "a dyno has moved to the host that is back")
    assert [one for each in asked for one in each.failures] == []
