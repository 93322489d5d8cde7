"""A port of this machine that leads to hosts' own: what they keep from everybody outside the fleet, by SSH."""

import itertools
import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from tests.fleet.hosts import FleetHost

SECONDS = 5


@contextmanager
def relayed(hosts: Sequence[FleetHost], port: int) -> Iterator[int]:
    """The port, on loopback, while the block lasts. Each connection is an SSH of its own, to one host after the other.

    A host may be away: its connections end, and the next one is to another.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_serve, args=(server, hosts, port), daemon=True).start()
        yield int(server.getsockname()[1])


def _serve(server: socket.socket, hosts: Sequence[FleetHost], port: int) -> None:
    with suppress(OSError):
        for host in itertools.cycle(hosts):
            with server.accept()[0] as client:
                end = client.fileno()
                subprocess.Popen(_command(host, port), stdin=end, stdout=end, stderr=subprocess.DEVNULL)


def _command(host: FleetHost, port: int) -> list[str]:
    options = ["-o", f"UserKnownHostsFile={host.folder}/known_hosts", "-o", "BatchMode=yes", "-o", "ConnectTimeout=3"]
    options += ["-o", f"ServerAliveInterval={SECONDS}", "-i", str(host.folder / "key")]
    return ["ssh", *options, "-W", f"{host.address}:{port}", f"root@{host.address}"]
