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
SHARE = Path("/usr/local/share/dynoform")
"""Where the image has what the configuration names: pages, Lua."""
PAGES = (
    (routes.NO_DYNOS, "H14", "application-error", routes.ERROR_PAGE),
    (routes.CRASHED, "H10", "application-error", routes.ERROR_PAGE),
    (routes.MAINTENANCE, "H80", "maintenance", routes.MAINTENANCE_PAGE),
)
"""Backend, code, page, and the key in the map of the page that the app has instead."""
HOSTS = "hosts.map"
API_CERTIFICATE = "api.pem"
GENERATION_KEY = "/generation"
"""The map's own digest stands in it under this name, which no host can have."""
WEIGHT = " weight 64"
"""``random(1)`` draws on a hash ring: with weight 1, servers have few places on it and get visibly uneven shares."""

ATTEMPTS = 10
"""Dynos that are asked for one request at most, each of them once."""
IN_FLIGHT = 200
"""Requests at a time for each dyno that can be connected to; what comes above that is refused (H11)."""
KEEPS_FROM = 100
"""Requests a second to an app from which on connections to its dynos are kept for further ones."""
MOST_HELD = 5_000
"""Requests of all apps that wait at a time: a quarter of the router's connections."""

LEVELS = 4
"""Labels that are taken off a host name, one after the other, to look for a wildcard that covers it."""


@dataclass(frozen=True)
class Patience:
    """How long the router waits for whom, in seconds (https://devcenter.heroku.com/articles/http-routing#timeouts)."""

    connect: int = 5
    connect_one_of_several: int = 1
    """Heroku's is 5 as well; here a host that is lost costs a second and no more."""
    head: int = 30
    """For all of a request's head."""
    first_byte: int = 30
    """For a dyno's answer to begin, once it has the whole request."""
    idle: int = 55
    """Without a byte either way, from then on; also for a client that sends a body."""


HEROKU = Patience()


@dataclass(frozen=True)
class Rendered:
    """Files that belong together. ``generation`` tells the configuration from any other, ``hosts_generation`` the
    map: most changes are of the map alone, and the running HAProxy takes them without a reload."""

    generation: str
    configuration: str
    hosts_generation: str
    hosts: str
    certificate: str | None = None


def render(wanted: Routes, certificate: str | None = None, patience: Patience = HEROKU) -> Rendered:
    """The files for these routes; the same routes give the same bytes.

    ``certificate`` is the PEM of the API's names, with its key, when it is not the stack's own.
    """
    hosts = "".join(f"{host} {value}\n" for host, value in (*wanted.hosts, *wanted.pages))
    hosts_generation = _digest(hosts)
    values = {
        "api": routes.API,
        "held": routes.HELD,
        "api_certificate": f" crt {MOUNT / API_CERTIFICATE}" if certificate else "",
        "hosts_file": MOUNT / HOSTS,
        "attempts": ATTEMPTS,
        "error_page": routes.ERROR_PAGE,
        "html": "text/html; charset=utf-8",
        "in_flight": IN_FLIGHT,
        "keeps_from": KEEPS_FROM,
        "levels": LEVELS,
        "maintenance_page": routes.MAINTENANCE_PAGE,
        "most_held": MOST_HELD,
        "pages": PAGES,
        "patience": patience,
        "pool_prefix": routes.POOL,
        "pools": wanted.pools,
        "share": SHARE,
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
