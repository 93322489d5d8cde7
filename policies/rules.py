"""The rules as functions: what is declared in, what is wrong with it out; nothing of Pulumi's.

A message says what, why and what to do. Values that are not known in a preview are not asked for.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dynoform.domain import ec2_settings
from dynoform.domain.data_services import FIRST_PORT, LAST_PORT

OURS = "dynoform:index:"
SERVICE = "docker:index/service:Service"
OPEN_GROUPS = ("router", "balancer")
"""Security groups that may be open to everybody."""
CLOSED = {
    (ec2_settings.SSH_PORT, ec2_settings.SSH_PORT): "SSH",
    (ec2_settings.SWARM_PORT, ec2_settings.SWARM_PORT): "the swarm's managers",
    (ec2_settings.GOSSIP_PORT, ec2_settings.GOSSIP_PORT): "the swarm's nodes",
    ec2_settings.DYNO_PORTS: "dynos",
    (FIRST_PORT, LAST_PORT): "databases",
    (5432, 5432): "PostgreSQL",
    (6379, 6379): "Redis",
    (9092, 9092): "Kafka",
}
"""First and last port → what listens there, which is nobody's but the fleet's."""
_SECRET = re.compile(r"(?:^|_)(?:key|password|secret|token)$", re.IGNORECASE)
_SIZE = re.compile(r"(\d*)xlarge")
BIGGEST = 1 << 16
"""Of an instance that is a whole machine (``metal``)."""


@dataclass(frozen=True)
class Declared:
    """A resource of a stack.

    Parameters:
        kind: its type token.
        name: its name in the program.
        values: what is declared of it.
        protected: whether Pulumi refuses to remove it.
    """

    kind: str
    name: str
    values: Mapping[str, Any]
    protected: bool = False


@dataclass(frozen=True)
class Limits:
    """What may be declared.

    Parameters:
        managers: hosts that manage, at least.
        zones: zones they are in, at least.
        web_dynos: of each app, at least.
        dynos: of a process type, at most.
        xlarge: size of an instance at EC2, at most, counted in AWS's ``xlarge``; smaller ones are 0.
        disk: of a host at EC2, at most, in GiB.
    """

    managers: int = 3
    zones: int = 2
    web_dynos: int = 2
    dynos: int = 20
    xlarge: int = 4
    disk: int = 1000


def public_ports(declared: Declared) -> Iterator[str]:
    """Data, dynos and hosts are reached by the fleet only; everybody reaches routers."""
    if declared.kind != f"{OURS}Ec2Network":
        return
    for group, rules in (declared.values.get("groups") or {}).items():
        for rule in rules:
            if rule["source"] != ec2_settings.ANYWHERE:
                continue
            first, last = int(rule["fromPort"]), int(rule["toPort"])
            listens = [what for (low, high), what in CLOSED.items() if first <= high and low <= last]
            where = f"security group {group}: port {first if first == last else f'{first} to {last}'}"
            if listens:
                why = f"which is where {', '.join(listens)} {'listens' if len(listens) == 1 else 'listen'}"
                yield f"{where} is open to everybody, {why} — name the networks that need it"
            elif group not in OPEN_GROUPS:
                yield f"{where} is open to everybody — only {' and '.join(OPEN_GROUPS)} may be"


def encryption(declared: Declared) -> Iterator[str]:
    """Disks are encrypted, and what is secret is nowhere in the clear: state, service, command line."""
    values = declared.values
    if declared.kind == f"{OURS}Ec2Host" and values.get("launchTemplate") and not values.get("imageName"):
        yield (
            f"host {declared.name}: its disk is as launch template {values['launchTemplate']} has it, encrypted or not "
            "— name imageOwner and imageName as well"
        )
    if declared.kind == f"{OURS}Playbook":
        for name in values.get("variables") or {}:
            if _SECRET.search(name):
                yield f"playbook {declared.name}: variable {name} is in the clear — put it into secret_variables"
    if declared.kind == SERVICE:
        environment = ((values.get("taskSpec") or {}).get("containerSpec") or {}).get("env") or {}
        for name in environment:
            if _SECRET.search(name):
                yield f"service {declared.name}: {name} is in its environment, in the clear — make it a Swarm secret"


def sizes(declared: Declared, limits: Limits) -> Iterator[str]:
    """Nobody orders what costs more than was agreed."""
    values = declared.values
    if declared.kind == f"{OURS}Ec2Host":
        for kind in values.get("instanceTypes") or ():
            if xlarges(kind) > limits.xlarge:
                most = f"{kind} is larger than {limits.xlarge}xlarge"
                yield f"host {declared.name}: {most} — take a smaller one, or raise xlarge"
        size = (values.get("disk") or {}).get("size", 0)
        if size > limits.disk:
            most = f"a disk of {size:g} GiB is larger than {limits.disk}"
            yield f"host {declared.name}: {most} — take a smaller one, or raise disk"
    if declared.kind == f"{OURS}App":
        for process, wanted in (values.get("formation") or {}).items():
            if wanted.get("quantity", 0) > limits.dynos:
                count = f"{wanted['quantity']:g} {process} dynos"
                yield f"app {declared.name}: {count} are more than {limits.dynos} — ask for fewer, or raise dynos"


def availability(stack: Iterable[Declared], limits: Limits) -> Iterator[str]:
    """A host or a zone may be lost, and no app is down."""
    known = list(stack)
    managers = [each for each in _plays(known, "host") if (each.get("swarm_node_role") or "manager") == "manager"]
    if len(managers) < limits.managers:
        yield (
            f"{len(managers)} of {limits.managers} managers: with the loss of one nothing moves any more "
            f"— declare {limits.managers} hosts or more in dynoform:hosts"
        )
    zones = Counter(each.get("host_zone") or "no zone" for each in _plays(known, "dyno_runtime"))
    if managers and len(zones) < limits.zones:
        only = next(iter(zones), "no zone")
        yield f"all hosts are in {only}: they fail together — give them {limits.zones} zones or more"
    for each in known:
        if each.kind == f"{OURS}App" and _web(each.values) < limits.web_dynos:
            count = f"{_web(each.values):g} of {limits.web_dynos} web dynos"
            yield f"app {each.name}: {count}: it is down while one is replaced — raise its formation"
        if each.kind == f"{OURS}Ec2Host" and each.values.get("protected") and not each.protected:
            yield f"host {each.name}: has data, and Pulumi would remove it — declare it with protect"


def xlarges(instance_type: str) -> int:
    """The size of one of AWS's types in its ``xlarge``: 4 of ``m7a.4xlarge``, 0 of ``t3.large``."""
    size = instance_type.partition(".")[2]
    if "metal" in size:
        return BIGGEST
    match = _SIZE.fullmatch(size)
    return int(match[1] or 1) if match else 0


def _plays(known: Iterable[Declared], name: str) -> Iterator[Mapping[str, Any]]:
    """What each host is told by a playbook."""
    for each in known:
        if each.kind == f"{OURS}Playbook" and each.values.get("playbook") == f"playbooks/{name}.yml":
            yield each.values.get("variables") or {}


def _web(values: Mapping[str, Any]) -> float:
    """Web dynos of an app; the platform starts one unasked."""
    return float(((values.get("formation") or {}).get("web") or {}).get("quantity", 1))
