"""The certificate worker, in a thread of the API's process: of several one leads; it looks what is due, and gets it."""

import random
import time
import uuid
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from dynoform.configuration import Configuration
from dynoform.domain import acm, hostnames
from dynoform.domain.acm import Lifetime
from dynoform.domain.retries import half_by_chance
from dynoform.errors import UnavailableError
from dynoform.journal import Journal
from dynoform.store import acme as store_acme
from dynoform.store import certificates
from dynoform.store.acme import Subject
from dynoform.store.leadership import Leadership
from dynoform.store.looking import keep_looking
from dynoform.store.secrets import Vault
from dynoform.store.session import Store, now

if TYPE_CHECKING:
    from dynoform.certificates.issuance import Issuance

LEASE = "certificates"
LEASE_SECONDS = 45.0
LOOK_SECONDS = 10.0
BUSY_SECONDS = 1.0
"""While certificates are being got."""
THREADS = 4
"""Names at a time: one whose owner's DNS is slow does not hold up the others."""
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=15), timedelta(minutes=10)
"""When the authority does not answer; it is nobody's fault who waits."""
_TIDY_SECONDS = 600.0


class Worker:
    """One look after another."""

    def __init__(self, store: Store, vault: Vault, leadership: Leadership, journal: Journal) -> None:
        """``vault`` opens what only the API's process opens."""
        self.store, self.vault, self.leadership, self.journal = store, vault, leadership, journal
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="certificates")
        self._active: dict[uuid.UUID, Future[None]] = {}
        self._tidied = float("-inf")
        self._away = 0
        """How often in a row the authority did not answer."""
        self._issuance: Issuance | None = None

    def step(self) -> float:
        """Begin what is due; returns the seconds until the next look. Raises ``DynoformError`` without the store."""
        if not self.leadership.acquire():
            return LOOK_SECONDS
        self._active = {key: work for key, work in self._active.items() if not work.done()}
        self._keep_house()
        for subject in self._due():
            if len(self._active) >= THREADS:
                break
            if subject.id not in self._active:
                self._active[subject.id] = self._pool.submit(self._work, subject)
        return BUSY_SECONDS if self._active else LOOK_SECONDS

    def close(self) -> None:
        """Wait for what was begun, and let another worker lead."""
        self._pool.shutdown()
        self.leadership.release()

    def is_idle(self) -> bool:
        """Whether nothing is being got."""
        return not self._active

    @property
    def issuance(self) -> "Issuance":
        """Made when there is a certificate to get: the library behind it is megabytes."""
        if self._issuance is None:
            from dynoform.certificates.issuance import Issuance
            from dynoform.certificates.resolver import resolve

            self._issuance = Issuance(self.store, self.vault, resolve)
        return self._issuance

    def _keep_house(self) -> None:
        with self.store.transaction() as session:
            resealed = certificates.reseal(session, self.store.configuration, self.vault)
        if resealed:
            self.journal.info("keys sealed for routers", certificates=resealed)
        if time.monotonic() - self._tidied > _TIDY_SECONDS:
            self._tidied = time.monotonic()
            with self.store.transaction() as session:
                store_acme.tidy(session)

    def _due(self) -> list[Subject]:
        configuration = self.store.configuration
        if not configuration.acme_directory:
            return []
        names = own_names(configuration)
        with self.store.transaction() as session:
            moment = now(session)
            found = store_acme.subjects(session, names)
        return [subject for subject in found if is_due(subject, moment)]

    def _work(self, subject: Subject) -> None:
        """Whatever happens is written down, so that it is tried again in its time."""
        fields = {"name": subject.names[0], "failures": subject.failures}
        try:
            self._attend(subject, fields)
        except UnavailableError as error:
            self.journal.warning("certificate not got", error=error, **fields)  # the store's: the next look says so too
        except Exception as error:  # noqa: BLE001 - a bug: the name is tried again, later each time
            self.journal.exception("certificate not got", error, **fields)
            self._postpone(subject, acm.AWAY)

    def _attend(self, subject: Subject, fields: dict[str, object]) -> None:
        from dynoform.certificates.errors import AwayError, LimitedError, ProofError, RefusedError

        try:
            if self._is_to_be_got(subject):
                self.journal.info("getting certificate", **fields)
                wanted = self.issuance.get(subject)
                self.journal.info("certificate got" if wanted else "certificate wanted no more", **fields)
            self._away = 0
        except RefusedError as error:
            self._away = 0
            self._fail(subject, error.what)
            self.journal.warning("certificate refused", error=error, **fields)
        except LimitedError as error:
            self._put_off(subject, acm.RATE_LIMITED * (1 + random.random() / 5))  # noqa: S311 - jitter
            self._say(subject, None if subject.lifetime else acm.DNS_VERIFIED, acm.LIMITED)
            self.journal.warning("certificate delayed", error=error, **fields)
        except AwayError as error:
            self._postpone(subject, acm.UNPROVED if isinstance(error, ProofError) else acm.AWAY)
            self.journal.warning("certificate delayed", error=error, **fields)

    def _is_to_be_got(self, subject: Subject) -> bool:
        """Whether it is due, once the authority has been asked when it would like to renew."""
        now = datetime.now(UTC)
        if subject.lifetime is None or _moment(subject, subject.lifetime) <= now:
            return True
        chosen, after = self._suggested(subject)
        with self.store.transaction() as session:
            store_acme.change(session, subject.id, renew_at=chosen, ask_at=now + acm.ask_again(after))
        return acm.renewal(subject.id, subject.lifetime, chosen) <= now

    def _suggested(self, subject: Subject) -> tuple[datetime | None, float | None]:
        """The moment to renew at, and the seconds after which to ask again; none of an authority that does not say."""
        from dynoform.certificates.errors import AwayError

        with self.store.transaction() as session:
            chain = store_acme.chain(session, subject.id)
        try:
            window, after = self.issuance.authority().suggestion(chain)
        except AwayError as error:
            self.journal.warning("time of renewal not told", error=error, name=subject.names[0])
            return subject.renew_at, 0
        return (acm.choose(window, subject.renew_at) if window else None), after

    def _fail(self, subject: Subject, reason: str) -> None:
        failures = subject.failures + 1
        self._put_off(subject, acm.delay(failures), failures=failures)
        self._say(subject, acm.status(failures, has_certificate=_is_good(subject)), reason)

    def _postpone(self, subject: Subject, reason: str) -> None:
        self._away += 1
        wait = min(FIRST_PAUSE * 2 ** min(self._away - 1, 10), LONGEST_PAUSE)
        self._put_off(subject, wait * half_by_chance())
        self._say(subject, None, reason)

    def _put_off(self, subject: Subject, wait: timedelta, **values: object) -> None:
        with self.store.transaction() as session:
            store_acme.change(session, subject.id, after=now(session) + wait, **values)

    def _say(self, subject: Subject, status: str | None, reason: str) -> None:
        """``status`` None leaves the state as it is; that an authority is away says nothing of a good certificate."""
        if status is None and _is_good(subject):
            return
        with self.store.transaction() as session:
            if status is None:
                store_acme.explain(session, subject.id, reason)
            else:
                store_acme.show(session, subject.id, status, reason)


