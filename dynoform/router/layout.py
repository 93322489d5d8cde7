"""What a router is to have: its files as text, kept so that a change costs what changes, whatever else there is."""

import hashlib
import re
from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from dynoform.domain import routes
from dynoform.domain.routes import AppRoute, Server
from dynoform.router import rendering
from dynoform.router.rendering import GENERATION_KEY

_BACKEND = re.compile(rf"^backend ({routes.STICKY}\S+)", re.MULTILINE)
_BITS = 1 << 128
API = ""
"""Stands for the app of the API's hosts."""


@dataclass(frozen=True)
class Entry:
    """What one app has in map and configuration."""

    hosts: Mapping[str, str]
    """Its host names, and what else it has in the map; what another entry leads to comes before that one."""
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

    def __init__(self, configuration: str | None = None) -> None:
        """With the apps' backends that this file has, so that what the running HAProxy has is gone on with."""
        self.entries: dict[str, Entry] = {}
        self.backends: tuple[str, ...] = ()
        self._lines: dict[str, str] = {}
        self._order: list[str] = []
        self._sections: dict[str, str] = {}
        self._hosts = ""
        self._sum = 0
        self._arrange(_BACKEND.findall(configuration or ""))

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

    def put(self, wanted: Mapping[UUID, AppRoute | None], api: Iterable[str]) -> Mapping[str, Entry | None]:
        """Have these apps' routes; None takes an app away. Returns the entries that this changed, as they were."""
        before: dict[str, Entry | None] = {}
        self._set(API, Entry(dict.fromkeys(sorted(api), f"-|{routes.API}")), before)
        for app_id, route in wanted.items():
            self._set(str(app_id), _entry(route) if route else None, before)
        return before

    def needs_backends(self, wanted: Iterable[AppRoute]) -> bool:
        """Whether one of these apps needs a backend of its own that is not there. A running HAProxy takes none."""
        return any(route.is_own and route.backend not in self._sections for route in wanted)

    def rearrange(self, wanted: Iterable[AppRoute]) -> None:
        """Give each of these apps, which are all, that needs a backend one of its name, and have no others."""
        self._arrange(sorted(route.backend for route in wanted if route.is_own))

    def _arrange(self, backends: Iterable[str]) -> None:
        self.backends = tuple(backends)
        self._sections = {name: rendering.head(name) for name in self.backends}
        self._lines, self._order, self._hosts, self._sum, self.entries = {}, [], "", 0, {}

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
            return
        if old is None:
            insort(self._order, app)
        self._sum += entry.digest
        self.entries[app], self._lines[app] = entry, entry.lines
        if entry.backend:
            self._sections[entry.backend] = rendering.head(entry.backend) + rendering.servers([*entry.servers.values()])


def _entry(route: AppRoute) -> Entry:
    hosts = {**rendering.places(route), **dict.fromkeys(route.hosts, rendering.map_value(route)), **dict(route.pages)}
    if not route.is_own:
        return Entry(hosts)
    return Entry(hosts, route.backend, {server.name: server for server in route.servers})
