"""HAProxy's master process, over its CLI socket: what configuration runs, and loading a new one."""

import csv
import re
import socket
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

SECONDS = 10
RELOAD_SECONDS = 60
_GENERATION = re.compile(r"proc\.generation: type=str value=<([0-9a-z]+)>")
_VALUE = re.compile(r'found=yes, .*value="([^"]*)"')
_VERSION = re.compile(r"New version created: (\d+)")
_FINGERPRINT = re.compile(r"^SHA1 FingerPrint: ([0-9A-F]{40})$", re.MULTILINE)
_PORTION = 8192
"""Bytes of one command, whose rest is short: HAProxy reads no more than its buffer has, 16 KiB."""
_COMMANDS = 4096
"""Bytes of commands that are sent together."""
_DONE = ("New server registered.", "IP changed from ", "no need to change ", "nothing changed")
_ENTRY = re.compile(r"key=(?P<key>\S+) .*\bexp=(?P<left>\d+) .*\bconn_cur=(?P<current>\d+)")
TABLE_SECONDS = 3600
"""For how long a table remembers an app."""
_RELOAD = "reload"
_SUCCESS = "Success=1"
_OLD_WORKERS = re.compile(r"^# old workers\n((?:\d+ .*\n)*)", re.MULTILINE)
_HAND_OVER_SECONDS = 5
_RESTART_SECONDS = 1.0


class NotRunningError(Exception):
    """No HAProxy is there: none serves old routes, and one that starts will read the file."""


@dataclass(frozen=True)
class Reload:
    """How a reload went; ``messages`` are HAProxy's own alerts, one line."""

    succeeded: bool
    messages: str


@dataclass(frozen=True)
class Traffic:
    """What one worker has counted of one backend."""

    backend: str
    sessions: int
    """Requests in progress, and connections that were switched to another protocol."""
    quiet_seconds: int | None
    """Since its last request began; None when it had none."""


@dataclass(frozen=True)
class Running:
    """A server that the running worker has."""

    address: str
    port: int
    serves: bool
    """Whether it gets new requests: one in maintenance finishes those that it has."""


