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
OWN_CERTIFICATE = "/run/secrets/router.pem"
"""The stack's own, also for clients that ask for no name or one without a certificate."""
API_CERTIFICATE = "api.pem"
APPS_CERTIFICATE = "apps.pem"
"""For all names of apps below the platform's domain. In front of the stack's own for the same: the first one counts."""
CERTIFICATES = "certificates.list"
"""Those of apps' domains, as HAProxy's crt-list, with the default (``*``) first."""
ANSWERS = "answers.map"
"""Path of a challenge → what HAProxy answers; app id → its Strict-Transport-Security."""
CIPHERS = (
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
)
"""Of TLS 1.2: forward secret and authenticated, all of them (https://wiki.mozilla.org/Security/Server_Side_TLS)."""
CIPHER_SUITES = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
"""Of TLS 1.3."""
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


def render(wanted: Routes, certificate: str | None = None, *, apps_certificate: bool = False) -> Rendered:
    """The files for these routes; the same routes give the same bytes.

    ``certificate`` is the PEM of the API's names, with its key, when it is not the stack's own; ``apps_certificate``
    whether there is a file for apps' names, too.
    """
    hosts = "".join(f"{host} {value}\n" for host, value in wanted.hosts)
    hosts_generation = _digest(hosts)
    values = {
        "api": routes.API,
        "held": routes.HELD,
        "answers_file": MOUNT / ANSWERS,
        "api_certificate": f" crt {MOUNT / API_CERTIFICATE}" if certificate else "",
        "apps_certificate": f" crt {MOUNT / APPS_CERTIFICATE}" if apps_certificate else "",
        "certificates": MOUNT / CERTIFICATES,
        "ciphers": ":".join(CIPHERS),
        "cipher_suites": ":".join(CIPHER_SUITES),
        "hosts_file": MOUNT / HOSTS,
        "levels": LEVELS,
        "pages": PAGES,
        "pools": wanted.pools,
        "own_certificate": OWN_CERTIFICATE,
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
