"""What the jobs of a worker have in common: a lease, an end that is written down once, and nothing left behind."""

import ssl
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from dynoform.attempts import attempts
from dynoform.build.container import Engine
from dynoform.build.keeper import Keeper
from dynoform.build.stack_image import StackImages
from dynoform.build.uploads import Uploads
from dynoform.configuration import Configuration
from dynoform.domain import jobs as rules
from dynoform.errors import DynoformError, UnavailableError
from dynoform.journal import Journal
from dynoform.logplex_client import LogplexClient
from dynoform.store import jobs
from dynoform.store.secrets import Vault
from dynoform.store.session import Store

if TYPE_CHECKING:
    from dynoform.build.download import Downloader
    from dynoform.build.head_start import HeadStart
    from dynoform.build.registry import Registry

_STORE_SECONDS = 60
T = TypeVar("T")


@dataclass(frozen=True)
class Tools:
    """What every job of a worker works with."""

    configuration: Configuration
    store: Store
    vault: Vault
    engine: Engine
    logs: LogplexClient
    journal: Journal
    head_start: "HeadStart | None" = None
    _making: threading.RLock = field(default_factory=threading.RLock, init=False, repr=False)

    @property
    def registry(self) -> "Registry":
        """The platform's image registry."""
        with self._making:
            return self._registry

    @property
    def stack_images(self) -> StackImages:
        """The stack's run image in that registry."""
        with self._making:
            return self._stack_images

    @property
    def downloader(self) -> "Downloader":
        """Fetches sources that are somewhere else."""
        from dynoform.build.download import Downloader

        return Downloader(ssl.create_default_context)

    @property
    def uploads(self) -> Uploads:
        """What users have uploaded."""
        return Uploads(self.configuration, self.vault)

    # What these need takes time to import, and whoever waits for a build waits for its container first.
    @cached_property
    def _registry(self) -> "Registry":
        from dynoform.build.registry import Registry

        return Registry(self.configuration)

    @cached_property
    def _stack_images(self) -> StackImages:
        return StackImages(self.engine, self._registry, self.store)


class Job(ABC):
    """The work on one claim. A kind of job says how it works, how it fails, and what to clear away."""

    seconds: float = 600
    """Longest time that it may take; then ``end`` is called."""
    attempts = rules.ATTEMPTS
    """How often it is begun when workers die under it."""

    def __init__(self, tools: Tools, claim: jobs.Claim) -> None:
        """Nothing is done before ``run``."""
        self.tools = tools
        self.claim = claim
        self.keeper = Keeper(tools.store, claim, self.end, self.seconds)

    def run(self) -> None:
        """Work, and leave the job finished or free for another attempt. Raises nothing of ours."""
        try:
            with self.keeper, self.beside():
                self._attempt()
        except jobs.LeaseLostError:
            self.tools.journal.warning(f"{self.claim.kind} given up", id=self.claim.id, why="no longer ours")
        except DynoformError as error:
            self.tools.journal.warning(f"{self.claim.kind} interrupted", id=self.claim.id, error=error)
        finally:
            self._leave(counted=True)

    def abandon(self) -> None:
        """This worker stops, now: free the job, without counting the attempt."""
        self._leave(counted=False)

    @abstractmethod
    def work(self) -> None:
        """Do it all, up to ``jobs.finish``; may raise any ``DynoformError``."""

    @abstractmethod
    def fail(self, error: DynoformError) -> None:
        """Write down that it failed for good, up to ``jobs.finish``. ``UnavailableError`` is the platform's fault."""

    def beside(self) -> AbstractContextManager[object]:
        """What goes on while it works."""
        return nullcontext()

    def end(self) -> None:
        """Stop what is under way: the lease is lost, or the time is over. Called from another thread."""
        return

    def clear(self) -> None:
        """Take away what it made on the engine and nobody needs any more. May raise ``UnavailableError``."""
        return

    def until_stored(self, action: Callable[[], T]) -> T:
        """The action's result, which writes to the store; tried for a while."""
        failure: DynoformError | None = None
        for _ in attempts(_STORE_SECONDS):
            try:
                return action()
            except jobs.LeaseLostError:
                raise
            except DynoformError as error:
                failure = error
        raise UnavailableError("store", f"the end of the {self.claim.kind} could not be written down") from failure

    def log(self, line: str) -> None:
        """Write to the app's log as ``app[api]``."""
        self.tools.logs.line(self.claim.app_id, "app", "api", line)

    def _attempt(self) -> None:
        if self.claim.attempt > self.attempts:
            self.fail(UnavailableError(str(self.claim.kind), "its workers died under it"))
            return
        try:
            self.work()
        except jobs.LeaseLostError:
            raise
        except UnavailableError as error:
            if self.claim.attempt < self.attempts:
                raise
            self.fail(error)
        except DynoformError as error:
            self.fail(error)

    def _leave(self, *, counted: bool) -> None:
        with suppress(DynoformError):  # finished, or lost, or the store is away: then the lease runs out
            jobs.give_back(self.tools.store, self.claim, counted=counted)
        try:
            self.clear()
        except DynoformError as error:
            self.tools.journal.warning(f"{self.claim.kind} left something behind", id=self.claim.id, error=error)
