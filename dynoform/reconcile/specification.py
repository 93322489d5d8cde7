"""The Swarm service of one dyno, as the engine's API wants it; pure, so that it can be compared and tested."""

import re
import shlex
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from dynoform.domain import backoff, dyno_names, dyno_sizes
from dynoform.errors import ConflictError

WEB = "web"
PORT = 5000
"""``$PORT`` inside every dyno; what is published on the host differs."""
PUBLISHED = range(20_000, 30_000)
"""Ports on the dyno address. Below the kernel's ephemeral ports, so that no outgoing connection sits on one."""
STACK_LABEL = "dynoform.stack"
APP_LABEL = "dynoform.app"
DYNO_LABEL = "dynoform.dyno"
DYNO_ID_LABEL = "dynoform.dyno-id"
RELEASE_LABEL = "dynoform.release"
CONFIG = "config"
"""The secret's file name: /run/secrets/config, read before the dyno's command starts."""
SECOND = 1_000_000_000
STOP_GRACE = 30 * SECOND
DYNO_USER = "1000"
_MAXIMUM_NAME = 63


@dataclass(frozen=True)
class DynoService:
    """What a service is made from."""

    stack: str
    network: str
    app_id: uuid.UUID
    app_name: str
    dyno_id: uuid.UUID
    release_id: uuid.UUID
    version: int
    type: str
    number: int
    size: str
    command: str
    image: str
    container: bool = False
    """Whether the image is the user's own, without our stack's launcher in it."""
    crashes: int = 0

    @property
    def dyno(self) -> str:
        """``web.1``."""
        return dyno_names.name(self.type, self.number)

    @property
    def name(self) -> str:
        """``local_shop_web-1_v5_0b7e2f0c``: readable in ``docker service ls``, and no other dyno's."""
        return _short(
            f"{self.stack}_{self.app_name}_{self.type}-{self.number}", f"_v{self.version}_{self.dyno_id.hex[:8]}"
        )

    @property
    def secret_name(self) -> str:
        """``local_shop_v5_0b7e2f0c``: one per release."""
        return _short(f"{self.stack}_{self.app_name}", f"_v{self.version}_{self.release_id.hex[:8]}")

    def labels(self) -> dict[str, str]:
        """What tells our services and containers from others', and what the log agent files lines by."""
        return {
            STACK_LABEL: self.stack,
            APP_LABEL: str(self.app_id),
            DYNO_LABEL: self.dyno,
            DYNO_ID_LABEL: str(self.dyno_id),
            RELEASE_LABEL: f"v{self.version}",
        }


def service(dyno: DynoService, secret_id: str, port: int | None) -> dict[str, Any]:
    """Arguments for creating the service: ``task_template``, ``name``, ``labels``, ``mode``, ``endpoint_spec``.

    ``port`` is the host port of a web dyno. It stays the dyno's own, also when Swarm restarts it or the engine comes
    back: so a route that is a moment out of date never leads to another app's dyno.
    """
    ports = [{"Protocol": "tcp", "TargetPort": PORT, "PublishedPort": port, "PublishMode": "host"}] if port else []
    return {
        "name": dyno.name,
        "labels": dyno.labels(),
        "mode": {"Replicated": {"Replicas": 1}},
        "endpoint_spec": {"Mode": "dnsrr", "Ports": ports},
        "task_template": {
            "ContainerSpec": _container(dyno, secret_id),
            "Resources": {"Limits": _limits(dyno)},
            "RestartPolicy": _restart_policy(dyno),
            "Networks": [{"Target": dyno.network}],
            "LogDriver": {
                "Name": "json-file",
                "Options": {
                    "max-size": "10m",
                    "max-file": "2",
                    "labels": f"{STACK_LABEL},{APP_LABEL},{DYNO_LABEL}",
                },
            },
        },
    }


def config_file(config: Mapping[str, str]) -> bytes:
    """Config vars as lines for a shell. Never empty: Swarm refuses that."""
    lines = ["# config vars", *(f"export {name}={shlex.quote(value)}" for name, value in sorted(config.items()))]
    return "".join(f"{line}\n" for line in lines).encode()


def free_port(taken: frozenset[int], seed: str) -> int:
    """A port that no service uses; ``seed`` spreads the choices, so that two stacks rarely want the same.

    Raises ``ConflictError`` when all are taken.
    """
    start = int.from_bytes(sha256(seed.encode()).digest()[:4]) % len(PUBLISHED)
    for offset in range(len(PUBLISHED)):
        port = PUBLISHED[(start + offset) % len(PUBLISHED)]
        if port not in taken:
            return port
    raise ConflictError(
        f"ports {PUBLISHED[0]} to {PUBLISHED[-1]}", "are all taken by services", "scale web dynos down, or add a stack"
    )


def altered(service: Mapping[str, Any]) -> str:
    """What somebody changed in a service of ours, in words; empty when it is as we made it.

    Our services are never updated, so one with a changed template or scale was touched by hand.
    """
    spec = service["Spec"]
    replicas = spec.get("Mode", {}).get("Replicated", {}).get("Replicas", 1)
    if replicas != 1:
        return f"{replicas} replicas"
    if spec["TaskTemplate"].get("ForceUpdate", 0):
        return ""  # a forced restart: the same dyno
    previous = service.get("PreviousSpec")
    if previous is not None and previous.get("TaskTemplate") != spec["TaskTemplate"]:
        return "its specification"
    return ""


def _container(dyno: DynoService, secret_id: str) -> dict[str, Any]:
    file = {"Name": CONFIG, "UID": DYNO_USER, "GID": DYNO_USER, "Mode": 0o400}
    return {
        "Image": dyno.image,
        **_start(dyno),
        "Env": [f"PORT={PORT}", f"DYNO={dyno.dyno}"],
        "Labels": dyno.labels(),
        "User": f"{DYNO_USER}:{DYNO_USER}",
        "Init": True,
        "StopGracePeriod": STOP_GRACE,
        "CapabilityDrop": ["ALL"],
        "Secrets": [{"SecretID": secret_id, "SecretName": dyno.secret_name, "File": file}],
    }


def _start(dyno: DynoService) -> dict[str, list[str]]:
    if not dyno.container:
        return {"Args": [dyno.command]}  # after the image's entrypoint, which reads the config vars first
    # The user's image has no such entrypoint: its own shell reads them, and becomes the image's own process.
    platform = f"export PORT={PORT} DYNO={shlex.quote(dyno.dyno)}"
    return {"Command": ["/bin/sh", "-c", f". /run/secrets/{CONFIG}\n{platform}\nexec {dyno.command}"]}


def _limits(dyno: DynoService) -> dict[str, int]:
    size = dyno_sizes.find(dyno.size)
    return {"MemoryBytes": size.kill_mb * 1024 * 1024, "Pids": size.pids}


def _restart_policy(dyno: DynoService) -> dict[str, Any]:
    """Swarm's own restart, once per good run and at once: it works while the control plane is away.

    After that the cool-off grows, which Swarm cannot do: the reconciler starts the dyno, and Swarm does not.
    """
    if dyno.crashes:
        return {"Condition": "none"}
    window = int(backoff.GOOD_RUN.total_seconds()) * SECOND
    return {"Condition": "any", "Delay": 0, "MaxAttempts": 1, "Window": window}


def _short(start: str, end: str) -> str:
    """A name that Swarm takes: letters, digits, dashes and underscores, at most 63, no dash at an end."""
    readable = re.sub(r"[^a-zA-Z0-9_-]", "-", start)[: _MAXIMUM_NAME - len(end)]
    return f"{readable.rstrip('_-')}{end}"
