"""Removes what a stack left in the Docker engine. Only what carries the stack's own label is touched."""

import time
from collections.abc import Callable, Collection, Iterator
from typing import Any

from docker.errors import APIError, NotFound

from dynoform.cli.engine import ADDON, Engine, is_of_apps

SERVICE = "com.docker.swarm.service.id"
"""Swarm's label of a task's container."""
ATTEMPTS = 20
PAUSE_SECONDS = 0.5


def running(engine: Engine) -> Iterator[str]:
    """Removes the stack's services and containers; yields a line for each."""
    # The platform first, to its last container: its reconciler would bring the dynos back.
    yield from _services(engine, with_dynos=False)
    yield from _services(engine, with_dynos=True)


def strangers(engine: Engine, known: Collection[str]) -> list[str]:
    """Names of the platform's services that are none of those whose ids are `known`."""
    own = [service for service in engine.services() if not is_of_apps(service)]
    return sorted(service["Spec"]["Name"] for service in own if service["ID"] not in known)


def end(engine: Engine, names: Collection[str]) -> Iterator[str]:
    """Removes services of these names, to their last container; yields a line for each."""
    api = engine.client.api
    ids = {service["ID"] for service in engine.services() if service["Spec"]["Name"] in names}
    containers = [one for one in engine.containers() if (one.get("Labels") or {}).get(SERVICE) in ids]
    for name in names:
        yield from _removed("service", name, lambda name: api.remove_service(name))
    yield from _containers(engine, containers)


def kept(engine: Engine, *, with_data: bool = True) -> Iterator[str]:
    """Removes the stack's secrets, configs, volumes and networks; yields a line for each.

    Without `with_data` volumes stay, and what add-ons have. Volumes and networks are in use for a moment after their
    last container has gone: they are tried again.
    """
    api = engine.client.api
    filters = engine.filters()
    for secret in _swarm(lambda: api.secrets(filters)):
        if not with_data and ADDON in (secret["Spec"].get("Labels") or {}):
            continue
        yield from _removed("secret", secret["Spec"]["Name"], lambda name: api.remove_secret(name))
    for config in _swarm(lambda: api.configs(filters)):
        yield from _removed("config", config["Spec"]["Name"], lambda name: api.remove_config(name))
    for volume in (api.volumes(filters=filters).get("Volumes") or []) if with_data else []:
        yield from _removed("volume", volume["Name"], lambda name: api.remove_volume(name, force=True))
    for network in api.networks(filters=filters):
        yield from _removed("network", network["Name"], lambda name: api.remove_network(name))


def _services(engine: Engine, *, with_dynos: bool) -> Iterator[str]:
    api, containers = engine.client.api, engine.containers()
    for service in engine.services():
        if with_dynos or not is_of_apps(service):
            yield from _removed("service", service["Spec"]["Name"], lambda name: api.remove_service(name))
    yield from _containers(engine, containers)


def _containers(engine: Engine, containers: Collection[dict[str, Any]]) -> Iterator[str]:
    api = engine.client.api
    for container in containers:
        yield from _removed(
            "container", container["Id"][:12], lambda name: api.remove_container(name, force=True, v=True)
        )


def _swarm(ask: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    try:
        return ask()
    except APIError:
        return []  # not a swarm: then it has none


def _removed(kind: str, name: str, remove: Callable[[str], object]) -> Iterator[str]:
    for attempt in range(ATTEMPTS):
        try:
            remove(name)
        except NotFound:
            return
        except APIError:
            if attempt == ATTEMPTS - 1:
                raise
            time.sleep(PAUSE_SECONDS)
        else:
            yield f"{kind} {name} removed"
            return
