"""An SSH tunnel to the Docker engine of a host: its socket, as a socket of this machine.

One SSH connection, however many requests at a time. A connection for each request, as docker-py and the docker client
make them, is refused by a host's ``MaxStartups`` (10 by default) as soon as many objects are made side by side.
"""

import atexit
import contextlib
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

ENGINE = "/var/run/docker.sock"
SECONDS = 30.0
"""How long it may take until the tunnel is there."""
END_SECONDS = 5.0


class TunnelError(OSError):
    """There is no tunnel; says what SSH complained about."""


def command(address: str, options: Sequence[str] = ()) -> list[str]:
    """``ssh`` to ``ssh://user@host:port``, with these words as options; what is to be run there comes after it."""
    parts = urlsplit(address)
    where = [*(["-p", str(parts.port)] if parts.port else []), *(["-l", parts.username] if parts.username else [])]
    return ["ssh", *options, *where, "--", parts.hostname or ""]


class Tunnel:
    """A tunnel, made at its first use, and anew when it broke. Threads may share it."""

    def __init__(self, address: str, options: Sequence[str] = ()) -> None:
        """``address`` is ``ssh://user@host:port``; ``options`` are words for ``ssh``, before those of ours."""
        self._address, self._options = address, options
        self.host = urlsplit(address).hostname or ""
        self._lock = threading.Lock()
        self._ssh: subprocess.Popen[bytes] | None = None
        self._folder: Path | None = None

    def socket(self) -> str:
        """The engine's address on this machine, ``unix://…``. Raises ``TunnelError``."""
        with self._lock:
            if self._ssh is None or self._ssh.poll() is not None or self._folder is None:
                self._close()
                self._open()
            return f"unix://{self._folder}/engine.sock"

    def close(self) -> None:
        """End it."""
        with self._lock:
            self._close()

    def _open(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="dynoform-ssh-"))
        socket, complaints = self._folder / "engine.sock", self._folder / "errors"
        forward = ["-o", "ExitOnForwardFailure=yes", "-o", "ControlPath=none", "-L", f"{socket}:{ENGINE}"]
        # `cat` ends with our end of the pipe, and SSH with it: also when this process is killed.
        with complaints.open("wb") as errors:
            self._ssh = subprocess.Popen(  # noqa: S603 - words of the operator's settings
                [*command(self._address, [*self._options, *forward]), "echo ready; exec cat >/dev/null"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
        atexit.register(self.close)
        if not self._is_ready():
            said = complaints.read_text(errors="replace").strip().splitlines()
            self._close()
            raise TunnelError(f"ssh {self.host}: {said[-1] if said else f'gave no answer in {SECONDS:g} s'}")

    def _is_ready(self) -> bool:
        """Whether the host has let us in: the socket is there before, and would lead nowhere."""
        assert self._ssh is not None and self._ssh.stdout is not None  # noqa: S101 - for the type checker
        timer = threading.Timer(SECONDS, self._ssh.kill)
        timer.start()
        try:
            return self._ssh.stdout.readline().strip() == b"ready"
        finally:
            timer.cancel()

    def _close(self) -> None:
        atexit.unregister(self.close)
        if self._ssh is not None:
            for end in (self._ssh.stdin, self._ssh.stdout):
                with contextlib.suppress(OSError):
                    if end:
                        end.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._ssh.wait(END_SECONDS)
            self._ssh.kill()
            self._ssh.wait()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._ssh = self._folder = None
