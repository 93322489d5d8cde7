"""The role router_address as keepalived plays it: two hosts and a client, as network namespaces on one bridge."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
import yaml
from jinja2 import Environment, StrictUndefined

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

ROLE = Path(__file__).resolve().parents[3] / "roles" / "router_address"
ADDRESS = "198.51.100.9"
HOSTS = {"one": ("198.51.100.1", 150), "two": ("198.51.100.2", 100)}
CLIENT = "198.51.100.3"
NETWORK = 24
PORT = 8080
ROUTER = """
import http.server, sys
class Router(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(sys.argv[1].encode())
    def do_HEAD(self):
        self.send_response(404)
        self.end_headers()
    def log_message(self, *arguments):
        pass
http.server.ThreadingHTTPServer(("", int(sys.argv[2])), Router).serve_forever()
"""
SECONDS = 20


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def end(process: "subprocess.Popen[bytes]") -> None:
    """With all that it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


class Hosts:
    """Two hosts with a router each, and a client."""

    def __init__(self, folder: Path, prefix: str, ended: ExitStack) -> None:
        self.folder, self.prefix, self.ended = folder, prefix, ended
        self.routers: dict[str, subprocess.Popen[bytes]] = {}
        # The bridge is the client's, where the rules of this machine's firewall do not hold.
        self._add("client")
        run("ip", "-n", self.name("client"), *["link", "add", "bridge", "type", "bridge"])
        self._configure("client", "bridge", CLIENT)
        for name, (address, _) in HOSTS.items():
            self._join(name, address)
            self.start_router(name)
            self._start_keepalived(name)

    def name(self, host: str) -> str:
        """Of its namespace."""
        return f"{self.prefix}-{host}"

    def start_router(self, host: str) -> None:
        self.routers[host] = self._start(host, "python3", "-c", ROUTER, host, str(PORT))

    def stop_router(self, host: str) -> None:
        self.routers[host].kill()
        self.routers[host].wait(10)

    def cut(self, host: str, state: str = "down") -> None:
        """Take the host off the network, or put it back (``up``)."""
        run("ip", "-n", self.name("client"), "link", "set", host, state)

    def holder(self, besides: str = "") -> str:
        """Who answers at the address, as soon as it is another than ``besides``."""
        deadline = time.monotonic() + SECONDS
        curl = ["curl", "-s", "--max-time", "1", f"http://{ADDRESS}:{PORT}/"]
        while time.monotonic() < deadline:
            done = subprocess.run(
                ["ip", "netns", "exec", self.name("client"), *curl], capture_output=True, text=True, check=False
            )
            if done.stdout and done.stdout != besides:
                return done.stdout
            time.sleep(0.1)
        raise AssertionError(f"nobody but {besides!r} answers at {ADDRESS}")

    def settled(self) -> list[str]:
        """Who has the address, once it is one; all who have, if that takes too long."""
        deadline = time.monotonic() + SECONDS
        while True:
            held = [name for name in HOSTS if ADDRESS in run("ip", "-n", self.name(name), "address", "show", "eth0")]
            if len(held) == 1 or time.monotonic() > deadline:
                return held
            time.sleep(0.1)

    def _add(self, host: str) -> None:
        run("ip", "netns", "add", self.name(host))
        self.ended.callback(run, "ip", "netns", "delete", self.name(host))

    def _join(self, host: str, address: str) -> None:
        self._add(host)
        peer = f"type veth peer name {host} netns {self.name('client')}"
        run("ip", "-n", self.name(host), *f"link add eth0 {peer}".split())
        run("ip", "-n", self.name("client"), *f"link set {host} master bridge up".split())
        self._configure(host, "eth0", address)

    def _configure(self, host: str, link: str, address: str) -> None:
        for command in (f"address add {address}/{NETWORK} dev {link}", f"link set {link} up", "link set lo up"):
            run("ip", "-n", self.name(host), *command.split())

    def _start(self, host: str, *command: str) -> "subprocess.Popen[bytes]":
        inside = ["ip", "netns", "exec", self.name(host), *command]
        # keepalived ends its whole process group with itself.
        nowhere = subprocess.DEVNULL
        process = subprocess.Popen(inside, stdout=nowhere, stderr=nowhere, start_new_session=True)
        self.ended.callback(process.wait, 10)
        self.ended.callback(end, process)
        return process

    def _start_keepalived(self, host: str) -> None:
        variables = yaml.safe_load((ROLE / "defaults/main.yml").read_text()) | {
            "inventory_hostname": host,
            "router_address_addresses": [ADDRESS],
            "router_address_private_address": HOSTS[host][0],
            "router_address_priority": HOSTS[host][1],
            "router_address_peers": [address for name, (address, _) in HOSTS.items() if name != host],
            "router_address_check": f"127.0.0.1 {PORT}",
            "__router_address_script": str(shutil.copy(ROLE / "files/router_answers", self.folder)),
            "__router_address_interface": "eth0",
        }
        environment = Environment(trim_blocks=True, undefined=StrictUndefined)  # noqa: S701 - as Ansible does
        template = environment.from_string((ROLE / "templates/keepalived.conf.j2").read_text())
        file = self.folder / f"{host}.conf"
        rendered = template.render(variables)
        assert "advert_int 0.3\n" in rendered
        # A host that stalls for a second is not lost here.
        file.write_text(rendered.replace("advert_int 0.3\n", "advert_int 1\n"))
        pids = [f"--{kind}={self.folder / host}.{kind}" for kind in ("pid", "vrrp_pid")]
        self._start(host, "keepalived", "--dont-fork", "--vrrp", "--use-file", str(file), *pids)


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    if shutil.which("keepalived") is None:
        environment = os.environ | {"RUNLEVEL": "1", "DEBIAN_FRONTEND": "noninteractive"}
        install = ["apt-get", "--option", "DPkg::Lock::Timeout=200", "install", "--yes", "--no-install-recommends"]
        install += ["keepalived"]
        subprocess.run(install, check=True, capture_output=True, env=environment, timeout=250)
    prefix = f"dynoform-test-{os.getpid()}"
    # keepalived runs no program that others than root could exchange, by any folder above it.
    with tempfile.TemporaryDirectory(dir="/run", prefix="dynoform-test-") as folder, ExitStack() as ended:
        Path(folder).chmod(0o755)
        yield Hosts(Path(folder), prefix, ended)


def test_the_address_is_where_a_router_answers(hosts: Hosts) -> None:
    assert hosts.holder() in HOSTS
    time.sleep(3)
    (first,) = hosts.settled()
    assert hosts.holder() == first
    (second,) = HOSTS.keys() - {first}

    hosts.stop_router(first)
    began = time.monotonic()
    assert hosts.holder(besides=first) == second
    assert time.monotonic() - began < 10

    hosts.start_router(first)
    time.sleep(4)
    assert hosts.holder() == second, "who is back takes nothing back"

    hosts.cut(second)
    began = time.monotonic()
    assert hosts.holder(besides=second) == first
    assert time.monotonic() - began < 10
    hosts.cut(second, "up")
    time.sleep(3)
    assert hosts.settled() == [hosts.holder()], "one of them, when they see each other again"
