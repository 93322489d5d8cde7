"""A builder at work: a process that takes jobs while there are any, and ends when there have been none for a while.

What a job brings into memory (engine, registry, store) goes with it; see ``dynoform.build.worker``, which starts it.
Started as ``python3 -m dynoform.build``; exit code 0 when there is nothing left to do, 1 when it cannot work.
"""

import signal
import tempfile
import threading
from pathlib import Path
from types import FrameType
from typing import NoReturn

from dynoform.build import leftovers, stack_updates
from dynoform.build.container import Engine
from dynoform.build.crew import Crew
from dynoform.build.garbage import Collector
from dynoform.build.head_start import HeadStart
from dynoform.build.job import Tools
from dynoform.configuration import Configuration
from dynoform.errors import DynoformError
from dynoform.journal import Journal
from dynoform.logplex_client import LogplexClient
from dynoform.store import retention
from dynoform.store.secrets import Vault
from dynoform.store.session import CANCELS, DEPLOYS, JOBS, Store

_IDLE_SECONDS = 2.5
_IDLE_ROUNDS = 6
_TIDY_SECONDS = 3
"""After the start: whoever waits for a build comes first."""
_PUSH_SECONDS = 600


def run(configuration: Configuration, journal: Journal, head_start: HeadStart) -> None:
    """Work until the queue has been empty for 15 s, and clean up after dead builders. Raises ``DynoformError``."""
    store = Store(configuration, "builder", pool=5)
    logs = LogplexClient(configuration)
    vault = Vault(configuration.secret("encryption_key"))
    engine = Engine(configuration)
    tools = Tools(configuration, store, vault, engine, logs, journal, head_start)
    crew, ended = Crew(tools), threading.Event()
    try:
        store.wait_until_ready()
        if claim := head_start.claim():
            crew.begin(claim)
        crew.look()  # before all else: somebody waits
        prepared = tools.stack_images.prepare()
        tidying = threading.Timer(_TIDY_SECONDS, _tidy, args=(tools, ended))
        tidying.daemon = True
        tidying.start()
        try:
            _work(tools, crew)
        finally:
            ended.set()
        for thread in (prepared, tidying):
            thread.join(_PUSH_SECONDS)
    finally:
        crew.abandon()
        logs.close()
        store.close()


def _tidy(tools: Tools, ended: threading.Event) -> None:
    """Clean up after dead builders, find what has had its time, take away images until the work has ``ended``, and look
    for updates."""
    try:
        leftovers.remove(tools.engine, tools.store, tools.journal)
        leftovers.remove_folders(tools.journal, Path(tempfile.gettempdir()))
        retention.queue(tools.store)
    except DynoformError as error:
        tools.journal.warning("left-overs stay", error=error)
    Collector(tools.store, tools.registry, tools.journal, ended).run()
    try:
        stack_updates.look(tools)
    except DynoformError as error:
        tools.journal.warning("updates of the stack images are not known", error=error)


def _work(tools: Tools, crew: Crew) -> None:
    idle = -1
    for heard in tools.store.notifications([JOBS, DEPLOYS, CANCELS], idle=_IDLE_SECONDS):
        if heard and heard.channel == CANCELS:
            crew.look_after(heard.payload)
        # The first turn comes at once, on connecting; each one without work after that means so much idle time.
        idle = 0 if crew.look() or crew.busy or heard else idle + 1
        if idle >= _IDLE_ROUNDS:
            return


def _leave(signum: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(0)


def main(head_start: HeadStart) -> int:
    """Work one shift, beginning with what its ``head_start`` has begun."""
    signal.signal(signal.SIGTERM, _leave)
    journal = Journal("builder")
    try:
        run(Configuration.from_environment(), journal, head_start)
    except DynoformError as error:
        journal.error("builder cannot work", error=error)
        return 1
    return 0
