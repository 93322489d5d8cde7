"""Requests to an app through a router, all the time, with every failure's moment."""

import http.client
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

HTTP_OK = 200
SECONDS = 40
"""A request is given up after this, longer than the router would wait itself."""
CONNECT_SECONDS = 1
"""A router that does not let a connection in for so long is left out, where there is another one."""


@dataclass
class Load:
    """What was asked, and how it ended.

    Parameters:
        address, port: of a router.
        host: the app's host name.
        pause: seconds between two requests of one client.
        others: addresses of further routers, of which the next is taken when one cannot be connected to, as a load
            balancer that passes TCP on does.
    """

    address: str
    port: int
    host: str
    pause: float = 0.04
    others: Sequence[str] = ()
    answered: int = 0
    failures: list[tuple[float, float, str]] = field(default_factory=list)
    """(sent, ended, what) of each request that got no 200; times are of the monotonic clock."""
    slowest: float = 0.0
    _stop: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def failed_since(self, moment: float) -> list[float]:
        """Seconds after ``moment`` at which requests were sent that failed; those that were under way are left out."""
        return sorted(round(sent - moment, 2) for sent, _, _ in self.failures if sent >= moment)

    def kinds(self) -> set[str]:
        """What the failures were."""
        return {what for _, _, what in self.failures}

    def work(self) -> None:
        """One client: one request after another until told to stop."""
        while not self._stop.is_set():
            sent = time.monotonic()
            what = self._ask()
            ended = time.monotonic()
            with self._lock:
                self.slowest = max(self.slowest, ended - sent)
                if what:
                    self.failures.append((sent, ended, what))
                else:
                    self.answered += 1
            self._stop.wait(self.pause)

    def stop(self) -> None:
        """Let the clients finish the request that each is at."""
        self._stop.set()

    def _ask(self) -> str:
        """Empty for a 200, else what there was instead."""
        connection = http.client.HTTPConnection(self.address, self.port, timeout=SECONDS)
        try:
            connection.sock = self._connect()
            connection.request("GET", "/", headers={"Host": self.host})
            answer = connection.getresponse()
            answer.read()
        except OSError as error:
            return type(error).__name__
        except http.client.HTTPException as error:
            return type(error).__name__
        finally:
            with suppress(OSError):
                connection.close()
        return "" if answer.status == HTTP_OK else str(answer.status)

    def _connect(self) -> socket.socket:
        """A connection to the first router that lets one in; the last one's refusal."""
        addresses = [self.address, *self.others]
        for address in addresses[:-1]:
            with suppress(OSError):
                return _connected(address, self.port, CONNECT_SECONDS)
        return _connected(addresses[-1], self.port, SECONDS)


def _connected(address: str, port: int, seconds: float) -> socket.socket:
    connection = socket.create_connection((address, port), timeout=seconds)
    connection.settimeout(SECONDS)
    return connection


@contextmanager
def requests(load: Load, clients: Sequence[int] = range(4)) -> Iterator[Load]:
    """Ask for the length of the block."""
    threads = [threading.Thread(target=load.work, daemon=True) for _ in clients]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        load.stop()
        for thread in threads:
            thread.join(SECONDS + 5)
