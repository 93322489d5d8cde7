"""Swarm through the engine's API: three lists per pass, however many dynos, and calls that change one thing."""

import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import docker
import requests
import urllib3
from docker.errors import APIError, DockerException, NotFound

from dynoform.domain import swarm_nodes
from dynoform.domain.dyno_container import APP_LABEL, DYNO_ID_LABEL, STACK_LABEL, config_file
from dynoform.domain.dyno_ends import moment
from dynoform.domain.dyno_snapshot import Service, Task
from dynoform.domain.placement import Host
from dynoform.errors import ConflictError, UnavailableError
from dynoform.reconcile import specification
from dynoform.reconcile.specification import DynoService

SECONDS = 20
_CONFLICT = 409
_SERVER_ERROR = 500


@dataclass(frozen=True)
class Actual:
    """What Swarm has of this stack, and the host ports that services of any stack publish."""

    services: tuple[Service, ...]
    ports: frozenset[int]
    hosts: tuple[Host, ...] = ()
    """Those that dynos are placed on, by id."""


class Swarm:
    """Services and secrets of one stack's dynos."""

    def __init__(self, stack: str, seconds: float = SECONDS, engine: str | None = None) -> None:
        """Connect to ``engine`` (an address; None is the local one), which has to be a Swarm manager.

        ``seconds`` is how long a call may take.
        """
        self.stack = stack
        self._given: set[int] = set()
        with _explained("connect"):
            self.client = docker.APIClient(engine, timeout=seconds, version="auto")

    def actual(self) -> Actual:
        """All dyno services with their tasks. Raises ``UnavailableError``."""
        with _explained("list services"):
            services = self.client.services()
            nodes = self.client.nodes()
            addresses = self._addresses(nodes)
            tasks = self._tasks(addresses)
        self._given.clear()
        ours = [service for service in services if self._is_ours(service["Spec"].get("Labels"))]
        found = tuple(_service(service, tasks[service["ID"]]) for service in ours)
        hosts = [swarm_nodes.host(node, self.stack) for node in nodes if node["ID"] in addresses]
        return Actual(found, frozenset(_ports(services)), tuple(sorted(hosts, key=lambda host: host.id)))

    def create(self, dyno: DynoService, config: Mapping[str, str], taken: frozenset[int], attempt: str) -> str:
        """Create the dyno's service and return its id; ``attempt`` makes another port likely after a conflict.

        Raises ``UnavailableError`` when the engine does not answer, ``ConflictError`` when it refuses this service.
        """
        port = self._free_port(dyno, taken, attempt) if dyno.type == specification.WEB else None
        with _explained(f"create service {dyno.name}"):
            secret_id = self._ensure_secret(dyno, config)
            arguments = specification.service(dyno, secret_id, port)
            try:
                return str(self.client.create_service(**arguments)["ID"])
            except APIError as error:
                if error.status_code != _CONFLICT:
                    raise
            found = self.client.inspect_service(dyno.name)
            if (found["Spec"].get("Labels") or {}).get(DYNO_ID_LABEL) != str(dyno.dyno_id):
                # Somebody took the label off, without which no look would find it.
                self.client.remove_service(found["ID"])
                return str(self.client.create_service(**arguments)["ID"])
            # A predecessor of this process was killed after creating it: the same name is the same dyno.
            return str(found["ID"])

    def remove(self, service_id: str) -> None:
        """Remove a service: its processes get SIGTERM, and SIGKILL after the stop grace. One that is gone is fine."""
        with _explained(f"remove service {service_id}"):
            try:
                self.client.remove_service(service_id)
            except NotFound:
                return

    def tidy_secrets(self, kept: Iterable[uuid.UUID]) -> list[str]:
        """Remove the config secrets of all releases but ``kept``; returns their names. Those in use stay."""
        keep = {str(release) for release in kept}
        removed = []
        with _explained("list secrets"):
            secrets = self.client.secrets(filters={"label": [f"{STACK_LABEL}={self.stack}", _RELEASE_ID]})
        for secret in secrets:
            if secret["Spec"]["Labels"][_RELEASE_ID] not in keep and self._remove_secret(secret["ID"]):
                removed.append(str(secret["Spec"]["Name"]))
        return removed

    def events(self) -> Iterator[Mapping[str, Any]]:
        """Ends of containers on this engine, changes of services and nodes.

        Returns or raises ``UnavailableError`` when cut.
        """
        filters = {"type": ["container", "service", "node"], "event": ["die", "start", "create", "update", "remove"]}
        with _explained("read events"):
            yield from self.client.events(decode=True, filters=filters)

    def close(self) -> None:
        """Close idle connections."""
        self.client.close()

    def _free_port(self, dyno: DynoService, taken: frozenset[int], attempt: str) -> int:
        """A port that no service has, those made since the last look included."""
        port = specification.free_port(taken | self._given, f"{dyno.dyno_id} {attempt}")
        self._given.add(port)
        return port

    def _is_ours(self, labels: Mapping[str, str] | None) -> bool:
        return labels is not None and labels.get(STACK_LABEL) == self.stack and DYNO_ID_LABEL in labels

    def _addresses(self, nodes: Iterable[Mapping[str, Any]]) -> dict[str, str]:
        found = ((node["ID"], swarm_nodes.address(node, self.stack)) for node in nodes)
        return {node: address for node, address in found if address is not None}

    def _tasks(self, addresses: Mapping[str, str]) -> dict[str, list[Task]]:
        found: dict[str, list[tuple[str, Task]]] = defaultdict(list)
        for task in self.client.tasks(filters={"label": [f"{STACK_LABEL}={self.stack}"]}):
            found[task["ServiceID"]].append((task["CreatedAt"], _task(task, addresses)))
        return defaultdict(list, {key: [task for _, task in sorted(tasks, key=_first)] for key, tasks in found.items()})

    def _ensure_secret(self, dyno: DynoService, config: Mapping[str, str]) -> str:
        labels = {
            STACK_LABEL: self.stack,
            APP_LABEL: str(dyno.app_id),
            _RELEASE_ID: str(dyno.release_id),
        }
        for secret in self.client.secrets(filters={"name": dyno.secret_name}):
            if secret["Spec"]["Name"] == dyno.secret_name:
                return str(secret["ID"])
        return str(self.client.create_secret(dyno.secret_name, config_file(config), labels=labels)["ID"])

    def _remove_secret(self, secret_id: str) -> bool:
        try:
            self.client.remove_secret(secret_id)
        except (DockerException, requests.RequestException):
            return False  # still in use by a dyno that stops; the next look finds it again
        return True


