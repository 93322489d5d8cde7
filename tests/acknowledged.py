"""A client that keeps a history of what a PostgreSQL acknowledged to it, and says later whether all of it is there.

Two workloads in one transaction, in the manner of Jepsen: numbers are appended to a table, and a register is set to the
same number. What was not acknowledged may be there or not; what was has to be, and no later read may be older than it.
"""

import itertools
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Self

import psycopg

_MAKE = """
CREATE TABLE IF NOT EXISTS appended (number bigint PRIMARY KEY);
CREATE TABLE IF NOT EXISTS register (one int PRIMARY KEY DEFAULT 1, number bigint NOT NULL DEFAULT 0);
INSERT INTO register DEFAULT VALUES ON CONFLICT DO NOTHING;
"""
_PAUSE_SECONDS = 0.05


def connect(url: str, seconds: int = 2) -> "psycopg.Connection[tuple[Any, ...]]":
    """As an application that gives up soon."""
    return psycopg.connect(url, connect_timeout=seconds, sslmode="require")


def patient(url: str) -> "psycopg.Connection[tuple[Any, ...]]":
    """As one that does not: to a server that is there, however busy."""
    return connect(url, 30)


@dataclass
class Found:
    """What a comparison came to: acknowledged numbers that are not there, and reads that were older than an answer."""

    acknowledged: int
    lost: list[int]
    stale: list[str]


@dataclass
class Writer:
    """Writes from the ``with`` block's begin to its end, one transaction after the other."""

    url: str
    acknowledged: list[tuple[int, float]] = field(default_factory=list)
    """Number, and when the answer came."""
    uncertain: int = 0
    """Transactions without an answer."""
    stale: list[str] = field(default_factory=list)
    _next: int = 1
    _stopped: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        with patient(self.url) as database:
            database.execute(_MAKE)
            row = database.execute("SELECT max(number) FROM appended").fetchone()
            self._next = 1 + int(row[0] or 0) if row else 1
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stopped.set()
        self._thread.join(60)

    def outage(self, since: float = 0.0) -> float:
        """The longest time, in seconds, from one answer to the next, of those after ``since`` (``time.monotonic``)."""
        times = [at for _, at in self.acknowledged]
        pairs = [(first, second) for first, second in itertools.pairwise(times) if second > since]
        return max((second - first for first, second in pairs), default=float("inf"))

    def goes_on(self, since: float) -> bool:
        """Whether something was acknowledged after that."""
        return bool(self.acknowledged) and self.acknowledged[-1][1] > since

    def compare(self) -> Found:
        """What is there, against what was acknowledged."""
        with patient(self.url) as database:
            there = {int(number) for (number,) in database.execute("SELECT number FROM appended").fetchall()}
            self._look(database)
        lost = [number for number, _ in self.acknowledged if number not in there]
        return Found(len(self.acknowledged), lost, self.stale)

    def _work(self) -> None:
        while not self._stopped.is_set():
            try:
                with connect(self.url) as database:
                    self._look(database)
                    while not self._stopped.is_set():
                        self._write(database)
            except psycopg.Error:
                time.sleep(_PAUSE_SECONDS)

    def _write(self, database: "psycopg.Connection[tuple[Any, ...]]") -> None:
        number, self._next = self._next, self._next + 1
        try:
            database.execute("INSERT INTO appended VALUES (%s)", [number])
            database.execute("UPDATE register SET number = %s WHERE number < %s", [number, number])
            database.commit()
        except psycopg.Error:
            self.uncertain += 1
            raise
        self.acknowledged.append((number, time.monotonic()))

    def _look(self, database: "psycopg.Connection[tuple[Any, ...]]") -> None:
        """A read after an answer shows it."""
        known = self.acknowledged[-1][0] if self.acknowledged else 0
        row = database.execute("SELECT number, (SELECT max(number) FROM appended) FROM register").fetchone()
        database.commit()
        for name, number in zip(("register", "table"), row or (0, 0), strict=True):
            if int(number or 0) < known:
                self.stale.append(f"the {name} has {number} after {known} was acknowledged")
