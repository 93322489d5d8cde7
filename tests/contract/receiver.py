"""A webhook's receiver: a real HTTPS server on the loopback that keeps what it gets and answers as it is told."""

import json
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.integration.certificates import Authority

ADDRESS = "127.0.0.1"


@dataclass(frozen=True)
class Request:
    """What came."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        """The body as JSON."""
        return dict(json.loads(self.body))


class Receiver:
    """``statuses`` are given one after the other, then 204; a negative one keeps the client waiting instead.

    ``retry_after`` is what those that are no success say besides. With ``drips``, an answer comes byte by byte.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.requests: list[Request] = []
        self.statuses: list[int] = []
        self.retry_after = ""
        self.drips = False
        self.released = threading.Event()
        self.journal: list[object] = []
        """What the sender writes down of its attempts, for a failed test."""
        self._changed = threading.Condition()

    def take(self, request: Request) -> int:
        """Keep a request; returns the status to answer with."""
        with self._changed:
            self.requests.append(request)
            self._changed.notify_all()
            return self.statuses.pop(0) if self.statuses else 204

    def wait(self, number: int, seconds: float = 60) -> list[Request]:
        """The requests, once there are that many."""
        with self._changed:
            came = self._changed.wait_for(lambda: len(self.requests) >= number, seconds)
            assert came, (self.requests, self.journal[-20:])
            return list(self.requests)


@contextmanager
def receiver(authority: Authority, folder: Path) -> Iterator[Receiver]:
    """A running receiver whose certificate ``authority`` signed."""
    certificate, key = authority.issue("receiver", ADDRESS)
    (folder / "receiver.pem").write_bytes(certificate + key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "receiver.pem")
    server = ThreadingHTTPServer((ADDRESS, 0), _Handler)
    server.daemon_threads = True
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    made = Receiver(f"https://{ADDRESS}:{server.server_port}/hooks?x=1")
    server.receiver = made  # type: ignore[attr-defined]
    server.handle_error = lambda *_: None  # type: ignore[method-assign, assignment] # clients that refuse the certificate
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.released.set()
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        made: Receiver = self.server.receiver  # type: ignore[attr-defined]
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status = made.take(Request(self.path, dict(self.headers), body))
        if status < 0:
            made.released.wait(30)
            return
        if made.drips:
            self._drip(made)
            return
        self.send_response(status)
        if made.retry_after and status >= 300:
            self.send_header("Retry-After", made.retry_after)
        if 300 <= status < 400:
            self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _drip(self, made: Receiver) -> None:
        with suppress(OSError):
            for byte in b"HTTP/1.1 204 No Content\r\nX-Long: " + b"x" * 100_000:
                self.wfile.write(bytes([byte]))
                if made.released.wait(0.05):
                    return

    def log_message(self, format: str, *args: object) -> None:
        return
