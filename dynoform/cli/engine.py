"""The Docker engine, asked about a stack's objects. It may be away: every answer has a form for that."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import docker
from docker.errors import APIError, DockerException

SECONDS = 20
LABEL = "dynoform.stack"
DYNO = "dynoform.dyno"
"""Label of what is a dyno's and not the platform's."""


class Engine:
    """The local engine, and only what carries a stack's label or bears its name."""

    def __init__(self, client: docker.DockerClient, stack: str) -> None:
        """`client` is connected; use `connect`."""
        self.client: Any = client
        self._stack = stack

    def filters(self) -> dict[str, str]:
        """Docker's filter for this stack's objects."""
        return {"label": f"{LABEL}={self._stack}"}

    def services(self) -> list[dict[str, Any]]:
        """Services of the stack as the engine describes them, with the state of their tasks; none without a swarm."""
        try:
            return list(self.client.api.services(filters=self.filters(), status=True))
        except APIError:
            return []

    def tasks(self, service: str) -> list[dict[str, Any]]:
        """Tasks of a service, past ones too, as the engine describes them."""
        return list(self.client.api.tasks(filters={"service": service}))

    def containers(self) -> list[dict[str, Any]]:
        """Containers of the stack, running or not, as the engine lists them."""
        names = {service["ID"] for service in self.services()}
        found = self.client.api.containers(all=True)
        return [c for c in found if _belongs(c.get("Labels") or {}, self._stack, names)]

    def id_of(self, kind: str, name: str) -> str | None:
        """The id by which Pulumi's docker provider can take in the object called `name`; None when there is none.

        `kind` is the resource's type token. Images are left out: building one again costs nothing. So are secrets: no
        provider can read them back.
        """
        readers: dict[str, Callable[[], str | None]] = {
            "docker:index/service:Service": lambda: self.client.api.inspect_service(name)["ID"],
            "docker:index/volume:Volume": lambda: self.client.api.inspect_volume(name)["Name"],
            "docker:index/network:Network": lambda: self.client.api.inspect_network(name)["Id"],
            "docker:index/container:Container": lambda: self.client.api.inspect_container(name)["Id"],
            "docker:index/serviceConfig:ServiceConfig": lambda: _named(self.client.api.configs({"name": name}), name),
        }
        if kind not in readers:
            return None
        try:
            return readers[kind]()
        except APIError:
            return None

    def everything(self) -> dict[str, set[str]]:
        """Ids of all objects of the engine, whosever they are, by their Pulumi type's name; networks by name too.

        Raises `APIError` when the engine is in no swarm.
        """
        api = self.client.api
        networks = api.networks()
        return {
            "Service": {one["ID"] for one in api.services()},
            "Secret": {one["ID"] for one in api.secrets()},
            "ServiceConfig": {one["ID"] for one in api.configs()},
            "Volume": {one["Name"] for one in api.volumes().get("Volumes") or []},
            "Network": {one["Id"] for one in networks} | {one["Name"] for one in networks},
            "RemoteImage": {one["Id"] for one in api.images(all=True)},
        }

    def forget_secret(self, name: str) -> bool:
        """Removes this stack's secret called `name` if there is one; the engine refuses while a service uses it."""
        try:
            known = self.client.api.secrets(self.filters())
        except APIError:
            return False  # in no swarm there are none
        for found in known:
            if found["Spec"]["Name"] == name:
                self.client.api.remove_secret(found["ID"])
                return True
        return False


def _belongs(labels: Mapping[str, str], stack: str, services: set[str]) -> bool:
    return labels.get(LABEL) == stack or labels.get("com.docker.swarm.service.id") in services


def _named(found: list[dict[str, Any]], name: str) -> str | None:
    return next((one["ID"] for one in found if one["Spec"]["Name"] == name), None)


@contextlib.contextmanager
def connect(stack: str) -> Iterator[Engine | None]:
    """The local engine, or None when it does not answer."""
    try:
        client: Any = docker.DockerClient.from_env(timeout=SECONDS)
        client.ping()
    except DockerException:
        yield None
        return
    try:
        yield Engine(client, stack)
    finally:
        client.close()
