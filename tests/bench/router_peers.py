"""What routers are measured with: an app, a load, a log plane that takes everything, and other proxies before the app.

All proxies have one processor, and everything else another one: what is measured is what one processor does.
"""

import os
import re
import shutil
import socket
import ssl
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.request import Request, urlopen

from tests.postgres import free_port

PROXY, REST = "0", "1"
"""Processors."""
APP = ("127.72.0.2", 21001)
NAMES = 10_000
HOST = "app-5000.localhost"
"""The one that is asked for, in the middle of the names."""
BROUGHT = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "dynoform" / "peers"
"""Where ``GOBIN`` of a peer's ``go install`` may point to, beside the folders of ``PATH``."""
READY_SECONDS = 30.0
_SINK = """
import socket, sys
server = socket.create_server((sys.argv[1], int(sys.argv[2])))
count, rest = 0, b""
while True:
    connection, _ = server.accept()
    connection.settimeout(0.1)
    data = b" "
    while data:
        try:
            data = connection.recv(1 << 20)
        except TimeoutError:
            open(sys.argv[3], "w").write(str(count))
            continue
        whole = rest + data
        count += whole.count(b"<158>1 ")
        rest = whole[-6:]
    open(sys.argv[3], "w").write(str(count))
"""
"""Counts while lines come, and writes the count when none do: it takes no time that the load would have."""


def program(name: str) -> str | None:
    """Where a program is; None where it is not installed."""
    return shutil.which(name, path=f"{os.environ['PATH']}:{BROUGHT}:/usr/sbin")


@contextmanager
def running(command: Sequence[str], processor: str, **environ: str) -> Iterator[None]:
    """A program on one processor for the length of the block."""
    found = os.environ | environ
    pinned = ["taskset", "-c", processor, *command]
    process = subprocess.Popen(pinned, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=found)
    try:
        yield
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()


def wait_for(port: int, host: str = HOST, address: str = "127.0.0.1") -> None:
    """Until it answers with 200."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        with suppress(OSError), urlopen(Request(f"http://{address}:{port}/", headers={"Host": host}), timeout=5):
            return
        time.sleep(0.02)
    raise AssertionError(f"{host} is not answered for at {address}:{port}")


@contextmanager
def app(folder: Path) -> Iterator[None]:
    """What is asked, in the end; there are two of it, which say their port."""
    address, port = APP
    servers = "".join(f"server {{ listen {address}:{each}; return 200 '{each}'; }}" for each in (port, port + 1))
    with running(_nginx(folder / "app", f"keepalive_requests 100000000; {servers}"), REST):
        wait_for(port, address=address)
        yield


class Sink:
    """A log plane that counts lines."""

    def __init__(self, file: Path) -> None:
        """``file`` is where the count stands."""
        self._file = file

    @property
    def lines(self) -> int:
        """So many came."""
        return int(self._file.read_text() or 0) if self._file.exists() else 0

    @contextmanager
    def running(self, address: str, port: int) -> Iterator[None]:
        """Listen for the length of the block."""
        with running(["nice", "-n", "19", sys.executable, "-c", _SINK, address, str(port), str(self._file)], REST):
            yield


@contextmanager
def nginx(folder: Path) -> Iterator[int]:
    """nginx without a log, with the names as a map; yields its port."""
    port, (address, app_port) = free_port(), APP
    names = "".join(f"app-{number}.localhost app;\n" for number in range(NAMES))
    (folder / "names.map").write_text(names)
    text = f"""
        map_hash_max_size 65536;
        map $host $app {{ include {folder / "names.map"}; }}
        upstream app {{ server {address}:{app_port}; keepalive 128; }}
        keepalive_requests 100000000;
        server {{
            listen 127.0.0.1:{port};
            location / {{
                if ($app = "") {{ return 404; }}
                proxy_pass http://$app;
                proxy_http_version 1.1;
                proxy_set_header Connection "";
                proxy_set_header Host $host;
                proxy_set_header X-Request-Id $request_id;
                proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            }}
        }}"""
    with running(_nginx(folder / "proxy", text), PROXY):
        wait_for(port)
        yield port


@contextmanager
def nginx_tls(folder: Path, pem: Path) -> Iterator[int]:
    """nginx with this certificate and TLS as the router has it, where nobody resumes a session; yields its port."""
    port = free_port()
    text = f"""
        ssl_certificate {pem}; ssl_certificate_key {pem};
        ssl_protocols TLSv1.2 TLSv1.3; ssl_session_cache off; ssl_session_tickets off;
        server {{ listen 127.0.0.1:{port} ssl; return 404; }}"""
    with running(_nginx(folder / "proxy", text), PROXY):
        handshake(port)
        yield port


@contextmanager
def caddy(folder: Path) -> Iterator[int]:
    """Caddy with its log and request ids, and one name; yields its port."""
    port, (address, app_port) = free_port(), APP
    (folder / "Caddyfile").write_text(f"""{{
    admin off
    auto_https off
}}
:{port} {{
    log {{
        output file /dev/null
    }}
    request_header X-Request-Id {{http.request.uuid}}
    reverse_proxy {address}:{app_port}
}}
""")
    command = [program("caddy") or "", "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]
    with running(command, PROXY, XDG_DATA_HOME=str(folder), XDG_CONFIG_HOME=str(folder)):
        wait_for(port)
        yield port


@contextmanager
def kamal_proxy(folder: Path) -> Iterator[int]:
    """kamal-proxy, which always logs and makes request ids, with one name; yields its port."""
    port, (address, app_port) = free_port(), APP
    places = {name: str(folder) for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR", "HOME")}
    found = program("kamal-proxy") or ""
    ports = ["--http-port", str(port), "--https-port", str(free_port())]
    with running([found, "run", *ports], PROXY, **places):
        deploy = [
            found,
            "deploy",
            "app",
            "--target",
            f"{address}:{app_port}",
            "--host",
            HOST,
            "--health-check-path",
            "/",
        ]
        deadline = time.monotonic() + READY_SECONDS
        while subprocess.run(deploy, env=os.environ | places, capture_output=True, check=False).returncode:
            assert time.monotonic() < deadline, "kamal-proxy takes no app"
            time.sleep(0.2)
        wait_for(port)
        yield port


PEERS = {"nginx": nginx, "caddy": caddy, "kamal-proxy": kamal_proxy}


def rate(port: int, seconds: int) -> float:
    """Requests per second that are answered, when each of 64 clients asks again at once."""
    command = ["taskset", "-c", REST, "wrk", "-t1", "-c64", f"-d{seconds}s", "-H", f"Host: {HOST}"]
    said = subprocess.run([*command, f"http://127.0.0.1:{port}/"], check=True, capture_output=True, text=True).stdout
    assert "Non-2xx" not in said and "Socket errors" not in said, said
    return float(re.findall(r"Requests/sec:\s+([\d.]+)", said)[0])


def handshake(port: int) -> None:
    """Until a TLS server listens."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        with (
            suppress(OSError),
            socket.create_connection(("127.0.0.1", port), 5) as plain,
            context.wrap_socket(plain),
        ):
            return
        time.sleep(0.02)
    raise AssertionError(f"nobody speaks TLS at port {port}")