_RELEASE_ID = "dynoform.release-id"


def _first(pair: tuple[str, Task]) -> str:
    return pair[0]


def _service(service: Mapping[str, Any], tasks: Iterable[Task]) -> Service:
    labels = service["Spec"]["Labels"]
    try:
        dyno_id: uuid.UUID | None = uuid.UUID(labels[DYNO_ID_LABEL])
    except ValueError:
        dyno_id = None
    altered, host = specification.altered(service), specification.host_of(service)
    return Service(service["ID"], service["Spec"]["Name"], dyno_id, tuple(tasks), altered, host)


def _task(task: Mapping[str, Any], addresses: Mapping[str, str]) -> Task:
    status = task["Status"]
    ports = (status.get("PortStatus") or {}).get("Ports") or [{}]
    port = ports[0].get("PublishedPort")
    exit_code = (status.get("ContainerStatus") or {}).get("ExitCode")
    return Task(
        task["ID"],
        status["State"],
        moment(status["Timestamp"]),
        addresses.get(task.get("NodeID", "")) if port else None,
        port,
        str(status.get("Err") or (f"exit code {exit_code}" if exit_code else "")),
        task.get("NodeID", ""),
    )


def _ports(services: Iterable[Mapping[str, Any]]) -> Iterator[int]:
    for service in services:
        for port in (service.get("Endpoint") or {}).get("Ports") or ():
            if port.get("PublishedPort"):
                yield int(port["PublishedPort"])
        for port in (service["Spec"].get("EndpointSpec") or {}).get("Ports") or ():
            if port.get("PublishedPort"):
                yield int(port["PublishedPort"])


@contextmanager
def _explained(doing: str) -> Iterator[None]:
    """Turn whatever the engine's client raises into one error that says what was tried.

    ``ConflictError`` when the engine refuses this one thing, ``UnavailableError`` when it does not work at all.
    """
    try:
        yield
    except APIError as error:
        why = str(error.explanation or error)[:300]
        if (error.status_code or _SERVER_ERROR) < _SERVER_ERROR:
            raise ConflictError(f"Swarm: {doing}", why, "see the engine's log") from error
        raise UnavailableError(f"Swarm: {doing}", why, "tried again in a moment") from error
    except (DockerException, requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        raise UnavailableError(f"Swarm: {doing}", str(error)[:300], "tried again in a moment") from error
