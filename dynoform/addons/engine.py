"""The host's engine, as far as databases need it: programs inside their containers, and what a killed change left."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import docker
import requests
from docker.errors import APIError, DockerException, NotFound
from docker.utils.socket import frames_iter

from dynoform.domain import swarm_nodes
from dynoform.domain.data_hosts import DataHost
from dynoform.domain.data_services import PORT_LABEL
from dynoform.domain.dyno_container import SERVICE_LABEL, is_task
from dynoform.errors import UnavailableError

ADDON_LABEL = "dynoform.addon"
"""On all that an add-on has on the engine: its id."""
REPOSITORY = "-repository"
"""How the services are called that have the repositories of databases with members on other hosts."""
_AT = "/opt/dynoform/at"
"""There, what runs a program beside a server of that database that is on another host."""
POOL = "-pool"
"""How the services of connection pools are called, after their databases'."""
ADDRESS = "-address"
"""How the services are called that lead clients to databases on all hosts but the platform's, after those databases."""
PARTS_LABEL = "dynoform.addon.parts"
"""On services of an add-on that has several: how many."""
STACK_LABEL = "dynoform.stack"
SECONDS = 60
_STDOUT = 1
_READY_SECONDS = 60.0
_LOOK_SECONDS = 0.2
_WORKS = ("running", "paused", "restarting")
_KILLED = (130, 137, 143, 255)
"""How a job ends that is interrupted, killed or told to stop, or whose end the engine was not there to see."""
_UNTOLD = 75
"""How a job ends that waited for what it is told, and did not get it."""
_LINES, _TELLING = 60, 3
"""Of what a job says: those that are kept, and those that say why it failed."""


@dataclass(frozen=True)
class Job:
    """A program in a container of its own.

    Parameters:
        addon: whose it is.
        stdin: what it is told; in no list of processes and no log.
        volumes: name, path in the container, ``rw`` or ``ro``.
    """

    name: str
    addon: str
    image: str
    argv: Sequence[str]
    stdin: str
    volumes: Sequence[tuple[str, str, str]]
    memory_mib: int
    environment: Mapping[str, str] = field(default_factory=dict)
    beside: str = ""
    """The service whose network it has, as if it were in its container; none of any otherwise."""


@dataclass(frozen=True)
class JobState:
    """Whether a job is at work, why it failed if it is not (empty when it did not), and the last lines that it said."""

    works: bool
    failure: str
    said: str = ""
    killed: bool = False
    """Whether it did not end by itself: the host went down, the engine, or its memory was too small."""


