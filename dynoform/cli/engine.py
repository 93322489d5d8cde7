"""The Docker engine, asked about a stack's objects. It may be away: every answer has a form for that."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import docker
from docker.errors import APIError, DockerException

from dynoform.cli.stack import Stack
from dynoform.domain import host_settings
from providers.ssh_tunnel import Tunnel, TunnelError

SECONDS = 20
LABEL = "dynoform.stack"
DYNO = "dynoform.dyno"
ADDON = "dynoform.addon"
"""Labels of what is a dyno's or an add-on's, and not the platform's."""


def is_of_apps(service: Mapping[str, Any]) -> bool:
    """Whether a service, as the engine describes it, is a dyno or an add-on of apps."""
    labels = service["Spec"].get("Labels") or {}
    return DYNO in labels or ADDON in labels


class Engine:
    """A stack's engine, and only what carries the stack's label or bears its name."""

    def __init__(self, client: docker.DockerClient, stack: str, *, remote: bool = False) -> None:
        """`client` is connected; use `connect`. A `remote` engine is another machine's."""
        self.client: Any = client
        self.remote = remote
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
def connect(stack: Stack) -> Iterator[Engine | None]:
    """The engine that has the stack's declarations, or None when it does not answer: by SSH if the stack has hosts."""
    host = stack.platform_host()
    if host is None:
        with local(stack.name) as engine:
            yield engine
        return
    if not host["address"]:
        yield None
        return
    tunnel = Tunnel(host_settings.ssh_address(host), host_settings.ssh_options(host))
    try:
        with _reached(stack.name, tunnel.socket, remote=True) as engine:
            yield engine
    finally:
        tunnel.close()


@contextlib.contextmanager
def local(stack: str) -> Iterator[Engine | None]:
    """This machine's engine, or None when it does not answer."""
    with _reached(stack, lambda: None, remote=False) as engine:
        yield engine


@contextlib.contextmanager
def _reached(stack: str, address: Callable[[], str | None], *, remote: bool) -> Iterator[Engine | None]:
    try:
        where = address()
        client: Any = docker.DockerClient(where, timeout=SECONDS) if where else docker.from_env(timeout=SECONDS)
        client.ping()
    except (DockerException, TunnelError):
        yield None
        return
    try:
        yield Engine(client, stack, remote=remote)
    finally:
        client.close()
