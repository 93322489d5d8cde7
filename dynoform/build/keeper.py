"""Holds on to a job while it is worked on, and ends the work when the lease or its time is over."""

import threading
import time
from collections.abc import Callable

from dynoform.attempts import attempts
from dynoform.domain import jobs as rules
from dynoform.errors import DynoformError
from dynoform.store import jobs
from dynoform.store.session import Store


class Keeper:
    """Renews a job's lease from a thread."""

    def __init__(self, store: Store, claim: jobs.Claim, end: Callable[[], None], seconds: float) -> None:
        """``end`` is called, once, from the thread, when the lease is lost or after so many ``seconds``."""
        self.lost = False
        self.late = False
        """Its time was over."""
        self._store = store
        self._claim = claim
        self._end = end
        self._seconds = seconds
        self._stopped = threading.Event()
        self._asked = threading.Event()
        self._thread = threading.Thread(target=self._work, name="lease", daemon=True)

    def __enter__(self) -> "Keeper":
        """Start renewing."""
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """Stop; the lease runs out by itself unless the job was finished."""
        self._stopped.set()
        self._asked.set()

    def look(self) -> None:
        """Renew now: the job may have been taken away. Called from another thread."""
        self._asked.set()

    def check(self) -> None:
        """Raise ``LeaseLostError`` when the job is no longer ours."""
        if self.lost:
            raise jobs.LeaseLostError(f"{self._claim.kind} {self._claim.id}", "is no longer this worker's")

    def _work(self) -> None:
        deadline = time.monotonic() + self._seconds
        while (left := deadline - time.monotonic()) > 0:
            self._asked.wait(min(rules.RENEW_SECONDS, left))
            self._asked.clear()
            if self._stopped.is_set():
                return
            if not self._renew():
                self.lost = True
                break
        self.late = not self.lost
        self._end()
        while self.late and not self._stopped.wait(rules.RENEW_SECONDS):
            self._renew()  # what is left to do is to write down that it was late

    def _renew(self) -> bool:
        for _ in attempts(rules.LEASE_SECONDS - rules.RENEW_SECONDS - 5):
            try:
                return jobs.renew(self._store, self._claim)
            except DynoformError:
                continue
        return False
