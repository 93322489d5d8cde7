"""Debian's docker-registry for tests: a process on the loopback with the platform's own configuration and real TLS."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dynoform.cli.places import Places
from dynoform.cli.tools.store import Store
from tests import debian
from tests.integration.certificates import Authority
from tests.postgres import free_port

ROOT = Path(__file__).resolve().parents[1]
LOCAL = "127.0.0.1"


def binary() -> str | None:
    """Where docker-registry is: the host's, or the one that the tests bring; None where there is no apt-get."""
    found = shutil.which("docker-registry")
    if found or not shutil.which("apt-get"):
        return found
    store = Store(Places.from_environment().cache / "tools")
    entry = store.bring("docker-registry", lambda target: debian.unpack(target, ["docker-registry"]))
    return str(entry / "usr" / "bin" / "docker-registry")


@contextmanager
def running(folder: Path, secrets: Path) -> Iterator[int]:
    """Run a registry with its data in ``folder`` for the length of the block; yields its port.

    A client's certificate for it goes to ``secrets``, under the names that services use.
    """
    port = configure(folder, secrets)
    process = start(folder, port)
    try:
        yield port
    finally:
        process.terminate()
        process.wait(60)


def configure(folder: Path, secrets: Path) -> int:
    """Write the platform's configuration and certificates to ``folder``; returns the port that it is for."""
    authority = Authority()
    certificate, key = authority.issue("registry", LOCAL)
    (folder / "ca.crt").write_bytes(authority.pem)
    (folder / "registry.crt").write_bytes(certificate)
    (folder / "registry.key").write_bytes(key)
    certificate, key = authority.issue("api", LOCAL, client=True)
    (secrets / "ca.crt").write_bytes(authority.pem)
    (secrets / "registry.crt").write_bytes(certificate)
    (secrets / "registry.key").write_bytes(key)
    port = free_port()
    settings = (ROOT / "images/registry/config.yml").read_text().replace("/var/lib/registry", str(folder / "data"))
    settings = settings.replace("/run/secrets", str(folder)).replace("addr: :5000", f"addr: {LOCAL}:{port}")
    (folder / "config.yml").write_text(settings.replace(f"{LOCAL}:5001", f"{LOCAL}:{free_port()}"))
    (folder / "data").mkdir()
    return port


def start(folder: Path, port: int, **environment: str) -> "subprocess.Popen[bytes]":
    """Start it as its image does, in a session of its own; ``environment`` is the entrypoint's."""
    program = binary()
    assert program is not None
    variables = {
        "PATH": f"{Path(program).parent}:{os.environ['PATH']}",
        "DATA": str(folder / "data"),
        **environment,
    }
    with (folder / "log").open("ab") as log:
        entrypoint = [ROOT / "images/registry/entrypoint", folder / "config.yml"]
        process = subprocess.Popen(entrypoint, env=variables, stdout=log, stderr=log, start_new_session=True)
    try:
        wait(port, folder / "log")
    except BaseException:
        process.terminate()
        raise
    return process


def wait(port: int, log: Path) -> None:
    """Until it listens."""
    deadline = time.monotonic() + 60
    while True:
        try:
            socket.create_connection((LOCAL, port), timeout=1).close()
            return
        except OSError:
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
