"""Logical backups, restores and copies: jobs beside the databases, begun, followed and written down.

Level-triggered: each look compares what the store wants with the jobs that there are. A process that was killed leaves
jobs that go on, and the next one finds them.
"""

import contextlib
import time
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from sqlalchemy.orm import Session

from dynoform.addons import redis
from dynoform.addons.databases import Place
from dynoform.addons.engine import Job, JobState
from dynoform.addons.provider import DatabaseProvider, Resource
from dynoform.domain import data_services, transfers
from dynoform.domain.data_services import Access
from dynoform.domain.transfers import DUMP, FOLDER, STORED, Outcome
from dynoform.errors import DynoformError, InvalidInputError, UnavailableError
from dynoform.journal import Journal
from dynoform.store import databases
from dynoform.store import transfers as store
from dynoform.store.session import now
from dynoform.store.tables import Addon, Database, Transfer

PATIENCE = timedelta(minutes=5)
"""For a database that does not answer, until a transfer is given up that was not begun.

The time for which a job looks at what is to be brought does not count.
"""
_MEMORY_MIB = 256
_SUPERUSER = "postgres"
_GONE = "the database is gone"
_CANCELED = "transfer canceled"
_PART = ".part"
_CHECK = "-check"
"""How the jobs are called that look at what a database is to be replaced by, after those that replace it."""
_KILLS = 5
"""How often a job is begun again that was killed: memory that is too small kills it each time."""
_LEFT_SECONDS = 3600.0
"""After which half a file, which no job writes any more, is taken away."""


@dataclass
class _Seen:
    """What this process has seen of a transfer."""

    kills: int = 0
    """How often its jobs were found killed."""
    checked: float = float("-inf")
    """When the job was at work last that looks at what it brings."""


