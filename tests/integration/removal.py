"""Removing what is in the engine."""

from collections.abc import Callable
from typing import ParamSpec

from docker.errors import APIError, NotFound

from dynoform.attempts import attempts

SECONDS = 60
P = ParamSpec("P")


def persist(remove: Callable[P, object], *arguments: P.args, **options: P.kwargs) -> None:
    """Remove something that is there, or not; who uses it, or removes it too, may need a moment.

    Raises ``APIError`` with the engine's last refusal.
    """
    failure: APIError | None = None
    for _ in attempts(SECONDS):
        try:
            remove(*arguments, **options)
        except NotFound:
            return
        except APIError as error:
            failure = error
        else:
            return
    assert failure
    raise failure
