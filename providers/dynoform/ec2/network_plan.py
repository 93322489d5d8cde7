"""What a network lacks, and in which order that is made. Pure: no call to AWS."""

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ..errors import InputError

ANYWHERE: Final = "0.0.0.0/0"
GROUP: Final = "group:"
PROTOCOLS: Final = ("tcp", "udp")
RULE_KEYS: Final = frozenset({"protocol", "fromPort", "toPort", "source"})


@dataclass(frozen=True, order=True)
class Rule:
    """Traffic that a security group lets in.

    Parameters:
        protocol: ``tcp`` or ``udp``.
        from_port, to_port: first and last port.
        source: an IPv4 network, or ``group:<name>`` for what is in a group of the same network.
    """

    protocol: str
    from_port: int
    to_port: int
    source: str

    def __str__(self) -> str:
        """As messages have it."""
        ports = str(self.from_port) if self.from_port == self.to_port else f"{self.from_port}-{self.to_port}"
        return f"{self.protocol} {ports} from {self.source}"

    def values(self) -> dict[str, Any]:
        """As an input of the resource has it."""
        return {
            "protocol": self.protocol, "fromPort": self.from_port, "toPort": self.to_port, "source": self.source,
        }  # fmt: skip


@dataclass(frozen=True)
class Spec:
    """A network as declared: zone → subnet's IPv4 network, name → rules of a security group."""

    subnets: Mapping[str, str]
    groups: Mapping[str, frozenset[Rule]]


@dataclass
class Subnet:
    """A subnet as it is; ``routed`` when the network's route table is its own."""

    id: str
    cidr: str
    routed: bool = False
    association_id: str = ""


@dataclass
class Group:
    """A security group as it is: rule → the rule's id."""

    id: str
    rules: dict[Rule, str] = field(default_factory=dict)


@dataclass
class State:
    """A network as it is; what is not there is empty."""

    vpc_id: str
    cidr: str = ""
    names: bool = False
    """Whether hosts have names in DNS."""
    gateway_id: str = ""
    attached: bool = False
    route_table_id: str = ""
    route: bool = False
    subnets: dict[str, Subnet] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """One change: ``kind`` of thing, its ``name``, and whether it is made or removed."""

    kind: str
    name: str = ""
    rule: Rule | None = None
    absent: bool = False

    def __str__(self) -> str:
        """As status messages and the drift have it."""
        words = f"{self.kind} {self.name}".strip() + (f": {self.rule}" if self.rule else "")
        return f"{words} is too much" if self.absent else f"{words} is missing"


def steps(state: State, spec: Spec) -> Iterator[Step]:
    """What has to be done still; each step can be done once those before it are."""
    if not state.names:
        yield Step("DNS names")
    if not state.gateway_id:
        yield Step("internet gateway")
    if not state.attached:
        yield Step("attachment of the internet gateway")
    if not state.route_table_id:
        yield Step("route table")
    if not state.route:
        yield Step("route to the internet")
    yield from _subnet_steps(state, spec)
    yield from _group_steps(state, spec)


def _subnet_steps(state: State, spec: Spec) -> Iterator[Step]:
    for zone, found in state.subnets.items():
        if spec.subnets.get(zone) != found.cidr:
            yield Step("subnet", zone, absent=True)
    for zone in spec.subnets:
        if zone not in state.subnets:
            yield Step("subnet", zone)
        if zone not in state.subnets or not state.subnets[zone].routed:
            yield Step("route of the subnet", zone)


def _group_steps(state: State, spec: Spec) -> Iterator[Step]:
    yield from (Step("security group", name) for name in spec.groups if name not in state.groups)
    # What is allowed is added before what is not is taken away: nothing that stays is cut off in between.
    for name, rules in spec.groups.items():
        found = state.groups[name].rules if name in state.groups else {}
        yield from (Step("rule of", name, rule) for rule in sorted(rules - found.keys()))
    for name, group in state.groups.items():
        extra = group.rules.keys() - spec.groups.get(name, frozenset())
        yield from (Step("rule of", name, rule, absent=True) for rule in sorted(extra))
    yield from (Step("security group", name, absent=True) for name in state.groups if name not in spec.groups)


def spec(inputs: Mapping[str, Any]) -> Spec:
    """The network that a resource's inputs declare."""
    groups = {name: frozenset(_rule(rule) for rule in rules) for name, rules in inputs["groups"].items()}
    return Spec(inputs["subnets"], groups)


def _rule(values: Mapping[str, Any]) -> Rule:
    return Rule(values["protocol"], values["fromPort"], values["toPort"], values["source"])


def check(inputs: Mapping[str, Any]) -> None:
    """Raises ``InputError`` for subnets that are not in the network or overlap, and for rules that say nothing."""
    whole = _network("cidr", inputs["cidr"])
    if not 16 <= whole.prefixlen <= 28:
        raise InputError("cidr", f"is {whole}", "use a network of /16 to /28, which are what AWS takes")
    seen: dict[str, ipaddress.IPv4Network] = {}
    for zone, text in inputs["subnets"].items():
        found = _network("subnets", text)
        if not found.subnet_of(whole):
            raise InputError("subnets", f"has {found} in {zone}, which is not in {whole}")
        if other := next((zone for zone, each in seen.items() if each.overlaps(found)), ""):
            raise InputError("subnets", f"has {found} in {zone}, which overlaps that of {other}")
        seen[zone] = found
    for name, rules in inputs["groups"].items():
        for rule in rules:
            _check_rule(name, rule, inputs["groups"])


def _check_rule(group: str, rule: Any, groups: Mapping[str, Any]) -> None:
    if not isinstance(rule, Mapping) or set(rule) != RULE_KEYS:
        raise InputError("groups", f"has a rule of {group} that is {rule!r}", f"give {', '.join(sorted(RULE_KEYS))}")
    if rule["protocol"] not in PROTOCOLS:
        raise InputError("groups", f"has the protocol {rule['protocol']!r} in {group}", "use tcp or udp")
    first, last = rule["fromPort"], rule["toPort"]
    if type(first) is not int or type(last) is not int or not 0 < first <= last < 65536:
        raise InputError("groups", f"has the ports {first!r} to {last!r} in {group}", "use 1 to 65535")
    source = str(rule["source"])
    if not source.startswith(GROUP):
        _network("groups", source)
    elif source.removeprefix(GROUP) not in groups:
        raise InputError("groups", f"has the source {source!r} in {group}, which is no group of the network")


def _network(name: str, text: Any) -> ipaddress.IPv4Network:
    try:
        return ipaddress.IPv4Network(text)
    except ValueError as error:
        raise InputError(name, f"has {text!r}, which is no IPv4 network", "use one such as 10.20.0.0/16") from error
