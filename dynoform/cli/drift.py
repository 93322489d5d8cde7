"""Whether the host may differ from what the last `up` left, so that Pulumi has to look at every resource again.

Looking means asking each provider, and running playbooks in check mode: seconds. Most of what is done by hand shows
in a few lists that the engine gives at once.
"""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from docker.errors import APIError

from dynoform.cli.engine import Engine, is_of_apps
from dynoform.cli.stack import Stack

MARK = "settled"
HOST_PLAYBOOK = "playbooks/host.yml"
TRUST_SECONDS = 24 * 3600
NETWORKS = ("dynos", "platform")


def mark(stack: Stack, engine: Engine | None) -> None:
    """Notes that what is declared is there now, and in which version the engine has each service."""
    (stack.directory / MARK).write_text(json.dumps(_versions(engine) if engine else {}), encoding="utf-8")


def unmark(stack: Stack) -> None:
    """Notes that a change is under way: if it is cut short, nothing is certain."""
    (stack.directory / MARK).unlink(missing_ok=True)


def reason(stack: Stack, engine: Engine | None) -> str | None:
    """Why every resource has to be looked at; None when there is no sign of drift."""
    try:
        settled = (stack.directory / MARK).stat().st_mtime
    except FileNotFoundError:
        return "no finished up is known"
    if not settled > time.time() - TRUST_SECONDS:
        return "the last run was long ago"
    if engine is None:
        return "the Docker engine does not answer"
    if not engine.remote and settled < _booted():
        return "the host was started again"
    try:
        return _missing(stack, engine) or _changed(stack, engine)
    except APIError as error:
        return f"the Docker engine cannot tell what it has: {error.explanation}"


def hosts(stack: Stack) -> list[str]:
    """URNs of the playbooks that bring the engine, in the stack's state."""
    resources = stack.deployment().get("resources") or []
    return [one["urn"] for one in resources if (one.get("inputs") or {}).get("playbook") == HOST_PLAYBOOK]


def _booted() -> float:
    for line in Path("/proc/stat").read_text(encoding="utf-8").splitlines():
        if line.startswith("btime "):
            return float(line.split()[1])
    return 0.0


def _missing(stack: Stack, engine: Engine) -> str | None:
    there = engine.everything()
    for resource in stack.deployment().get("resources") or []:
        kind, identifier = resource["type"].rpartition(":")[2], known_id(resource)
        if kind in there and identifier not in there[kind]:
            return f"{resource['urn'].rpartition('::')[2]} is gone"
    for noun in NETWORKS:
        if f"{stack.name}_{noun}" not in there["Network"]:
            return f"network {stack.name}_{noun} is gone"
    return None


def known_id(resource: Mapping[str, Any]) -> str:
    """The engine's id of a resource in the state. An image's has its name appended by the provider."""
    identifier = str(resource.get("id", ""))
    if resource["type"].endswith(":RemoteImage"):
        return identifier[: len("sha256:") + 64]
    return identifier


def _versions(engine: Engine) -> dict[str, int]:
    """Name → version of each service of the platform; dynos come and go without Pulumi."""
    services = [one for one in engine.services() if not is_of_apps(one)]
    return {one["Spec"]["Name"]: one["Version"]["Index"] for one in services}


def _changed(stack: Stack, engine: Engine) -> str | None:
    settled = json.loads((stack.directory / MARK).read_text(encoding="utf-8") or "{}")
    found = (name for name, version in sorted(_versions(engine).items()) if settled.get(name) != version)
    return next((f"{name} was changed" for name in found), None)
