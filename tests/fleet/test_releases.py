"""The roles on the other systems that a host may have: made, made again, hardened, hardened again, looked at.

Debian 13 is what all other tests of the fleet have.
"""

import os
from collections.abc import Iterator
from typing import Any

import docker
import pytest

from tests.fleet import hosts
from tests.fleet.hosts import Fleet
from tests.fleet.inventory import Inventory, changed, told
from tests.fleet.releases import BOOKWORM, NOBLE, Release, root_image
from tests.fleet.test_playbooks import STACK, infra, nodes, shut

pytestmark = [pytest.mark.fleet, pytest.mark.engine, pytest.mark.timeout(3600)]
NAME = "one"


@pytest.fixture(scope="module", params=[BOOKWORM, NOBLE], ids=lambda release: release.name)
def release(request: pytest.FixtureRequest) -> Release:
    found: Release = request.param
    if missing := found.missing():
        pytest.skip(missing)
    return found


@pytest.fixture(scope="module")
def fleet(request: pytest.FixtureRequest, release: Release) -> Iterator[Fleet]:
    base = os.environ.get("DYNOFORM_TEST_BASE_IMAGE") or request.getfixturevalue("base_image")
    engine = docker.from_env(timeout=120)
    root = root_image(engine, base, release)
    engine.close()
    with hosts.fleet(root, NAME) as made:
        shut(made[NAME])
        yield made


@pytest.fixture(scope="module")
def inventory(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Inventory:
    address = fleet[NAME].address
    variables: dict[str, Any] = {**STACK, "dyno_runtime_private_address": address, "dyno_runtime_manager": ""}
    return Inventory(fleet, tmp_path_factory.mktemp("inventory"), variables=variables)


def test_host_is_the_release(fleet: Fleet, release: Release) -> None:
    assert f"VERSION_CODENAME={release.name}" in fleet[NAME].run("cat", "/etc/os-release")


def test_site_makes_it_and_changes_nothing_the_second_time(fleet: Fleet, inventory: Inventory) -> None:
    done = inventory.play("site")
    assert done.returncode == 0, told(done)
    assert nodes(fleet) == {NAME: "Ready Active"}
    again = inventory.play("site")
    assert (again.returncode, changed(again)) == (0, {NAME: 0}), told(again)
    well = inventory.play("smoke")
    assert (well.returncode, changed(well)) == (0, {NAME: 0}), told(well)


def test_hardened_it_lets_in_what_it_has_to_and_no_more(fleet: Fleet, inventory: Inventory) -> None:
    words: dict[str, Any] = {
        "host_hardening_public_ports": [18080],
        "host_hardening_fleet_addresses": [fleet[NAME].address],
    }
    done = inventory.play("harden_hosts", **words)
    assert done.returncode == 0, told(done)
    again = inventory.play("harden_hosts", **words)
    assert (again.returncode, changed(again)) == (0, {NAME: 0}), told(again)
    host = infra(fleet, NAME)
    for name in ("auditd", "chrony", "nftables", "unattended-upgrades"):
        assert host.package(name).is_installed, name
    daemon = host.check_output("sshd -T").lower().splitlines()
    for setting in ("passwordauthentication no", "permitemptypasswords no", "x11forwarding no", "maxauthtries 4"):
        assert setting in daemon
    rules = host.check_output("nft list table inet dynoform_host")
    assert "policy drop" in rules
    assert "tcp dport 18080 accept" in rules
    assert nodes(fleet) == {NAME: "Ready Active"}


def test_it_is_drained_and_undrained(fleet: Fleet, inventory: Inventory) -> None:
    for playbook, availability in (("drain_host", "Drain"), ("undrain_host", "Active")):
        done = inventory.play(playbook)
        assert done.returncode == 0, told(done)
        assert nodes(fleet) == {NAME: f"Ready {availability}"}
