"""The first build of a shift, taken while the shift still imports what it needs, and its container started.

A shift begins because somebody waits for a build. The object mapper and the rest take half a second to import, and the
engine takes as long to make and start a container: both at once. This needs the two drivers alone.
"""

import threading
import uuid
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress

import psycopg

from dynoform.build.container import BuildContainer, Engine
from dynoform.configuration import Configuration
from dynoform.domain import stacks
from dynoform.domain.jobs import Kind
from dynoform.errors import DynoformError
from dynoform.store import job_queue
from dynoform.store.driver import connection_arguments
from dynoform.store.job_queue import Claim

_LOOK_SECONDS = 0.05
"""Between looks: a build is asked for a moment after its source, whose arrival starts the shift."""
_WAIT_SECONDS = 10
_ORDER = """
    SELECT b.version, coalesce(b.stack, a.build_stack, a.stack), a.cache_generation
    FROM builds b JOIN apps a ON a.id = b.app_id WHERE b.id = %s
"""


class HeadStart:
    """One build at most. What goes wrong here is met again, and told, by the shift or by the build's job."""

    def __init__(self, configuration: Callable[[], Configuration] = Configuration.from_environment) -> None:
        """Nothing is taken before ``begin``."""
        self._configuration = configuration
        self._stopped = threading.Event()
        self._claimed: Future[Claim | None] = Future()
        self._container: Future[BuildContainer | None] = Future()
        self._is_given = False

    def begin(self) -> None:
        """Look for a build, from a thread, until there is one or the shift looks itself."""
        threading.Thread(target=self._work, name="head-start", daemon=True).start()

    def claim(self) -> Claim | None:
        """The job that was taken, for the shift that now looks itself."""
        self._stopped.set()
        return self._claimed.result(_WAIT_SECONDS)

    def container(self, build_id: uuid.UUID) -> BuildContainer | None:
        """The container of this build, started; None when it has none from here.

        It is its job's from then on: another attempt in the same shift, which the first has left none, makes its own.
        """
        claim = self._claimed.result(0) if self._claimed.done() else None
        if claim is None or claim.id != build_id or self._is_given:
            return None
        with suppress(TimeoutError):
            container = self._container.result(_WAIT_SECONDS)
            self._is_given = True
            return container
        return None

    def _work(self) -> None:
        container = None
        try:
            container = self._start()
        except (DynoformError, psycopg.Error):
            pass  # the job makes its own
        finally:
            if not self._claimed.done():
                self._claimed.set_result(None)
            self._container.set_result(container)

    def _start(self) -> BuildContainer | None:
        configuration = self._configuration()
        with psycopg.connect(**connection_arguments(configuration, "builder")) as connection:
            claim = self._take(configuration, connection)
            self._claimed.set_result(claim)
            order = connection.execute(_ORDER, [claim.id]).fetchone() if claim else None
        if claim is None or order is None or order[1] == stacks.CONTAINER:
            return None
        engine = Engine(configuration)
        container = engine.build_container(
            claim.id, claim.app_id, version=order[0], generation=order[2], again=claim.attempt > 1
        )
        container.start()
        return container

    def _take(self, configuration: Configuration, connection: "psycopg.Connection[tuple[object, ...]]") -> Claim | None:
        while not self._stopped.is_set():
            asked = job_queue.parameters(job_queue.name(), configuration.host, [Kind.BUILD])
            if row := connection.execute(job_queue.TAKE, asked).fetchone():
                return job_queue.claim(row)
            self._stopped.wait(_LOOK_SECONDS)
        return None
