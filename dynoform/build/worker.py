"""The builder while there is nothing to do: waits for jobs, small, and starts a shift when there is one.

It uses the database driver alone: the engine's and the registry's clients and the object mapper, all that a job
needs, live in ``dynoform.build.shift``'s processes and go with them.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import psycopg

from dynoform.configuration import Configuration
from dynoform.journal import Journal

_PORTION = 5.0
_STOP_SECONDS = 8.0
_SWEEP_SECONDS = 600.0
_MOST = 4
_WORK = """
    SELECT EXISTS (
        SELECT FROM jobs j WHERE (lease_expires_at IS NULL OR lease_expires_at < now())
        AND NOT EXISTS (SELECT FROM jobs o WHERE o.app_id = j.app_id AND o.number < j.number)
    )
"""


class Shifts:
    """The shifts that are running, at most one a core."""

    def __init__(self, limit: int) -> None:
        """``limit`` is how many builds may run at once."""
        self._limit = limit
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self) -> bool:
        """Start one more; False when there are enough."""
        self._running = [shift for shift in self._running if shift.poll() is None]
        if len(self._running) >= self._limit:
            return False
        self._running.append(subprocess.Popen([sys.executable, "-m", "dynoform.build.shift"]))
        return True

    def stop(self) -> None:
        """Tell all to stop: they free their jobs for another builder. Those that do not are killed."""
        for shift in self._running:
            shift.terminate()
        deadline = time.monotonic() + _STOP_SECONDS
        for shift in self._running:
            try:
                shift.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                shift.kill()


def run(configuration: Configuration) -> None:
    """Wait for jobs until SIGTERM, and see to it that somebody does them."""
    journal = Journal("builder")
    shifts = Shifts(min(os.cpu_count() or 1, _MOST))
    with _stopping(shifts):
        swept = float("-inf")
        for has_work in _looks(configuration, journal):
            if has_work or time.monotonic() - swept > _SWEEP_SECONDS:
                # A shift begins by removing what dead builders left, so one comes now and then without work, too.
                swept = time.monotonic()
                shifts.start()


@contextmanager
def _stopping(shifts: Shifts) -> Iterator[None]:
    def leave(signum: int, frame: FrameType | None) -> None:
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        shifts.stop()


def _looks(configuration: Configuration, journal: Journal) -> Iterator[bool]:
    """Endless answers to "is there a job that nobody works on?": when one is announced, and every 5 s."""
    failures = 0
    while True:
        try:
            with _connect(configuration) as connection:
                connection.execute("LISTEN jobs")
                while True:
                    row = connection.execute(_WORK).fetchone()
                    failures = 0
                    yield bool(row and row[0])
                    # A shift that waits for work hears the same notification: it gets the first grab.
                    list(connection.notifies(timeout=_PORTION, stop_after=1))
                    time.sleep(0.2)
        except psycopg.Error as error:
            if failures == 0:
                journal.warning("store does not answer", error=str(error).strip().splitlines()[0])
            time.sleep(min(5.0, 0.2 * 2**failures))
            failures = min(failures + 1, 10)


def _connect(configuration: Configuration) -> "psycopg.Connection[tuple[object, ...]]":
    return psycopg.connect(
        configuration.database_url.replace("postgresql+psycopg://", "postgresql://", 1),
        password=configuration.secret("database_password"),
        autocommit=True,
        connect_timeout=5,
        application_name="dynoform-builder",
        options="-c statement_timeout=10s",
        keepalives_idle=10,
        keepalives_interval=5,
        keepalives_count=3,
        tcp_user_timeout=20_000,
    )
