"""Programs and states for the tests of the docker plugin, made without an engine."""

import copy
from collections.abc import Mapping
from typing import Any

from providers.docker.check import check
from providers.docker.diff import Difference, difference
from providers.docker.naming import named
from providers.docker.network import Network
from providers.docker.resource import Resource
from providers.docker.service import Service
from providers.docker.service_spec import service_spec
from providers.docker.service_state import service_state
from providers.docker.shape import shaped

SERVICE: Mapping[str, Any] = {
    "name": "web",
    "endpointSpec": {"mode": "dnsrr"},
    "taskSpec": {"containerSpec": {"image": "app:1", "commands": ["serve"]}},
}

NETWORK_OF_ENGINE: Mapping[str, Any] = {
    "attachable": False,
    "driver": "bridge",
    "ingress": False,
    "internal": False,
    "ipamConfigs": [{"subnet": "172.20.0.0/16", "gateway": "172.20.0.1", "ipRange": "", "auxAddress": {}}],
    "ipv6": False,
    "options": {},
    "scope": "local",
}
"""What an engine says about a network of which the program says nothing."""

Values = dict[str, Any]


def merged(values: Mapping[str, Any], path: str, value: Any) -> Values:
    """A copy of ``values`` with ``value`` at ``path`` (dots); ``None`` takes the property out."""
    changed = copy.deepcopy(dict(values))
    *parents, last = path.split(".")
    place = changed
    for parent in parents:
        place = place.setdefault(parent, {})
    if value is None:
        place.pop(last, None)
    else:
        place[last] = value
    return changed


def inputs(resource: Resource, program: Mapping[str, Any], old: Mapping[str, Any] | None = None) -> Values:
    """A program's inputs as Check leaves them; it has to find nothing wrong."""
    checked = check(resource.schema, program, "web")
    assert checked.failures == []
    return named(checked.values, old or {}, "web", b"seed") if resource.autonamed else checked.values


def state(resource: Resource, given: Mapping[str, Any]) -> Values:
    """The state after a create with inputs ``given``."""
    if isinstance(resource, Service):
        return shaped(resource.schema, service_state(service_spec(given), given))
    if isinstance(resource, Network):
        own = {name: value for name, value in given.items() if value not in (None, [], {})}
        return shaped(resource.schema, {**NETWORK_OF_ENGINE, **own})
    return shaped(resource.schema, given)


def compared(resource: Resource, old: Mapping[str, Any], new: Mapping[str, Any]) -> Difference:
    """What Diff finds between two programs, one after the other."""
    before = inputs(resource, old)
    after = inputs(resource, new, before)
    return difference(resource.schema, resource.adapted(state(resource, before), after), after)


def verdict(found: Difference) -> str:
    """``R``, ``U`` or ``-``, as in the tables of the recording."""
    return "R" if found.replaces else "U" if found.changes else "-"
