"""HAProxy's master process, over its CLI socket: what configuration runs, and loading a new one."""

import re
import socket
from dataclasses import dataclass
from pathlib import Path

SECONDS = 10
RELOAD_SECONDS = 60
_GENERATION = re.compile(r"proc\.generation: type=str value=<([0-9a-z]+)>")
_SUCCESS = "Success=1"


class NotRunningError(Exception):
    """No HAProxy is there: none serves old routes, and one that starts will read the file."""


@dataclass(frozen=True)
class Reload:
    """How a reload went; ``messages`` are HAProxy's own alerts, one line."""

    succeeded: bool
    messages: str


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

    def reload(self) -> Reload:
        """Load the configuration file anew: a new worker takes the listeners over, the old one finishes its requests.

        When the file is refused the old worker goes on as before. Raises as ``generation`` does.
        """
        answer = self._ask("reload", RELOAD_SECONDS)
        alerts = [line.strip() for line in answer.splitlines() if "ALERT" in line]
        return Reload(answer.startswith(_SUCCESS), " ".join(alerts) or answer.strip()[:500])

    def _ask(self, command: str, seconds: float) -> str:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(seconds)
            try:
                connection.connect(str(self.path))
            except (FileNotFoundError, ConnectionRefusedError):
                raise NotRunningError(f"no HAProxy listens on {self.path}") from None
            connection.sendall(f"{command}\n".encode())
            if command.startswith("@"):
                connection.shutdown(socket.SHUT_WR)  # a worker's answer has no end of its own
            answer = b""
            while received := connection.recv(65536):
                answer += received
        return answer.decode(errors="replace")
