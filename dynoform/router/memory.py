"""What the running HAProxy has in memory, and bringing it by its runtime API to what it is to have: no reload."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain

from dynoform.domain.routes import Server
from dynoform.router.haproxy import Master, Running
from dynoform.router.layout import Entry, Layout
from dynoform.router.rendering import GENERATION_KEY, HOSTS, MOUNT, SERVER, cookie

MAP = MOUNT / HOSTS
MOST_SERVERS = 1000
"""More of them are quicker read from the file."""
MOST_HOSTS = 1000
"""More of them are quicker exchanged all together."""


class TooMuchError(Exception):
    """A reload is quicker."""


class Memory:
    """The worker's map and servers, as they were seen, and as they were changed since."""

    def __init__(self, master: Master, hosts: Mapping[str, str], servers: Mapping[str, Mapping[str, Running]]) -> None:
        """``hosts`` and ``servers`` (backend → name → server) are what it has."""
        self._master = master
        self.hosts = {**hosts}
        self.servers = {backend: {**found} for backend, found in servers.items()}
        self._leaving = {
            (backend, name) for backend, found in servers.items() for name, one in found.items() if not one.serves
        }

    @classmethod
    def look(cls, master: Master) -> "Memory":
        """See what the worker has. Raises as ``Master`` does."""
        return cls(master, master.hosts(MAP), master.servers())

    @classmethod
    def loaded(cls, master: Master, layout: Layout) -> "Memory":
        """That of a worker which has just read the layout's files."""
        entries = layout.entries.values()
        hosts = dict(chain.from_iterable(entry.hosts.items() for entry in entries))
        servers = {
            entry.backend: {name: Running(one.address, one.port, True) for name, one in entry.servers.items()}
            for entry in entries
            if entry.backend
        }
        return cls(master, {**hosts, GENERATION_KEY: layout.digest}, servers)

    def become(self, layout: Layout, changed: Mapping[str, Entry | None] | None) -> list[str]:
        """Have what ``layout`` has; ``changed`` are the apps whose entries may differ, as they were, None for all.

        Returns what the worker had against it: with anything, this is not its memory any more. Raises
        ``TooMuchError`` before it did anything, and as ``Master`` does.
        """
        wanted = dict(self._backends(layout, changed))
        new = [(backend, one) for backend, servers in wanted.items() for one in self._missing(backend, servers)]
        gone = [(backend, name) for backend, servers in wanted.items() for name in self._serving(backend) - {*servers}]
        if len(new) + len(gone) > MOST_SERVERS:
            raise TooMuchError
        # A dyno is known before requests are sent to it, and they are sent elsewhere before it is taken out.
        refused = self._master.run(chain.from_iterable(self._add(backend, one) for backend, one in new))
        refused += self._exchange(layout, changed)
        refused += self._master.run(self._maintain(backend, name) for backend, name in gone)
        # It says that all is there, so it comes when all is.
        return refused or self._master.run([self._set(GENERATION_KEY, layout.digest)])

    def remove_unused(self) -> None:
        """Remove servers that get no requests any more and have answered all. Raises as ``Master`` does."""
        for backend, name in [*self._leaving]:
            if self._master.remove(backend, name):
                self._leaving.discard((backend, name))
                self.servers[backend].pop(name, None)

    def _backends(
        self, layout: Layout, changed: Mapping[str, Entry | None] | None
    ) -> Iterator[tuple[str, Mapping[str, Server]]]:
        """The backends that may differ, each with the servers that it is to have."""
        apps = layout.entries if changed is None else changed
        touched = layout.backends if changed is None else [old.backend for old in changed.values() if old]
        yield from ((backend, {}) for backend in touched if backend)
        entries = (layout.entries[app] for app in apps if app in layout.entries)
        yield from ((entry.backend, entry.servers) for entry in entries if entry.backend)

    def _missing(self, backend: str, wanted: Mapping[str, Server]) -> list[Server]:
        there = self.servers.get(backend, {})
        return [one for name, one in wanted.items() if there.get(name) != Running(one.address, one.port, True)]

    def _serving(self, backend: str) -> set[str]:
        return {name for name, one in self.servers.get(backend, {}).items() if one.serves}

    def _add(self, backend: str, server: Server) -> list[str]:
        there = self.servers.setdefault(backend, {})
        known, name, place = server.name in there, f"{backend}/{server.name}", (server.address, server.port)
        there[server.name] = Running(*place, True)
        self._leaving.discard((backend, server.name))
        if known:
            # It was on its way out, or elsewhere.
            return [f"set server {name} addr {place[0]} port {place[1]}", f"set server {name} state ready"]
        added = f"add server {name} {place[0]}:{place[1]} {SERVER} cookie {cookie(server)}"
        return [added, f"enable health {name}", f"set server {name} state ready"]

    def _maintain(self, backend: str, name: str) -> str:
        old = self.servers[backend][name]
        self.servers[backend][name] = Running(old.address, old.port, False)
        self._leaving.add((backend, name))
        return f"set server {backend}/{name} state maint"

    def _exchange(self, layout: Layout, changed: Mapping[str, Entry | None] | None) -> list[str]:
        """Bring the map up to date, but for its digest."""
        wanted: dict[str, str | None] = dict.fromkeys(self.hosts if changed is None else _names(changed.values()))
        for app in layout.entries if changed is None else changed:
            if app in layout.entries:
                wanted |= layout.entries[app].hosts
        wanted.pop(GENERATION_KEY, None)
        differing = {host: value for host, value in wanted.items() if self.hosts.get(host) != value}
        # What is led to is there before what leads to it, and goes after that.
        differing = dict(sorted(differing.items(), key=lambda item: (item[1] is None, item[0] in self.hosts)))
        if len(differing) > MOST_HOSTS:
            _, *lines = layout.hosts.splitlines()
            self._master.replace(MAP, lines)
            self.hosts = dict(line.split(" ", 1) for line in lines)
            return []
        return self._master.run(self._set(host, value) for host, value in differing.items())

    def _set(self, host: str, value: str | None) -> str:
        known = host in self.hosts
        if value is None:
            self.hosts.pop(host, None)
            return f"del map {MAP} {host}"
        self.hosts[host] = value
        return f"{'set' if known else 'add'} map {MAP} {host} {value}"


def _names(entries: Iterable[Entry | None]) -> Iterator[str]:
    return chain.from_iterable(entry.hosts for entry in entries if entry)
