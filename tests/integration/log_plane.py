"""A stand-in for the log plane: keeps the lines that platform processes send."""

import re
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

_LINE = re.compile(r"<190>1 \S+ dynoform (\S+) (\w+)\.(\S+) - - (.*?)(?=\d+ <190>1 |$)", re.DOTALL)


@dataclass
class LogPlane:
    """What arrived, in order of arrival on each connection."""

    received: list[bytearray] = field(default_factory=list)

    def lines(self, app_id: object) -> list[str]:
        """The app's lines: ``heroku[release.1234]: State changed from starting to up``."""
        text = "".join(part.decode() for part in self.received)
        return [
            f"{source}[{process}]: {line}" for app, source, process, line in _LINE.findall(text) if app == str(app_id)
        ]


@contextmanager
def listening(address: str, port: int) -> Iterator[LogPlane]:
    """Take lines at this address until the end of the block."""
    plane = LogPlane()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            part = bytearray()
            plane.received.append(part)
            while data := self.request.recv(65536):
                part += data

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True

    with Server((address, port), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        yield plane
        server.shutdown()
        thread.join(5)