class Engine:
    """Add-ons of one stack on this host. Calls raise ``UnavailableError`` when it does not do as told."""

    def __init__(self, stack: str) -> None:
        """Connects by ``DOCKER_HOST`` or the usual socket."""
        self._stack = stack
        with _explained("connect"):
            self._client = docker.from_env(timeout=SECONDS).api

    def run(self, service: str, argv: Sequence[str], stdin: str, user: str) -> str:
        """What a program prints in the container of a service; ``stdin`` is in no list of processes and no log.

        Raises ``UnavailableError`` with what it complained about.
        """
        container, words = self._reached(service, argv)
        with _explained(f"{argv[0]} in {service}"):
            identifier = self._client.exec_create(container, words, stdin=True, user=user)["Id"]
            connection: Any = self._client.exec_start(identifier, socket=True)
            stream = getattr(connection, "_sock", connection)
            try:
                stream.settimeout(SECONDS)
                stream.sendall(stdin.encode())
                stream.shutdown(1)
                parts = list(frames_iter(connection, tty=False))
            finally:
                # Before the socket: what holds the answer would try to flush it afterwards, and say so on the journal.
                connection._response.close()
                connection.close()
            code = self._client.exec_inspect(identifier)["ExitCode"]
        said = {kind: b"".join(data for each, data in parts if each == kind).decode() for kind in (_STDOUT, 2)}
        if code:
            why = " ".join((said[2] or said[_STDOUT]).split())[:300]
            raise UnavailableError(f"{argv[0]} in {service}", why or f"exit code {code}", "it is tried again")
        return said[_STDOUT]

    def network_id(self, name: str) -> str:
        """The id of a network; a service that names it otherwise would differ from what it was made of."""
        with _explained(f"find network {name}"):
            return str(self._client.inspect_network(name)["Id"])

    def published_ports(self) -> set[int]:
        """Ports of the host that services have, of any stack: Swarm gives each away once, whatever the address."""
        with _explained("list services"):
            specs = [service["Spec"] for service in self._client.services()]
        endpoints = [spec.get("EndpointSpec") or {} for spec in specs]
        published = {int(port.get("PublishedPort") or 0) for each in endpoints for port in each.get("Ports") or ()}
        return published | {int(spec["Labels"].get(PORT_LABEL) or 0) for spec in specs}

    def data_hosts(self) -> list[DataHost]:
        """The swarm's hosts, as far as databases may be on them."""
        with _explained("list hosts"):
            nodes = self._client.nodes()
        return [swarm_nodes.data_host(node, self._stack) for node in nodes]

    def image(self, service: str) -> str:
        """The image of a service, as it was told; empty where there is no such service."""
        with _explained(f"find {service}"):
            found = [each["Spec"] for each in self._client.services(filters={"name": service})]
        mine = [spec["TaskTemplate"]["ContainerSpec"]["Image"] for spec in found if spec["Name"] == service]
        return str(mine[0]) if mine else ""

    def addons(self) -> set[str]:
        """The ids of the add-ons of this stack that have a service, or all of several, besides a connection pool's."""
        with _explained("list services"):
            services = self._client.services(filters={"label": [f"{STACK_LABEL}={self._stack}", ADDON_LABEL]})
        specs = [service["Spec"] for service in services]
        labels = [spec["Labels"] for spec in specs if not spec["Name"].endswith((POOL, f"{POOL}{ADDRESS}"))]
        parts = {str(each[ADDON_LABEL]): int(each.get(PARTS_LABEL) or 1) for each in labels}
        found = Counter(str(each[ADDON_LABEL]) for each in labels)
        return {each for each, count in parts.items() if found[each] >= count}

    def wait(self, service: str, argv: Sequence[str], user: str) -> None:
        """Until a program succeeds in the container of a service. Raises ``UnavailableError`` after a minute."""
        until = time.monotonic() + _READY_SECONDS
        while True:
            try:
                self.run(service, argv, "", user)
                return
            except UnavailableError:
                if time.monotonic() > until:
                    raise
                time.sleep(_LOOK_SECONDS)

    def leads(self, service: str) -> bool:
        """Whether a service runs on all hosts that are ready, but the platform's; it is waited for, a minute."""
        until = time.monotonic() + _READY_SECONDS
        while not self._leads(service):
            if time.monotonic() > until:
                return False
            time.sleep(_LOOK_SECONDS)
        return True

    def _leads(self, service: str) -> bool:
        with _explained(f"look where {service} runs"):
            nodes = self._client.nodes()
            tasks = self._client.tasks(filters={"service": service, "desired-state": "running"})
        runs = {task.get("NodeID") for task in tasks if task["Status"]["State"] == "running"}
        hosts = {node["ID"]: swarm_nodes.data_host(node, self._stack) for node in nodes}
        return runs >= {name for name, host in hosts.items() if host.ready and not host.platform}

    def kill(self, service: str) -> None:
        """End the container of a service at once, as a crash does; Swarm starts another."""
        container = self._container(service)
        with _explained(f"kill {service}"), suppress(NotFound):
            self._client.kill(container, "SIGKILL")

    def start(self, service: str, argv: Sequence[str], user: str) -> None:
        """Start a program in the container of a service, and leave it to itself."""
        container, words = self._reached(service, argv)
        with _explained(f"{argv[0]} in {service}"):
            self._client.exec_start(self._client.exec_create(container, words, user=user)["Id"], detach=True)

    def job(self, name: str) -> JobState | None:
        """How a job stands; None when there is none, or when it was never told what to do."""
        with _explained(f"look at {name}"):
            try:
                found = self._client.inspect_container(name)["State"]
                said = self._client.logs(name, tail=_LINES).decode(errors="replace")
                if found["Status"] in _WORKS:
                    return JobState(True, "", said)
                if found["Status"] == "created" or found["ExitCode"] == _UNTOLD:
                    self._client.remove_container(name, v=True, force=True)
                    return None
            except NotFound:
                return None
        why, code = " ".join(" ".join(said.splitlines()[-_TELLING:]).split())[:500], found["ExitCode"]
        killed = code in _KILLED or bool(found.get("OOMKilled"))
        return JobState(False, (why or f"exit code {code}") if code else "", said, killed)

    def begin(self, job: Job) -> None:
        """Run a job in a container of its own, which ends with it."""
        network = f"container:{self._container(job.beside)}" if job.beside else "none"
        api, uses = self._client, {source: {"bind": path, "mode": mode} for source, path, mode in job.volumes}
        with _explained(f"begin {job.name}"):
            host = api.create_host_config(
                binds=uses,
                network_mode=network,
                read_only=True,
                cap_drop=["ALL"],
                security_opt=["no-new-privileges"],
                mem_limit=job.memory_mib * 2**20,
                tmpfs={"/tmp": "mode=1777,size=64m", "/run/postgresql": "mode=1777,size=1m"},  # noqa: S108 - its own
                log_config={"Type": "json-file", "Config": {"max-size": "1m", "max-file": "1"}},
            )
            made = api.create_container(
                job.image,
                entrypoint=list(job.argv),
                name=job.name,
                labels={STACK_LABEL: self._stack, ADDON_LABEL: job.addon},
                environment=dict(job.environment),
                stdin_open=True,
                host_config=host,
            )["Id"]
            connection: Any = api.attach_socket(made, params={"stdin": 1, "stream": 1})
            try:
                api.start(made)
                stream = getattr(connection, "_sock", connection)
                stream.settimeout(SECONDS)
                stream.sendall(job.stdin.encode())
            finally:
                connection._response.close()
                connection.close()

    def make_volume(self, name: str, addon: str) -> None:
        """Have a volume of an add-on before the add-on's own stack has it: with the same labels, it is the same one."""
        with _explained(f"make volume {name}"):
            self._client.create_volume(name, labels={STACK_LABEL: self._stack, ADDON_LABEL: addon})

    def remove_volumes(self, addon: str) -> None:
        """Take away the volumes of an add-on that is destroyed, as far as they are not gone with its stack."""
        mine = {"label": [f"{STACK_LABEL}={self._stack}", f"{ADDON_LABEL}={addon}"]}
        with _explained(f"remove volumes of add-on {addon}"):
            for found in self._client.volumes(filters=mine)["Volumes"] or ():
                with suppress(NotFound):
                    self._client.remove_volume(found["Name"])

    def end(self, name: str) -> None:
        """Take a job away; one that is not there is gone already."""
        with _explained(f"end {name}"), suppress(NotFound):
            self._client.remove_container(name, v=True, force=True)

    def job_names(self) -> list[str]:
        """How the jobs of this stack are called, at work or not, and what else it has in containers."""
        with _explained("list jobs"):
            found = self._client.containers(all=True, filters={"label": f"{STACK_LABEL}={self._stack}"})
        return [name.removeprefix("/") for each in found for name in each["Names"]]

    def remove_unknown(self, addon: str, known: set[str]) -> None:
        """Take away services and secrets of an add-on whose ids are not ``known``; data are in volumes, which stay."""
        mine = {"label": [f"{STACK_LABEL}={self._stack}", f"{ADDON_LABEL}={addon}"]}
        with _explained(f"clear up after add-on {addon}"):
            for found in self._client.services(filters=mine):
                if found["ID"] not in known:
                    with suppress(NotFound):
                        self._client.remove_service(found["ID"])
            for found in self._client.secrets(filters=mine):
                if found["ID"] not in known:
                    # One in use goes with the next change: a service that has it is known.
                    with suppress(NotFound, APIError):
                        self._client.remove_secret(found["ID"])

    def _reached(self, service: str, argv: Sequence[str]) -> tuple[str, list[str]]:
        """In which container a program is run, and its words: beside the repository for a server on another host."""
        if found := self._running(service):
            return found, list(argv)
        database, _, number = service.rpartition("-")
        if (beside := self._running(f"{database}{REPOSITORY}")) is None:
            raise _absent(service)
        return beside, [_AT, number, *argv]

    def _container(self, service: str) -> str:
        if (found := self._running(service)) is None:
            raise _absent(service)
        return found

    def _running(self, service: str) -> str | None:
        with _explained(f"find {service}"):
            listed = self._client.containers(filters={"label": f"{SERVICE_LABEL}={service}", "status": "running"})
        found = [each for each in listed if is_task(each["Names"], service)]
        return str(max(found, key=lambda each: each["Created"])["Id"]) if found else None


def _absent(service: str) -> UnavailableError:
    return UnavailableError(service, "has no running container on this host", "it is tried again")


@contextmanager
def _explained(action: str) -> Iterator[None]:
    try:
        yield
    except (DockerException, requests.RequestException, OSError) as error:
        raise UnavailableError(f"engine: {action}", str(error) or type(error).__name__, "it is tried again") from error
