"""A port of this machine that leads to a host's own: what hosts keep from everybody outside the fleet, by SSH."""

import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.fleet.hosts import FleetHost

SECONDS = 5


@contextmanager
def relayed(host: FleetHost, port: int) -> Iterator[int]:
    """The port, on loopback, while the block lasts. Each connection is an SSH of its own: the host may be away."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_serve, args=(server, host, port), daemon=True).start()
        yield int(server.getsockname()[1])


def _serve(server: socket.socket, host: FleetHost, port: int) -> None:
    options = ["-o", f"UserKnownHostsFile={host.folder}/known_hosts", "-o", "BatchMode=yes", "-o", "ConnectTimeout=3"]
    options += ["-o", f"ServerAliveInterval={SECONDS}", "-i", str(host.folder / "key")]
    command = ["ssh", *options, "-W", f"{host.address}:{port}", f"root@{host.address}"]
    with suppress(OSError):
        while True:
            with server.accept()[0] as client:
                end = client.fileno()
                subprocess.Popen(command, stdin=end, stdout=end, stderr=subprocess.DEVNULL)
