"""Roles that need no swarm, by hand on one host: dry run, made, made again, verified, undone."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fleet import hosts
from tests.fleet.hosts import Fleet
from tests.fleet.inventory import Done, Inventory, changed, told
from tests.fleet.test_playbooks import infra
from tests.integration import certificates

pytestmark = [pytest.mark.fleet, pytest.mark.engine, pytest.mark.timeout(900)]
PORT = 9100
TRUST = "/etc/docker/certs.d/10.9.9.9:7400"
SETTINGS = "/etc/dynoform-metrics-agent"


@pytest.fixture(scope="module")
def fleet(request: pytest.FixtureRequest) -> Iterator[Fleet]:
    base = os.environ.get("DYNOFORM_TEST_BASE_IMAGE") or request.getfixturevalue("base_image")
    with hosts.fleet(base, "solo") as made:
        # A dry run updates no package lists: it looks at those that a host has.
        made["solo"].run("apt-get", "update", seconds=300)
        yield made


@pytest.fixture(scope="module")
def authority() -> certificates.Authority:
    return certificates.Authority()


@pytest.fixture(scope="module")
def inventory(fleet: Fleet, authority: certificates.Authority, tmp_path_factory: pytest.TempPathFactory) -> Inventory:
    address = fleet["solo"].address
    certificate, key = (pem.decode() for pem in authority.issue("solo", address))
    variables: dict[str, Any] = {
        "metrics_agent_address": address,
        "metrics_agent_port": PORT,
        "metrics_agent_ca_certificate": authority.pem.decode(),
        "metrics_agent_certificate": certificate,
        "metrics_agent_key": key,
        "registry_trust_address": "10.9.9.9",
        "registry_trust_port": 7400,
        "registry_trust_ca_certificate": "ca",
        "registry_trust_client_certificate": "certificate",
        "registry_trust_client_key": "a-key-of-the-engine",
    }
    return Inventory(fleet, tmp_path_factory.mktemp("inventory"), variables=variables)


def play_role(inventory: Inventory, role: str, *words: str, tasks: str = "main") -> Done:
    """One role, as a play of its own has it."""
    play = inventory.folder / f"{role}-{tasks}.yml"
    step = f"{{name: Do it, ansible.builtin.include_role: {{name: {role}, tasks_from: {tasks}}}}}"
    play.write_text(f"[{{name: Play a role, hosts: all, gather_facts: false, tasks: [{step}]}}]\n")
    *command, _ = inventory.command("smoke", *words)
    how = inventory.how()
    how["env"] |= {"ANSIBLE_ROLES_PATH": str(Path(how["cwd"]) / "roles")}
    return subprocess.run([*command, str(play)], **how, capture_output=True, timeout=600)


@pytest.mark.parametrize("role", ["registry_trust", "metrics_agent"])
def test_dry_run_tells_changes_and_makes_none(fleet: Fleet, inventory: Inventory, role: str) -> None:
    done = play_role(inventory, role, "--check")
    assert done.returncode == 0, told(done)
    assert changed(done)["solo"] > 0
    assert fleet["solo"].run("ls", TRUST, SETTINGS, check=False) == ""


@pytest.mark.parametrize("role", ["registry_trust", "metrics_agent"])
def test_second_run_changes_nothing(inventory: Inventory, role: str) -> None:
    done = play_role(inventory, role)
    assert done.returncode == 0, told(done)
    again = play_role(inventory, role)
    assert again.returncode == 0, told(again)
    assert changed(again) == {"solo": 0}, told(again)
    assert "a-key-of-the-engine" not in told(done) + told(again)
    assert "PRIVATE KEY" not in told(done) + told(again)


@pytest.mark.parametrize(
    ("name", "mode", "content"),
    [("ca.crt", 0o644, "ca"), ("client.cert", 0o644, "certificate"), ("client.key", 0o600, "a-key-of-the-engine")],
)
def test_engine_trusts_the_registry(fleet: Fleet, inventory: Inventory, name: str, mode: int, content: str) -> None:
    file = infra(fleet, "solo").file(f"{TRUST}/{name}")
    assert (file.mode, file.user, file.content_string) == (mode, "root", content)


def test_agent_is_a_package_whose_key_nobody_else_reads(fleet: Fleet, inventory: Inventory) -> None:
    host = infra(fleet, "solo")
    assert host.package("prometheus-node-exporter").is_installed
    key = host.file(f"{SETTINGS}/agent.key")
    assert (key.mode, key.user, key.group) == (0o640, "root", "prometheus")
    assert host.socket(f"tcp://{fleet['solo'].address}:{PORT}").is_listening
    assert not host.socket(f"tcp://127.0.0.1:{PORT}").is_listening


def fetch(fleet: Fleet, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    url = f"https://{fleet['solo'].address}:{PORT}/metrics"
    ask = ["curl", "--silent", "--show-error", "--max-time", "20", "--cacert", str(folder / "ca.crt"), *words, url]
    return subprocess.run(ask, capture_output=True, text=True, timeout=60)


def test_figures_are_told_to_those_with_a_certificate_and_nobody_else(
    fleet: Fleet, inventory: Inventory, authority: certificates.Authority, tmp_path: Path
) -> None:
    (tmp_path / "ca.crt").write_bytes(authority.pem)
    stranger = certificates.Authority()
    for name, by in (("reader", authority), ("stranger", stranger)):
        pair = by.issue(name, name, client=True)
        for suffix, pem in zip(("crt", "key"), pair, strict=True):
            (tmp_path / f"{name}.{suffix}").write_bytes(pem)
    shown = ("--cert", str(tmp_path / "reader.crt"), "--key", str(tmp_path / "reader.key"))
    read = fetch(fleet, tmp_path, *shown)
    assert read.returncode == 0, read.stderr
    assert "node_memory_MemAvailable_bytes" in read.stdout
    assert "node_filesystem_avail_bytes" in read.stdout
    for words in ((), tuple(word.replace("reader", "stranger") for word in shown)):
        refused = fetch(fleet, tmp_path, *words)
        assert (refused.returncode != 0, refused.stdout) == (True, "")


def test_a_certificate_that_is_new_is_shown_without_a_restart(
    fleet: Fleet, inventory: Inventory, authority: certificates.Authority, tmp_path: Path
) -> None:
    agent = "pgrep --full '[p]rometheus-node-exporter --web' | head -n 1"
    before = fleet["solo"].run("sh", "-c", agent)
    certificate, key = (pem.decode() for pem in authority.issue("renewed", fleet["solo"].address))
    inventory.variables |= {"metrics_agent_certificate": certificate, "metrics_agent_key": key}
    done = play_role(inventory, "metrics_agent")
    assert done.returncode == 0, told(done)
    ask = ["openssl", "s_client", "-connect", f"{fleet['solo'].address}:{PORT}"]
    said = subprocess.run(ask, input="", capture_output=True, text=True, timeout=30)
    assert "renewed" in said.stdout
    assert (before != "", fleet["solo"].run("sh", "-c", agent)) == (True, before)


def test_what_was_made_is_undone(fleet: Fleet, inventory: Inventory) -> None:
    for role in ("metrics_agent", "registry_trust"):
        done = play_role(inventory, role, tasks="absent")
        assert done.returncode == 0, told(done)
    again = play_role(inventory, "metrics_agent", tasks="absent")
    assert changed(again) == {"solo": 0}
    assert fleet["solo"].run("ls", TRUST, SETTINGS, "/etc/default/prometheus-node-exporter", check=False) == ""
    assert not infra(fleet, "solo").package("prometheus-node-exporter").is_installed
