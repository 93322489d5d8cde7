"""The engine's answer about a service → the properties of the state. Pure."""

from collections.abc import Mapping
from typing import Any

from .compact import duration_text, label_set

Spec = Mapping[str, Any]


def service_state(spec: Spec, known: Mapping[str, Any]) -> dict[str, Any]:
    """Outputs for the engine's ServiceSpec.

    Parameters:
        known: inputs or the state before, for what the engine does not have (auth, convergeConfig).
    """
    mode = spec.get("Mode") or {}
    replicated = mode.get("Replicated")
    return {
        "auth": known.get("auth"),
        "convergeConfig": known.get("convergeConfig"),
        "endpointSpec": _endpoint(spec.get("EndpointSpec") or {}),
        "labels": label_set(spec.get("Labels")),
        "mode": {
            "global": "Global" in mode,
            "replicated": {"replicas": replicated.get("Replicas", 0)} if replicated is not None else None,
        },
        "name": spec.get("Name"),
        "rollbackConfig": _rollout(spec.get("RollbackConfig")),
        "taskSpec": _task(spec.get("TaskTemplate") or {}),
        "updateConfig": _rollout(spec.get("UpdateConfig")),
    }


def _endpoint(endpoint: Spec) -> dict[str, Any]:
    ports = [
        {
            "name": port.get("Name", ""),
            "protocol": port.get("Protocol", "tcp"),
            "publishMode": port.get("PublishMode", "ingress"),
            "publishedPort": port.get("PublishedPort", 0),
            "targetPort": port.get("TargetPort"),
        }
        for port in endpoint.get("Ports") or ()
    ]
    return {"mode": endpoint.get("Mode") or "vip", "ports": ports}


def _rollout(rollout: Spec | None) -> dict[str, Any] | None:
    if not rollout:
        return None
    ratio = rollout.get("MaxFailureRatio", 0)
    return {
        "parallelism": rollout.get("Parallelism", 0),
        "delay": duration_text(rollout.get("Delay")),
        "failureAction": rollout.get("FailureAction", "pause"),
        "monitor": duration_text(rollout.get("Monitor")),
        "maxFailureRatio": "0.0" if not ratio else f"{ratio:g}",
        "order": rollout.get("Order", "stop-first"),
    }


def _task(task: Spec) -> dict[str, Any]:
    driver = task.get("LogDriver")
    return {
        "containerSpec": _container(task.get("ContainerSpec") or {}),
        "forceUpdate": task.get("ForceUpdate", 0),
        "logDriver": {"name": driver.get("Name", ""), "options": driver.get("Options")} if driver else None,
        "networksAdvanceds": [
            {
                "id": network.get("Target", ""),
                "name": "",
                "aliases": sorted(network.get("Aliases") or ()),
                "driverOpts": sorted(f"{name}={value}" for name, value in (network.get("DriverOpts") or {}).items()),
            }
            for network in task.get("Networks") or ()
        ],
        "placement": _placement(task.get("Placement") or {}),
        "resources": _resources(task.get("Resources") or {}),
        "restartPolicy": _restart(task.get("RestartPolicy") or {}),
        "runtime": task.get("Runtime", "container"),
    }


def _placement(placement: Spec) -> dict[str, Any]:
    platforms = placement.get("Platforms") or ()
    spreads = (preference.get("Spread") or {} for preference in placement.get("Preferences") or ())
    return {
        "constraints": sorted(placement.get("Constraints") or ()),
        "maxReplicas": placement.get("MaxReplicas", 0),
        "platforms": [{"architecture": each.get("Architecture", ""), "os": each.get("OS", "")} for each in platforms],
        "prefs": [f"spread={spread.get('SpreadDescriptor', '')}" for spread in spreads],
    }


def _resources(resources: Spec) -> dict[str, Any]:
    reservation = resources.get("Reservations")
    generic = _generic((reservation or {}).get("GenericResources") or ())
    return {
        "limits": _amounts(resources.get("Limits")),
        "reservation": {**(_amounts(reservation) or {}), "genericResources": generic} if reservation else None,
    }


def _amounts(amounts: Spec | None) -> dict[str, Any] | None:
    if not amounts:
        return None
    return {"memoryBytes": amounts.get("MemoryBytes", 0), "nanoCpus": amounts.get("NanoCPUs", 0)}


