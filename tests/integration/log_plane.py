"""A stand-in for the log plane: keeps the lines that platform processes send."""

import re
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from dynoform.domain import relp

_MESSAGE = re.compile(rb"<190>1 \S+ dynoform (\S+) (\w+)\.(\S+) - \[[^]]*\] (.*)", re.DOTALL)


@dataclass
class LogPlane:
    """What arrived."""

    received: list[bytes] = field(default_factory=list)

    def lines(self, app_id: object) -> list[str]:
        """The app's lines: ``heroku[release.1234]: State changed from starting to up``."""
        found = (_MESSAGE.fullmatch(message) for message in self.received)
        wanted = (match for match in found if match and match[1].decode() == str(app_id))
        return [f"{match[2].decode()}[{match[3].decode()}]: {match[4].decode()}" for match in wanted]


@contextmanager
def listening(address: str, port: int) -> Iterator[LogPlane]:
    """Take lines at this address until the end of the block."""
    plane = LogPlane()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            reader = relp.Reader()
            while data := self.request.recv(65536):
                for frame in reader.feed(data):
                    if frame.command == relp.SYSLOG:
                        plane.received.append(frame.data)
                    self.request.sendall(relp.accepted(frame.number))

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True

    with Server((address, port), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        yield plane
        server.shutdown()
        thread.join(5)
