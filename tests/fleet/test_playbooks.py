"""The playbooks by hand, on bare hosts, with nothing of Pulumi: made, looked at, hardened, added, replaced, removed.

Order matters: each test leaves the fleet as the next one needs it.
"""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import testinfra

from providers.dynoform.ansible_run import Host, connection
from tests.fleet import hosts
from tests.fleet.chaos import keep
from tests.fleet.hosts import Fleet, FleetHost
from tests.fleet.inventory import Inventory, changed, told

pytestmark = [pytest.mark.fleet, pytest.mark.engine, pytest.mark.timeout(1800)]
ADD_SECONDS = 90
NOT_THE_FIREWALL = ("host_hardening_ssh", "host_hardening_sysctl", "host_hardening_audit", "host_hardening_updates")
OPERATOR = """set -e
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -qqy --no-install-recommends sudo
useradd --create-home --shell /bin/sh ops
install -d -o ops -g ops -m 0700 /home/ops/.ssh
install -o ops -g ops -m 0600 /root/.ssh/authorized_keys /home/ops/.ssh/
"""
"""A user who may log in, and not use sudo yet."""
STACK: dict[str, Any] = {
    "host_builds_images": False,
    "dyno_runtime_stack": "hand",
    "dyno_runtime_dyno_subnet": "172.29.96.0/22",
    "dyno_runtime_platform_subnet": "172.29.100.0/24",
}


@pytest.fixture(scope="module")
def fleet(request: pytest.FixtureRequest) -> Iterator[Fleet]:
    """Three hosts with SSH and Docker, that are nothing yet."""
    base = os.environ.get("DYNOFORM_TEST_BASE_IMAGE") or request.getfixturevalue("base_image")
    with hosts.fleet(base, "one", "two", "three") as made:
        # Switches of the kernel itself are this machine's: they stay as they are.
        for host in made.hosts.values():
            shut(host)
        yield made


