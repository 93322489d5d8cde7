"""The Swarm service of one dyno, as the engine's API wants it; pure, so that it can be compared and tested."""

import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from dynoform.domain import backoff, dyno_container, dyno_names
from dynoform.domain.dyno_container import CONFIG, DYNO_ID_LABEL, DYNO_USER, PORT
from dynoform.domain.dyno_lines import EXIT_SECONDS
from dynoform.errors import ConflictError

WEB = "web"
PUBLISHED = range(20_000, 30_000)
"""Ports on the dyno address. Below the kernel's ephemeral ports, so that no outgoing connection sits on one."""
SECOND = 1_000_000_000
_MAXIMUM_NAME = 63
MADE_LABEL = "dynoform.made"
"""What the service was made as, by which a change by hand is known."""
_AS_GIVEN = ("Image", "Command", "Args", "Env", "User", "Init", "StopGracePeriod")
_NODE = "node.id=="


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
    host: str = ""
    """Swarm's id of the node that it is for; empty for any."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """What no other dyno of its release has in its environment. Everybody who can ask the engine sees it."""

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
        labels = dyno_container.labels(self.stack, self.app_id, self.dyno, self.version, self.size)
        return labels | {DYNO_ID_LABEL: str(self.dyno_id)}


def service(dyno: DynoService, secret_id: str, port: int | None) -> dict[str, Any]:
    """Arguments for creating the service: ``task_template``, ``name``, ``labels``, ``mode``, ``endpoint_spec``.

    ``port`` is the host port of a web dyno. It stays the dyno's own, also when Swarm restarts it or the engine comes
    back: so a route that is a moment out of date never leads to another app's dyno.
    """
    template = {
        "ContainerSpec": _container(dyno, secret_id),
        "Resources": {"Limits": _limits(dyno.size)},
        "RestartPolicy": _restart_policy(dyno),
        "Placement": {"Constraints": [f"{_NODE}{dyno.host}"] if dyno.host else []},
        "Networks": [{"Target": dyno.network}],
        "LogDriver": {"Name": dyno_container.LOG_DRIVER, "Options": dyno_container.LOG_OPTIONS},
    }
    ports = [{"Protocol": "tcp", "TargetPort": PORT, "PublishedPort": port, "PublishMode": "host"}] if port else []
    return {
        "name": dyno.name,
        "labels": dyno.labels() | {MADE_LABEL: _fingerprint(template)},
        "mode": {"Replicated": {"Replicas": 1}},
        "endpoint_spec": {"Mode": "dnsrr", "Ports": ports},
        "task_template": template,
    }


def host_of(service: Mapping[str, Any]) -> str:
    """Id of the node that a service of ours was made for; empty for any."""
    constraints = (service["Spec"]["TaskTemplate"].get("Placement") or {}).get("Constraints") or ()
    return next((text.removeprefix(_NODE) for text in constraints if text.startswith(_NODE)), "")


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

    Our services are never updated, so one that was updated and is not what was made was touched by hand. A forced
    restart leaves it the same.
    """
    spec = service["Spec"]
    replicas = spec.get("Mode", {}).get("Replicated", {}).get("Replicas", 1)
    if replicas != 1:
        return f"{replicas} replicas"
    updated = service.get("PreviousSpec") is not None
    if updated and (spec.get("Labels") or {}).get(MADE_LABEL) != _fingerprint(spec["TaskTemplate"]):
        return "its specification"
    return ""


def _fingerprint(template: Mapping[str, Any]) -> str:
    """Of what a dyno runs and how, as far as the engine gives it back as it was given."""
    container = template.get("ContainerSpec", {})
    placement = template.get("Placement", {}).get("Constraints") or []
    found = [{key: container.get(key) for key in _AS_GIVEN}, template.get("Resources", {}).get("Limits"), placement]
    return sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()[:16]


def _container(dyno: DynoService, secret_id: str) -> dict[str, Any]:
    file = {"Name": CONFIG, "UID": DYNO_USER, "GID": DYNO_USER, "Mode": 0o400}
    return {
        "Image": dyno.image,
        **_start(dyno),
        "Env": [*dyno_container.environment(dyno.dyno), *(f"{key}={value}" for key, value in dyno.variables.items())],
        "Labels": dyno.labels(),
        "User": f"{DYNO_USER}:{DYNO_USER}",
        "Init": True,
        "StopGracePeriod": EXIT_SECONDS * SECOND,
        "CapabilityDrop": ["ALL"],
        # Engines before 25 leave it aside; the launchers do it for all.
        "Privileges": {"NoNewPrivileges": True},
        "Ulimits": dyno_container.limits(dyno.size).ulimits,
        "Secrets": [{"SecretID": secret_id, "SecretName": dyno.secret_name, "File": file}],
    }


def _start(dyno: DynoService) -> dict[str, list[str]]:
    launcher = dyno_container.launcher(dyno.dyno, own_image=dyno.container, words=dyno.container)
    return {"Command": dyno_container.supervised(launcher), "Args": [dyno.command]}


def _limits(size: str) -> dict[str, int]:
    """What Swarm passes on to the container; the runtime agent adds the rest when it runs."""
    limits = dyno_container.limits(size)
    return {"MemoryBytes": limits.memory_bytes, "Pids": limits.pids}


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
