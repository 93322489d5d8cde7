"""A service's properties → the engine's ServiceSpec. Pure.

Form: https://docs.docker.com/engine/api/v1.41/#operation/ServiceCreate
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Final

from .compact import assignments, compact, label_map, nanoseconds
from .service_container import container_spec

Values = Mapping[str, Any]

KEPT: Final = (
    ("labels", "Labels"),
    ("mode", "Mode"),
    ("endpointSpec", "EndpointSpec"),
    ("taskSpec.resources", "TaskTemplate.Resources"),
    ("taskSpec.restartPolicy", "TaskTemplate.RestartPolicy"),
    ("taskSpec.placement", "TaskTemplate.Placement"),
    ("taskSpec.runtime", "TaskTemplate.Runtime"),
    ("taskSpec.containerSpec.stopGracePeriod", "TaskTemplate.ContainerSpec.StopGracePeriod"),
    ("taskSpec.containerSpec.init", "TaskTemplate.ContainerSpec.Init"),
    ("taskSpec.containerSpec.healthcheck", "TaskTemplate.ContainerSpec.Healthcheck"),
    ("taskSpec.containerSpec.dnsConfig", "TaskTemplate.ContainerSpec.DNSConfig"),
)
"""What a program may leave to the engine, and where the engine has it. An update sends it back as it is, so that tasks
are not restarted for something nobody asked for."""


def service_spec(values: Values) -> dict[str, Any]:
    """The spec that declares ``values`` (checked or planned properties); what is unset is left out."""
    return compact(
        {
            "Name": values.get("name"),
            "Labels": label_map(values.get("labels")),
            "TaskTemplate": _task(values.get("taskSpec") or {}),
            "Mode": _mode(values.get("mode") or {}),
            "UpdateConfig": _rollout(values.get("updateConfig")),
            "RollbackConfig": _rollout(values.get("rollbackConfig")),
            "EndpointSpec": _endpoint(values.get("endpointSpec") or {}),
        }
    )


def updated_spec(planned: Values, inputs: Values, current: Values) -> dict[str, Any]:
    """The spec for an update: ``planned``, but what ``inputs`` do not name stays as in the ``current`` spec."""
    spec = service_spec(planned)
    for ours, theirs in KEPT:
        if _at(inputs, ours.split(".")) in (None, [], {}):
            *parents, last = theirs.split(".")
            place, source = _at(spec, parents), _at(current, parents) or {}
            place.pop(last, None)
            if last in source:
                place[last] = copy.deepcopy(source[last])
    return spec


def _task(task: Values) -> dict[str, Any]:
    driver = task.get("logDriver")
    return compact(
        {
            "ContainerSpec": container_spec(task.get("containerSpec") or {}),
            "ForceUpdate": task.get("forceUpdate"),
            "LogDriver": compact({"Name": driver["name"], "Options": driver.get("options")}) if driver else None,
            "Networks": [_network(network) for network in task.get("networksAdvanceds") or ()],
            "Placement": _placement(task.get("placement") or {}),
            "Resources": _resources(task.get("resources") or {}),
            "RestartPolicy": _restart(task.get("restartPolicy") or {}),
            "Runtime": task.get("runtime"),
        }
    )


def _network(network: Values) -> dict[str, Any]:
    return compact(
        {
            "Target": network.get("id") or network.get("name"),
            "Aliases": list(network.get("aliases") or ()),
            "DriverOpts": assignments(network.get("driverOpts")),
        }
    )


def _placement(placement: Values) -> dict[str, Any]:
    platforms = placement.get("platforms") or ()
    return compact(
        {
            "Constraints": list(placement.get("constraints") or ()),
            "MaxReplicas": placement.get("maxReplicas") or None,
            "Platforms": [{"Architecture": each["architecture"], "OS": each["os"]} for each in platforms],
            "Preferences": [
                {"Spread": {"SpreadDescriptor": each.removeprefix("spread=")}} for each in placement.get("prefs") or ()
            ],
        }
    )


def _resources(resources: Values) -> dict[str, Any]:
    limits, reservation = resources.get("limits") or {}, resources.get("reservation") or {}
    return compact(
        {
            "Limits": _amounts(limits),
            "Reservations": compact(
                {**_amounts(reservation), "GenericResources": _generic(reservation.get("genericResources") or {})}
            ),
        }
    )


def _amounts(amounts: Values) -> dict[str, Any]:
    return compact({"MemoryBytes": amounts.get("memoryBytes") or None, "NanoCPUs": amounts.get("nanoCpus") or None})


def _generic(generic: Values) -> list[dict[str, Any]]:
    discrete = assignments(generic.get("discreteResourcesSpecs"))
    named = assignments(generic.get("namedResourcesSpecs"))
    return [
        *({"DiscreteResourceSpec": {"Kind": kind, "Value": int(value)}} for kind, value in discrete.items()),
        *({"NamedResourceSpec": {"Kind": kind, "Value": value}} for kind, value in named.items()),
    ]


def _restart(policy: Values) -> dict[str, Any]:
    """A policy that is given is sent whole: delay and window are 0 where it does not say them."""
    if not policy:
        return {}
    return compact(
        {
            "Condition": policy.get("condition"),
            "Delay": nanoseconds(policy.get("delay")) or 0,
            "MaxAttempts": policy.get("maxAttempts") or 0,
            "Window": nanoseconds(policy.get("window")) or 0,
        }
    )


def _mode(mode: Values) -> dict[str, Any]:
    replicated = mode.get("replicated")
    spec: dict[str, Any] = {"Replicated": {"Replicas": replicated.get("replicas", 1)}} if replicated else {}
    return {**spec, "Global": {}} if mode.get("global") else spec


def _rollout(rollout: Values | None) -> dict[str, Any] | None:
    if rollout is None:
        return None
    return {
        "Parallelism": rollout.get("parallelism", 1),
        "Delay": nanoseconds(rollout.get("delay")) or 0,
        "FailureAction": rollout.get("failureAction", "pause"),
        "Monitor": nanoseconds(rollout.get("monitor")) or 0,
        "MaxFailureRatio": float(rollout.get("maxFailureRatio") or 0),
        "Order": rollout.get("order", "stop-first"),
    }


def _endpoint(endpoint: Values) -> dict[str, Any]:
    ports = [
        compact(
            {
                "Name": port.get("name"),
                "Protocol": port.get("protocol"),
                "TargetPort": port.get("targetPort"),
                "PublishedPort": port.get("publishedPort") or None,
                "PublishMode": port.get("publishMode"),
            }
        )
        for port in endpoint.get("ports") or ()
    ]
    return compact({"Mode": endpoint.get("mode"), "Ports": ports})


def _at(values: Any, path: Sequence[str]) -> Any:
    for step in path:
        values = values.get(step) if isinstance(values, Mapping) else None
    return values