@pytest.fixture(scope="module")
def inventory(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Inventory:
    """What an operator would write down of them."""
    written = Inventory(fleet, tmp_path_factory.mktemp("inventory"), workers=("two", "three", "four"), variables=STACK)
    for host in fleet.hosts.values():
        describe(written, host)
    return written


def shut(host: FleetHost) -> None:
    """Have the host see what is this machine's without changing it."""
    for folder in ("fs", "kernel", "vm"):
        host.run("sh", "-c", f"mount --bind /proc/sys/{folder} /proc/sys/{folder}")
        host.run("sh", "-c", f"mount -o remount,bind,ro /proc/sys/{folder}")


def describe(inventory: Inventory, host: FleetHost) -> None:
    """Write down what is the host's alone."""
    inventory.of[host.name] = {
        "dyno_runtime_private_address": host.address,
        "dyno_runtime_manager": "" if host.name == "one" else "one",
        "host_platform": "true" if host.name == "one" else "false",
    }


def addresses(fleet: Fleet) -> list[str]:
    """Of all hosts, which may reach each other."""
    return [host.address for host in fleet.hosts.values()]


def infra(fleet: Fleet, name: str) -> Any:
    """The host as testinfra sees it, by SSH."""
    options = f"-o UserKnownHostsFile={fleet.known_hosts} -o StrictHostKeyChecking=yes"
    return testinfra.get_host(
        f"ssh://root@{fleet[name].address}", ssh_identity_file=str(fleet.key_file), ssh_extra_args=options
    )


def nodes(fleet: Fleet) -> dict[str, str]:
    """Host → state and availability of its node."""
    lines = fleet["one"].docker("node", "ls", "--format", "{{.Hostname}} {{.Status}} {{.Availability}}").splitlines()
    return {line.split()[0]: line.partition(" ")[2] for line in lines}


def test_a_host_that_is_not_made_yet_is_told_to_be_made(inventory: Inventory) -> None:
    done = inventory.play("smoke")
    assert done.returncode != 0
    assert "swarm is inactive" in told(done)
    assert "run playbooks/site.yml" in told(done)


def test_site_makes_all_hosts_and_changes_nothing_the_second_time(fleet: Fleet, inventory: Inventory) -> None:
    done = inventory.play("site")
    assert done.returncode == 0, told(done)
    assert nodes(fleet) == dict.fromkeys(fleet.hosts, "Ready Active")
    began = time.monotonic()
    again = inventory.play("site")
    took = time.monotonic() - began
    print(f"site.yml again, three hosts: {took:.0f} s")
    assert again.returncode == 0, told(again)
    assert changed(again) == dict.fromkeys(fleet.hosts, 0)
    keep("fleet-again", took)
    well = inventory.play("smoke")
    assert well.returncode == 0, told(well)
    assert changed(well) == dict.fromkeys(fleet.hosts, 0)


def test_hardened_hosts_let_in_what_they_have_to_and_no_more(fleet: Fleet, inventory: Inventory) -> None:
    words = {"host_hardening_public_ports": [18080], "host_hardening_fleet_addresses": addresses(fleet)}
    done = inventory.play("harden_hosts", **words)
    assert done.returncode == 0, told(done)
    again = inventory.play("harden_hosts", **words)
    assert changed(again) == dict.fromkeys(fleet.hosts, 0), told(again)
    host = infra(fleet, "two")
    assert {
        name: host.package(name).is_installed for name in ("auditd", "chrony", "nftables", "unattended-upgrades")
    } == {
        "auditd": True,
        "chrony": True,
        "nftables": True,
        "unattended-upgrades": True,
    }
    daemon = host.check_output("sshd -T").lower().splitlines()
    for setting in ("passwordauthentication no", "permitemptypasswords no", "x11forwarding no", "maxauthtries 4"):
        assert setting in daemon
    assert host.sysctl("net.ipv4.conf.all.accept_redirects") == 0
    assert host.sysctl("net.ipv4.ip_forward") == 1
    rules = host.check_output("nft list table inet dynoform_host")
    assert "policy drop" in rules
    assert "tcp dport 18080 accept" in rules
    assert host.file("/etc/audit/rules.d/50-dynoform.rules").mode == 0o640
    assert "52dynoform" in host.check_output("ls /etc/apt/apt.conf.d")
    assert nodes(fleet) == dict.fromkeys(fleet.hosts, "Ready Active")


def test_a_switch_and_a_firewall_that_somebody_has_changed_are_mended(fleet: Fleet, inventory: Inventory) -> None:
    fleet["two"].run("sysctl", "-w", "net.ipv4.conf.all.accept_redirects=1")
    fleet["two"].run("nft", "delete", "table", "inet", "dynoform_host")
    done = inventory.play("harden_hosts", "--limit", "two", host_hardening_fleet_addresses=addresses(fleet))
    assert done.returncode == 0, told(done)
    assert infra(fleet, "two").sysctl("net.ipv4.conf.all.accept_redirects") == 0
    assert fleet["two"].run("nft", "list", "table", "inet", "dynoform_host")


def test_the_swarm_s_certificates_are_rotated_while_its_nodes_stay(fleet: Fleet, inventory: Inventory) -> None:
    before = fleet["one"].docker("swarm", "ca")
    done = inventory.play("rotate_certificates", "--limit", "one")
    assert done.returncode == 0, told(done)
    assert fleet["one"].docker("swarm", "ca") != before
    assert nodes(fleet) == dict.fromkeys(fleet.hosts, "Ready Active")


def test_a_host_is_drained_and_undrained(fleet: Fleet, inventory: Inventory) -> None:
    assert inventory.play("drain_host", "--limit", "three").returncode == 0
    assert nodes(fleet)["three"] == "Ready Drain"
    assert inventory.play("undrain_host", "--limit", "three").returncode == 0
    assert nodes(fleet)["three"] == "Ready Active"


def test_a_fourth_host_is_there_in_time(fleet: Fleet, inventory: Inventory) -> None:
    (added,) = fleet.add("four")
    shut(added)
    describe(inventory, added)
    words = {"host_hardening_public_ports": [18080], "host_hardening_fleet_addresses": addresses(fleet)}
    let_in = inventory.play("harden_hosts", "--limit", "all:!four", **words, **dict.fromkeys(NOT_THE_FIREWALL, False))
    assert let_in.returncode == 0, told(let_in)
    began = time.monotonic()
    done = inventory.play("add_host", "--limit", "four")
    took = time.monotonic() - began
    print(f"add_host.yml: {took:.0f} s")
    assert done.returncode == 0, told(done)
    assert nodes(fleet)["four"] == "Ready Active"
    keep("fleet-add", took)
    assert took < ADD_SECONDS


@pytest.mark.parametrize(
    ("known", "why"),
    [("", "No ED25519 host key is known for"), ("one", "REMOTE HOST IDENTIFICATION HAS CHANGED")],
    ids=["unknown", "another"],
)
def test_a_host_with_another_key_is_refused(
    fleet: Fleet, inventory: Inventory, tmp_path: Path, known: str, why: str
) -> None:
    """In a file of its own, so that no connection that is kept is used."""
    lines = fleet.known_hosts.read_text().splitlines()
    other = [line.split(maxsplit=1)[1] for line in lines if known and line.startswith(f"{fleet[known].address} ")]
    file = tmp_path / "known_hosts"
    file.write_text("".join(f"{fleet['three'].address} {key}\n" for key in other))
    reached = Host("three", fleet["three"].address, "ssh", key_file=str(fleet.key_file), known_hosts=str(file))
    told_of = dict(inventory.of["three"])
    inventory.of["three"] |= connection(reached)
    try:
        done = inventory.play("smoke", "--limit", "three")
    finally:
        inventory.of["three"] = told_of
    assert done.returncode != 0
    assert why in told(done)
    assert "Host key verification failed" in told(done)


def test_a_user_with_sudo_is_enough_also_behind_another_host(fleet: Fleet, inventory: Inventory) -> None:
    two, three = fleet["two"], fleet["three"]
    two.run("sh", "-c", OPERATOR, seconds=300)
    keys: dict[str, Any] = {"key_file": str(fleet.key_file), "known_hosts": str(fleet.known_hosts)}
    told_of = dict(inventory.of["two"])
    inventory.of["two"] |= connection(Host("two", two.address, "ssh", "ops", jump=f"root@{three.address}:22", **keys))
    two.run("iptables", "-I", "INPUT", "-p", "tcp", "--dport", "22", "!", "-s", three.address, "-j", "DROP")
    try:
        refused = inventory.play("smoke", "--limit", "two")
        two.run("sh", "-c", "echo 'ops ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/ops")
        done = inventory.play("smoke", "--limit", "two")
    finally:
        inventory.of["two"] = told_of
        two.run("iptables", "-D", "INPUT", "-p", "tcp", "--dport", "22", "!", "-s", three.address, "-j", "DROP")
    assert refused.returncode != 0
    assert "Missing sudo password" in told(refused) or "a password is required" in told(refused), told(refused)
    assert done.returncode == 0, told(done)


def test_a_user_whose_key_is_refused_is_told(fleet: Fleet, inventory: Inventory, tmp_path: Path) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True, timeout=30)
    told_of = dict(inventory.of["two"])
    reached = Host("two", fleet["two"].address, "ssh", key_file=str(key), known_hosts=str(fleet.known_hosts))
    inventory.of["two"] |= connection(reached)
    try:
        done = inventory.play("smoke", "--limit", "two")
    finally:
        inventory.of["two"] = told_of
    assert done.returncode != 0
    assert "Permission denied (publickey)" in told(done)