def _generic(resources: Any) -> dict[str, Any] | None:
    discrete = [each["DiscreteResourceSpec"] for each in resources if each.get("DiscreteResourceSpec")]
    named = [each["NamedResourceSpec"] for each in resources if each.get("NamedResourceSpec")]
    if not discrete and not named:
        return None
    return {
        "discreteResourcesSpecs": [f"{each['Kind']}={each['Value']}" for each in discrete],
        "namedResourcesSpecs": [f"{each['Kind']}={each['Value']}" for each in named],
    }


def _restart(policy: Spec) -> dict[str, Any]:
    return {
        "condition": policy.get("Condition", "any"),
        "delay": duration_text(policy.get("Delay"), unset=""),
        "maxAttempts": policy.get("MaxAttempts", 0),
        "window": duration_text(policy.get("Window"), unset=""),
    }


def _container(container: Spec) -> dict[str, Any]:
    dns = container.get("DNSConfig") or {}
    return {
        "image": container.get("Image", ""),
        "args": container.get("Args"),
        "capAdds": container.get("CapabilityAdd"),
        "capDrops": container.get("CapabilityDrop"),
        "commands": container.get("Command"),
        "configs": [_file(file, "config") for file in container.get("Configs") or ()],
        "dir": container.get("Dir", ""),
        "dnsConfig": {
            "nameservers": dns.get("Nameservers"),
            "options": dns.get("Options"),
            "searches": dns.get("Search"),
        },
        "env": _environment(container.get("Env")),
        "groups": container.get("Groups"),
        "healthcheck": _healthcheck(container.get("Healthcheck") or {}),
        "hostname": container.get("Hostname", ""),
        "hosts": [_host(host) for host in sorted(container.get("Hosts") or ())],
        "init": container.get("Init") or False,
        "isolation": container.get("Isolation") or "default",
        "labels": label_set(container.get("Labels")),
        "mounts": [_mount(mount) for mount in container.get("Mounts") or ()],
        "privileges": _privileges(container.get("Privileges") or {}),
        "readOnly": container.get("ReadOnly", False),
        "secrets": [_file(file, "secret") for file in container.get("Secrets") or ()],
        "stopGracePeriod": duration_text(container.get("StopGracePeriod"), unset=""),
        "stopSignal": container.get("StopSignal", ""),
        "sysctl": container.get("Sysctls"),
        "user": container.get("User", ""),
    }


def _environment(env: Any) -> dict[str, str] | None:
    pairs = (item.partition("=") for item in env or ())
    return {name: value for name, _, value in pairs} or None


def _host(line: str) -> dict[str, str]:
    address, _, name = line.partition(" ")
    return {"host": name, "ip": address}


def _healthcheck(check: Spec) -> dict[str, Any]:
    return {
        "interval": duration_text(check.get("Interval")),
        "retries": check.get("Retries", 0),
        "startPeriod": duration_text(check.get("StartPeriod")),
        "tests": check.get("Test") or [],
        "timeout": duration_text(check.get("Timeout")),
    }


def _file(file: Spec, of: str) -> dict[str, Any]:
    kind, target = of.capitalize(), file.get("File") or {}
    return {
        f"{of}Id": file.get(f"{kind}ID"),
        f"{of}Name": file.get(f"{kind}Name", ""),
        "fileName": target.get("Name", ""),
        "fileUid": target.get("UID", "0"),
        "fileGid": target.get("GID", "0"),
        "fileMode": target.get("Mode", 0),
    }


def _privileges(privileges: Spec) -> dict[str, Any] | None:
    context = privileges.get("SELinuxContext")
    if not context:
        return None
    names = ("disable", "level", "role", "type", "user")
    return {"seLinuxContext": {name: context.get(name.capitalize()) for name in names}}


def _mount(mount: Spec) -> dict[str, Any]:
    bind, volume, tmpfs = mount.get("BindOptions"), mount.get("VolumeOptions"), mount.get("TmpfsOptions")
    return {
        "target": mount.get("Target", ""),
        "type": mount.get("Type", ""),
        "source": mount.get("Source", ""),
        "readOnly": mount.get("ReadOnly", False),
        "bindOptions": {"propagation": bind.get("Propagation", "")} if bind else None,
        "volumeOptions": _volume(volume) if volume else None,
        "tmpfsOptions": {"mode": tmpfs.get("Mode", 0), "sizeBytes": tmpfs.get("SizeBytes", 0)} if tmpfs else None,
    }


def _volume(options: Spec) -> dict[str, Any]:
    driver = options.get("DriverConfig") or {}
    return {
        "driverName": driver.get("Name", ""),
        "driverOptions": driver.get("Options"),
        "labels": label_set(options.get("Labels")),
        "noCopy": options.get("NoCopy", False),
    }
