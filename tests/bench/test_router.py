"""The router with 10,000 apps, beside other proxies. Run by `bin/dynoform bench`; a number of its own per test."""

import json
import os
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from components.router import USER
from dynoform.configuration import Configuration
from dynoform.domain.routes import RoutedApp, Routes, WebDyno, compute
from dynoform.journal import Journal
from dynoform.router.agent import Agent
from dynoform.router.certificates import FOLDER
from dynoform.router.rendering import CERTIFICATES, MOUNT, OWN_CERTIFICATE
from dynoform.store.driver import SmallStore
from tests.bench import router_peers as peers
from tests.integration.engine_parts import EngineParts, parts
from tests.integration.router_container import make_folder, start_router
from tests.postgres import free_port

__all__ = ["parts"]

pytestmark = [pytest.mark.bench, pytest.mark.engine, pytest.mark.timeout(900)]

PLATFORM = "127.72.0.1"
SECONDS = int(os.environ.get("BENCH_SECONDS", "10"))
"""Of each load."""
RATE = 1500
"""Requests a second at which all proxies are asked for their 99th percentile: none is at its limit there."""
NUMBER_OF_CERTIFICATES = 1000


class Router:
    """Our router in its container, and an agent that gives it routes."""

    def __init__(self, parts: EngineParts, folder: Path, pem: bytes | None = None, **options: Any) -> None:
        self.folder, _ = make_folder(folder)
        if pem is not None:
            (folder / "router.pem").write_bytes(pem)
        self.http, self.https = free_port(), free_port()
        self.container = start_router(parts, self.folder, PLATFORM, "127.0.0.1", self.http, self.https, **options)
        self.agent = Agent(
            SmallStore(Configuration.from_environment({}), "bench"), self.folder, "localhost", Journal("bench")
        )
        deadline = time.monotonic() + peers.READY_SECONDS
        while not self.is_there() and time.monotonic() < deadline:
            time.sleep(0.05)

    def is_there(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.http)) == 0

    def memory(self) -> float:
        """MiB resident in its processes: the one that routes, and its master."""
        return sum(
            int(line.split()[1]) / 1024
            for process in self.container.top()["Processes"]
            for line in Path("/proc", process[1], "status").read_text().splitlines()
            if line.startswith("VmRSS")
        )


def routes(apps: int, dynos: int = 1) -> Routes:
    """So many apps of so many dynos each, all of them the one app."""
    named = [RoutedApp(uuid.UUID(int=number + 1), f"app-{number}") for number in range(apps)]
    address, port = peers.APP
    web = [
        WebDyno(uuid.UUID(int=(app.id.int << 96) + number), app.id, number, "up", address, port)
        for app in named
        for number in range(1, dynos + 1)
    ]
    return compute(named, web, "localhost")


def told(found: dict[str, float]) -> None:
    """Where the bench reads it."""
    print(json.dumps(found))
    if result := os.environ.get("BENCH_RESULT"):
        Path(result).write_text(json.dumps(found), encoding="utf-8")


@contextmanager
def ours(parts: EngineParts, folder: Path, sink: peers.Sink) -> Iterator[int]:
    with sink.running(PLATFORM, 6514):
        router = Router(parts, folder, cpuset_cpus=peers.PROXY)
        router.agent.apply(routes(peers.NAMES))
        peers.wait_for(router.http)
        yield router.http
        router.container.remove(force=True)


def each(parts: EngineParts, folder: Path, measured: Callable[[int], float]) -> dict[str, float]:
    """The measure of ours and of the peers that there are, one after the other; and the lines that ours logged."""
    found: dict[str, float] = {}
    sink = peers.Sink(folder / "lines")
    with peers.app(folder):
        for name, peer in {"router": None, **peers.PEERS}.items():
            if peer is not None and peers.program(name) is None:
                continue
            (place := folder / name).mkdir()
            with ours(parts, place, sink) if peer is None else peer(place) as port:
                found[name] = measured(port)
    return {**found, "lines": sink.lines}


def test_rate(parts: EngineParts, tmp_path: Path) -> None:
    found = each(parts, tmp_path, lambda port: peers.rate(port, SECONDS))
    told(found)
    assert found["lines"] > 0.99 * found["router"] * SECONDS, "lines of the log are missing"


def test_p99(parts: EngineParts, tmp_path: Path) -> None:
    told(each(parts, tmp_path, lambda port: peers.p99(port, RATE, SECONDS, tmp_path / "requests")))


def test_handshakes(parts: EngineParts, tmp_path: Path) -> None:
    """With an RSA key of 2,048 bits, as most certificates that are brought have: servers have the work, not clients."""
    (place := tmp_path / "router").mkdir()
    router = Router(parts, place, cpuset_cpus=peers.PROXY, pem=rsa_pem())
    peers.handshake(router.https)
    found = {"router": peers.handshakes(router.https, SECONDS)}
    router.container.remove(force=True)
    if peers.program("nginx"):
        (place := tmp_path / "nginx").mkdir()
        (place / "server.pem").write_bytes(rsa_pem())
        with peers.nginx_tls(place, place / "server.pem") as port:
            found["nginx"] = peers.handshakes(port, SECONDS)
    told(found)


def rsa_pem() -> bytes:
    """A certificate that signs itself, and its key."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")]), datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    lasting = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    plain = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return lasting.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM) + key.private_bytes(*plain)


def test_memory(parts: EngineParts, tmp_path: Path) -> None:
    found: dict[str, float] = {}
    for name, dynos, apps in (("none", 1, 0), ("lone", 1, peers.NAMES), ("pairs", 2, peers.NAMES)):
        (folder := tmp_path / name).mkdir()
        router = Router(parts, folder)
        router.agent.apply(routes(apps, dynos))
        time.sleep(1)
        found[name] = router.memory()
        router.container.remove(force=True)
    each_thousand = {name: (found[name] - found["none"]) * 1000 / peers.NAMES for name in ("lone", "pairs")}
    told({"without apps": found["none"], **each_thousand})


def test_restart(parts: EngineParts, tmp_path: Path) -> None:
    """Nothing of the control plane is there, not even the agent."""
    with peers.app(tmp_path):
        router = Router(parts, tmp_path)
        router.agent.apply(routes(peers.NAMES))
        plain = restarted(router)
        add_certificates(router.folder)
        assert router.agent.master.reload().succeeded
        secured = restarted(router)
    listed = router.agent.master.listed(MOUNT / CERTIFICATES) or []
    assert len(listed) > NUMBER_OF_CERTIFICATES
    told({"seconds": plain, "with certificates": secured})


def restarted(router: Router) -> float:
    """Seconds from the start of a router that was killed to an answer."""
    peers.wait_for(router.http)
    router.container.kill()
    began = time.monotonic()
    router.container.start()
    peers.wait_for(router.http)
    return time.monotonic() - began


def add_certificates(folder: Path) -> None:
    """A thousand certificates for names of their own, as the agent writes them."""
    pem = (folder.parent / "router.pem").read_text()
    lines = [f"{OWN_CERTIFICATE} *"]
    (folder / FOLDER).mkdir()
    for number in range(NUMBER_OF_CERTIFICATES):
        (folder / FOLDER / f"{number}.pem").write_text(pem)
        lines.append(f"{MOUNT / FOLDER / str(number)}.pem www-{number}.example.com")
    for path in (folder / FOLDER, *(folder / FOLDER).iterdir()):
        os.chown(path, int(USER), int(USER))
    (folder / CERTIFICATES).write_text("\n".join(lines) + "\n")
