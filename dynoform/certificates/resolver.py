"""Asking the DNS where a name leads."""

import socket
from collections.abc import Callable

Resolve = Callable[[str], set[str] | None]
_NOWHERE = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}


def resolve(name: str) -> set[str] | None:
    """The addresses of a name; none when it has none, None when nobody answers the question."""
    try:
        return {str(found[4][0]) for found in socket.getaddrinfo(name, 80, type=socket.SOCK_STREAM)}
    except socket.gaierror as error:
        return set() if error.errno in _NOWHERE else None
    except (OSError, UnicodeError):
        return None
