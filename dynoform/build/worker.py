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
from dynoform.store.channels import DEPLOYS, JOBS
from dynoform.store.driver import connection_arguments
from dynoform.store.job_queue import WAITS

_PORTION = 2.0
"""Seconds between looks: as many as an app's build waits for the host that has its cache."""
_STOP_SECONDS = 8.0
_SWEEP_SECONDS = 600.0
_FIRST_GRAB = 0.2
_MOST = 4


class Shifts:
    """The shifts that are running, at most one a core."""

    def __init__(self, limit: int) -> None:
        """``limit`` is how many builds may run at once."""
        self._limit = limit
        self._running: list[subprocess.Popen[bytes]] = []

    @property
    def any(self) -> bool:
        """Whether there is one."""
        self._running = [shift for shift in self._running if shift.poll() is None]
        return bool(self._running)

    def start(self) -> bool:
        """Start one more; False when there are enough."""
        if self.any and len(self._running) >= self._limit:
            return False
        self._running.append(subprocess.Popen([sys.executable, "-m", "dynoform.build"]))
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
        for is_wanted in _looks(configuration, journal, shifts):
            if is_wanted or time.monotonic() - swept > _SWEEP_SECONDS:
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


def _looks(configuration: Configuration, journal: Journal, shifts: Shifts) -> Iterator[bool]:
    """Endless answers to "is one more shift wanted?": when a job or a deploy is announced, and every 2 s.

    It is when there is a job that nobody works on, or will be soon and there is no shift that could wait for it.
    """
    failures = 0
    while True:
        try:
            with psycopg.connect(**connection_arguments(configuration, "builder")) as connection:
                for channel in (JOBS, DEPLOYS):
                    connection.execute(f"LISTEN {channel}")
                soon = False
                while True:
                    row = connection.execute(WAITS, {"host": configuration.host}).fetchone()
                    failures = 0
                    yield bool(row and row[0]) or (soon and not shifts.any)
                    heard = connection.notifies(timeout=_PORTION, stop_after=1)
                    soon = DEPLOYS in [each.channel for each in heard]
                    if shifts.any:
                        time.sleep(_FIRST_GRAB)  # it hears the same, and may have waited for it
        except psycopg.Error as error:
            if failures == 0:
                journal.warning("store does not answer", error=str(error).strip().splitlines()[0])
            time.sleep(min(5.0, 0.2 * 2**failures))
            failures = min(failures + 1, 10)