class Transfers:
    """Works on all transfers of the stack that are not finished."""

    def __init__(self, place: Place, provider: DatabaseProvider, folder: Path, journal: Journal) -> None:
        """``provider`` empties databases; ``folder`` is where this process has the store of backups."""
        self._place = place
        self._provider = provider
        self._folder = folder
        self._journal = journal
        self._seen: dict[uuid.UUID, _Seen] = {}

    def work(self) -> bool:
        """Look at each once; whether there are any that are not finished.

        Raises ``UnavailableError`` without a store.
        """
        jobs: Sequence[str] = ()
        # Before the store is asked: what has a job by now has had a row.
        with contextlib.suppress(UnavailableError):  # the next look has them
            jobs = self._place.engine.job_names()
        with self._place.store.transaction() as session:
            refused = store.enqueue_due(session, self._place.vault)
            found = store.unfinished(session)
        with contextlib.suppress(UnavailableError):
            self._end_orphans(jobs, found)
        for name, error in refused.items():
            self._journal.warning("scheduled backup postponed", database=name, error=error)
        self._seen = {each: self._seen.get(each) or _Seen() for each in found}
        for identifier in found:
            try:
                self._step(identifier)
            except DynoformError as error:
                self._journal.warning("transfer postponed", transfer=identifier, error=error)
                self._give_up(identifier, str(error))
            except Exception as error:  # noqa: BLE001 - a bug with one: the others go on, and the shift does
                self._journal.exception("transfer broke", error, transfer=identifier)
                self._give_up(identifier, type(error).__name__)
        return bool(found)

    def sweep(self) -> None:
        """Remove the files that belong to no backup."""
        with self._place.store.transaction() as session:
            kept = store.kept(session)
        with contextlib.suppress(FileNotFoundError):
            for path in self._folder.iterdir():
                half = path.name.endswith(_PART) and time.time() - path.stat().st_mtime > _LEFT_SECONDS
                if half or path.name.removesuffix(_PART) not in kept:
                    path.unlink(missing_ok=True)

    def _end_orphans(self, jobs: Iterable[str], unfinished: Iterable[uuid.UUID]) -> None:
        """End those of the ``jobs`` whose transfers are finished, or went with their app."""
        mine, wanted = self._name(""), {self._name(each) for each in unfinished}
        for name in jobs:
            if name.startswith(mine) and name.removesuffix(_CHECK) not in wanted:
                self._place.engine.end(name)

    def _name(self, identifier: object) -> str:
        return f"{self._place.configuration.stack}_transfer-{identifier}"

    def _end(self, name: str) -> None:
        """Take away the job of a transfer, and the one that looked before it."""
        for each in (name, f"{name}{_CHECK}"):
            self._place.engine.end(each)

    def _step(self, identifier: uuid.UUID) -> None:
        name = self._name(identifier)
        with self._place.store.transaction() as session:
            found = session.get(Transfer, identifier)
            if found is None:
                return
            canceled, begun = found.canceled_at is not None, found.begun_at is not None
            late = store.over(found, now(session))
        if canceled or late:
            self._end(name)
            self._finish(identifier, Outcome(0, "", 0, ()), _CANCELED if canceled else "it took too long")
            return
        state = self._state(identifier, name)
        if state is None:
            self._begin(identifier, name, again=begun)
        elif state.works:
            self._follow(identifier, state)
        else:
            self._close(identifier, name, state)

    def _state(self, identifier: uuid.UUID, name: str) -> JobState | None:
        """How a job of a transfer is; None for one that is to be begun, as one that was killed is again."""
        state, seen = self._place.engine.job(name), self._seen[identifier]
        if state is None or not state.killed or seen.kills == _KILLS:
            return state
        seen.kills += 1
        self._place.engine.end(name)
        return None

    def _begin(self, identifier: uuid.UUID, name: str, *, again: bool) -> None:
        with self._place.store.transaction() as session:
            found = _locked(session, identifier)
            if found is None:
                return
            addon = found.addon
            if addon is None or session.get(Database, addon.id) is None:
                store.finish(session, found, Outcome(0, "", 0, ()), _GONE)
                return
            job = self._job(session, found, addon, name)
            database = session.get_one(Database, addon.id).name
            empties, extensions = found.to_type != STORED, store.secret(self._place.vault, found).get("extensions", "")
            wanted, size = _resource(addon), found.source_bytes
        if empties:
            if not self._is_checked(identifier, job):
                return
            self._provider.operate(wanted, data_services.RESET, {"extensions": extensions.split()})
        elif wanted.service == data_services.REDIS:
            size = redis.save(self._place, wanted.uuid)
        else:
            size = self._size(wanted.uuid, database)
        self._place.engine.begin(job)
        with self._place.store.transaction() as session:
            found = _locked(session, identifier)
            if found is not None:
                found.begun_at = found.begun_at or now(session)
                found.source_bytes = size
                store.say(session, found, "begun again" if again else f"begun beside {wanted.name}")

    def _is_checked(self, identifier: uuid.UUID, job: Job) -> bool:
        """Whether what a database is to be replaced by can be had, as far as that is known before it is brought.

        A job of its own looks, which stays until the transfer ends; what it finds wrong is the transfer's end.
        """
        program, mode, *words = job.argv
        check = replace(job, name=f"{job.name}{_CHECK}", argv=[program, f"check-{mode}", *words])
        state = self._state(identifier, check.name)
        if state is None:
            self._place.engine.begin(check)
        elif not state.works and state.failure:
            self._close(identifier, job.name, state)
        if state is None or state.works:
            self._seen[identifier].checked = time.monotonic()
        return state is not None and not state.works and not state.failure

    def _size(self, addon_id: uuid.UUID, database: str) -> int:
        said = self._place.engine.run(
            self._place.server(addon_id),
            ["psql", "--no-psqlrc", "--tuples-only", "--no-align", "--dbname", "postgres"],
            f"SELECT pg_database_size('{database}');\n",
            _SUPERUSER,
        )
        return int(said)

    def _job(self, session: Session, found: Transfer, addon: Addon, name: str) -> Job:
        secret = store.secret(self._place.vault, found)
        if addon.plan.service.name == data_services.REDIS:
            return redis.snapshot(self._place, name, addon.id, ["dump", f"{FOLDER}/{found.id}"], secret[store.KEY])
        own = self._access(session, addon)
        key, files = secret[store.KEY], [(f"{self._place.configuration.stack}_backups", FOLDER, "rw")]
        path = f"{FOLDER}/{found.source_id or found.id}"
        if found.to_type == STORED:
            words, services = ["dump", path], transfers.service("from", own)
        elif found.from_type == DUMP:
            files = []
            words, services = ["copy"], transfers.external("from", secret[store.URL]) + transfers.service("to", own)
        elif found.source_id is None:
            files = []
            url = f'[curl]\nurl = "{transfers.check_source(secret[store.URL])}"\n'
            words, services = ["fetch"], transfers.service("to", own) + url
        else:
            source = session.get(Transfer, found.source_id)
            if source is None or source.digest is None or source.deleted_at is not None:
                raise InvalidInputError("The backup was deleted meanwhile")
            key = store.secret(self._place.vault, source)[store.KEY]
            words, services = ["restore", path, source.digest], transfers.service("to", own)
        return Job(
            name,
            str(addon.id),
            self._place.configuration.postgres_image,
            ["/opt/dynoform/transfer", *words],
            f"{key}\n{services}.\n",
            files,
            _MEMORY_MIB,
            beside=self._place.service(addon.id),
        )

    def _access(self, session: Session, addon: Addon) -> Access:
        """As the database is reached from beside its server."""
        used = databases.credential(session, self._place.vault, databases.holder(session, addon.id))
        password = databases.password(self._place.vault, used)
        place = session.get_one(Database, addon.id)
        return Access("127.0.0.1", data_services.POSTGRES_PORT, used.username, password, place.name)

    def _follow(self, identifier: uuid.UUID, state: JobState) -> None:
        processed = transfers.outcome(state.said).processed
        with self._place.store.transaction() as session:
            found = _locked(session, identifier)
            if found is not None and processed > found.processed_bytes:
                found.processed_bytes = processed

    def _close(self, identifier: uuid.UUID, name: str, state: JobState) -> None:
        """Write down how a job ended, and take it away."""
        outcome = transfers.outcome(state.said)
        why = state.failure and (outcome.lines or ("it said nothing",))[-1]
        if state.killed:
            why = f"its job was killed each time it was begun: {state.failure}"
        self._finish(identifier, outcome, why)
        self._end(name)

    def _finish(self, identifier: uuid.UUID, outcome: Outcome, failure: str) -> None:
        with self._place.store.transaction() as session:
            found = _locked(session, identifier)
            if found is None:
                return
            store.finish(session, found, outcome, failure)
            took = {"from": found.from_name, "to": found.to_name}
        self._journal.info("transfer failed" if failure else "transfer done", transfer=identifier, why=failure, **took)

    def _give_up(self, identifier: uuid.UUID, why: str) -> None:
        """What cannot be begun for long, as its database does not answer."""
        if time.monotonic() - self._seen[identifier].checked <= PATIENCE.total_seconds():
            return
        with contextlib.suppress(UnavailableError), self._place.store.transaction() as session:
            found = _locked(session, identifier)
            if found is not None and found.begun_at is None and now(session) - found.created_at > PATIENCE:
                store.finish(session, found, Outcome(0, "", 0, ()), why)


def _locked(session: Session, identifier: uuid.UUID) -> Transfer | None:
    """A transfer that is written to, for which its app waits when it goes; None when it went."""
    return session.get(Transfer, identifier, with_for_update={"of": Transfer})


def _resource(addon: Addon) -> Resource:
    return Resource(
        addon.id, addon.name, addon.plan.service.name, addon.plan.name, region="", callback_url="", app_id=addon.app_id
    )