def handshakes(port: int, seconds: int) -> float:
    """Full TLS handshakes per second, of four clients who do nothing else."""
    command = ["taskset", "-c", REST, "openssl", "s_time", "-connect", f"127.0.0.1:{port}", "-new", "-time"]
    clients = [subprocess.Popen([*command, str(seconds)], stdout=subprocess.PIPE, text=True) for _ in range(4)]
    said = [client.communicate(timeout=10 * seconds + 30)[0] for client in clients]
    found = [re.findall(r"(\d+) connections in (\d+) real seconds", each)[0] for each in said]
    return sum(int(number) / max(1, int(real)) for number, real in found)


def p99(port: int, per_second: int, seconds: int, file: Path) -> float:
    """Milliseconds in which 99 of 100 requests are answered, at this rate."""
    file.unlink(missing_ok=True)
    clients = 20
    load = ["h2load", "--h1", f"-c{clients}", f"--rps={per_second / clients:g}", f"-n{per_second * seconds}"]
    place = [f"--connect-to=127.0.0.1:{port}", f"--log-file={file}", f"http://{HOST}/"]
    subprocess.run(["taskset", "-c", REST, *load, *place], check=True, capture_output=True, timeout=10 * seconds)
    rows = [line.split("\t") for line in file.read_text().splitlines()]
    assert len(rows) == per_second * seconds
    assert {row[1] for row in rows} == {"200"}
    return statistics.quantiles([int(row[2]) / 1000 for row in rows], n=100)[98]


def _nginx(folder: Path, text: str) -> list[str]:
    folder.mkdir()
    places = "".join(
        f"{name}_temp_path {folder / name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(
        f"{user} daemon off; worker_processes 1; pid {folder / 'pid'}; error_log /dev/null crit;"
        f"events {{ worker_connections 4096; }} http {{ access_log off; {places} {text} }}"
    )
    found = program("nginx")
    assert found, "nginx, which is the app too, is not installed: apt-get install nginx-light"
    return [found, "-c", str(folder / "nginx.conf"), "-e", "/dev/null"]
