"""OAuth scopes: what a token may be used for (https://devcenter.heroku.com/articles/oauth#scopes).

``global`` is everything, ``identity`` reads the account. ``read`` and ``write`` are for apps and all that belongs to
them but their config vars, ``read-protected`` and ``write-protected`` for those too. Who may write may read.

Protected as config vars are: what else is a key (addresses of log drains and webhooks, the data API), and a command of
the user's own in an app's environment, now, on a schedule or by a shell. What an app's code does is not: who deploys
decides on that.
"""

import re
from collections.abc import Iterable, Sequence
from enum import StrEnum

from dynoform.errors import InvalidInputError

ARTICLE = "https://devcenter.heroku.com/articles/oauth#scopes"


class Scope(StrEnum):
    """What a token was made for."""

    GLOBAL = "global"
    IDENTITY = "identity"
    READ = "read"
    WRITE = "write"
    READ_PROTECTED = "read-protected"
    WRITE_PROTECTED = "write-protected"


_GIVES: dict[Scope, frozenset[Scope]] = {
    Scope.GLOBAL: frozenset(Scope),
    Scope.IDENTITY: frozenset({Scope.IDENTITY}),
    Scope.READ: frozenset({Scope.READ}),
    Scope.WRITE: frozenset({Scope.READ, Scope.WRITE}),
    Scope.READ_PROTECTED: frozenset({Scope.READ, Scope.READ_PROTECTED}),
    Scope.WRITE_PROTECTED: frozenset(Scope) - {Scope.GLOBAL, Scope.IDENTITY},
}
_IDENTITY = frozenset({"/account", "/users/{user}"})
_OF_THE_ACCOUNT = ("/account", "/users", "/oauth", "/dynoform")
_OF_APPS = ("/account/app-transfers", "/users/~/apps")
_READ_BY_POST = ("/log-sessions", "/filters/apps", "/addons/resolve", "/addon-attachments/resolve")
_PROTECTED = re.compile(
    r".*/config-vars|/addons/\{addon\}/config(/.*)?|(/apps/\{app\})?/(log-drains|telemetry-drains|webhooks)(/.*)?"
    r"|/(client/v11|postgres/v0|redis/v0|data)/.*|/reports(/.*)?"
)
_RUN = {
    ("POST", "/app-setups"),
    ("POST", "/apps/{app}/dynos"),
    ("POST", "/apps/{app}/dynos/{dyno}"),
    ("POST", "/apps/{app}/scheduler-jobs"),
    ("PATCH", "/apps/{app}/scheduler-jobs/{job}"),
    ("PUT", "/api/v2/{dyno}"),
}
_FREE = ("/account/rate-limits", "/oauth/tokens")


def needed(method: str, path: str) -> Scope | None:
    """The scope that a call needs; None when any token will do.

    ``path`` is the route's, with its parameters in braces: ``/apps/{app}/config-vars``.
    """
    reads = method in ("GET", "HEAD")
    if path in _FREE:
        return None
    if reads and path in _IDENTITY:
        return Scope.IDENTITY
    if path.startswith(_OF_THE_ACCOUNT) and not path.startswith(_OF_APPS):
        return Scope.GLOBAL
    if _PROTECTED.fullmatch(path) or (method, path) in _RUN:
        return Scope.READ_PROTECTED if reads else Scope.WRITE_PROTECTED
    return Scope.READ if reads or path.endswith(_READ_BY_POST) else Scope.WRITE


def allows(granted: Iterable[str], wanted: Scope) -> bool:
    """Whether a token with the ``granted`` scopes may do what needs the ``wanted`` one."""
    return any(wanted in _GIVES[Scope(name)] for name in granted)


def check(names: Sequence[str] | None) -> list[str]:
    """The scopes for a new token, ``global`` when none are named. Raises ``InvalidInputError`` for an unknown one."""
    for name in names or ():
        if name not in list(Scope):
            known = ", ".join(Scope)
            raise InvalidInputError(f"Scope {name[:40]!r} is not one of: {known}")
    return list(dict.fromkeys(names or (Scope.GLOBAL.value,)))
