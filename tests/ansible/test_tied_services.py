"""Which services the role host_drain says that only one host can run."""

from types import ModuleType
from typing import Any

import pytest

from tests import role_scripts


@pytest.fixture(scope="module")
def module() -> ModuleType:
    return role_scripts.load("host_drain", "read_tied")


def node(name: str, state: str = "ready", availability: str = "active", **labels: str) -> dict[str, Any]:
    spec = {"Role": "manager" if name == "one" else "worker", "Availability": availability, "Labels": labels or None}
    return {"ID": f"id-{name}", "Description": {"Hostname": name}, "Status": {"State": state}, "Spec": spec}


def service(*constraints: str, mode: str = "Replicated", mount: str = "volume") -> dict[str, Any]:
    task = {"ContainerSpec": {"Mounts": [{"Type": mount}]}, "Placement": {"Constraints": list(constraints)}}
    return {"ID": "s", "Spec": {"Name": "db", "Labels": None, "Mode": {mode: {}}, "TaskTemplate": task}}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (service("node.labels.platform==true"), "its data are here"),
        (service("node.labels.platform == true", mount="tmpfs"), "it is to run here alone"),
        (service("node.id==id-one"), "its data are here"),
        (service("node.hostname!=two", "node.hostname!=three"), "its data are here"),
        (service("node.role==manager"), "its data are here"),
        (service("node.platform.os==linux"), None),
        (service("node.hostname==two"), None),
        (service(), None),
        (service("node.labels.platform==true", mode="Global"), None),
    ],
)
def test_what_no_other_node_fits(module: ModuleType, found: dict[str, Any], expected: str | None) -> None:
    nodes = [node("one", platform="true"), node("two", platform="false"), node("three")]
    told = module.tied("id-one", nodes, [found], {"db": True})
    assert [(each["why"], each["runs"]) for each in told] == ([(expected, True)] if expected else [])


@pytest.mark.parametrize("away", [{"state": "down"}, {"availability": "drain"}])
def test_a_node_that_takes_nothing_is_no_other_one(module: ModuleType, away: dict[str, str]) -> None:
    nodes = [node("one"), node("two", **away)]
    (told,) = module.tied("id-one", nodes, [service()], {})
    assert told == {"name": "db", "why": "its data are here", "runs": False, "whole": True}


@pytest.mark.parametrize(
    ("host", "everywhere", "why", "whole"),
    [
        ("one", False, "its address is here", True),
        ("two", False, "its address is here", False),
        ("three", False, "", None),
        ("one", True, "its address is here", False),
    ],
)
def test_an_add_on_stands_still_with_the_part_that_its_clients_are_led_to_if_they_are_not_on_every_host(
    module: ModuleType, host: str, everywhere: bool, why: str, whole: bool | None
) -> None:
    told = of_parts(
        module, host, {"db": "one", "db-1": "one", "db-2": "two"} | ({"db-address": ""} if everywhere else {})
    )
    assert told == ([("add-on 7c", why, whole)] if why else [])


@pytest.mark.parametrize(
    ("host", "why", "whole"),
    [("one", "2 of its 3 parts are here", True), ("two", "1 of its 3 parts are here", False), ("three", "", None)],
)
def test_an_add_on_whose_clients_know_all_its_parts_stands_still_with_most_of_them(
    module: ModuleType, host: str, why: str, whole: bool | None
) -> None:
    told = of_parts(module, host, {"db-1": "one", "db-2": "two", "db-3": "one"})
    assert told == ([("add-on 7c", why, whole)] if why else [])


def of_parts(module: ModuleType, host: str, parts: dict[str, str]) -> list[tuple[str, str, bool]]:
    """What is told of a host where there are an add-on's parts, each on one of three."""
    services = []
    for name, at in parts.items():
        made = service(f"node.hostname=={at}") if at else service("node.hostname!=one", mode="Global")
        services.append(
            {**made, "ID": name, "Spec": {**made["Spec"], "Name": name, "Labels": {"dynoform.addon": "7c"}}}
        )
    nodes = [node("one"), node("two"), node("three")]
    told = module.tied(f"id-{host}", nodes, services, {})
    return [(each["name"], each["why"], each["whole"]) for each in told]
