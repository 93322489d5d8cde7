"""The policy pack: each rule on what the program declares, and the whole by Pulumi's own CLI in a preview."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from dynoform.cli.places import CHECKOUT
from policies import rules
from policies.rules import Declared, Limits
from tests.components.test_ec2 import EC2, HOSTS, configuration
from tests.components.test_examples import configuration as example

EXAMPLE = CHECKOUT / "examples/stacks/ec2-three-zones.yaml"
Declare = Callable[[dict[str, str]], list[dict[str, Any]]]


def known(resources: list[dict[str, Any]]) -> list[Declared]:
    """The recorded resources as the rules have them; what the program protects is not recorded."""
    kept = "dynoform:index:Ec2Host"
    return [Declared(each["type"], each["name"], each["inputs"], each["type"] == kept) for each in resources]


@pytest.fixture(scope="module")
def fleet(declare: Declare) -> list[Declared]:
    apps = {"shop": {"source": "examples/apps/python", "formation": {"web": {"quantity": 2}}}}
    return known(declare({**configuration(EC2, HOSTS), "dynoform:apps": json.dumps(apps)}))


def violations(stack: list[Declared], limits: Limits | None = None) -> list[str]:
    own = limits or Limits()
    found = [message for one in stack for rule in (rules.public_ports, rules.encryption) for message in rule(one)]
    found += [message for one in stack for message in rules.sizes(one, own)]
    return found + list(rules.availability(stack, own))


def changed(stack: list[Declared], kind: str, **values: Any) -> list[Declared]:
    """The stack, with other values of all of a kind."""
    return [replace(one, values={**one.values, **values}) if one.kind.endswith(kind) else one for one in stack]


def test_a_fleet_in_three_zones_keeps_to_all_rules(fleet: list[Declared]) -> None:
    assert {one.kind for one in fleet} >= {f"{rules.OURS}Ec2Network", f"{rules.OURS}Ec2Host", rules.SERVICE}
    assert violations(fleet) == []


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (
            "Ec2Network",
            {"groups": {"host": [{"protocol": "tcp", "fromPort": 22, "toPort": 22, "source": "0.0.0.0/0"}]}},
            "security group host: port 22 is open to everybody, which is where SSH listens "
            "— name the networks that need it",
        ),
        (
            "Ec2Network",
            {"groups": {"router": [{"protocol": "tcp", "fromPort": 5000, "toPort": 20000, "source": "0.0.0.0/0"}]}},
            "security group router: port 5000 to 20000 is open to everybody, which is where the swarm's nodes, dynos, "
            "databases, PostgreSQL, Redis, Kafka listen — name the networks that need it",
        ),
        (
            "Ec2Network",
            {"groups": {"platform": [{"protocol": "tcp", "fromPort": 443, "toPort": 443, "source": "0.0.0.0/0"}]}},
            "security group platform: port 443 is open to everybody — only router and balancer may be",
        ),
        (
            "Ec2Host",
            {"launchTemplate": "ours:3", "imageName": ""},
            "host local-ec2-one: its disk is as launch template ours:3 has it, encrypted or not "
            "— name imageOwner and imageName as well",
        ),
        (
            "Ec2Host",
            {"instanceTypes": ["m7a.large", "m7a.8xlarge"]},
            "host local-ec2-one: m7a.8xlarge is larger than 4xlarge — take a smaller one, or raise xlarge",
        ),
        (
            "Ec2Host",
            {"disk": {"size": 1001}},
            "host local-ec2-one: a disk of 1001 GiB is larger than 1000 — take a smaller one, or raise disk",
        ),
        (
            "service:Service",
            {"taskSpec": {"containerSpec": {"env": {"DATABASE_PASSWORD": "x"}}}},
            "service local-control-plane-api: DATABASE_PASSWORD is in its environment, in the clear "
            "— make it a Swarm secret",
        ),
        (
            ":App",
            {"formation": {"web": {"quantity": 2}, "work": {"quantity": 21}}},
            "app local-shop: 21 work dynos are more than 20 — ask for fewer, or raise dynos",
        ),
        (
            ":App",
            {"formation": {}},
            "app local-shop: 1 of 2 web dynos: it is down while one is replaced — raise its formation",
        ),
    ],
)
def test_what_a_rule_forbids_is_told_with_what_to_do(
    fleet: list[Declared], kind: str, values: dict[str, Any], message: str
) -> None:
    assert message in violations(changed(fleet, kind, **values))


def test_a_key_in_the_clear_is_found(fleet: list[Declared]) -> None:
    play = Declared(f"{rules.OURS}Playbook", "p", {"playbook": "playbooks/x.yml", "variables": {"agent_key": "k"}})
    message = "playbook p: variable agent_key is in the clear — put it into secret_variables"
    assert violations([*fleet, play]) == [message]


def test_the_host_with_data_has_to_be_protected(fleet: list[Declared]) -> None:
    bare = [replace(one, protected=False) for one in fleet]
    assert violations(bare) == ["host local-ec2-one: has data, and Pulumi would remove it — declare it with protect"]


def test_one_host_is_no_production_unless_said_so(declare: Declare) -> None:
    single = known(declare(example(CHECKOUT / "examples/stacks/single-host.yaml")))
    assert violations(single) == [
        "1 of 3 managers: with the loss of one nothing moves any more — declare 3 hosts or more in dynoform:hosts",
        "all hosts are in no zone: they fail together — give them 2 zones or more",
    ]
    assert violations(single, Limits(managers=1, zones=1)) == []


@pytest.mark.parametrize(
    ("kind", "size"),
    [("t3.large", 0), ("m7a.xlarge", 1), ("m7a.48xlarge", 48), ("m7a.metal-48xl", rules.BIGGEST), ("t3.nano", 0)],
)
def test_sizes_of_instances_are_counted_as_aws_does(kind: str, size: int) -> None:
    assert rules.xlarges(kind) == size


def preview(folder: Path, file: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """``up --preview`` of a stack that is not there, with nothing of AWS in reach."""
    environ = {
        "HOME": str(folder),
        "PATH": f"{CHECKOUT / '.venv/bin'}{os.pathsep}{os.defpath}",
        "DYNOFORM_HOME": str(folder / "data"),
        "DYNOFORM_OFFICIAL": "never",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "key",
    }
    command = [sys.executable, "-P", "-m", "dynoform.cli", "up", "--preview", "--stack", "prod"]
    argv = [*command, "--config-file", str(file), *words]
    return subprocess.run(argv, cwd=CHECKOUT, env=environ, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_preview_of_the_example_keeps_to_the_pack(tmp_path: Path) -> None:
    done = preview(tmp_path, EXAMPLE, "--policy-pack", "policies")
    assert done.returncode == 0, done.stderr
    assert " to create" in done.stdout


@pytest.mark.slow
def test_preview_that_does_not_is_refused_with_every_reason(tmp_path: Path) -> None:
    settings = yaml.safe_load(EXAMPLE.read_text())
    settings["config"]["dynoform:ec2"] |= {"instanceTypes": ["m7a.48xlarge"]}
    settings["config"]["dynoform:hosts"] = {"one": {"zone": "eu-central-1a", "platform": True}}
    file = tmp_path / "wrong.yaml"
    file.write_text(yaml.safe_dump(settings))
    done = preview(tmp_path, file, "--policy-pack", "policies")
    assert done.returncode == 1
    for reason in (
        "policy size-limits: host prod-ec2-one: m7a.48xlarge is larger than 4xlarge",
        "policy high-availability: 1 of 3 managers: with the loss of one nothing moves any more",
        "policy high-availability: all hosts are in eu-central-1a: they fail together",
    ):
        assert f"✗ {reason}" in done.stderr
    limits = tmp_path / "limits.json"
    limits.write_text(json.dumps({"size-limits": {"xlarge": 48}, "high-availability": {"managers": 1, "zones": 1}}))
    allowed = preview(tmp_path, file, "--policy-pack", "policies", "--policy-pack-config", str(limits))
    assert allowed.returncode == 0, allowed.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--policy-pack examples", "--policy-pack examples: has no PulumiPolicy.yaml — name the folder that has it"),
        ("--policy-pack policies --policy-pack-config no", "--policy-pack-config no: is not there — name a file"),
        ("--policy-pack-config no", "--policy-pack-config no: is for a policy pack — name it with --policy-pack"),
    ],
)
def test_a_pack_that_is_none_is_refused_before_anything(tmp_path: Path, words: str, message: str) -> None:
    done = preview(tmp_path, EXAMPLE, *words.split())
    assert (done.returncode, message in done.stderr) == (1, True), done.stderr
