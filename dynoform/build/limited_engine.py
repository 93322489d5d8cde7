"""The engine's socket for a program that makes containers of its own: each one has the limits and labels of a build.

What passes is the engine's API (https://docs.docker.com/reference/api/engine/); what is changed is what makes a
container. This holds a program to limits that it has no options for. It does not guard against the program itself.
"""

import json
import re
import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from dynoform.build import container
from dynoform.domain import builds
from dynoform.errors import UnavailableError

ENGINE = Path("/var/run/docker.sock")
_CREATE = re.compile(rb"POST (/v[\d.]+)?/containers/create[? ]")
_HEAD_BYTES, _BODY_BYTES = 64 * 1024, 4 * builds.MIB
_PIECE = 256 * 1024
_REPLACED = (b"content-length:", b"transfer-encoding:", b"expect:")


def limits(capabilities: list[str]) -> dict[str, Any]:
    """What every container of a build is held to, as the engine's API has it in ``HostConfig``."""
    found = container.limits()
    return {
        "Memory": found["mem_limit"],
        "MemorySwap": found["memswap_limit"],
        "PidsLimit": found["pids_limit"],
        "NanoCpus": found["nano_cpus"],
        "CpuShares": found["cpu_shares"],
        "Ulimits": [dict(each) for each in found["ulimits"]],
        "CapDrop": found["cap_drop"],
        "CapAdd": sorted(capabilities),
        "SecurityOpt": found["security_opt"],
        "Init": found["init"],
        "Privileged": False,
    }


class LimitedEngine:
    """A socket in a folder, in a ``with`` block. ``address`` is what ``DOCKER_HOST`` is to say."""

    def __init__(
        self, folder: Path, labels: Mapping[str, str], limits: Mapping[str, Any], engine: Path = ENGINE
    ) -> None:
        """``labels`` and ``limits`` (of ``HostConfig``) replace what a container would have.

        ``engine`` is the real one's socket.
        """
        self._path = folder / "engine.sock"
        self.address = f"unix://{self._path}"
        self._labels, self._limits, self._engine = labels, limits, engine
        self._server = socket.socket(socket.AF_UNIX)

    def __enter__(self) -> "LimitedEngine":
        """Listen. Raises ``UnavailableError``."""
        try:
            self._server.bind(str(self._path))
            self._server.listen()
        except OSError as error:
            raise UnavailableError(f"socket {self._path}", str(error.strerror or error)) from error
        threading.Thread(target=self._accept, name="engine", daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        """Take no more connections; those that there are end with their programs."""
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._path.unlink(missing_ok=True)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), name="engine", daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        """One request, or one conversation that begins as a request: then the connection ends."""
        with client, suppress(OSError, ValueError), socket.socket(socket.AF_UNIX) as engine:
            engine.connect(str(self._engine))
            with client.makefile("rb") as sent:
                engine.sendall(self._request(sent))
                back = threading.Thread(target=_pass_on, args=(engine, client), name="engine", daemon=True)
                back.start()
                while piece := sent.read1(_PIECE):
                    engine.sendall(piece)
                with suppress(OSError):
                    engine.shutdown(socket.SHUT_WR)
                back.join()

    def _request(self, sent: BinaryIO) -> bytes:
        """The head of a request, and of one that makes a container all of it. Raises ``ValueError``."""
        head = _head(sent)
        names = [line.partition(b":")[0].lower() for line in head]
        # The next request on the same connection would pass unseen.
        if b"upgrade" not in names:
            head = [line for line in head if not line.lower().startswith(b"connection:")] + [b"Connection: close"]
        if not _CREATE.match(head[0]):
            return b"\r\n".join([*head, b"", b""])
        wanted = json.loads(_body(head, sent))
        wanted["Labels"] = {**(wanted.get("Labels") or {}), **self._labels}
        wanted["HostConfig"] = {**(wanted.get("HostConfig") or {}), **self._limits}
        body = json.dumps(wanted).encode()
        kept = [line for line in head if not line.lower().startswith(_REPLACED)]
        return b"\r\n".join([*kept, b"Content-Length: %d" % len(body), b"", body])


def _head(sent: BinaryIO) -> list[bytes]:
    """The lines before the empty one."""
    lines: list[bytes] = []
    left = _HEAD_BYTES
    while (line := sent.readline(left)) not in (b"\r\n", b"\n"):
        left -= len(line)
        if not line or left <= 0:
            raise ValueError("no whole request")
        lines.append(line.rstrip(b"\r\n"))
    if not lines:
        raise ValueError("no request")
    return lines


def _body(head: list[bytes], sent: BinaryIO) -> bytes:
    """What follows the head: of a length that it tells, or in chunks."""
    told = {name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in head[1:])}
    if told.get(b"transfer-encoding", b"").lower() != b"chunked":
        return _read(sent, int(told.get(b"content-length", b"0")))
    found = b""
    while size := int(sent.readline(100).partition(b";")[0], 16):
        found += _read(sent, size)
        if len(found) > _BODY_BYTES:
            raise ValueError("too long")
        sent.readline(100)
    sent.readline(100)
    return found


def _read(sent: BinaryIO, size: int) -> bytes:
    if not 0 <= size <= _BODY_BYTES:
        raise ValueError("too long")
    found = sent.read(size)
    if len(found) < size:
        raise ValueError("cut short")
    return found


def _pass_on(engine: socket.socket, client: socket.socket) -> None:
    with suppress(OSError):
        while piece := engine.recv(_PIECE):
            client.sendall(piece)
    with suppress(OSError):
        client.shutdown(socket.SHUT_RDWR)
