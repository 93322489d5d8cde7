"""``python3 -m dynoform PROCESS``: starts one of the platform's processes.

Each is a function ``run(configuration)`` that works until the process gets SIGTERM, imported only when it is asked for,
so that a process holds in memory what it uses and nothing else.
"""

import importlib
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

from dynoform.configuration import Configuration
from dynoform.domain.retries import pause
from dynoform.errors import DynoformError
from dynoform.journal import Journal

PROCESSES = {
    "api": "dynoform.api.server",
    "reconcile": "dynoform.reconcile.loop",
    "builder": "dynoform.build.worker",
    "router-agent": "dynoform.router.agent",
    "logplex": "dynoform.logplex.server",
    "runtime-agent": "dynoform.agent.process",
    "databases": "dynoform.addons.watch",
}
COMPANIONS = {
    "api": ("dynoform.addons.worker", "dynoform.certificates.worker"),
    "reconcile": ("dynoform.reconcile.scheduler",),
}
"""Workers that need no process of their own: each runs in a thread of one that is always there."""
USAGE_ERROR = 64


def main(arguments: list[str]) -> int:
    """Run the process named by the first argument; returns the exit code: 0 when stopped, 1 failed, 64 wrong usage."""
    if len(arguments) != 1 or arguments[0] not in PROCESSES:
        print(f"usage: python3 -m dynoform {{{'|'.join(PROCESSES)}}}", file=sys.stderr)
        return USAGE_ERROR
    process = arguments[0]
    # Process 1 of a container has no default action for SIGTERM. A loop that needs to tidy up sets its own handler.
    signal.signal(signal.SIGTERM, _leave)
    journal = Journal(process)
    journal.info("starting")
    try:
        configuration = Configuration.from_environment()
        for companion in COMPANIONS.get(process, ()):
            work = importlib.import_module(companion).run
            threading.Thread(target=_keep, args=(work, configuration, journal), name="companion", daemon=True).start()
        importlib.import_module(PROCESSES[process]).run(configuration)
    except DynoformError as error:
        journal.error("failed", error=error)
        return 1
    journal.info("stopped")
    return 0


def _keep(work: Callable[[Configuration], None], configuration: Configuration, journal: Journal) -> None:
    """Let a companion work, anew whenever it fails."""
    failures = 0
    while True:
        try:
            work(configuration)
        except DynoformError as error:
            journal.error("companion failed", error=error, failures=failures)
        except Exception as error:  # noqa: BLE001 - else its thread would end for good, and the process seem well
            journal.exception("companion failed", error, failures=failures)
        time.sleep(pause(failures))
        failures += 1


def _leave(signum: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
