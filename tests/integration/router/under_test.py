"""A router under test: HAProxy in its container, the agent in the test's process, the rest as threads."""

import asyncio
import http.client
import json
import socket
import ssl
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from unittest.mock import patch

from docker.models.containers import Container

from dynoform.configuration import Configuration
from dynoform.domain.routes import CustomDomain, RoutedApp, Routes, WebDyno, compute
from dynoform.journal import Journal
from dynoform.logplex.server import Logplex
from dynoform.router.agent import Agent
from dynoform.router.gate import Gate
from dynoform.router.rendering import HEROKU, Patience, base
from dynoform.store.driver import SmallStore
from tests.integration.engine_parts import EngineParts
from tests.integration.router.container import make_folder, start_router
from tests.integration.run_platform import Loop
from tests.postgres import free_port

PLATFORM = "127.72.0.1"
"""A loopback address of our own, so that the platform's fixed ports are free on it."""
DYNOS = PLATFORM
"""Dynos are there too, on ports of their own."""
GONE_ADDRESS = "172.29.79.1"
"""No interface has it: HAProxy has to start all the same (the bridge comes later)."""
READY_SECONDS = 60
HOLD_SECONDS, AWAY_SECONDS = 4.0, 8
"""How long requests wait for a dyno by agent and by HAProxy, in place of Heroku's 75 s; an agent may stall a while."""


class App(BaseHTTPRequestHandler):
    """A web dyno that says what it was asked; it ends an endless answer when its server has ``enough``."""

    protocol_version = "HTTP/1.1"
    name = "dyno"

    def do_GET(self) -> None:
        if self.path == "/hang":
            time.sleep(40)
        if self.path == "/close":
            self.close_connection = True
            return
        if self.path in {"/stream", "/endless"}:
            self.stream()
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.answer(json.dumps({"name": self.name, "path": self.path, "headers": headers}).encode())

    def answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with suppress(OSError):
            self.wfile.write(body)

    def stream(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in (b"one", b"two"):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            time.sleep(0.5)
            if self.path == "/endless":
                self.server.enough.wait(30)  # type: ignore[attr-defined]
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, format: str, *arguments: object) -> None:
        pass


def serve(address: str, port: int, name: str) -> ThreadingHTTPServer:
    server = ThreadingHTTPServer((address, port), type("Named", (App,), {"name": name}))
    server.daemon_threads = True
    server.enough = threading.Event()  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


