"""The servers of a database with a standby, as its operator sees them, and what happens to them."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import docker

HA = "/opt/dynoform/ha"
SERVICE = "com.docker.swarm.service.name"


@dataclass(frozen=True)
class Servers:
    """Of one add-on. ``engine`` is the host's, ``service`` what the database is called there."""

    engine: docker.DockerClient
    service: str

    def container(self, noun: object = "") -> Any:
        """The running container of a part: a number for a server, ``etcd-1`` and so on; None while there is none."""
        name = f"{self.service}-{noun}" if noun else self.service
        found = self.engine.containers.list(filters={"label": f"{SERVICE}={name}"}, ignore_removed=True)
        return found[0] if found else None

    def ask(self, number: int, command: str) -> str | None:
        """What ``ha`` says beside a server; None where that fails."""
        try:
            if (found := self.container(number)) is None or found.status != "running":
                return None
            code, said = found.exec_run([HA, command], user="postgres")
        except docker.errors.APIError:
            return None
        return str(said.decode()) if code == 0 else None

    def primary(self) -> int:
        """The number of the one that takes writes; 0 while there is none."""
        return next((number for number in (1, 2) if self.ask(number, "primary") is not None), 0)

    def members(self) -> list[dict[str, Any]]:
        """What Patroni says of all."""
        said = next((said for number in (1, 2) if (said := self.ask(number, "state"))), '{"members": []}')
        return list(json.loads(said)["members"])

    def is_ready(self) -> bool:
        """Whether the standby has all that is acknowledged."""
        roles = {each["role"]: each["state"] for each in self.members()}
        return roles.get("sync_standby") == "streaming" and "leader" in roles

    def wait(self, check: Callable[[], object], seconds: float, what: str) -> None:
        """Until something is so."""
        ends = time.monotonic() + seconds
        while not check():
            assert time.monotonic() < ends, f"{what}: not within {seconds:g} s: {self.members()}"
            time.sleep(0.2)

    def wait_ready(self, seconds: float = 90) -> None:
        """Until the standby could take over."""
        self.wait(self.is_ready, seconds, "the standby has all that is acknowledged")

    @contextmanager
    def killed(self, *nouns: object) -> Iterator[None]:
        """Parts that are killed, as with their hosts, and are back after the block."""
        services = [self.engine.services.get(f"{self.service}-{noun}") for noun in nouns]
        for noun in nouns:
            self.container(noun).kill()
        for each in services:
            each.scale(0)
        try:
            yield
        finally:
            for each in services:
                each.reload()
                each.scale(1)

    @contextmanager
    def paused(self, number: int) -> Iterator[None]:
        """A server whose processes stand still, and go on after the block as if nothing had been."""
        found = self.container(number)
        found.pause()
        try:
            yield
        finally:
            found.unpause()

    @contextmanager
    def cut_off(self, number: int) -> Iterator[None]:
        """A server that nobody hears, while it works on."""
        (network,) = self.container(number).attrs["NetworkSettings"]["Networks"].values()
        rule = ["PREROUTING", "--source", network["IPAddress"], "--jump", "DROP"]
        subprocess.run(["iptables", "--table", "mangle", "--insert", *rule], check=True, timeout=30)
        try:
            yield
        finally:
            subprocess.run(["iptables", "--table", "mangle", "--delete", *rule], check=True, timeout=30)
