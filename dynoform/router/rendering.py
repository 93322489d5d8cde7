"""HAProxy's configuration and its map of host names, as text."""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, StrictUndefined, Template

from dynoform.domain import routes
from dynoform.domain.routes import Routes

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
"""The map's own digest stands in it under this name, which no host can have."""
WEIGHT = " weight 64"
"""``random(1)`` draws on a hash ring: with weight 1, servers have few places on it and get visibly uneven shares."""

RETRIES = 10
"""Further dynos that are asked when one does not take a request; a lone dyno is asked once more, after a second."""

LEVELS = 4
"""Labels that are taken off a host name, one after the other, to look for a wildcard that covers it."""


@dataclass(frozen=True)
class Rendered:
    """Files that belong together. ``generation`` tells the configuration from any other, ``hosts_generation`` the
    map: most changes are of the map alone, and the running HAProxy takes them without a reload."""

    generation: str
    configuration: str
    hosts_generation: str
    hosts: str
    certificate: str | None = None


def render(wanted: Routes, certificate: str | None = None) -> Rendered:
    """The files for these routes; the same routes give the same bytes.

    ``certificate`` is the PEM of the API's names, with its key, when it is not the stack's own.
    """
    hosts = "".join(f"{host} {value}\n" for host, value in wanted.hosts)
    hosts_generation = _digest(hosts)
    values = {
        "api": routes.API,
        "held": routes.HELD,
        "api_certificate": f" crt {MOUNT / API_CERTIFICATE}" if certificate else "",
        "hosts_file": MOUNT / HOSTS,
        "levels": LEVELS,
        "pages": PAGES,
        "pools": wanted.pools,
        "retries": RETRIES,
        "weight": WEIGHT,
    }
    # The generation cannot be part of what it is the digest of.
    generation = _digest(_template().render(generation="", **values))
    configuration = _template().render(generation=generation, **values)
    hosts = f"{GENERATION_KEY} {hosts_generation}\n{hosts}"
    return Rendered(generation, configuration, hosts_generation, hosts, certificate)


@cache
def _template() -> Template:
    # Not HTML: escaping would break the file. Every value comes from the store's own checked names, ids and addresses.
    environment = Environment(  # noqa: S701
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, undefined=StrictUndefined
    )
    return environment.from_string((Path(__file__).parent / "haproxy.cfg.j2").read_text())


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
