"""The process of databases while there is nothing to do: waits for work, small, and starts a shift when there is some.

As the builder does (``dynoform.build.worker``), it uses the database driver alone; Pulumi, the engine's client and the
object mapper live in ``dynoform.addons.shift``'s process and go with it.
"""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from types import FrameType

import psycopg

from dynoform.configuration import Configuration
from dynoform.domain import maintenance
from dynoform.domain.data_services import MAINTAINED_EVERY, NAMES
from dynoform.domain.database_credentials import POOLING
from dynoform.journal import Journal
from dynoform.store.channels import ADDON_WORK
from dynoform.store.driver import connection_arguments

PORTION_SECONDS = 10.0
STOP_SECONDS = 8.0
SWEEP_SECONDS = 600.0
PAUSE_SECONDS = 0.5
"""After a shift that was started: one that ends at once is not started anew all the time."""
_WORK = """
    SELECT EXISTS (
        SELECT FROM addon_changes c
        JOIN addons a ON a.id = c.addon_id JOIN plans p ON p.id = a.plan_id JOIN addon_services s ON s.id = p.service_id
        WHERE c.status = 'pending' AND c.run_after <= now() AND s.provider = ANY(%(names)s)
        AND (c.lease_expires_at IS NULL OR c.lease_expires_at < now())
    ) OR EXISTS (SELECT FROM database_credentials WHERE ends_at <= now())
    OR EXISTS (
        SELECT FROM databases WHERE coalesce(maintenance_at, maintained_at + %(every)s) < now()
        AND (maintenance_window IS NULL OR (%(minute)s - maintenance_window + %(week)s) %% %(week)s < %(window)s)
    )
    OR EXISTS (
        SELECT FROM databases d JOIN addons a ON a.id = d.addon_id WHERE d.pool_port IS NOT NULL
        AND a.state = 'provisioned'
        AND NOT EXISTS (SELECT FROM addon_attachments t WHERE t.addon_id = a.id AND t.namespace = %(pooling)s)
    )
    OR EXISTS (SELECT FROM kafka_clusters WHERE maintained_at < now() - %(every)s)
    OR EXISTS (
        SELECT FROM databases d JOIN addons a ON a.id = d.addon_id
        WHERE d.look_at <= now() AND d.leader_id IS NULL AND a.state = 'provisioned'
    )
    OR EXISTS (SELECT FROM databases d, hosts h WHERE json_typeof(d.member_hosts) = 'array' AND h.state = 'draining')
    OR EXISTS (SELECT FROM transfers WHERE finished_at IS NULL)
    OR EXISTS (
        SELECT FROM transfer_schedules t JOIN addons a ON a.id = t.addon_id
        WHERE t.next_at <= now() AND a.state = 'provisioned' AND a.app_id IS NOT NULL
    )
    OR (%(sweep)s AND (EXISTS (SELECT FROM databases) OR EXISTS (SELECT FROM kafka_clusters)))
"""
_ASKED = {
    "names": sorted(NAMES),
    "every": MAINTAINED_EVERY,
    "pooling": POOLING,
    "week": maintenance.WEEK_MINUTES,
    "window": maintenance.WINDOW.seconds // 60,
}


class Shift:
    """The shift that is running, if any."""

    def __init__(self) -> None:
        """There is none."""
        self._process: subprocess.Popen[bytes] | None = None
        self._started = float("-inf")

    @property
    def runs(self) -> bool:
        """Whether there is one."""
        return self._process is not None and self._process.poll() is None

    def is_due(self) -> bool:
        """Whether none was started for long: one begins by looking for services that were removed."""
        return time.monotonic() - self._started > SWEEP_SECONDS

    def start(self) -> None:
        """Start one, unless there is one."""
        if not self.runs:
            self._started = time.monotonic()
            self._process = subprocess.Popen([sys.executable, "-m", "dynoform.addons"])

    def stop(self) -> None:
        """End it: what it does is done again by the next one."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()


def run(configuration: Configuration) -> None:
    """Wait for work until SIGTERM, and see to it that it is done."""
    journal, shift = Journal("databases"), Shift()
    signal.signal(signal.SIGTERM, _leave)
    try:
        for is_wanted in looks(configuration, journal, shift.is_due):
            if is_wanted and not shift.runs:
                shift.start()
                time.sleep(PAUSE_SECONDS)
    finally:
        shift.stop()


def looks(configuration: Configuration, journal: Journal, is_due: Callable[[], bool] = lambda: False) -> Iterator[bool]:
    """Endless answers to "is there work?": when some is announced, and every ten seconds.

    While ``is_due``, to look after what there is counts as work.
    """
    failures = 0
    while True:
        try:
            with psycopg.connect(**connection_arguments(configuration, "databases")) as connection:
                connection.execute(f"LISTEN {ADDON_WORK}")
                while True:
                    row = connection.execute(_WORK, {**_ASKED, **_moment(), "sweep": is_due()}).fetchone()
                    failures = 0
                    yield bool(row and row[0])
                    for _ in connection.notifies(timeout=PORTION_SECONDS, stop_after=1):
                        pass
        except psycopg.Error as error:
            if failures == 0:
                journal.warning("store does not answer", error=str(error).strip().splitlines()[0])
            time.sleep(min(5.0, 0.2 * 2**failures))
            failures = min(failures + 1, 10)


def _moment() -> dict[str, int]:
    return {"minute": maintenance.minute_of_week(datetime.now(UTC))}


def _leave(signum: int, frame: FrameType | None) -> None:
    raise SystemExit(0)
