"""Running scheduled jobs when they are due, in a thread of the reconciler's process.

Every such process looks; the store lets one of them have a job. A look that finds nothing costs one query.
"""

import uuid
from typing import Protocol

from dynoform.configuration import Configuration
from dynoform.journal import Journal
from dynoform.logplex_client import LogplexClient
from dynoform.store import scheduler_jobs
from dynoform.store.looking import keep_looking
from dynoform.store.secrets import Vault
from dynoform.store.session import Store

LOOK_SECONDS = 10.0
"""A job that was made since the last look may wait for so long."""
_BUSY_SECONDS = 0.5
"""Before another look at what is due, and locked by somebody."""


class Logs(Protocol):
    """Where lines for apps go."""

    def line(self, app_id: uuid.UUID, source: str, process: str, message: str) -> None:
        """Write one line; never waits."""


class Scheduler:
    """One look after another."""

    def __init__(self, store: Store, vault: Vault, logs: Logs, journal: Journal, domain: str = "localhost") -> None:
        """All parts may be shared with others. ``domain`` is the one below which apps answer."""
        self.store, self.vault, self.logs, self.journal, self.domain = store, vault, logs, journal, domain

    def step(self) -> float:
        """Ask for the dynos of all jobs that are due; returns the seconds until the next look.

        Raises ``DynoformError`` when the store does not answer: what was asked for is asked for, the rest is still due.
        """
        while self._run_one():
            pass
        with self.store.transaction() as session:
            wait = scheduler_jobs.seconds_until_due(session)
        return LOOK_SECONDS if wait is None else min(LOOK_SECONDS, max(wait, _BUSY_SECONDS))

    def _run_one(self) -> bool:
        with self.store.transaction() as session:
            said = scheduler_jobs.run_due(session, self.vault, self.domain)
        if said is None:
            return False
        for source, process, text in said.lines:
            self.logs.line(said.app_id, source, process, text)
        self.journal.info("scheduled job", app=said.app_id, told=said.lines[-1][2])
        return True


def run(configuration: Configuration) -> None:
    """Look until the process is told to stop."""
    journal = Journal("scheduler")
    store = Store(configuration, "scheduler", pool=1)
    store.wait_until_ready()
    vault = Vault(configuration.secret("encryption_key"))
    scheduler = Scheduler(store, vault, LogplexClient(configuration), journal, configuration.domain)
    keep_looking(store, journal, scheduler.step)
