"""What is read of the engine about hosts that are left out of a stack's settings."""

from typing import Any

from dynoform.cli import leaving


def service(*constraints: str, **labels: str) -> dict[str, Any]:
    named = {name.replace("_", "."): value for name, value in labels.items()}
    return {"Spec": {"Labels": named, "TaskTemplate": {"Placement": {"Constraints": list(constraints)}}}}


def test_a_host_has_the_databases_that_have_a_part_there_by_its_name() -> None:
    services = [
        service("node.hostname==two", dynoform_addon="7c"),
        service("node.hostname==two", dynoform_addon="7c"),
        service("node.labels.platform==true", dynoform_addon="7c"),
        service("node.hostname==twofold", dynoform_addon="8d"),
        service("node.hostname==two"),
        {"Spec": {"TaskTemplate": {}}},
    ]
    assert leaving.databases(services, "two") == {"7c"}
    assert leaving.databases(services, "one") == set()
