"""What one-off dynos need besides the dyno platform: API, relay with TLS, log plane, and the runtime agent itself."""

import asyncio
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
from docker.models.containers import Container

from dynoform.api.services import Services
from dynoform.api.wake import Wakers
from dynoform.configuration import Configuration
from dynoform.domain import rendezvous
from dynoform.domain.dyno_container import RUN_ID_LABEL, STACK_LABEL
from dynoform.journal import Journal
from dynoform.logplex.server import Logplex
from dynoform.logplex_client import LogplexClient
from dynoform.router.rendezvous import Relay
from dynoform.store.accounts import ensure_operator
from dynoform.store.session import Store
from dynoform.store.tables import App
from tests import api_server
from tests.integration import certificates
from tests.integration.dyno_platform import NETWORK, STACK, DynoPlatform, dyno_network, remove_dynos
from tests.integration.engine_parts import ROOT, EngineParts
from tests.store_fixtures import EMAIL, OPERATOR_KEY

LOCAL = "127.0.0.1"


class Terminal:
    """A client of `heroku run`: what the CLI does with an attach_url."""

    def __init__(self, attach_url: str, authority: str) -> None:
        port, secret = re.fullmatch(r"rendezvous://localhost:(\d+)/([\w-]{43})", attach_url).groups()  # type: ignore[union-attr]
        context = ssl.create_default_context(cadata=authority)
        self.socket = context.wrap_socket(socket.create_connection((LOCAL, int(port)), 60), server_hostname="localhost")
        self.socket.settimeout(60)
        self.chunks: list[bytes] = []
        self.send(f"{secret}\r\n".encode())

    def greeted(self) -> "Terminal":
        """The first chunk, which the CLI throws away."""
        assert self.socket.recv(65536) == rendezvous.GREETING
        return self

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def read_until(self, wanted: bytes) -> bytes:
        """Output up to and with these bytes."""
        while wanted not in b"".join(self.chunks):
            data = self.socket.recv(65536)
            assert data, f"closed after {b''.join(self.chunks)!r}"
            self.chunks.append(data)
        return b"".join(self.chunks)

    def read(self) -> bytes:
        """All output, to the end."""
        while data := self.socket.recv(65536):
            self.chunks.append(data)
        self.close()
        return b"".join(self.chunks)

    def close(self) -> None:
        self.socket.close()


