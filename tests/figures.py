"""Figures that the platform promises, measured by tests that share the processors with others."""

from collections.abc import Callable

TRIES = 3


def best(bound: float, measure: Callable[[], float]) -> float:
    """The best of a few measurements in seconds; the first below ``bound`` is good enough.

    What else runs on the machine makes one or the other slow. What the platform does itself, it does each time.
    """
    found = measure()
    for _ in range(1, TRIES):
        if found < bound:
            break
        found = min(found, measure())
    return found
