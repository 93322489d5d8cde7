"""What a load balancer lacks. Pure: no call to AWS."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import InputError


@dataclass
class Target:
    """A target group as it is: what listens at ``port`` sends to ``target_port`` of these instances."""

    arn: str
    target_port: int
    instances: set[str] = field(default_factory=set)
    listener_arn: str = ""


@dataclass
class State:
    """A load balancer as it is; ``targets`` by the port that it listens at."""

    arn: str
    subnets: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    cross_zone: bool = False
    targets: dict[int, Target] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """One change: ``what`` of which port or instance, and whether it is made or removed."""

    what: str
    port: int = 0
    instances: tuple[str, ...] = ()
    absent: bool = False

    def __str__(self) -> str:
        """As status messages and the drift have it."""
        words = f"{self.what} {self.port or ''}".strip() + (f": {', '.join(self.instances)}" if self.instances else "")
        return f"{words} is too much" if self.absent else f"{words} is missing or another"


def ports(inputs: Mapping[str, Any]) -> dict[int, int]:
    """Port that it listens at → port of the hosts."""
    return {int(port): target for port, target in inputs["ports"].items()}


def steps(state: State, inputs: Mapping[str, Any]) -> Iterator[Step]:
    """What has to be done still, in order."""
    wanted = ports(inputs)
    if state.subnets != frozenset(inputs["subnetIds"]):
        yield Step("subnets")
    if state.groups != frozenset(inputs["groupIds"]):
        yield Step("security groups")
    if not state.cross_zone:
        yield Step("balancing over zones")
    for port, target in state.targets.items():
        # A target group's port cannot be changed: it goes, and another comes.
        if wanted.get(port) != target.target_port:
            yield Step("listener", port, absent=True)
    for port in wanted:
        found = state.targets.get(port)
        if found is None:
            yield Step("target group", port)
            found = Target("", 0)
        yield from _instance_steps(port, found.instances, set(inputs["instanceIds"]))
        if not found.listener_arn:
            yield Step("listener", port)


def _instance_steps(port: int, actual: set[str], wanted: set[str]) -> Iterator[Step]:
    if missing := wanted - actual:
        yield Step("targets of port", port, tuple(sorted(missing)))
    if extra := actual - wanted:
        yield Step("targets of port", port, tuple(sorted(extra)), absent=True)


def check(inputs: Mapping[str, Any]) -> None:
    """Raises ``InputError`` for ports that are none."""
    for port, target in inputs["ports"].items():
        if not port.isdecimal() or not 0 < int(port) < 65536 or type(target) is not int or not 0 < target < 65536:
            raise InputError("ports", f"has {port!r}: {target!r}", "give port → port of the hosts, such as {443: 8443}")
