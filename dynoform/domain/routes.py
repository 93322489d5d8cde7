"""Which host name goes to which dynos: from apps and web dynos to what every router has to serve."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from uuid import UUID

from dynoform.domain import dyno_names

WEB = "web"
API = "api"
PRESENCE = "router/"
"""Router agents hold leases of this prefix; the holder is the moment (ISO 8601) whose routes are in force there."""


def backend(app_id: UUID) -> str:
    """The name in HAProxy of the app's dynos together."""
    return f"app_{app_id}"


@dataclass(frozen=True)
class RoutedApp:
    """What routing has to know of an app."""

    id: UUID
    name: str
    maintenance: bool = False


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

    def backends(self) -> dict[str, str]:
        """App id → backend, for the apps that have a host."""
        return dict(value.split("|") for _, value in self.hosts)


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
    for app in apps:
        pool = Pool(app.id, tuple(sorted(_servers(by_app[app.id]))))
        if pool.servers and not app.maintenance:
            pools.append(pool)
        values[app.id] = f"{app.id}|{_backend(app, pool, by_app[app.id])}"
        hosts.setdefault(f"{app.name}.{domain}", values[app.id])
    for custom in domains:
        if custom.app_id in values:
            hosts.setdefault(custom.hostname.removeprefix("*"), values[custom.app_id])
    return Routes(tuple(sorted(hosts.items())), tuple(sorted(pools)))


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