class RouterUnderTest:
    """HAProxy in its container, the agent in this process, dynos and API as threads, the log plane beside them."""

    def __init__(
        self, parts: EngineParts, folder: Path, logplex: Logplex, environment: dict[str, str], platform: str
    ) -> None:
        self.parts, self.folder, self.logplex, self.platform = parts, folder, logplex, platform
        self.environment = environment
        self.api: ThreadingHTTPServer | None = None
        self.dynos: list[ThreadingHTTPServer] = []
        self.http, self.https = free_port(), free_port()
        self.shop, self.blog, self.empty = uuid.uuid4(), uuid.uuid4(), uuid.uuid4()
        self.agent = Agent(SmallStore(Configuration.from_environment({}), "test"), folder, "localhost", Journal("test"))
        self.woken: list[uuid.UUID] = []
        self.loop = Loop()
        self.open_gate()
        self.trust = ssl.create_default_context()
        self.container = self.start()

    def start(self) -> Container:
        listen = f"127.0.0.1, {GONE_ADDRESS}"
        more = {"DYNOFORM_HOLD_SECONDS": str(AWAY_SECONDS), **self.environment}
        return start_router(self.parts, self.folder, self.platform, listen, self.http, self.https, more)

    def open_gate(self) -> None:
        """The agent's part in holding requests; what it would tell the store is kept."""
        self.agent.gate = Gate(self.woken.append, Journal("test"), HOLD_SECONDS)
        self.loop.do(self.agent.gate.start(self.folder))

    def close_gate(self) -> None:
        """As if the agent were gone: nobody listens, and what was open is cut."""

        async def end() -> None:
            assert self.agent.gate._server is not None
            self.agent.gate._server.close()
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()

        self.loop.do(end())

    def route(
        self,
        *dynos: WebDyno,
        maintenance: bool = False,
        domains: Sequence[CustomDomain] = (),
        blog: RoutedApp | None = None,
    ) -> Routes:
        """Have it serve these; ``blog`` is for an app of that name with more than a name."""
        blog = blog or RoutedApp(self.blog, "blog", maintenance)
        apps = [RoutedApp(self.shop, "shop"), blog, RoutedApp(self.empty, "empty")]
        wanted = compute(apps, dynos, "localhost", domains)
        self.agent.gate.tell(wanted)
        self.agent.apply(wanted)
        return wanted

    def dyno(self, number: int, port: int | None, app: uuid.UUID | None = None, state: str = "up") -> WebDyno:
        identity = uuid.uuid5(app or self.shop, str(number))
        return WebDyno(identity, app or self.shop, number, state, self.platform if port else None, port)

    def once_held(self, app: uuid.UUID, do: Callable[[], object]) -> threading.Thread:
        """Do something half a second after the agent holds a request to the app; returns the thread that does."""

        def work() -> None:
            while not self.agent.gate._waiting.get(str(app)):
                time.sleep(0.01)
            time.sleep(0.5)
            do()

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        return thread

    def let_dynos_end(self) -> None:
        """Endless answers end."""
        for dyno in self.dynos:
            dyno.enough.set()  # type: ignore[attr-defined]

    def get(self, host: str, path: str = "/", *, tls: bool = False, headers: dict[str, str] | None = None) -> "Answer":
        connection: http.client.HTTPConnection
        if tls:
            connection = http.client.HTTPSConnection("127.0.0.1", self.https, timeout=45, context=self.trust)
        else:
            connection = http.client.HTTPConnection("127.0.0.1", self.http, timeout=45)
        try:
            connection.request("GET", path, headers={"Host": host, **(headers or {})})
            response = connection.getresponse()
            return Answer(response.status, response.read().decode(), dict(response.getheaders()))
        finally:
            connection.close()

    def raw(self, request: bytes, quiet: float = 1) -> bytes:
        """All that comes back for these bytes, until the router closes or says nothing more for ``quiet`` seconds."""
        with closing(socket.create_connection(("127.0.0.1", self.http), 10)) as connection:
            connection.sendall(request)
            answer = b""
            with suppress(OSError):
                while received := connection.recv(65536):
                    answer += received
                    connection.settimeout(quiet)
            return answer

    def log_line(self, app: uuid.UUID, containing: str, seconds: float = 60) -> str:
        """The first line of the app's log with this text, which comes within ``seconds``."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for line in self.log(app):
                if containing in line:
                    return line
            time.sleep(0.02)
        raise AssertionError(f"no line with {containing!r} in the log of {app}")

    def log(self, app: uuid.UUID) -> list[str]:
        """The app's lines so far."""
        while True:
            with suppress(RuntimeError):  # a line has come meanwhile, in another thread
                return [line.decode() for _, line in self.logplex.buffers.last(str(app), 1500)]


class Answer:
    def __init__(self, status: int, text: str, headers: dict[str, str]) -> None:
        self.status, self.text, self.headers = status, text, headers

    @property
    def seen(self) -> dict[str, str]:
        """The headers that the dyno got."""
        found: dict[str, str] = json.loads(self.text)["headers"]
        return found


@contextmanager
def log_plane(platform: str = PLATFORM) -> Iterator[Logplex]:
    """The log plane, where routers look for it."""
    plane = Logplex(Journal("logplex"))
    loop = asyncio.new_event_loop()
    loop.run_until_complete(plane.start(platform, 6514, 8001))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield plane
    asyncio.run_coroutine_threadsafe(plane.stop(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(5)
    loop.close()


@contextmanager
def running(
    parts: EngineParts,
    logplex: Logplex,
    parent: Path,
    patience: Patience = HEROKU,
    platform: str = PLATFORM,
    **environment: str,
) -> Iterator[RouterUnderTest]:
    """A router with two dynos and the API, all on ``platform``; ``environment`` is for the container."""
    folder, authority = make_folder(parent)
    found = RouterUnderTest(parts, folder, logplex, environment, platform)
    found.trust.load_verify_locations(cadata=authority.decode())
    found.trust.check_hostname = False
    found.dynos = [serve(platform, 21001, "one"), serve(platform, 21002, "two")]
    found.api = serve(platform, 8000, "api")
    wait_for_tcp(found.http)
    with patch("dynoform.router.agent.base", partial(base, patience=patience)):
        yield found
    found.agent.store.close()
    for server in (*found.dynos, found.api):
        server.shutdown()
        server.server_close()


def wait_for_tcp(port: int) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        with suppress(OSError):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
            connection.request("GET", "/", headers={"Host": "probe.invalid"})
            connection.getresponse().read()
            connection.close()
            return
        time.sleep(0.05)
    raise AssertionError(f"nothing answers on port {port}")
