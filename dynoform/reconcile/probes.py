"""Does a dyno listen on its port? Asked of all booting dynos at once."""

import socket
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

SECONDS = 1.0
QUIET_SECONDS = 0.1
"""Docker's own proxy may take a connection for a dyno that does not listen yet, and hangs up at once."""
WORKERS = 16


def answering(targets: Iterable[tuple[UUID, str, int]]) -> frozenset[UUID]:
    """Those of (dyno, address, port) whose port takes a connection and keeps it."""
    wanted = list(targets)
    if not wanted:
        return frozenset()
    with ThreadPoolExecutor(min(WORKERS, len(wanted))) as pool:
        results = pool.map(lambda target: answers(target[1], target[2]), wanted)
        return frozenset(target[0] for target, result in zip(wanted, results, strict=True) if result)


def answers(address: str, port: int) -> bool:
    """Whether the port takes a connection and does not hang up on it at once."""
    try:
        connection = socket.create_connection((address, port), timeout=SECONDS)
    except OSError:
        return False
    with connection:
        connection.settimeout(QUIET_SECONDS)
        try:
            return connection.recv(1) != b""
        except TimeoutError:
            return True  # it waits for a request, as a server should
        except OSError:
            return False
