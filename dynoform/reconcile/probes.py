"""Does a dyno listen on its port? Asked of all booting dynos at once: however many, it takes as long as one."""

import asyncio
from collections.abc import Iterable
from uuid import UUID

SECONDS = 1.0
QUIET_SECONDS = 0.1
"""Docker's own proxy may take a connection for a dyno that does not listen yet, and hangs up at once."""
AT_ONCE = 500
"""Connections at a time, well below what a process may have open."""


def answering(targets: Iterable[tuple[UUID, str, int]]) -> frozenset[UUID]:
    """Those of (dyno, address, port) whose port takes a connection and keeps it."""
    wanted = list(targets)
    return asyncio.run(_answering(wanted)) if wanted else frozenset()


async def _answering(wanted: list[tuple[UUID, str, int]]) -> frozenset[UUID]:
    room = asyncio.Semaphore(AT_ONCE)
    results = await asyncio.gather(*(_answers(room, address, port) for _, address, port in wanted))
    return frozenset(target[0] for target, answers in zip(wanted, results, strict=True) if answers)


async def _answers(room: asyncio.Semaphore, address: str, port: int) -> bool:
    """Whether the port takes a connection and does not hang up on it at once."""
    async with room:
        try:
            async with asyncio.timeout(SECONDS):
                reader, writer = await asyncio.open_connection(address, port)
        except OSError:  # a timeout is one too
            return False
        try:
            async with asyncio.timeout(QUIET_SECONDS):
                return await reader.read(1) != b""
        except TimeoutError:
            return True  # it waits for a request, as a server should
        except OSError:
            return False
        finally:
            writer.close()
