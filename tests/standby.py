"""The servers of a database with a standby, as its operator sees them, and what happens to them."""

import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Self

import docker

from tests.packet_filter import ALL_BUT_LOOPBACK, dropped

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
        # Swarm may have been quicker with another container, which would go on, or hand over before it ends.
        for noun in nouns:
            self._kill_again(noun)
        try:
            yield
        finally:
            for each in services:
                each.reload()
                each.scale(1)

    def _kill_again(self, noun: object) -> None:
        """Until there is no container of a part that is to have none."""
        while (found := self.container(noun)) is not None:
            with suppress(docker.errors.APIError):  # it ends by itself
                found.kill()

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
    def dazed(self, number: int) -> Iterator[None]:
        """A server whose Patroni stands still for the length of the block, while its PostgreSQL works on."""
        rows = self.container(number).top(ps_args="-eo pid,args")["Processes"]
        # What it has just forked is called the same until it is another program.
        pid = min(int(row[0]) for row in rows if _PATRONI.match(row[1]))
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    @contextmanager
    def cut_off(self, number: int) -> Iterator[None]:
        """A server that nobody hears, and that hears nobody, while it works on."""
        with dropped([(self.container(number), rule) for rule in ALL_BUT_LOOPBACK]):
            yield

    @contextmanager
    def cut_off_from_the_others(self, number: int) -> Iterator[None]:
        """A server that hears nothing of the other one and of etcd, nor they of it. Clients get to it all the same."""
        own, others = self.container(number), [self.container(noun) for noun in (3 - number, *VOTERS)]
        theirs = [address for each in others for address in _addresses(each)]
        rules = [(own, rule) for address in theirs for rule in _between(address)]
        rules += [(each, rule) for each in others for address in _addresses(own) for rule in _between(address)]
        with dropped(rules):
            yield

    def inside(self, number: int, database: str) -> "Inside":
        """A client beside a server."""
        return Inside(self.container(number), database)


@dataclass(frozen=True)
class Inside:
    """A client beside a server, whom nothing cuts off from it: writes numbers as long as that takes them.

    ``database`` is the name of the one it writes to. What the server says with a warning it has not acknowledged.
    """

    container: Any
    database: str

    def __enter__(self) -> Self:
        made = "DROP TABLE IF EXISTS inside; CREATE TABLE inside (number int); GRANT SELECT ON inside TO PUBLIC"
        code, said = self.container.exec_run([*_PSQL, self.database, "-c", made], user="postgres")
        assert code == 0, said.decode()
        self.container.exec_run(["bash", "-c", "rm -f /tmp/enough; : >/tmp/inside"], user="postgres")
        words = ["bash", "-c", _INSIDE, "inside", *_PSQL, self.database]
        self.container.exec_run(words, user="postgres", detach=True)
        return self

    def __exit__(self, *exception: object) -> None:
        with suppress(docker.errors.APIError):
            self.container.exec_run(["touch", "/tmp/enough"], user="postgres")  # noqa: S108 - the container's own

    def acknowledged(self) -> list[tuple[int, float]]:
        """Numbers, and when the answers came, by the clock."""
        code, said = self.container.exec_run(["cat", "/tmp/inside"], user="postgres")  # noqa: S108 - as above
        assert code == 0, said.decode()
        rows = [line.split() for line in said.decode().splitlines()]
        return [(int(number), float(at)) for number, at in rows]


VOTERS = ("etcd-1", "etcd-2", "etcd-3")
_PSQL = ("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d")
_INSIDE = """
for ((number = 1; ; number++)); do
  [[ ! -e /tmp/enough ]] || break
  said=$("$@" -c "INSERT INTO inside VALUES ($number)" 2>&1) && [[ -z $said ]] && echo "$number $(date +%s.%N)"
  sleep 0.02
done >/tmp/inside
"""
_PATRONI = re.compile(r"\S*python3? \S*/patroni ")
_ADDRESSES = ("MEMBER_POSTGRES", "MEMBER_REST", "ETCD_ADVERTISE_CLIENT_URLS", "ETCD_INITIAL_ADVERTISE_PEER_URLS")


def _addresses(container: Any) -> list[tuple[str, str]]:
    """Address and port of all that others reach of a part."""
    environment = dict(each.split("=", 1) for each in container.attrs["Config"]["Env"])
    found = [environment[name].removeprefix("https://") for name in _ADDRESSES if name in environment]
    return [(each.partition(":")[0], each.partition(":")[2]) for each in found]


def _between(address: tuple[str, str]) -> list[list[str]]:
    """What goes there, and what comes from there."""
    host, port = address
    return [
        ["OUTPUT", "--destination", host, "--protocol", "tcp", "--dport", port],
        ["INPUT", "--source", host, "--protocol", "tcp", "--sport", port],
    ]
