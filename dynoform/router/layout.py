"""What a router is to have: its files as text, kept so that a change costs what changes, whatever else there is."""

import hashlib
import re
from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from dynoform.domain import routes
from dynoform.domain.routes import AppRoute, Server
from dynoform.router import rendering
from dynoform.router.rendering import GENERATION_KEY

SPARES = 32
"""Backends that no app has yet. A running HAProxy takes servers and names, not backends: the next reload makes more."""
_BACKEND = re.compile(r"^backend ((?:app|spare|sticky)_\S+)", re.MULTILINE)
_HOST = re.compile(r"^\S+ ([0-9a-f-]{36})\|(spare_\d+)$", re.MULTILINE)
_BITS = 1 << 128
API = ""
"""Stands for the app of the API's hosts."""


@dataclass(frozen=True)
class Entry:
    """What one app has in map and configuration."""

    hosts: Mapping[str, str]
    backend: str = ""
    """The app's own; empty for none."""
    servers: Mapping[str, Server] = field(default_factory=dict)

    @property
    def lines(self) -> str:
        """Its lines of the map."""
        return "".join(f"{host} {value}\n" for host, value in self.hosts.items())

    @property
    def digest(self) -> int:
        """A number that other content has not; those of all apps are added up."""
        text = "\n".join([self.lines, self.backend, rendering.servers([*self.servers.values()])])
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest())


class Layout:
    """Entries of all apps, with the texts made of them."""

    def __init__(self, configuration: str | None = None, hosts: str | None = None) -> None:
        """With the backends that these files have, and the spare ones among them that are taken; so what the running
        HAProxy has is gone on with."""
        self.entries: dict[str, Entry] = {}
        self.backends: tuple[str, ...] = tuple(_BACKEND.findall(configuration or ""))
        self._taken: dict[str, str] = dict(_HOST.findall(hosts or ""))
        self._lines: dict[str, str] = {}
        self._order: list[str] = []
        self._sections: dict[str, str] = {}
        self._hosts = ""
        self._sum = 0
        self._free: list[str] = []
        self._arrange(self.backends)

    @property
    def digest(self) -> str:
        """Tells map and servers from any other: every router that serves the same has the same."""
        return f"{self._sum % _BITS:032x}"

    @property
    def hosts(self) -> str:
        """The map of host names."""
        if not self._hosts:
            self._hosts = f"{GENERATION_KEY} {self.digest}\n" + "".join([self._lines[app] for app in self._order])
        return self._hosts

    @property
    def sections(self) -> str:
        """The backends with their servers."""
        return "".join([self._sections[name] for name in self.backends])

    def backend(self, app_id: UUID) -> str | None:
        """The backend that the app has for itself, if it has one."""
        return self._taken.get(str(app_id))

    def put(self, wanted: Mapping[UUID, AppRoute | None], api: Iterable[str]) -> Mapping[str, Entry | None]:
        """Have these apps' routes; None takes an app away. Returns the entries that this changed, as they were.

        When an app needs a backend and none is left, all backends are arranged anew, which takes a reload.
        """
        before: dict[str, Entry | None] = {}
        self._set(API, Entry(dict.fromkeys(sorted(api), f"-|{routes.API}")), before)
        for app_id, route in wanted.items():
            self._set(str(app_id), self._entry(route) if route else None, before)
        return before

    def needs_backends(self, wanted: Iterable[AppRoute]) -> bool:
        """Whether these apps need more backends than there are."""
        needing = [route for route in wanted if route.is_own and not self._has(route)]
        return len(needing) > len(self._free) or any(
            route.is_sticky or self._taken.get(str(route.app_id)) for route in needing
        )

    def _has(self, route: AppRoute) -> bool:
        """Whether the app has a backend of the right kind: in spare ones no client stays with a dyno."""
        name = self._taken.get(str(route.app_id), "")
        return bool(name) and name.startswith(routes.STICKY) is route.is_sticky

    def rearrange(self, wanted: Iterable[AppRoute]) -> None:
        """Give each of these apps, which are all, that needs a backend one of its name; and have spare ones."""
        named = sorted(route.backend for route in wanted if route.is_own)
        self._taken = {}
        self._arrange([*named, *(f"{routes.SPARE}{number}" for number in range(SPARES))])

    def _arrange(self, backends: Sequence[str]) -> None:
        self.backends = tuple(backends)
        own = {name.partition("_")[2]: name for name in backends if not name.startswith(routes.SPARE)}
        self._taken = {app: name for app, name in self._taken.items() if name in backends} | own
        taken = set(self._taken.values())
        self._free = [name for name in reversed(backends) if name not in taken]
        self._sections = {name: rendering.head(name) for name in backends}
        self._lines, self._order, self._hosts, self._sum, self.entries = {}, [], "", 0, {}

    def _entry(self, route: AppRoute) -> Entry:
        backend, servers = route.backend, dict[str, Server]()
        if route.is_own:
            backend = self.backend(route.app_id) or self._take(str(route.app_id))
            servers = {server.name: server for server in route.servers}
        value = rendering.map_value(route, backend)
        return Entry({**dict.fromkeys(route.hosts, value), **dict(route.pages)}, backend if servers else "", servers)

    def _take(self, app: str) -> str:
        self._taken[app] = self._free.pop()
        return self._taken[app]

    def _set(self, app: str, entry: Entry | None, before: dict[str, Entry | None]) -> None:
        old = self.entries.get(app)
        if old == entry:
            return
        before[app] = old
        self._hosts = ""
        if old is not None:
            self._sum -= old.digest
            if old.backend:
                self._sections[old.backend] = rendering.head(old.backend)
        if entry is None:
            del self.entries[app], self._lines[app], self._order[bisect_left(self._order, app)]
            self._give_back(app)
            return
        if old is None:
            insort(self._order, app)
        self._sum += entry.digest
        self.entries[app], self._lines[app] = entry, entry.lines
        if entry.backend:
            self._sections[entry.backend] = rendering.head(entry.backend) + rendering.servers([*entry.servers.values()])

    def _give_back(self, app: str) -> None:
        """A spare backend is free again; one of the app's name stays until backends are arranged anew."""
        name = self._taken.get(app, "")
        if name.startswith(routes.SPARE):
            del self._taken[app]
            self._free.append(name)
