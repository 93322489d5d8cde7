"""On which hosts a service that leads clients to a database has to run before they are told of it."""

from types import SimpleNamespace
from typing import Any

import docker
import pytest

from dynoform.addons import engine as module
from dynoform.addons.engine import ADDON_LABEL, PARTS_LABEL, Engine
from dynoform.build import container, release_dyno
from dynoform.domain import dyno_container
from dynoform.errors import UnavailableError


def node(name: str, state: str = "ready", availability: str = "active", **labels: str) -> dict[str, Any]:
    known = {label.replace("__", "."): text for label, text in labels.items()}
    return {
        "ID": f"id-{name}",
        "Description": {"Hostname": name},
        "Status": {"State": state},
        "Spec": {"Availability": availability, "Labels": known},
    }


class Api:
    """The engine's client, as far as it is asked."""

    def __init__(self, *states: tuple[str, str]) -> None:
        self.states = states
        """Host and state of each task."""
        self.asked: list[dict[str, str]] = []

    def nodes(self) -> list[dict[str, Any]]:
        away = node("three", state="down"), node("four", availability="drain"), node("five", availability="pause")
        return [node("one", dynoform__local__platform="true"), node("two"), node("six"), *away]

    def tasks(self, filters: dict[str, str]) -> list[dict[str, Any]]:
        self.asked.append(filters)
        return [{"NodeID": f"id-{host}", "Status": {"State": state}} for host, state in self.states]

    def containers(self, *, all: bool, filters: dict[str, str]) -> list[dict[str, Any]]:
        assert all, "also those that have ended"
        self.asked.append(filters)
        return [{"Names": ["/local_transfer-1"]}, {"Names": ["/local_addon-2-drill"]}]


def test_jobs_are_listed_by_the_names_that_they_were_given(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Api()
    monkeypatch.setattr("docker.from_env", lambda timeout: SimpleNamespace(api=api))
    assert Engine("local").job_names() == ["local_transfer-1", "local_addon-2-drill"]
    assert api.asked == [{"label": "dynoform.stack=local"}]


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ([("two", "running"), ("six", "running")], True),
        ([("two", "running"), ("six", "running"), ("three", "running")], True),
        ([("two", "running"), ("six", "starting")], False),
        ([("one", "running"), ("two", "running")], False),
        ([], False),
    ],
)
def test_clients_are_led_once_it_runs_on_all_hosts_that_are_ready_but_the_platforms(
    monkeypatch: pytest.MonkeyPatch, states: list[tuple[str, str]], expected: bool
) -> None:
    api = Api(*states)
    monkeypatch.setattr("docker.from_env", lambda timeout: SimpleNamespace(api=api))
    monkeypatch.setattr(module, "_READY_SECONDS", 0.0)
    assert Engine("local").leads("local_addon-1-address") is expected
    assert api.asked[0] == {"service": "local_addon-1-address", "desired-state": "running"}


def test_the_container_of_a_service_is_known_by_its_name_and_not_by_what_an_image_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    listed = [
        {"Id": "older", "Created": 1, "Names": ["/local_addon-1.1.abc"]},
        {"Id": "newer", "Created": 2, "Names": ["/local_addon-1.1.abd"]},
        {"Id": "a dyno", "Created": 3, "Names": ["/local_run_1"]},
    ]
    executed: list[str] = []

    def refuse(container: str, *words: object, **more: object) -> None:
        executed.append(container)
        raise docker.errors.APIError("stop here")

    api = SimpleNamespace(containers=lambda filters: listed, exec_create=refuse)
    monkeypatch.setattr("docker.from_env", lambda timeout: SimpleNamespace(api=api))
    with pytest.raises(UnavailableError):
        Engine("local").run("local_addon-1", ["psql"], "", "postgres")
    assert executed == ["newer"]
    del listed[:2]
    with pytest.raises(UnavailableError, match="local_addon-1: has no running container on this host"):
        Engine("local").run("local_addon-1", ["psql"], "", "postgres")


def test_labels_that_containers_are_known_by_are_no_images_own() -> None:
    of_builds = (container.BUILD_LABEL, container.ASK_LABEL, container.GENERATION_LABEL, release_dyno.RELEASE_LABEL)
    known = sorted((ADDON_LABEL, PARTS_LABEL, *of_builds))
    assert dyno_container.reserved(known) == known
