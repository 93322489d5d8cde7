"""Properties of ``docker:index/service:Service``: types as in the SDK, rules as the official plugin shows them."""

from typing import Final

from . import validators
from .formats import bare_capability, parse_duration
from .properties import (
    Property,
    block,
    block_set,
    blocks,
    boolean,
    integer,
    labels,
    mapping,
    refused,
    string,
    string_set,
    strings,
)

PERMISSIONS: Final = 0o777
"""The engine keeps only these bits of a tmpfs mode."""


def _duration(**settings: object) -> Property:
    return string(validators=(validators.duration,), canonical=parse_duration, **settings)


def _count(**settings: object) -> Property:
    return integer(validators=(validators.not_negative,), **settings)


def _choice(*names: str, **settings: object) -> Property:
    return string(validators=(validators.one_of(*names),), **settings)


def _capabilities() -> Property:
    return strings().but(item=string(canonical=bare_capability))


def _rollout(*failure_actions: str) -> Property:
    return block(
        {
            "parallelism": _count(default=1),
            "delay": _duration(default="0s"),
            "failureAction": _choice(*failure_actions, default="pause"),
            "monitor": _duration(default="5s"),
            "maxFailureRatio": string(validators=(validators.ratio,), canonical=float, default="0.0"),
            "order": _choice("start-first", "stop-first", default="stop-first"),
        }
    )


def _file(of: str) -> Property:
    return block_set(
        {
            f"{of}Id": string(required=True),
            f"{of}Name": string(),
            "fileName": string(required=True),
            "fileUid": string(default="0"),
            "fileGid": string(default="0"),
            "fileMode": _count(default=0o444),
        }
    )


MOUNTS: Final = block_set(
    {
        "target": string(required=True),
        "type": _choice("bind", "volume", "tmpfs", "npipe", required=True),
        "source": string(),
        "readOnly": boolean(),
        "bindOptions": block({"propagation": _choice("private", "rprivate", "shared", "rshared", "slave", "rslave")}),
        "volumeOptions": block(
            {
                "driverName": string(),
                "driverOptions": mapping(),
                "labels": labels(replaces=True),
                "noCopy": boolean(),
            }
        ),
        "tmpfsOptions": block({"mode": integer(canonical=lambda mode: mode & PERMISSIONS), "sizeBytes": integer()}),
    }
)

CONTAINER: Final = block(
    {
        "image": string(required=True),
        "args": strings(),
        "capAdds": _capabilities(),
        "capDrops": _capabilities(),
        "commands": strings(),
        "configs": _file("config"),
        "dir": string(),
        "dnsConfig": block(
            {"nameservers": strings(required=True), "options": strings(), "searches": strings()}, computed=True
        ),
        "env": mapping(),
        "groups": strings(),
        "healthcheck": block(
            {
                "interval": _duration(default="0s"),
                "retries": _count(),
                "startPeriod": _duration(default="0s"),
                "tests": strings(),
                "timeout": _duration(default="0s"),
            },
            computed=True,
        ),
        "hostname": string(),
        "hosts": block_set({"host": string(required=True), "ip": string(required=True)}, replaces=True),
        "init": boolean(computed=True),
        "isolation": _choice("default", "process", "hyperv", default="default", computed=True),
        "labels": labels(replaces=True),
        "mounts": MOUNTS,
        "privileges": block(
            {
                "credentialSpec": refused("it exists on Windows only; use the official plugin, or leave it out"),
                "seLinuxContext": block(
                    {"disable": boolean(), "level": string(), "role": string(), "type": string(), "user": string()}
                ),
            }
        ),
        "readOnly": boolean(),
        "secrets": _file("secret"),
        "stopGracePeriod": _duration(computed=True),
        "stopSignal": string(),
        "sysctl": mapping(replaces=True),
        "user": string(),
    },
    required=True,
)

RESOURCES: Final = block(
    {
        "limits": block({"memoryBytes": integer(), "nanoCpus": _count()}),
        "reservation": block(
            {
                "genericResources": block(
                    {"discreteResourcesSpecs": string_set(), "namedResourcesSpecs": string_set()}
                ),
                "memoryBytes": integer(),
                "nanoCpus": _count(),
            }
        ),
    },
    computed=True,
)

TASK: Final = block(
    {
        "containerSpec": CONTAINER,
        "forceUpdate": _count(),
        "logDriver": block({"name": string(required=True), "options": mapping()}),
        "networksAdvanceds": block_set(
            {"aliases": string_set(), "driverOpts": string_set(), "id": string(), "name": string()}, replaces=True
        ),
        "placement": block(
            {
                "constraints": string_set(),
                "maxReplicas": _count(),
                "platforms": block_set({"architecture": string(required=True), "os": string(required=True)}),
                "prefs": string_set(),
            },
            computed=True,
        ),
        "resources": RESOURCES,
        "restartPolicy": block(
            {
                # The engine's own word for "not said".
                "condition": _choice(
                    "none", "on-failure", "any", canonical=lambda condition: "" if condition == "any" else condition
                ),
                "delay": _duration(),
                "maxAttempts": _count(),
                "window": _duration(),
            },
            computed=True,
        ),
        "runtime": _choice("container", "plugin", computed=True),
    },
    required=True,
)

SCHEMA: Final = block(
    {
        "auth": block(
            {
                "serverAddress": string(required=True),
                "username": string(),
                "password": string(sensitive=True),
            },
            replaces=True,
        ),
        "convergeConfig": block(
            {"delay": _duration(default="7s"), "timeout": _duration(default="3m")}, conflicts=("mode.0.global",)
        ),
        "endpointSpec": block(
            {
                "mode": _choice("vip", "dnsrr", computed=True),
                "ports": blocks(
                    {
                        "name": string(),
                        "protocol": _choice("tcp", "udp", "sctp", default="tcp"),
                        "publishMode": _choice("host", "ingress", default="ingress"),
                        "publishedPort": integer(computed=True),
                        "targetPort": integer(required=True),
                    }
                ),
            },
            computed=True,
        ),
        "labels": labels(computed=True),
        "mode": block(
            {
                "global": boolean(conflicts=("mode.0.replicated", "converge_config")),
                "replicated": block({"replicas": _count(default=1)}, computed=True, conflicts=("mode.0.global",)),
            },
            computed=True,
        ),
        "name": string(replaces=True, computed=True),
        "rollbackConfig": _rollout("pause", "continue"),
        "taskSpec": TASK,
        "updateConfig": _rollout("pause", "continue", "rollback"),
    }
)