class Loop:
    """An event loop in a thread, for the servers."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    def do(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(60)


class RunPlatform:
    """Handles for the tests."""

    def __init__(self, platform: DynoPlatform, configuration: Configuration, folder: Path) -> None:
        self.platform, self.folder = platform, folder
        self.loop = Loop()
        authority = certificates.Authority()
        self.authority = authority.pem.decode()
        pem = folder / "router.pem"
        pem.write_bytes(b"".join(authority.issue("router", LOCAL, "localhost")))
        journal = Journal("router-agent")
        self.relay = Relay(journal)
        outer, inner = self.loop.do(self.relay.start(([LOCAL], 0), (LOCAL, 0), pem))
        self.logplex = Logplex(Journal("logplex"))
        syslog, _ = self.loop.do(self.logplex.start(LOCAL, 0, 0))
        self.configuration = replace(
            configuration,
            stack=STACK,
            exec_address=LOCAL,
            rendezvous_port=outer,
            rendezvous_dyno_port=inner,
            logplex_syslog_port=syslog,
        )
        self._agent: subprocess.Popen[bytes] | None = None

    @contextmanager
    def api(self) -> Iterator[httpx.Client]:
        """The API on a port of its own."""
        services = Services(
            self.configuration,
            self.platform.store,
            self.platform.vault,
            LogplexClient(self.configuration),
            Journal("api"),
            Wakers(self.platform.store),
        )
        with self.platform.store.transaction() as session:
            ensure_operator(session, EMAIL, OPERATOR_KEY)
        headers = {"Authorization": f"Bearer {OPERATOR_KEY}"}
        with (
            api_server.serving(services, LOCAL) as url,
            httpx.Client(base_url=url, headers=headers, timeout=60, trust_env=False) as client,
        ):
            self.client = client
            yield client

    def start_agent(self) -> int:
        """The agent as its service starts it; returns its pid."""
        configuration = self.configuration
        environment = {
            "PATH": os.environ["PATH"],
            "DYNOFORM_STACK": STACK,
            "DYNOFORM_DYNO_NETWORK": NETWORK,
            "DYNOFORM_CGROUPS": "/sys/fs/cgroup",
            "DYNOFORM_DATABASE": configuration.database,
            "DYNOFORM_SECRETS": str(configuration.secrets),
            "DYNOFORM_PLATFORM_ADDRESS": LOCAL,
            "DYNOFORM_RENDEZVOUS_DYNO_PORT": str(configuration.rendezvous_dyno_port),
            "DYNOFORM_LOGPLEX_SYSLOG_PORT": str(configuration.logplex_syslog_port),
        }
        output = (self.folder / "runtime-agent.log").open("ab")
        command = [sys.executable, "-m", "dynoform", "runtime-agent"]
        self._agent = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=output, stderr=output)
        output.close()
        return self._agent.pid

    def stop_agent(self, number: int = signal.SIGTERM) -> None:
        """End it, by SIGTERM or SIGKILL."""
        if self._agent is not None:
            self._agent.send_signal(number)
            self._agent.wait(60)
            self._agent = None

    def app(self, commands: dict[str, str] | None = None, **config: str) -> str:
        """The name of a new app with a release."""
        name = f"run-{uuid.uuid4().hex[:8]}"
        app_id = self.platform.app(name)
        self.platform.release(app_id, commands or {"work": "sleep 1000"}, **config)
        return name

    def app_id(self, name: str) -> uuid.UUID:
        with self.platform.store.transaction() as session:
            from sqlalchemy import select

            return session.scalars(select(App.id).where(App.name == name)).one()

    def run(self, app: str, command: str, **body: Any) -> dict[str, Any]:
        """Ask for a one-off dyno, as the CLI does."""
        body = {"attach": True, "command": command, "env": {"TERM": "dumb"}, **body}
        answer = self.client.post(f"/apps/{app}/dynos", json=body)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    def attach(self, app: str, command: str, **body: Any) -> Terminal:
        """Ask for one and attach to it."""
        return Terminal(self.run(app, command, **body)["attach_url"], self.authority).greeted()

    def dynos(self, app: str) -> list[dict[str, Any]]:
        """What `heroku ps` shows."""
        rows: list[dict[str, Any]] = self.client.get(f"/apps/{app}/dynos").raise_for_status().json()
        return rows

    def containers(self, dyno: dict[str, Any] | None = None) -> list[Container]:
        """Containers of one-off dynos, of one or of all, ended ones too."""
        labels = [f"{STACK_LABEL}={STACK}", f"{RUN_ID_LABEL}={dyno['id']}" if dyno else RUN_ID_LABEL]
        found: list[Container] = self.platform.parts.engine.containers.list(
            all=True, filters={"label": labels}, ignore_removed=True
        )
        return found

    def log(self, app: str) -> list[str]:
        """Lines of the app's log, without their times."""
        app_id = str(self.app_id(app))

        async def look() -> list[bytes]:  # in the one thread that may
            return [each.line for each in self.logplex.buffers.last(app_id, 1000)]

        return [line.decode().partition(" ")[2] for line in self.loop.do(look())]

    def said(self, app: str, *lines: str) -> bool:
        """Whether these lines were logged in this order (others may be between them)."""
        rest = iter(self.log(app))
        return all(any(line in found for found in rest) for line in lines)

    def wait(self, condition: Callable[[], bool], seconds: float = 60) -> None:
        """Until it holds."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, (self.folder / "runtime-agent.log").read_text()[-2000:]
            time.sleep(0.2)


@contextmanager
def running(parts: EngineParts, store: Store, configuration: Configuration, folder: Path) -> Iterator[RunPlatform]:
    """All of it, with the API and the runtime agent at work; nothing of it is left at the end."""
    image = parts.image("stack-13")
    remove_dynos(parts)
    with dyno_network(parts):
        made = RunPlatform(DynoPlatform(parts, store, configuration, image), configuration, folder)
        with made.api():
            made.start_agent()
            yield made
        made.stop_agent()
        remove_dynos(parts)
