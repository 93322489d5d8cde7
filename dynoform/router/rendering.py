"""HAProxy's configuration and its map of host names, as text: what is the same for all apps, and what is one app's."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from jinja2 import Environment, StrictUndefined, Template

from dynoform.domain import routes
from dynoform.domain.routes import AppRoute, Server

MOUNT = Path("/var/lib/dynoform/router")
"""Where the router's container sees the directory that the agent writes to."""
PAGES = (
    (routes.NO_DYNOS, "H14", "application-error"),
    (routes.CRASHED, "H10", "application-error"),
    (routes.MAINTENANCE, "H80", "maintenance"),
)
HOSTS = "hosts.map"
API_CERTIFICATE = "api.pem"
GENERATION_KEY = "/generation"
"""The digest of map and servers stands in the map under this name, which no host can have."""
SERVER = "weight 8"
"""What a server is beside its address, in the file and when it is added to a running HAProxy, which knows no
``default-server``. ``random(1)`` draws on a hash ring: with weight 1, servers have few places on it and get visibly
uneven shares; each weight costs 1 KiB of each server."""

RETRIES = 10
"""Further dynos that are asked when one does not take a request."""

LEVELS = 4
"""Labels that are taken off a host name, one after the other, to look for a wildcard that covers it."""


@dataclass(frozen=True)
class Base:
    """What is there whatever the apps are; ``generation`` tells it, with its backends, from any other."""

    generation: str
    configuration: str


@lru_cache(maxsize=4)
def base(backends: tuple[str, ...], *, own_certificate: bool) -> Base:
    """The part of the configuration before the apps' backends, of these names.

    ``own_certificate`` is whether the API's names have a certificate that is not the stack's own.
    """
    values = {
        "api": routes.API,
        "held": routes.HELD,
        "lone": routes.LONE,
        "api_certificate": f" crt {MOUNT / API_CERTIFICATE}" if own_certificate else "",
        "hosts_file": MOUNT / HOSTS,
        "levels": LEVELS,
        "pages": PAGES,
    }
    template = _template("haproxy.cfg.j2")
    # The generation cannot be part of what it is the digest of.
    same = (template.render(generation="", **values), head(""), SERVER)
    generation = _digest("\n".join([*same, *backends]))
    return Base(generation, template.render(generation=generation, **values))


def head(backend: str) -> str:
    """The section of an app's backend, up to its servers."""
    return _template("backend.cfg.j2").render(backend=backend, retries=RETRIES)


def servers(of: Sequence[Server]) -> str:
    """The servers of a backend."""
    return "".join(f"    server {server.name} {server.address}:{server.port} {SERVER}\n" for server in of)


def map_value(route: AppRoute, backend: str) -> str:
    """What the map has for each host name of an app: ``app|backend``, and for a lone dyno where it is."""
    lone = route.servers if route.backend == routes.LONE else ()
    return "|".join([str(route.app_id), backend, *(f"{one.address}/{one.port}/{one.dyno}" for one in lone)])


@cache
def _template(name: str) -> Template:
    # Not HTML: escaping would break the file. Every value comes from the store's own checked names, ids and addresses.
    environment = Environment(  # noqa: S701
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, undefined=StrictUndefined
    )
    return environment.from_string((Path(__file__).parent / name).read_text())


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
