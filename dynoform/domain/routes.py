"""Which host name goes to which dynos: from apps and web dynos to what every router has to serve."""

import html
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

from dynoform.domain import dyno_names

WEB = "web"
API = "api"
PRESENCE = "router/"
"""Router agents hold leases of this prefix; the holder is the moment (ISO 8601) whose routes are in force there."""


POOL = "app_"
"""Backends of dynos have names of this prefix."""


def backend(app_id: UUID) -> str:
    """The name in HAProxy of the app's dynos together."""
    return f"{POOL}{app_id}"


@dataclass(frozen=True)
class RoutedApp:
    """What routing has to know of an app."""

    id: UUID
    name: str
    maintenance: bool = False
    affinity: bool = False
    """Whether a client stays with the dyno that it had first (`http-session-affinity`)."""
    closes: bool = False
    """Whether each request has a connection of its own to the dyno (`http-disable-keepalive-to-dyno`)."""
    error_page: str = ""
    """URL of what is shown instead of the router's page; `page_url` has checked it."""
    maintenance_page: str = ""


@dataclass(frozen=True)
class CustomDomain:
    """A host name that a user brought: ``www.example.com``, or ``*.example.com`` for all below it."""

    hostname: str
    app_id: UUID


@dataclass(frozen=True)
class WebDyno:
    """What routing has to know of a web dyno; ``address`` is None while it takes no traffic."""

    id: UUID
    app_id: UUID
    number: int
    state: str
    address: str | None = None
    port: int | None = None


@dataclass(frozen=True, order=True)
class Server:
    """A dyno that takes traffic."""

    name: str
    """``web.1:0b7e2f0c``: the dyno's name for the log and the start of its id, as two releases may serve at once."""
    address: str
    port: int


@dataclass(frozen=True, order=True)
class Pool:
    """The dynos of one app."""

    app_id: UUID
    servers: tuple[Server, ...]
    affinity: bool = False
    closes: bool = False
    error_page: bool = False
    """As the app has them; whether there is an error page of its own."""

    @property
    def backend(self) -> str:
        """The pool's name in HAProxy."""
        return backend(self.app_id)


@dataclass(frozen=True)
class Routes:
    """Everything that a router has to serve; equal inputs in any order give equal routes."""

    hosts: tuple[tuple[str, str], ...]
    """Host name → ``app id|backend``, sorted; the API's hosts have ``-`` for the app.

    ``.example.com`` stands for all names below that have no entry of their own, and no nearer such one.
    """
    pools: tuple[Pool, ...]
    pages: tuple[tuple[str, str], ...] = ()
    """``/error/<app id>`` or ``/maintenance/<app id>`` → URL of the app's own page, sorted."""

    def backends(self) -> dict[str, str]:
        """App id → backend, for the apps that have a host."""
        return dict(value.split("|") for _, value in self.hosts)


ERROR_PAGE = "/error/"
MAINTENANCE_PAGE = "/maintenance/"
"""Keys in the routers' map that no host name can be, before an app's id: the URL of its own page."""
PAGE_VARS = {"ERROR_PAGE_URL": ERROR_PAGE, "MAINTENANCE_PAGE_URL": MAINTENANCE_PAGE}
"""The config vars that name such pages (https://devcenter.heroku.com/articles/error-pages)."""
_PAGE_URL = re.compile(r"https?://[A-Za-z0-9._~:/?#@!$()*+,;=%\[\]&-]{1,2000}")
NO_DYNOS = "no_dynos"
CRASHED = "crashed"
MAINTENANCE = "maintenance"
"""Backends that answer with an error page, whichever app it is."""
HELD = "held"
"""The backend where requests wait for a dyno that boots or wakes."""
HOLD_SECONDS = 75
"""How long at most (https://devcenter.heroku.com/articles/error-codes, H20)."""
_COMING = frozenset({"starting", "idle"})


def api_hosts(domain: str) -> tuple[str, ...]:
    """Host names of the Platform API, and of the container registry, which the API serves; for this domain."""
    local = ("localhost", "127.0.0.1", "api.localhost", "registry.localhost")
    if domain == "localhost":
        return local
    return (*local, f"api.localhost.{domain}", f"registry.localhost.{domain}", f"registry.{domain}")


def compute(
    apps: Iterable[RoutedApp], dynos: Iterable[WebDyno], domain: str, domains: Iterable[CustomDomain] = ()
) -> Routes:
    """The routes for these apps and dynos. A dyno takes traffic as long as it has an address, whatever its state:
    the reconciler takes the address away before it stops one.

    ``domain`` is the platform's own; ``domains`` never take a host name from it.
    """
    by_app: dict[UUID, list[WebDyno]] = defaultdict(list)
    for dyno in dynos:
        by_app[dyno.app_id].append(dyno)
    hosts = dict.fromkeys(api_hosts(domain), f"-|{API}")
    values: dict[UUID, str] = {}
    pools: list[Pool] = []
    pages: list[tuple[str, str]] = []
    for app in apps:
        servers = tuple(sorted(_servers(by_app[app.id])))
        pool = Pool(app.id, servers, app.affinity, app.closes, bool(app.error_page))
        pages += _pages(app)
        if pool.servers and not app.maintenance:
            pools.append(pool)
        values[app.id] = f"{app.id}|{_backend(app, pool, by_app[app.id])}"
        hosts.setdefault(f"{app.name}.{domain}", values[app.id])
    for custom in domains:
        if custom.app_id in values:
            hosts.setdefault(custom.hostname.removeprefix("*"), values[custom.app_id])
    return Routes(tuple(sorted(hosts.items())), tuple(sorted(pools)), tuple(sorted(pages)))


def page_urls(config: Mapping[str, str]) -> dict[str, str]:
    """The config vars among these that name a page of the app's own, and can be one.

    Anybody who sees the page sees the URL, so it is kept outside the encrypted config vars.
    """
    return {name: url for name in PAGE_VARS if _PAGE_URL.fullmatch(url := config.get(name, "").strip())}


def _pages(app: RoutedApp) -> Iterable[tuple[str, str]]:
    for key, url in ((ERROR_PAGE, app.error_page), (MAINTENANCE_PAGE, app.maintenance_page)):
        if url:
            # It stands in an attribute of the page.
            yield f"{key}{app.id}", html.escape(url)


def _servers(dynos: Iterable[WebDyno]) -> Iterable[Server]:
    for dyno in dynos:
        if dyno.address and dyno.port:
            yield Server(f"{dyno_names.name(WEB, dyno.number)}:{dyno.id.hex[:8]}", dyno.address, dyno.port)


def _backend(app: RoutedApp, pool: Pool, dynos: Collection[WebDyno]) -> str:
    if app.maintenance:
        return MAINTENANCE
    if pool.servers:
        return pool.backend
    if any(dyno.state in _COMING for dyno in dynos):
        return HELD
    return CRASHED if any(dyno.state == "crashed" for dyno in dynos) else NO_DYNOS
