"""Trying again: with pauses that grow, for as long as it makes sense."""

import time
from collections.abc import Iterator

from dynoform.domain.retries import pause


def attempts(seconds: float | None) -> Iterator[int]:
    """0, 1, 2 … with a growing pause and jitter between them, until ``seconds`` have passed (None: for ever)."""
    started = time.monotonic()
    number = 0
    while True:
        yield number
        wait = pause(number)
        if seconds is not None and time.monotonic() - started + wait > seconds:
            return
        time.sleep(wait)
        number += 1
