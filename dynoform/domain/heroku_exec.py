"""Rules of Heroku Exec: who gets into a dyno by ``heroku ps:exec`` and its kin, and for how long.

The CLI makes a pair of keys for each command, has the exec manager register the public one for a dyno, and connects by
SSH. ``ps:forward`` and ``ps:socks`` connect anew, with the same key, for each connection that they carry.
https://devcenter.heroku.com/articles/exec
"""

import ipaddress
import uuid
from datetime import datetime, timedelta

from dynoform.errors import ConflictError, InvalidInputError

FEATURE = "runtime-heroku-exec"
PORT = 80
"""Built into the CLI; what it is told is the host alone."""
DYNO_ADDRESS = "127.0.0.1"
"""Where a dyno is for whoever comes through its tunnel."""
UNUSED = timedelta(hours=1)
"""A key that nobody has come with for this long is not good any more."""
LONGEST = timedelta(hours=24)
"""Dynos are cycled once a day: no key, and no connection, is older."""
NO_ADDRESS = "This platform has no Heroku Exec: its operator has set execAddress to nothing."
_USER_LENGTH = 32


def good_until(made: datetime, used: datetime) -> datetime:
    """When a key made at ``made`` ends that somebody came with at ``used``."""
    return min(used + UNUSED, made + LONGEST)


def user_name(key_id: uuid.UUID) -> str:
    """The SSH user that stands for a key, ``client_user`` in the exec manager's answer."""
    return key_id.hex


def key_id(user: str) -> uuid.UUID | None:
    """The key that an SSH user stands for; None for any other name."""
    try:
        found = uuid.UUID(user) if len(user) == _USER_LENGTH else None
    except ValueError:
        return None
    return found if found is not None and user_name(found) == user else None


def check_up(dyno: str, state: str) -> None:
    """Raises ``ConflictError`` for a dyno that nothing can be run in."""
    if state != "up":
        raise ConflictError(f"Dyno {dyno}", f"is {state}", "run heroku ps:wait, then try again")


def off(app: str) -> str:
    """What the exec manager says of an app that does not want it."""
    return f"Heroku Exec is off for {app}. Turn it on with: heroku features:enable {FEATURE} -a {app}"


def check_destination(host: str, port: int) -> None:
    """A tunnel leads to the dyno's own ports and nowhere else.

    Raises ``InvalidInputError`` for any other host (the CLI's ``ps:forward`` asks for 0.0.0.0), and for no port.
    """
    if not 0 < port < 65536:
        raise InvalidInputError(f"port {port}", "is not a port", "use a number from 1 to 65535")
    if host.lower() == "localhost":
        return
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        address = None
    if address is None or not (address.is_loopback or address.is_unspecified):
        raise InvalidInputError(f"host {host[:60]}", "is not the dyno's own", f"use localhost or {DYNO_ADDRESS}")
