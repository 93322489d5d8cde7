"""The process of databases while there is nothing to do: waits for work, small, and starts a shift when there is some.

As the builder does (``dynoform.build.worker``), it uses the database driver alone; Pulumi, the engine's client and the
object mapper live in ``dynoform.addons.shift``'s process and go with it.
"""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from types import FrameType

import psycopg

from dynoform.configuration import Configuration
from dynoform.domain.data_services import MAINTAINED_EVERY, NAMES
from dynoform.journal import Journal

PORTION_SECONDS = 10.0
STOP_SECONDS = 8.0
SWEEP_SECONDS = 600.0
PAUSE_SECONDS = 0.5
"""After a shift that was started: one that ends at once is not started anew all the time."""
_CHANNEL = "addon_work"
"""As ``dynoform.store.session`` calls it: that has the object mapper with it."""
_WORK = """
    SELECT EXISTS (
        SELECT FROM addon_changes c
        JOIN addons a ON a.id = c.addon_id JOIN plans p ON p.id = a.plan_id JOIN addon_services s ON s.id = p.service_id
        WHERE c.status = 'pending' AND c.run_after <= now() AND s.provider = ANY(%(names)s)
        AND (c.lease_expires_at IS NULL OR c.lease_expires_at < now())
    ) OR EXISTS (SELECT FROM database_credentials WHERE ends_at <= now())
    OR EXISTS (SELECT FROM databases WHERE maintained_at < now() - %(every)s)
"""


class Shift:
    """The shift that is running, if any."""

    def __init__(self) -> None:
        """There is none."""
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def runs(self) -> bool:
        """Whether there is one."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start one, unless there is one."""
        if not self.runs:
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
    swept = float("-inf")
    try:
        for is_wanted in looks(configuration, journal):
            # A shift begins by looking for services that were removed, so one comes now and then without work, too.
            if (is_wanted or time.monotonic() - swept > SWEEP_SECONDS) and not shift.runs:
                swept = time.monotonic()
                shift.start()
                time.sleep(PAUSE_SECONDS)
    finally:
        shift.stop()


def looks(configuration: Configuration, journal: Journal) -> Iterator[bool]:
    """Endless answers to "is there work?": when some is announced, and every ten seconds."""
    failures = 0
    while True:
        try:
            with _connect(configuration) as connection:
                connection.execute(f"LISTEN {_CHANNEL}")
                while True:
                    row = connection.execute(_WORK, {"names": sorted(NAMES), "every": MAINTAINED_EVERY}).fetchone()
                    failures = 0
                    yield bool(row and row[0])
                    for _ in connection.notifies(timeout=PORTION_SECONDS, stop_after=1):
                        pass
        except psycopg.Error as error:
            if failures == 0:
                journal.warning("store does not answer", error=str(error).strip().splitlines()[0])
            time.sleep(min(5.0, 0.2 * 2**failures))
            failures = min(failures + 1, 10)


def _leave(signum: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


def _connect(configuration: Configuration) -> "psycopg.Connection[tuple[object, ...]]":
    return psycopg.connect(
        configuration.database_url.replace("postgresql+psycopg://", "postgresql://", 1),
        password=configuration.secret("database_password"),
        autocommit=True,
        connect_timeout=5,
        application_name="dynoform-databases",
        options="-c statement_timeout=10s",
        keepalives_idle=10,
        keepalives_interval=5,
        keepalives_count=3,
        tcp_user_timeout=20_000,
    )