class Master:
    """The CLI socket of HAProxy's master process (HAProxy 3.0 management guide, 9.4)."""

    def __init__(self, path: Path) -> None:
        """``path`` is the Unix socket."""
        self.path = path

    def generation(self) -> str:
        """The generation that the running worker has loaded; empty for a configuration that is not ours (bootstrap).

        Raises ``NotRunningError``, or ``OSError`` when HAProxy is there but does not answer.
        """
        match = _GENERATION.search(self._ask("@1 get var proc.generation", SECONDS))
        return match[1] if match else ""

    def value(self, file: Path, key: str) -> str:
        """What the running worker's copy of a map has for a key; empty for none. Raises as ``generation`` does."""
        match = _VALUE.search(self._ask(f"@1 get map {file} {key}", SECONDS))
        return match[1] if match else ""

    def replace(self, file: Path, lines: Iterable[str]) -> None:
        """Put these lines in the place of all that the running worker's copy of a map has, at once and for good.

        Whether it did is seen by ``value``: a worker without that map does nothing. Raises as ``generation`` does.
        """
        version = _VERSION.search(self._ask(f"@1 prepare map {file}", SECONDS))
        if version is None:
            return
        for portion in _portions(lines, "{}\n"):
            self._ask(f"@1 add map @{version[1]} {file} <<\n{portion}", SECONDS)
        self._ask(f"@1 commit map @{version[1]} {file}", SECONDS)

    def hosts(self, file: Path) -> dict[str, str]:
        """All that the running worker's copy of a map has. Raises as ``generation`` does."""
        lines = self._ask(f"@1 show map {file}", SECONDS).splitlines()
        return dict(line.split(" ", 2)[1:] for line in lines if line.startswith("0x"))

    def servers(self) -> dict[str, dict[str, Running]]:
        """All servers of the running worker: backend → name → server. Raises as ``generation`` does."""
        found: dict[str, dict[str, Running]] = defaultdict(dict)
        lines = self._ask("@1 show servers state", SECONDS).splitlines()
        names = next((line[2:].split() for line in lines if line.startswith("# ")), [])
        for row in (dict(zip(names, line.split(), strict=False)) for line in lines if line[:1].isdigit()):
            if "srv_name" in row:
                running = Running(row["srv_addr"], int(row["srv_port"]), row["srv_admin_state"] == "0")
                found[row["be_name"]][row["srv_name"]] = running
        return found

    def run(self, commands: Iterable[str]) -> list[str]:
        """Have the running worker do this, in order; what it had against it, one line each. Raises as ``generation``
        does."""
        answers = (self._ask(portion, SECONDS) for portion in _portions(commands, "@1 {}; ", _COMMANDS))
        lines = (line.strip() for answer in answers for line in answer.splitlines())
        return [line for line in lines if line and not line.startswith(_DONE)]

    def remove(self, backend: str, server: str) -> bool:
        """Remove a server in maintenance, if it has no request any more; True when it is gone. Raises as
        ``generation`` does."""
        answer = self._ask(f"@1 del server {backend}/{server}", SECONDS).strip()
        return answer.startswith(("Server deleted", "No such server", "No such backend"))

    def last_requests(self, worker: str, backend: str) -> dict[str, Traffic]:
        """What a backend's table says of each app: requests in progress, and seconds since the last one; nothing when
        the worker has just ended, or has no such table."""
        answer = self._ask(f"@!{worker} show table {backend}", SECONDS)
        found = (_ENTRY.search(line) for line in answer.splitlines())
        return {
            row["key"]: Traffic(backend, int(row["current"]), TABLE_SECONDS - int(row["left"]) // 1000)
            for row in found
            if row
        }

    def fingerprint(self, file: Path) -> str:
        """SHA-1 of the certificate that the running worker has of this file, in upper-case hex; empty for none."""
        match = _FINGERPRINT.search(self._ask(f"@1 show ssl cert {file}", SECONDS))
        return match[1] if match else ""

    def exchange_certificate(self, file: Path, pem: str) -> None:
        """Have the running worker serve this certificate, with its key in the PEM, to all who connect from now on.

        Whether it does is seen by ``fingerprint``. Raises as ``generation`` does.
        """
        self._ask(f"@1 set ssl cert {file} <<\n{pem}", SECONDS)
        self._ask(f"@1 commit ssl cert {file}", SECONDS)

    def listed(self, crt_list: Path) -> list[str] | None:
        """The certificates in the running worker's copy of a crt-list, by file; None when it has no such list.

        Raises as ``generation`` does.
        """
        answer = self._ask(f"@1 show ssl crt-list {crt_list}", SECONDS)
        if not answer.startswith("# "):
            return None
        return [line.split()[0] for line in answer.splitlines() if line.strip() and not line.startswith("#")]

    def add_certificate(self, crt_list: Path, file: Path, names: Iterable[str], pem: str) -> str:
        """Have the running worker serve a certificate, with its key in the PEM, to who asks for one of these names.

        Returns what it said; whether it serves it is seen by ``listed``. Raises as ``generation`` does.
        """
        said = self._ask(f"@1 new ssl cert {file}", SECONDS)
        said += self._ask(f"@1 set ssl cert {file} <<\n{pem}", SECONDS)
        said += self._ask(f"@1 commit ssl cert {file}", SECONDS)
        said += self._ask(f"@1 add ssl crt-list {crt_list} <<\n{file} {' '.join(names)}\n", SECONDS)
        return " ".join(said.split())

    def remove_certificate(self, crt_list: Path, file: str) -> None:
        """Have the running worker serve it no more, and forget its key. Raises as ``generation`` does."""
        self._ask(f"@1 del ssl crt-list {crt_list} {file}", SECONDS)
        self._ask(f"@1 del ssl cert {file}", SECONDS)

    def reload(self) -> Reload:
        """Load the configuration file anew: a new worker takes the listeners over, the old one finishes its requests.

        Returns when no old worker takes connections any more. When the file is refused the old worker goes on as
        before. Raises as ``generation`` does.
        """
        answer = self._ask(_RELOAD, RELOAD_SECONDS)
        self._wait_for_hand_over()
        alerts = [line.strip() for line in answer.splitlines() if "ALERT" in line]
        return Reload(answer.startswith(_SUCCESS), " ".join(alerts) or answer.strip()[:500])

    def workers(self) -> list[str]:
        """Process ids of the workers: the one that takes requests, and old ones that finish theirs."""
        return re.findall(r"^(\d+)\s+worker\s", self._ask("show proc", SECONDS), re.MULTILINE)

    def traffic(self, worker: str) -> list[Traffic]:
        """What this worker has counted of all backends; nothing when it has just ended."""
        answer = self._ask(f"@!{worker} show stat -1 2 -1", SECONDS).removeprefix("# ")
        return [
            Traffic(row["pxname"], int(row["scur"]), _quiet(row["lastsess"]))
            for row in csv.DictReader(answer.strip().splitlines())
            if row.get("svname") == "BACKEND"
        ]

    def _wait_for_hand_over(self) -> None:
        """The new worker is ready before the old one has seen its signal: until then both accept."""
        deadline = time.monotonic() + _HAND_OVER_SECONDS
        while any(self._accepts(worker) for worker in self._old_workers()) and time.monotonic() < deadline:
            time.sleep(0.01)

    def _old_workers(self) -> list[str]:
        """Process ids of workers that finish their last requests."""
        match = _OLD_WORKERS.search(self._ask("show proc", SECONDS))
        return [line.split()[0] for line in match[1].splitlines()] if match else []

    def _accepts(self, worker: str) -> bool:
        return "Stopping: 0" in self._ask(f"@!{worker} show info", SECONDS)

    def _ask(self, command: str, seconds: float) -> str:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(seconds)
            self._connect(connection)
            connection.sendall(f"{command}\n".encode())
            if command != _RELOAD:
                connection.shutdown(socket.SHUT_WR)  # or it would wait for more; a reload ends the connection itself
            answer = b""
            while received := connection.recv(65536):
                answer += received
        return answer.decode(errors="replace")

    def _connect(self, connection: socket.socket) -> None:
        """A master that starts or reloads executes itself anew: for a moment its socket is there and nobody listens."""
        deadline = time.monotonic() + _RESTART_SECONDS
        while True:
            try:
                connection.connect(str(self.path))
            except FileNotFoundError:
                raise NotRunningError(f"no HAProxy listens on {self.path}") from None
            except ConnectionRefusedError:
                if time.monotonic() > deadline:
                    raise NotRunningError(f"no HAProxy listens on {self.path} any more") from None
                time.sleep(0.01)
            else:
                return


def _portions(lines: Iterable[str], form: str, most: int = _PORTION) -> Iterator[str]:
    """The lines in ``form`` put together, of each ``most`` bytes at a time."""
    portion = ""
    for line in map(form.format, lines):
        if portion and len(portion) + len(line) > most:
            yield portion
            portion = ""
        portion += line
    if portion:
        yield portion


def _quiet(field: str) -> int | None:
    return int(field) if field and field != "-1" else None
