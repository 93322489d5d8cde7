"""What the certificate worker has around it: pebble as its authority, a router that answers challenges."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from dynoform.certificates.issuance import Issuance
from dynoform.certificates.worker import LEASE, Worker
from dynoform.configuration import Configuration
from dynoform.errors import ConflictError, UnavailableError
from dynoform.journal import Journal
from dynoform.router import rows
from dynoform.store.driver import SmallStore
from dynoform.store.leadership import Leadership
from dynoform.store.secrets import Vault
from dynoform.store.session import Store, now
from dynoform.store.tables import Domain
from tests.pebble import LOCAL, Pebble

KEY = "A" * 42 + "s="
WRONG = "wrong.example.com"
"""A host that somebody else answers for."""


def settings(configuration: Configuration, pebble: Pebble, folder: Path, **changes: object) -> Configuration:
    """A platform's, whose authority is pebble; its secrets are copied to ``folder``."""
    for file in configuration.secrets.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "acme_authorities").write_bytes(pebble.trusted.read_bytes())
    return replace(configuration, acme_directory=pebble.directory, secrets=folder, **changes)  # type: ignore[arg-type]


class Router:
    """Answers what the store says, tells that it does, and remembers the states that domains were in."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.seen: list[tuple[str, str | None]] = []
        self.answers: dict[str, str] = {}
        self._done = threading.Event()
        self.small_store = SmallStore(store.configuration, "router")

    def look(self) -> None:
        """Once."""
        with self.store.transaction() as session:
            moment = now(session)
            for name, status in session.query(Domain.hostname, Domain.acm_status):
                if (name, status) not in self.seen:
                    self.seen.append((name, status))
        with self.small_store.transaction() as connection:
            self.answers = rows.answers(connection)
            rows.announce(connection, "of the tests", moment)

    def work(self) -> None:
        """Until ``stop``; a store that is busy is looked at again, as a router does."""
        while not self._done.wait(0.02):
            with suppress(ConflictError, UnavailableError):
                self.look()

    def stop(self) -> None:
        """For good."""
        self._done.set()

    def handler(self) -> type[BaseHTTPRequestHandler]:
        """Answers by http."""
        router = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                host = (self.headers["Host"] or "").partition(":")[0]
                answer = None if host == WRONG else router.answers.get(self.path)
                self.send_response(200 if answer else 404)
                self.end_headers()
                self.wfile.write((answer or "somebody else's").encode())

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        return Handler


@contextmanager
def routed(store: Store, port: int) -> Iterator[Router]:
    """A router where pebble looks, for the length of the block."""
    router = Router(store)
    server = ThreadingHTTPServer((LOCAL, port), router.handler())
    threads = [threading.Thread(target=work, daemon=True) for work in (server.serve_forever, router.work)]
    for thread in threads:
        thread.start()
    try:
        yield router
    finally:
        router.stop()
        server.shutdown()
        server.server_close()
        for thread in threads:
            thread.join(60)
        router.small_store.close()


def make_worker(store: Store, journal: Journal, nowhere: tuple[str, ...] = ()) -> Worker:
    """A worker; the DNS that it asks knows all names but these."""
    vault = Vault(KEY)
    worker = Worker(store, vault, Leadership(store, LEASE, 45), journal)

    def resolve(name: str) -> set[str]:
        return set() if name in nowhere else {LOCAL}

    worker._issuance = Issuance(store, vault, resolve, lambda seconds: time.sleep(min(seconds, 0.05)))
    return worker


def work(worker: Worker, seconds: float = 180) -> None:
    """Let it do what is due, to its end."""
    ends = time.monotonic() + seconds
    worker.step()
    while not worker.is_idle():
        assert time.monotonic() < ends
        time.sleep(0.05)
        worker.step()
