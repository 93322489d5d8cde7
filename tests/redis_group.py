"""The containers of a Redis with HA, and what can happen to them."""

import contextlib
import os
import re
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import docker

from tests.packet_filter import ALL_BUT_LOOPBACK, Rule, dropped

ADMIN = "/opt/dynoform/valkey-admin"
READY_SECONDS = 90.0


@dataclass(frozen=True)
class Member:
    """A running member: its number, its container, what it takes itself for, and how many replicas keep up."""

    number: int
    container: Any
    role: str
    replicas: int

    @property
    def pid(self) -> int:
        """The process of the server, without the Sentinel beside it."""
        rows = self.container.top(ps_args="-eo pid,args")["Processes"]
        # Whom it has just forked for a snapshot is called the same for a moment.
        return min(int(row[0]) for row in rows if re.match(r"valkey-server \S+:6379$", row[1].strip()))

    @property
    def ports(self) -> list[list[str]]:
        """Where all members are reached: address, port, Sentinel's port."""
        environment = dict(each.split("=", 1) for each in self.container.attrs["Config"]["Env"])
        return [each.split(":") for each in environment["VALKEY_MEMBERS"].split()]


@dataclass(frozen=True)
class Group:
    """The members of an add-on on an engine."""

    engine: Any
    service: str
    """The name of the service that leads clients to the primary."""

    def members(self) -> list[Member]:
        """Those that run and answer."""
        found = []
        for each in self.engine.containers.list(filters={"status": "running"}, ignore_removed=True):
            name = str(each.labels.get("com.docker.swarm.service.name", ""))
            if name.startswith(f"{self.service}-"):
                try:
                    code, output = each.exec_run(["timeout", "2", ADMIN, "INFO", "replication"], user="valkey")
                except docker.errors.APIError:
                    continue  # it has ended, or only begins
                said = dict(line.split(":", 1) for line in output.decode().split() if ":" in line)
                if code == 0 and "role" in said:
                    good = int(said.get("min_slaves_good_slaves", "0"))
                    found.append(Member(int(name.rpartition("-")[2]), each, said["role"], good))
        return sorted(found, key=lambda each: each.number)

    def primary(self) -> Member:
        """The one that takes writes."""
        ends = time.monotonic() + READY_SECONDS
        while time.monotonic() < ends:
            found = [each for each in self.members() if each.role == "master" and each.replicas]
            if len(found) == 1:
                return found[0]
        raise AssertionError(f"no member takes writes for {READY_SECONDS:g} s: {self.members()}")

    def wait(self) -> Member:
        """Until there is a primary whose replicas all keep up, and nobody else is one; that one."""
        ends = time.monotonic() + READY_SECONDS
        while time.monotonic() < ends:
            found = self.members()
            primaries = [each for each in found if each.role == "master"]
            if len(found) == 3 and len(primaries) == 1 and primaries[0].replicas == 2:
                return primaries[0]
            time.sleep(0.3)
        raise AssertionError(f"the group is not whole after {READY_SECONDS:g} s: {found}")

    @contextlib.contextmanager
    def killed(self, member: Member) -> Iterator[None]:
        """A member that is killed, and back after the block: Swarm may have it back before anybody misses it."""
        service = self.engine.services.get(f"{self.service}-{member.number}")
        member.container.kill()
        service.scale(0)
        filters = {"label": f"com.docker.swarm.service.name={service.name}"}
        while found := self.engine.containers.list(filters=filters, ignore_removed=True):
            with contextlib.suppress(docker.errors.APIError):  # it ends by itself
                found[0].kill()
        try:
            yield
        finally:
            service.reload()
            service.scale(1)

    @contextlib.contextmanager
    def stopped(self, member: Member) -> Iterator[None]:
        """The server does nothing for the length of the block; the Sentinel beside it does."""
        pid = member.pid
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    @contextlib.contextmanager
    def cut_off(self, member: Member, *, from_clients: bool) -> Iterator[None]:
        """Nothing passes between a member and the others for the length of the block, nor clients ``from_clients``."""
        rules: list[tuple[Any, Rule]] = []
        if from_clients:
            rules = [(member.container, rule) for rule in ALL_BUT_LOOPBACK]
        else:
            own = member.ports[member.number - 1]
            for each in self.members():
                theirs = member.ports[each.number - 1]
                if each.number != member.number:
                    rules += [(member.container, rule) for rule in _between(theirs)]
                    rules += [(each.container, rule) for rule in _between(own)]
        with dropped(rules):
            yield


def _between(place: list[str]) -> list[list[str]]:
    """What goes to a member's published ports, and what comes from there."""
    address, ports = place[0], ",".join(place[1:])
    tcp = ["--protocol", "tcp", "--match", "multiport"]
    return [
        ["OUTPUT", "--destination", address, *tcp, "--dports", ports],
        ["INPUT", "--source", address, *tcp, "--sports", ports],
    ]
