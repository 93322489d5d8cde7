"""Measures the way of a dyno's lines: ``python -m tests.bench.logs RATE SECONDS`` prints JSON.

Real rsyslog with the log agent's configuration, a log plane in a process of its own, TLS between them, a reader that
tails. A dyno's file is written and rotated as the engine does; RATE 0 is as fast as that goes.
"""

import asyncio
import itertools
import json
import re
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from dynoform.agent.rotations import LOOK_SECONDS, Rotations
from dynoform.configuration import Configuration
from dynoform.domain.dyno_container import LOG_OPTIONS
from dynoform.logplex_client import LogplexClient
from tests import rsyslog
from tests.integration.certificates import Authority
from tests.log_plane import LOCAL, Plane

APP, STACK, CONTAINER = "7f3f3c9e-5a0c-4a8e-9f0e-3a1c1a0f2c55", "bench", "c" * 64
CAPACITY = 10 * 1024 * 1024
assert LOG_OPTIONS["max-size"] == "10m"
_COUNTED = re.compile(r"(?:Error L12 \(Local buffer overflow\): (?:at least )?|This buffer dropped )(\d+) ")
_QUIET_SECONDS = 12


@dataclass
class Reader:
    """Follows the app, by TLS, as the API does."""

    port: int
    context: ssl.SSLContext
    seconds: list[float] = field(default_factory=list)
    counted: int = 0
    at: float = field(default_factory=time.monotonic)

    def run(self) -> None:
        """Read until the log plane has gone."""
        plain = socket.create_connection((LOCAL, self.port))
        with self.context.wrap_socket(plain, server_hostname="logplex") as sock:
            sock.sendall(f"GET /apps/{APP}/lines?num=0&tail=1 HTTP/1.1\r\n\r\n".encode())
            for line in sock.makefile("r", encoding="utf-8", newline="\n"):
                text = line.partition("]: ")[2]
                if text.startswith("at "):
                    self.seconds.append(time.time() - float(text.split()[1]))
                    self.at = time.monotonic()
                elif match := _COUNTED.search(line):
                    self.counted += int(match[1])
                    self.at = time.monotonic()


def write(folder: Path, rate: int, seconds: float) -> int:
    """Write lines as the engine does; returns how many."""
    path = folder / CONTAINER / f"{CONTAINER}-json.log"
    attributes = json.dumps({"dynoform.app": APP, "dynoform.dyno": "web.1", "dynoform.stack": STACK})
    started = time.time()
    file, size = path.open("a"), 0
    for number in itertools.count():
        now = time.time()
        if now - started >= seconds:
            break
        stamp = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now))}.{int(now % 1 * 1e9):09d}Z"
        text = (
            f'{{"log":"at {now:.6f} {number} {"x" * 60}\\n","stream":"stdout","attrs":{attributes},"time":"{stamp}"}}\n'
        )
        size += file.write(text)
        if size >= CAPACITY:
            file.close()
            path.rename(f"{path}.1")
            file, size = path.open("a"), 0
        if rate and number % 100 == 99:
            file.flush()
            time.sleep(max(0, started + (number + 1) / rate - time.time()))
    file.close()
    return number


def main(rate: int, seconds: float) -> dict[str, float]:
    """One run."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        authority = Authority()
        for part in ("containers", "spool", "lines"):
            (folder / part).mkdir()
        (folder / "containers" / CONTAINER).mkdir()
        for server, member in (("logplex", False), ("registry", True)):
            certificate, key = authority.issue(server, LOCAL, "logplex", client=member)
            (folder / f"{server}.crt").write_bytes(certificate)
            (folder / f"{server}.key").write_bytes(key)
        (folder / "ca.crt").write_bytes(authority.pem)
        command = [sys.executable, "-m", "tests.bench.logs", "plane", name]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as plane:
            try:
                assert plane.stdout is not None
                syslog, http = map(int, plane.stdout.readline().split())
                return _measure(folder, syslog, http, rate, seconds)
            finally:
                plane.kill()


def _measure(folder: Path, syslog: int, http: int, rate: int, seconds: float) -> dict[str, float]:
    context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    context.load_cert_chain(folder / "registry.crt", folder / "registry.key")
    reader = Reader(http, context)
    threading.Thread(target=reader.run, daemon=True).start()
    settings = {
        "DYNOFORM_STACK": STACK,
        "DYNOFORM_PLATFORM_ADDRESS": LOCAL,
        "DYNOFORM_LOGPLEX_SYSLOG_PORT": str(syslog),
        "DYNOFORM_LOGPLEX_AUTHORITY": str(folder / "ca.crt"),
    }
    configuration = replace(
        Configuration.from_environment({}), platform_address=LOCAL, logplex_authority=folder / "ca.crt"
    )
    logs = LogplexClient(configuration, port=syslog)
    rotations = Rotations(STACK, folder / "containers", logs)
    with rsyslog.running_agent(folder / "spool", folder / "containers", settings):
        write(folder / "containers", 100, 1)  # until all know each other
        command = [sys.executable, "-m", "tests.bench.logs", "write", str(folder), str(rate), str(seconds)]
        time.sleep(2)
        before = len(reader.seconds)
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            while writer.poll() is None or time.monotonic() - reader.at < _QUIET_SECONDS:
                asyncio.run(rotations.look())
                time.sleep(LOOK_SECONDS)
            assert writer.stdout is not None
            written = int(writer.stdout.read())
        written += _end(folder, reader)
        logs.close()
    taken = reader.seconds[before:]
    return {
        "written": written,
        "received": len(taken),
        "counted": reader.counted,
        "median": statistics.median(taken),
        "p99": statistics.quantiles(taken, n=100)[98],
    }


def _end(folder: Path, reader: Reader) -> int:
    """Some last lines, so that what was lost before them is known as lost; returns how many."""
    written = write(folder / "containers", 0, 0.001)
    deadline = time.monotonic() + 10
    seen = len(reader.seconds)
    while len(reader.seconds) == seen and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(2)
    return written


def serve(folder: Path) -> None:
    """The log plane's process."""
    from dynoform.logplex_tls import Identity

    identity = Identity(folder / "logplex.crt", folder / "logplex.key", folder / "ca.crt")
    plane = Plane(folder=folder / "lines", identity=identity)
    print(plane.syslog, plane.port, flush=True)
    plane.thread.join()


if __name__ == "__main__":
    if sys.argv[1] == "plane":
        serve(Path(sys.argv[2]))
    elif sys.argv[1] == "write":
        print(write(Path(sys.argv[2]) / "containers", int(sys.argv[3]), float(sys.argv[4])))
    else:
        print(json.dumps(main(int(sys.argv[1]), float(sys.argv[2]))))
