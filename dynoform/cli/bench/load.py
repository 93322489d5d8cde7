"""Requests at a constant rate, from one thread: cheap, so that the machine is the platform's."""

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

SECONDS = 30.0
"""A request that takes longer has failed."""
MOST = 500
"""At a time; what would be more has failed, as nobody answers the others."""


@dataclass
class Load:
    """What became of the requests."""

    sent: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    """How many ended so: an HTTP status, or the name of an error."""
    slowest: float = 0.0
    """Seconds."""

    @property
    def failed(self) -> int:
        """How many were not answered with 200."""
        return self.failures.total()


@contextmanager
def load(host: str, port: int, rate: int) -> Iterator[Load]:
    """Ask the router on this machine for `host`, `rate` times a second, each on a connection of its own.

    A request is sent when its time has come, whether others were answered or not. At the end of the block all that was
    sent is waited for.
    """
    found, ended = Load(), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(_send(found, ended, host, port, rate)))
    thread.start()
    try:
        yield found
    finally:
        ended.set()
        thread.join()


async def _send(found: Load, ended: threading.Event, host: str, port: int, rate: int) -> None:
    loop = asyncio.get_running_loop()
    began, flying = loop.time(), set[asyncio.Task[None]]()
    while not ended.is_set():
        due = int((loop.time() - began) * rate) + 1
        for _ in range(due - found.sent):
            found.sent += 1
            if len(flying) >= MOST:
                found.failures["nobody answers"] += 1
                continue
            task = asyncio.ensure_future(_request(found, host, port))
            flying.add(task)
            task.add_done_callback(flying.discard)
        await asyncio.sleep(max(0.0, began + found.sent / rate - loop.time()))
    await asyncio.gather(*flying)


async def _request(found: Load, host: str, port: int) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        async with asyncio.timeout(SECONDS):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(f"GET / HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode())
                words = (await reader.readline()).decode("latin-1").split()
                status = words[1] if len(words) > 1 else "no answer"
                await reader.read()
            finally:
                writer.close()
    except OSError as error:  # TimeoutError is one
        status = type(error).__name__
    if status != "200":
        found.failures[status] += 1
    found.slowest = max(found.slowest, loop.time() - began)
