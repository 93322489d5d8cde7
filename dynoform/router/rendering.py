"""HAProxy's configuration and its map of host names, as text: what is the same for all apps, and what is one app's."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from jinja2 import Environment, StrictUndefined, Template

from dynoform.domain import routes
from dynoform.domain.router_log import AGAIN
from dynoform.domain.routes import AppRoute, Server

MOUNT = Path("/var/lib/dynoform/router")
"""Where the router's container sees the directory that the agent writes to."""
SHARE = Path("/usr/local/share/dynoform")
"""Where the image has what the configuration names: pages, Lua."""
PAGES = (
    (routes.NO_DYNOS, "H14", 503, "application-error"),
    (routes.CRASHED, "H10", 503, "application-error"),
    (routes.MAINTENANCE, "H80", 503, "maintenance"),
    (routes.BLANK, "H81", 502, "blank"),
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
"""The digest of map and servers stands in the map under this name, which no host can have."""
SERVER = (
    "weight 8 check inter 1d fastinter 1s downinter 1s rise 1 fall 1 observe layer4 error-limit 1 on-error mark-down"
)
"""What a server of an app's own backend is beside its address, in the file and when it is added to a running HAProxy,
which knows no ``default-server``. ``random(1)`` draws on a hash ring: with weight 1, servers have few places on it and
get visibly uneven shares; each weight costs 1 KiB of each server. One that cannot be connected to gets nothing more
until it can be: it is asked once a second. Others are not asked."""

ATTEMPTS = 10
"""Dynos that are asked for one request at most, each of them once."""
QUARANTINE_SECONDS = 5
"""How long a dyno that could not be connected to is left alone."""
STEPS = 16
"""So many of an app's dynos are looked at, one after the other, for one that is not left alone, when two draws found
none; then the router agent looks for one."""
LATE_HOLD_SECONDS = 10
"""How long a request that has found its app's last dyno gone waits for one: it has begun to wait for an answer."""
IN_FLIGHT = 200
"""Requests at a time for each dyno that can be connected to; what comes above that is refused (H11)."""
KEEPS_FROM = 100
"""Requests a second to an app from which on connections to its dynos are kept for further ones."""
TLV = "0xE1"
"""What a router says to itself of a request beside PROXY protocol version 2; of the range for own uses."""
MARGIN_MS = 200
"""How much longer who waits for a request of his own has patience."""
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
class Base:
    """What is there whatever the apps are; ``generation`` tells it, with its backends, from any other."""

    generation: str
    configuration: str


@lru_cache(maxsize=4)
def base(
    backends: tuple[str, ...], *, api_certificate: bool, apps_certificate: bool, patience: Patience = HEROKU
) -> Base:
    """The part of the configuration before the apps' backends, of these names.

    ``api_certificate`` and ``apps_certificate`` are whether those names have one that is not the stack's own.
    """
    values = {
        "api": routes.API,
        "held": routes.HELD,
        "lone": routes.LONE,
        "answers_file": MOUNT / ANSWERS,
        "api_certificate": f" crt {MOUNT / API_CERTIFICATE}" if api_certificate else "",
        "apps_certificate": f" crt {MOUNT / APPS_CERTIFICATE}" if apps_certificate else "",
        "certificates": MOUNT / CERTIFICATES,
        "ciphers": ":".join(CIPHERS),
        "cipher_suites": ":".join(CIPHER_SUITES),
        "attempts": ATTEMPTS,
        "hosts_file": MOUNT / HOSTS,
        "html": "text/html; charset=utf-8",
        "in_flight": IN_FLIGHT,
        "keeps_from": KEEPS_FROM,
        "levels": LEVELS,
        "most_held": MOST_HELD,
        "pages": PAGES,
        "patience": patience,
        "sticky": routes.STICKY,
        "several": routes.SEVERAL,
        "place": f"var(txn.number),concat(/,txn.app),map_str({MOUNT / HOSTS})",
        "steps": STEPS,
        "late_hold": LATE_HOLD_SECONDS,
        "hold": routes.HOLD_SECONDS,
        "again": AGAIN,
        "again_socket": MOUNT / "again.sock",
        "tlv": TLV,
        "margin": MARGIN_MS,
        "quarantine": QUARANTINE_SECONDS,
        "share": SHARE,
        "own_certificate": OWN_CERTIFICATE,
    }
    template = _template("haproxy.cfg.j2")
    # The generation cannot be part of what it is the digest of.
    same = (template.render(generation="", **values), head(""), SERVER)
    generation = _digest("\n".join([*same, *backends]))
    return Base(generation, template.render(generation=generation, **values))


def head(backend: str) -> str:
    """The section of an app's backend, up to its servers."""
    return _template("backend.cfg.j2").render(backend=backend)


def servers(of: Sequence[Server]) -> str:
    """The servers of a backend."""
    return "".join(
        f"    server {server.name} {server.address}:{server.port} {SERVER} cookie {cookie(server)}\n" for server in of
    )


def cookie(server: Server) -> str:
    """What stands for the server in the cookie of a client that is to stay with it."""
    return server.name.partition(":")[2]


def map_value(route: AppRoute) -> str:
    """What the map has for each host name of an app: ``app|backend``, for a lone dyno where it is, for several how many
    they are."""
    more = [place(one) for one in route.servers] if route.backend == routes.LONE else []
    if route.backend == routes.SEVERAL:
        more = [str(len(route.servers))]
    return "|".join([str(route.app_id), route.backend, *more])


def places(route: AppRoute) -> dict[str, str]:
    """What the map has for the dynos of an app that has several: ``NUMBER/APP``, from 0, which no host can be."""
    if route.backend != routes.SEVERAL:
        return {}
    return {f"{number}/{route.app_id}": place(one) for number, one in enumerate(route.servers)}


def place(server: Server) -> str:
    """Where a dyno is, and which: ``172.29.0.1/20001/web.1``."""
    return f"{server.address}/{server.port}/{server.dyno}"


@cache
def _template(name: str) -> Template:
    # Not HTML: escaping would break the file. Every value comes from the store's own checked names, ids and addresses.
    environment = Environment(  # noqa: S701
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, undefined=StrictUndefined
    )
    return environment.from_string((Path(__file__).parent / name).read_text())


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
