"""Rows written to a database all the time, and which of those that it acknowledged are there afterwards."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import psycopg
from psycopg.errors import ReadOnlySqlTransaction

CONNECT_SECONDS = 3
PAUSE = 0.02
"""Between two rows, in seconds."""


@dataclass
class Writes:
    """One client that writes row after row, each again until it is acknowledged, as an app that means it does.

    Parameters:
        address: where the database is: ``host=… port=… …``, as libpq has it.
    """

    address: str
    acknowledged: int = 0
    """So many rows, numbered from 1, are."""
    slowest: float = 0.0
    """How long the longest had to be tried, in seconds."""
    _stop: threading.Event = field(default_factory=threading.Event)

    def work(self) -> None:
        """Writes until told to stop."""
        began = time.monotonic()
        while not self._stop.is_set():
            # Whatever ends it, the next connection goes on with the row that nobody has acknowledged.
            with suppress(psycopg.OperationalError, ReadOnlySqlTransaction), self._connected() as database:
                while not self._stop.is_set():
                    number = self.acknowledged + 1
                    database.execute("INSERT INTO written VALUES (%s) ON CONFLICT DO NOTHING", [number])
                    self.acknowledged = number
                    self.slowest = max(self.slowest, time.monotonic() - began)
                    self._stop.wait(PAUSE)
                    began = time.monotonic()
            self._stop.wait(PAUSE)

    def stop(self) -> None:
        """No row more."""
        self._stop.set()

    def lost(self) -> set[int]:
        """Numbers of rows that were acknowledged and are not there."""
        with self._connected() as database:
            there = {row[0] for row in database.execute("SELECT number FROM written").fetchall()}
        return set(range(1, self.acknowledged + 1)) - there

    def prepare(self) -> None:
        """The table that rows go to."""
        with self._connected() as database:
            database.execute("CREATE TABLE IF NOT EXISTS written (number bigint PRIMARY KEY)")

    def _connected(self) -> "psycopg.Connection[tuple[int]]":
        # A host that was cut off says nothing any more: a statement does not wait for it longer than a new connection.
        alive = f"tcp_user_timeout={CONNECT_SECONDS}000 connect_timeout={CONNECT_SECONDS}"
        return psycopg.connect(f"{self.address} {alive}", autocommit=True)


@contextmanager
def written(writes: Writes) -> Iterator[Writes]:
    """Write for the length of the block."""
    thread = threading.Thread(target=writes.work, daemon=True)
    thread.start()
    try:
        yield writes
    finally:
        writes.stop()
        thread.join(2 * CONNECT_SECONDS + 5)