def test_a_dead_host_is_replaced_by_a_new_machine(fleet: Fleet, inventory: Inventory) -> None:
    alive = inventory.play("replace_host", "--limit", "three")
    assert alive.returncode != 0
    assert "three: answers, it is not dead" in told(alive)
    fleet["three"].kill()
    down = time.monotonic() + 60
    while nodes(fleet)["three"] != "Down Active":
        assert time.monotonic() < down, nodes(fleet)
        time.sleep(1)
    new = fleet.renew("three")
    shut(new)
    done = inventory.play("replace_host", "--limit", "three")
    assert done.returncode == 0, told(done)
    assert nodes(fleet)["three"] == "Ready Active"


def test_hosts_are_removed_but_not_what_the_swarm_needs(fleet: Fleet, inventory: Inventory) -> None:
    done = inventory.play("remove_host", "--limit", "four")
    assert done.returncode == 0, told(done)
    assert "four" not in nodes(fleet)
    again = inventory.play("remove_host", "--limit", "four")
    assert again.returncode == 0, told(again)
    assert "four: is no node of the swarm (any more)" in told(again)
    last = inventory.play("remove_host", "--limit", "one", host_removal_manager="one")
    assert last.returncode != 0
    assert "one: has the platform's PostgreSQL, registry and sources" in told(last)
