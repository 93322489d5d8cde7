"""The threads of a shift: each takes jobs of some kinds until there are none."""

import threading
from collections.abc import Set as AbstractSet

from dynoform.build.job import Job, Tools
from dynoform.build.kinds import CLASSES, HEAVY, LIGHT
from dynoform.domain.jobs import Kind
from dynoform.errors import DynoformError
from dynoform.store import job_queue, jobs
from dynoform.store.job_queue import Claim

_LIMITS: tuple[tuple[AbstractSet[Kind], int], ...] = ((HEAVY, 1), (LIGHT, 16))
"""How many jobs of these kinds a shift works on at once. One that is long, as a release command may be, must not keep
other apps' builds waiting."""


class Crew:
    """Jobs under way in this process."""

    def __init__(self, tools: Tools) -> None:
        """Nobody works yet."""
        self._tools = tools
        self._lock = threading.Lock()
        self._working: dict[str, Job] = {}
        """By the claim's holder: a job that queued itself again is here twice for a moment."""
        self._closed = False

    @property
    def busy(self) -> bool:
        """Whether anybody works."""
        with self._lock:
            return bool(self._working)

    def look(self) -> bool:
        """Begin what can begin; whether there was anything."""
        began = [self._fill(kinds, limit) for kinds, limit in _LIMITS]
        return any(began)

    def look_after(self, subject_id: str) -> None:
        """Find out whether the job about this is still ours: somebody has taken one back."""
        with self._lock:
            working = [job for job in self._working.values() if str(job.claim.id) == subject_id]
        for job in working:
            job.keeper.look()

    def abandon(self) -> None:
        """This process ends: free what is under way for another one, at once, and take nothing any more."""
        with self._lock:
            self._closed = True
            working = list(self._working.values())
        for job in working:
            job.abandon()

    def begin(self, claim: Claim) -> None:
        """Work on a job that was taken before there was a crew."""
        kinds = next(kinds for kinds, _ in _LIMITS if claim.kind in kinds)
        if job := self._job(claim):
            self._start(job, kinds)

    def _fill(self, kinds: AbstractSet[Kind], limit: int) -> bool:
        began = False
        while self._count(kinds) < limit and (job := self._take(kinds)):
            began = True
            self._start(job, kinds)
        return began

    def _start(self, job: Job, kinds: AbstractSet[Kind]) -> None:
        threading.Thread(target=self._work, args=(job, kinds), name=job.claim.kind, daemon=True).start()

    def _count(self, kinds: AbstractSet[Kind]) -> int:
        with self._lock:
            return sum(job.claim.kind in kinds for job in self._working.values())

    def _take(self, kinds: AbstractSet[Kind]) -> Job | None:
        if self._closed:
            return None
        try:
            claim = jobs.take(self._tools.store, job_queue.name(), kinds)
        except DynoformError as error:
            self._tools.journal.warning("no job taken", error=error)
            return None
        return None if claim is None else self._job(claim)

    def _job(self, claim: Claim) -> Job | None:
        job = CLASSES[claim.kind](self._tools, claim)
        with self._lock:
            self._working[claim.holder] = job
            closed = self._closed
        if closed:
            job.abandon()
            return None
        return job

    def _work(self, first: Job, kinds: AbstractSet[Kind]) -> None:
        job: Job | None = first
        while job is not None:
            self._tools.journal.info(f"{job.claim.kind} started", id=job.claim.id, attempt=job.claim.attempt)
            try:
                job.run()
            finally:
                with self._lock:
                    del self._working[job.claim.holder]
            job = self._take(kinds)
