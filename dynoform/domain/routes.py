"""Which host name goes to which dynos: from apps and web dynos to what every router has to serve."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from dynoform.domain import dyno_names

WEB = "web"
API = "api"
PRESENCE = "router/"
"""Router agents hold leases of this prefix; the holder is the moment (ISO 8601) whose routes are in force there."""


STICKY = "sticky_"
"""Backends of one app's dynos, where clients stay with one of them, have names of this prefix."""


def sticky(app_id: UUID) -> str:
    """The name in HAProxy of the backend that an app has for itself when its clients stay with their dynos."""
    return f"{STICKY}{app_id}"


@dataclass(frozen=True)
class RoutedApp:
    """What routing has to know of an app."""

    id: UUID
    name: str
    maintenance: bool = False
    affinity: bool = False
    """Whether a client stays with the dyno that it had first (`http-session-affinity`)."""
    pages: tuple[tuple[str, str], ...] = ()
    """As `page_urls` has them, as items."""
    blank: bool = False
    """Whether nothing was ever deployed to it."""


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

    @property
    def dyno(self) -> str:
        """The dyno's name alone: ``web.1``."""
        return self.name.partition(":")[0]


@dataclass(frozen=True)
class AppRoute:
    """All that routers serve for one app."""

    app_id: UUID
    backend: str
    """One that is shared by apps of one dyno or of several, the app's own, or one that answers with a page or waits."""
    hosts: tuple[str, ...]
    """``.example.com`` stands for all names below that have no entry of their own, and no nearer such one."""
    servers: tuple[Server, ...] = ()
    pages: tuple[tuple[str, str], ...] = ()
    """``/error/<app id>`` or ``/maintenance/<app id>`` → URL of the app's own page, sorted."""

    @property
    def is_own(self) -> bool:
        """Whether the backend is the app's alone: where clients stay with a dyno."""
        return self.backend.startswith(STICKY)


@dataclass(frozen=True)
class Routes:
    """Everything that a router has to serve; equal inputs in any order give equal routes."""

    api: tuple[str, ...]
    """The host names of the API."""
    apps: Mapping[UUID, AppRoute]

    def changed(self, news: Mapping[UUID, AppRoute | None]) -> "Routes":
        """These with some apps' routes exchanged; None takes an app away."""
        if not news:
            return self
        apps = {**self.apps, **{app: route for app, route in news.items() if route is not None}}
        for gone in (app for app, route in news.items() if route is None):
            apps.pop(gone, None)
        return Routes(self.api, apps)


PAGE_VARS = {"ERROR_PAGE_URL": "/error/", "MAINTENANCE_PAGE_URL": "/maintenance/"}
"""Config vars that name pages (https://devcenter.heroku.com/articles/error-pages); keys in the routers' map, which no
host name can be, before the app's id."""
# Nothing that would need escaping in an attribute of a page, in HAProxy's map or on its command line.
_PAGE_URL = re.compile(r"(?:https?:)?//[A-Za-z0-9._~:/?#@!$()*+,=%&-]{1,2000}")
NO_DYNOS = "no_dynos"
CRASHED = "crashed"
MAINTENANCE = "maintenance"
BLANK = "blank"
"""Backends that answer with an error page, whichever app it is."""
LONE = "lone"
"""The backend of all apps with one dyno each: the map of host names says where that is."""
SEVERAL = "several"
"""The backend of all apps with more: the map says how many, and under a key for each where it is."""
HELD = "held"
"""The backend where requests wait for a dyno that boots or wakes."""
HOLD_SECONDS = 75
"""How long at most (https://devcenter.heroku.com/articles/error-codes, H20)."""
MOST_LONE = 2
"""A dyno and its successor."""
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

    ``domain`` is the platform's own; ``domains`` never take a host name from it. Each app's route depends on what is
    its own alone, so the routes of some apps can be computed without the others.
    """
    by_app: dict[UUID, list[WebDyno]] = defaultdict(list)
    for dyno in dynos:
        by_app[dyno.app_id].append(dyno)
    names: dict[UUID, list[str]] = defaultdict(list)
    for custom in domains:
        names[custom.app_id].append(custom.hostname)
    api = api_hosts(domain)
    found = ((app, _hosts(app, names[app.id], api, domain)) for app in apps)
    return Routes(tuple(sorted(api)), {app.id: _route(app, hosts, by_app[app.id]) for app, hosts in found})


def page_urls(config: Mapping[str, str]) -> dict[str, str]:
    """The config vars among these that name a page of the app's own, and can be one.

    Anybody who sees the page sees the URL, so it is kept outside the encrypted config vars.
    """
    return {name: url for name in PAGE_VARS if _PAGE_URL.fullmatch(url := config.get(name, "").strip())}


def _hosts(app: RoutedApp, custom: Iterable[str], api: Collection[str], domain: str) -> tuple[str, ...]:
    own = f"{app.name}.{domain}"
    others = {name.removeprefix("*") for name in custom if not name.endswith(f".{domain}")}
    return tuple(sorted((others | {own}).difference(api)))


def _route(app: RoutedApp, hosts: tuple[str, ...], dynos: Collection[WebDyno]) -> AppRoute:
    servers = () if app.maintenance else tuple(sorted(_servers(dynos)))
    pages = tuple(sorted((f"{PAGE_VARS[name]}{app.id}", url) for name, url in app.pages))
    return AppRoute(app.id, _backend(app, servers, dynos), hosts, servers, pages)


def _servers(dynos: Iterable[WebDyno]) -> Iterable[Server]:
    for dyno in dynos:
        if dyno.address and dyno.port:
            yield Server(f"{dyno_names.name(WEB, dyno.number)}:{dyno.id.hex[:8]}", dyno.address, dyno.port)


def _backend(app: RoutedApp, servers: Sequence[Server], dynos: Collection[WebDyno]) -> str:
    if app.maintenance:
        return MAINTENANCE
    if servers:
        return LONE if _is_lone(servers) else sticky(app.id) if app.affinity else SEVERAL
    if any(dyno.state in _COMING for dyno in dynos):
        return HELD
    if any(dyno.state == "crashed" for dyno in dynos):
        return CRASHED
    return BLANK if app.blank else NO_DYNOS


def _is_lone(servers: Sequence[Server]) -> bool:
    """Whether it is one dyno, alone or beside its successor: there is no other to ask when it does not answer."""
    return len(servers) <= MOST_LONE and len({server.dyno for server in servers}) == 1
