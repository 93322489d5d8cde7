"""The examples of stacks: settings that are taken, and what the program declares of them."""

import json
import re
import shlex
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from dynoform.cli import settings
from dynoform.cli.commands import completion
from dynoform.cli.places import CHECKOUT

EXAMPLES = CHECKOUT / "examples/stacks"
STACKS = sorted(EXAMPLES.glob("*.yaml"))
PIPELINES = sorted((EXAMPLES / "github").glob("*.yml"))
Declare = Callable[[dict[str, str]], list[dict[str, Any]]]


def configuration(file: Path) -> dict[str, str]:
    """The stack's settings with the defaults filled in, as Pulumi gives them to the program."""
    known = settings.load(CHECKOUT, file.stem, file)
    values = {key: value for key, value in known.values.items() if value not in ("", {}, [])}
    return {f"dynoform:{key}": value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}


@pytest.fixture(scope="module")
def declared(declare: Declare) -> dict[str, list[dict[str, Any]]]:
    return {file.stem: declare(configuration(file)) for file in STACKS}


def kinds(resources: list[dict[str, Any]]) -> Counter[str]:
    return Counter(each["type"].rpartition(":")[2] for each in resources)


def test_each_is_a_whole_platform(declared: dict[str, list[dict[str, Any]]]) -> None:
    assert set(declared) == {"single-host", "three-hosts", "ec2-three-zones"}
    for name, resources in declared.items():
        services = {each["name"] for each in resources if each["type"] == "docker:index/service:Service"}
        assert {noun for noun in ("router", "api", "postgres") if any(noun in one for one in services)} == {
            "router",
            "api",
            "postgres",
        }, name


def test_hosts_are_those_of_the_settings(declared: dict[str, list[dict[str, Any]]]) -> None:
    counts = {name: kinds(resources) for name, resources in declared.items()}
    assert {name: count["Host"] for name, count in counts.items()} == {
        "single-host": 1,
        "three-hosts": 3,
        "ec2-three-zones": 3,
    }
    assert {name: count["Ec2Host"] for name, count in counts.items() if count["Ec2Host"]} == {"ec2-three-zones": 3}
    assert counts["ec2-three-zones"]["Ec2LoadBalancer"] == 1


def test_what_has_data_is_protected_and_encrypted_where_it_is_ours_to_say(
    declared: dict[str, list[dict[str, Any]]],
) -> None:
    hosts = [each["inputs"] for each in declared["ec2-three-zones"] if each["type"] == "dynoform:index:Ec2Host"]
    assert [each["protected"] for each in hosts] == [True, False, False]


def test_table_names_each_file() -> None:
    text = (EXAMPLES / "README.md").read_text()
    assert [file.name for file in (*STACKS, *PIPELINES) if f"`{file.name}`" not in text] == []


@pytest.mark.parametrize("file", PIPELINES, ids=lambda file: file.stem)
def test_pipeline_calls_what_is_there(file: Path) -> None:
    found = yaml.safe_load(file.read_text())
    (job,) = found["jobs"].values()
    steps = [step["run"] for step in job["steps"] if "run" in step]
    known = completion.grammar()
    called = [line for step in steps for line in re.findall(r"bin/dynoform ([^\n|>]*)", step)]
    assert called
    for line in called:
        words = shlex.split(line.replace("2>&1", ""))
        assert {word for word in words[1:] if word.startswith("--")} <= set(known[words[0]]), line
    # Secrets reach a step by its environment, never by its text.
    assert not [step for step in steps if "${{" in step]
    assert job["timeout-minutes"] <= 90


def test_only_one_pipeline_changes_anything() -> None:
    changing = [file.stem for file in PIPELINES if "--preview" not in file.read_text()]
    assert changing == ["up"]
