"""Threads that look into the store now and then for what is due."""

import time
from collections.abc import Callable
from typing import NoReturn

from dynoform.errors import DynoformError
from dynoform.journal import Journal
from dynoform.store.session import Store, pause


def keep_looking(
    store: Store, journal: Journal, look: Callable[[], float], is_idle: Callable[[], bool] = lambda: True
) -> NoReturn:
    """Look until the process is told to stop; ``look`` returns the seconds until the next time.

    ``is_idle`` is whether nobody else uses ``store`` between two looks, which is this thread's own.
    """
    failures = 0
    while True:
        try:
            wait = look()
            failures = 0
        except DynoformError as error:
            journal.warning("look failed", error=error, failures=failures)
            wait = pause(failures)
            failures += 1
        if is_idle():
            store.close()  # a connection costs the database more memory than a new one now and then costs time
        time.sleep(wait)
