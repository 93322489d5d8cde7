"""A stand-in for the log plane: keeps the lines that platform processes send."""

import re
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

_FRAME = re.compile(rb"<190>1 \S+ dynoform (\S+) (\w+)\.(\S+) - - (.*)", re.DOTALL)


@dataclass
class LogPlane:
    """What arrived, by connection."""

    received: list[bytearray] = field(default_factory=list)

    def lines(self, app_id: object) -> list[str]:
        """The app's lines: ``heroku[release.1234]: State changed from starting to up``."""
        found = (_FRAME.fullmatch(frame) for part in self.received for frame in _frames(bytes(part)))
        wanted = (match for match in found if match and match[1].decode() == str(app_id))
        return [f"{match[2].decode()}[{match[3].decode()}]: {match[4].decode()}" for match in wanted]


def _frames(data: bytes) -> Iterator[bytes]:
    """The whole frames (RFC 6587, octet-counted) of what has arrived."""
    while match := re.match(rb"(\d+) ", data):
        end = match.end() + int(match[1])
        if len(data) < end:
            return
        yield data[match.end() : end]
        data = data[end:]


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