def own_names(configuration: Configuration) -> tuple[str, ...]:
    """Names of the platform's own that are to have a certificate: where the operator's DNS can be written to."""
    from dynoform.certificates import dns_hook

    path = configuration.secret_path(dns_hook.SECRET)
    if configuration.domain == "localhost" or not path.exists() or not path.stat().st_size:
        return ()
    return hostnames.apps_names(configuration.domain)


def is_due(subject: Subject, now: datetime) -> bool:
    """Whether something is to be done for a name."""
    if subject.after is not None and subject.after > now:
        return False
    if subject.lifetime is None:
        return subject.status != acm.FAILED
    return _moment(subject, subject.lifetime) <= now or subject.ask_at is None or subject.ask_at <= now


def _moment(subject: Subject, lifetime: Lifetime) -> datetime:
    return acm.renewal(subject.id, lifetime, subject.renew_at)


def _is_good(subject: Subject) -> bool:
    return subject.lifetime is not None and subject.lifetime.expires_at > datetime.now(UTC)


def run(configuration: Configuration) -> None:
    """Look until the process is told to stop."""
    journal = Journal("certificates")
    store = Store(configuration, "certificates", pool=1)
    store.wait_until_ready()
    vault = Vault(configuration.secret("encryption_key"))
    worker = Worker(store, vault, Leadership(store, LEASE, LEASE_SECONDS), journal)
    keep_looking(store, journal, worker.step, worker.is_idle)
