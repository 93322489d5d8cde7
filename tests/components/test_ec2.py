"""A fleet at EC2 under mocks: what is declared of AWS, and that the hosts are then hosts as any others."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.components.conftest import ON_A_DOMAIN

EC2: dict[str, Any] = {
    "region": "eu-central-1",
    "zones": ["eu-central-1a", "eu-central-1b", "eu-central-1c"],
    "adminNetworks": ["203.0.113.0/24"],
    "publicKey": "ssh-ed25519 AAAA",
    "keyFile": "/keys/ec2",
    "backupBucket": "backups",
    "loadBalancer": True,
}
HOSTS: dict[str, Any] = {
    "one": {"zone": "eu-central-1a", "platform": True, "disk": {"size": 200}},
    "two": {"zone": "eu-central-1b", "instanceTypes": ["m7a.large"]},
    "three": {"zone": "eu-central-1c"},
    "four": {"zone": "eu-central-1a", "role": "worker"},
}


def configuration(ec2: dict[str, Any], hosts: dict[str, Any]) -> dict[str, str]:
    return {
        **ON_A_DOMAIN,
        "dynoform:ec2": json.dumps(ec2),
        "dynoform:hosts": json.dumps(hosts),
    }


@pytest.fixture(scope="module")
def declared(declare: Callable[[dict[str, str]], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    return declare(configuration(EC2, HOSTS))


def of(declared: list[dict[str, Any]], kind: str) -> dict[str, dict[str, Any]]:
    return {each["name"]: each["inputs"] for each in declared if each["type"] == f"dynoform:index:{kind}"}


def test_what_is_declared_of_aws_is_recorded(
    declared: list[dict[str, Any]], same_as_recorded: Callable[[str, Any], None]
) -> None:
    same_as_recorded("ec2", [each for each in declared if each["type"].startswith("dynoform:index:Ec2")])


def test_hosts_are_spread_and_have_the_groups_of_their_parts(declared: list[dict[str, Any]]) -> None:
    hosts = of(declared, "Ec2Host")
    assert {name: (each["subnetId"], each["groupIds"]) for name, each in hosts.items()} == {
        "local-ec2-one": ("subnet-a", ["sg-host", "sg-router", "sg-manager", "sg-platform"]),
        "local-ec2-two": ("subnet-b", ["sg-host", "sg-router", "sg-manager"]),
        "local-ec2-three": ("subnet-c", ["sg-host", "sg-router", "sg-manager"]),
        "local-ec2-four": ("subnet-a", ["sg-host", "sg-router"]),
    }
    assert [name for name, each in hosts.items() if each["protected"]] == ["local-ec2-one"]
    assert hosts["local-ec2-one"]["instanceProfile"] == "a-profile"


def test_hosts_are_reached_at_the_addresses_that_ec2_gives_them(declared: list[dict[str, Any]]) -> None:
    plays = [each["inputs"] for each in declared if each["type"] == "dynoform:index:Playbook"]
    made = {each["host"]["name"]: each for each in plays if each["playbook"] == "playbooks/host.yml"}
    private = of(declared, "Ec2Host")["local-ec2-two"]["privateAddress"]
    assert made["two"]["host"] == {
        "name": "two",
        "address": "198.51.100.1",
        "connection": "ssh",
        "user": "root",
        "port": 22,
        "key_file": "/keys/ec2",
    }
    assert made["two"]["variables"]["swarm_node_advertise_address"] == private
    (provider,) = [each["inputs"] for each in declared if each["type"] == "pulumi:providers:docker"]
    assert provider["host"] == "ssh://root@198.51.100.1:22"


def test_only_the_load_balancer_is_open_to_everybody(declared: list[dict[str, Any]]) -> None:
    (network,) = of(declared, "Ec2Network").values()
    open_groups = {name for name, rules in network["groups"].items() for rule in rules if rule["source"] == "0.0.0.0/0"}
    assert open_groups == {"balancer"}
    (balancer,) = of(declared, "Ec2LoadBalancer").values()
    assert balancer["ports"] == {"80": 80, "443": 443, "7405": 7405}
    assert len(balancer["instanceIds"]) == 4


def test_without_a_load_balancer_or_backups_there_is_neither(
    declare: Callable[[dict[str, str]], list[dict[str, Any]]],
) -> None:
    plain = {key: value for key, value in EC2.items() if key not in ("backupBucket", "loadBalancer")}
    found = declare(configuration(plain, {"one": {"zone": "eu-central-1a"}}))
    kinds = {each["type"].rpartition(":")[2] for each in found if ":Ec2" in each["type"]}
    assert kinds == {"Ec2Fleet", "Ec2Network", "Ec2KeyPair", "Ec2Host"}
    (network,) = of(found, "Ec2Network").values()
    assert [rule["source"] for rule in network["groups"]["router"]] == ["0.0.0.0/0"] * 3
