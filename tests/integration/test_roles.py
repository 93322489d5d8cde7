"""The roles on this host's real engine: a throw-away stack's networks and firewall, as dynos meet them."""

import contextlib
import http.server
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import testinfra

from components.addons import pool
from providers.dynoform.ansible_run import Host, Outcome, run_playbook
from providers.dynoform.engine import Operation
from providers.dynoform.errors import ProviderError

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parents[2]
STACK = "testroles"
DYNOS, PLATFORM = f"{STACK}_dynos", f"{STACK}_platform"
GATEWAY, PLATFORM_GATEWAY = "172.29.64.1", "172.29.68.1"
ROUTER_PORT, CLOSED_PORT, ADDON_PORT = 18980, 18981, 18982
BRIDGE, PLATFORM_BRIDGE = "dyn-testroles", "plt-testroles"
SERVE = """use IO::Socket::INET; my $server = IO::Socket::INET->new(LocalPort => 5000, Listen => 9) or die;
while (my $client = $server->accept) { print $client "HTTP/1.0 200 OK\\r\\n\\r\\n"; close $client }"""
"""A web process for the base image, which has Perl and no Python."""
NOBODY = "65534"
NOT_CONNECTED = 7
"""curl's exit code where a connection is refused; it is another one when nothing answers in time."""
LABEL = f"dynoform.{STACK}.dyno-address"
VARIABLES: dict[str, Any] = {
    "dyno_runtime_stack": STACK,
    "dyno_runtime_dyno_subnet": "172.29.64.0/22",
    "dyno_runtime_platform_subnet": "172.29.68.0/24",
    "dyno_runtime_router_ports": [ROUTER_PORT],
    "dyno_runtime_addon_ports": [ADDON_PORT],
    "registry_trust_address": PLATFORM_GATEWAY,
    "registry_trust_ca_certificate": "ca",
    "registry_trust_client_certificate": "certificate",
    "registry_trust_client_key": "key",
}
host = testinfra.get_host("local://")


def play(name: str, *, check: bool = False, **variables: Any) -> Outcome:
    """Runs a playbook on this host, the way the provider does."""
    operation = Operation("urn:pulumi:test::dynoform::dynoform:index:Playbook::roles", lambda *_, **__: None)
    local = Host("localhost", "127.0.0.1", "local")
    return run_playbook(operation, f"playbooks/{name}.yml", local, {**VARIABLES, **variables}, check=check)


def docker(*words: str) -> str:
    """What the docker client prints; fails with what it complained about."""
    done = subprocess.run(["docker", *words], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def remove_containers() -> None:
    """Those of this test, also of a run that was killed."""
    for name in docker("service", "ls", "--quiet", "--filter", f"label=dynoform.stack={STACK}").split():
        docker("service", "rm", name)
    for name in docker("ps", "--all", "--quiet", "--filter", f"label=dynoform.stack={STACK}").split():
        docker("rm", "--force", name)


@pytest.fixture(scope="module")
def made() -> Iterator[Outcome]:
    """The stack's networks, and what the play that made them told."""
    play("host")
    remove_containers()
    play("dyno_runtime_absent")
    yield play("dyno_runtime")
    remove_containers()
    play("dyno_runtime_absent")


class Hello(http.server.BaseHTTPRequestHandler):
    """Answers every request."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *arguments: Any) -> None:
        return


@pytest.fixture
def listeners(made: Outcome) -> Iterator[None]:
    """Something of the host's on the ports of router and add-on, and on another, on all its addresses."""
    ports = (ROUTER_PORT, ADDON_PORT, CLOSED_PORT)
    servers = [http.server.ThreadingHTTPServer(("0.0.0.0", port), Hello) for port in ports]  # noqa: S104 - the point
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    yield
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def dyno(made: Outcome, base_image: str) -> str:
    """A container on the dyno bridge."""
    return docker(
        "run",
        "--detach",
        "--init",
        "--label",
        f"dynoform.stack={STACK}",
        "--network",
        DYNOS,
        base_image,
        "sleep",
        "600",
    )


@pytest.fixture(scope="module")
def other_dyno(made: Outcome, base_image: str) -> tuple[str, int]:
    """A service on the dyno bridge that publishes a port: its address and the port on the gateway."""
    docker(
        *("service", "create", "--quiet", "--detach", "--no-resolve-image", "--label", f"dynoform.stack={STACK}"),
        *("--container-label", f"dynoform.stack={STACK}", "--name", f"{STACK}_web", "--network", DYNOS, "--init"),
        *("--endpoint-mode", "dnsrr", "--publish", "mode=host,target=5000", base_image, "perl", "-e", SERVE),
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        shown = docker("ps", "--quiet", "--filter", f"name={STACK}_web")
        if shown:
            described = json.loads(docker("inspect", shown))[0]["NetworkSettings"]
            published = described["Ports"].get("5000/tcp")
            if published and reaches_from_host(GATEWAY, int(published[0]["HostPort"])):
                return described["Networks"][DYNOS]["IPAddress"], int(published[0]["HostPort"])
        time.sleep(0.3)
    pytest.fail(docker("service", "ps", "--no-trunc", f"{STACK}_web"))


def reaches_from_host(address: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((address, port), timeout=2):
        return True
    return False


def reaches(container: str, url: str) -> bool:
    """Whether an HTTP request from inside the container gets any answer."""
    return curl(container, url) == 0


def curl(container: str, url: str) -> int:
    """The exit code of an HTTP request from inside the container."""
    command = ["docker", "exec", container, "curl", "--silent", "--output", "/dev/null", "--max-time", "5", url]
    return subprocess.run(command, capture_output=True, timeout=60).returncode


def opens(user: str, port: int) -> bool:
    """Whether a process of the host's with this user's number can open a connection to a port."""
    words = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "bash", "-c"]
    done = subprocess.run(
        [*words, f": </dev/tcp/127.0.0.1/{port}"], capture_output=True, text=True, timeout=60, cwd="/"
    )
    assert not done.returncode or "Connection refused" in done.stderr, done.stderr
    return not done.returncode


def host_addresses() -> list[str]:
    """The host's own IPv4 addresses but loopback and this stack's."""
    shown = re.findall(r"inet ([0-9.]+)/", host.check_output("ip -4 -o address show"))
    return [address for address in shown if not address.startswith(("127.", "172.29."))]


def test_an_engine_that_is_there_is_left_as_it_is(made: Outcome) -> None:
    def engine() -> tuple[object, ...]:
        settings = host.file("/etc/docker/daemon.json")
        described = docker("version", "--format", "{{.Server.Version}}")
        return described, host.process.get(comm="dockerd").pid, settings.exists and settings.content_string

    before = engine()
    outcome = play("host")
    assert outcome.changes == []
    assert engine() == before


def test_play_tells_what_it_made(made: Outcome) -> None:
    assert made.facts["dyno_gateway"] == made.facts["dyno_address"] == GATEWAY
    assert made.facts["platform_gateway"] == PLATFORM_GATEWAY
    assert made.facts["dyno_network_id"] == docker("network", "inspect", "--format", "{{.Id}}", DYNOS)
    assert made.facts["platform_network_id"] == docker("network", "inspect", "--format", "{{.Id}}", PLATFORM)
    assert made.changes


@pytest.mark.parametrize("name", ["host", "dyno_runtime"])
def test_second_run_and_check_mode_change_nothing(made: Outcome, name: str) -> None:
    assert play(name).changes == []
    assert play(name, check=True).changes == []


@pytest.mark.parametrize("network", [DYNOS, PLATFORM])
def test_network_is_the_swarm_s_and_made_from_the_host_s(made: Outcome, network: str) -> None:
    described = json.loads(docker("network", "inspect", network))[0]
    assert (described["Scope"], described["Driver"], described["Attachable"]) == ("swarm", "bridge", True)
    assert described["ConfigFrom"]["Network"] == f"{network}_config"
    options = json.loads(docker("network", "inspect", f"{network}_config"))[0]["Options"]
    assert options["com.docker.network.bridge.enable_icc"] == str(network == PLATFORM).lower()


@pytest.mark.parametrize(
    ("bridge", "address"), [(BRIDGE, f"{GATEWAY}/22"), (PLATFORM_BRIDGE, f"{PLATFORM_GATEWAY}/24")]
)
def test_bridge_is_there_before_any_container(made: Outcome, bridge: str, address: str) -> None:
    assert f" {address} " in host.check_output(f"ip -4 -o address show dev {bridge}")


@pytest.mark.parametrize(
    ("name", "mode", "content"),
    [("ca.crt", 0o644, "ca"), ("client.cert", 0o644, "certificate"), ("client.key", 0o600, "key")],
)
def test_engine_trusts_the_registry(made: Outcome, name: str, mode: int, content: str) -> None:
    file = host.file(f"/etc/docker/certs.d/{PLATFORM_GATEWAY}:5000/{name}")
    assert (file.mode, file.user, file.content_string) == (mode, "root", content)


def test_node_carries_the_address_of_its_dynos(made: Outcome) -> None:
    assert json.loads(docker("node", "inspect", "self", "--format", "{{json .Spec.Labels}}"))[LABEL] == GATEWAY


def test_boot_brings_back_bridges_and_firewall(made: Outcome) -> None:
    path = f"/etc/dynoform/{STACK}/host-network"
    unit, init = (
        host.file(f"/etc/systemd/system/dynoform-{STACK}-network.service"),
        host.file(f"/etc/init.d/dynoform-{STACK}-network"),
    )
    assert path in (unit if unit.exists else init).content_string
    host.check_output(f"{path} stop")
    assert host.run(f"{path} status").rc == 1
    host.check_output(f"{path} start")
    assert host.check_output(f"{path} status") == ""


def test_dyno_reaches_names_and_internet(dyno: str) -> None:
    mirror = host.check_output("cat /etc/apt/sources.list /etc/apt/sources.list.d/*.sources 2>/dev/null || true")
    found = re.search(r"^(?:URIs:|deb\b)[^#\n]*?(https?://[^\s/]+)", mirror, re.MULTILINE)
    assert found, "this host names no package mirror"
    assert reaches(dyno, found[1])


def test_dyno_reaches_router_and_addons_and_nothing_else_of_the_host(dyno: str, listeners: None) -> None:
    assert reaches(dyno, f"http://{GATEWAY}:{ROUTER_PORT}/")
    assert reaches(dyno, f"http://{GATEWAY}:{ADDON_PORT}/")
    closed = [f"http://{GATEWAY}:{CLOSED_PORT}/", f"http://{PLATFORM_GATEWAY}:{ROUTER_PORT}/"]
    closed += [f"http://{address}:{port}/" for address in host_addresses() for port in (ROUTER_PORT, CLOSED_PORT)]
    assert [url for url in closed if reaches(dyno, url)] == []


def test_dyno_reaches_no_other_dyno(dyno: str, other_dyno: tuple[str, int]) -> None:
    address, port = other_dyno
    assert not reaches(dyno, f"http://{GATEWAY}:{port}/")
    assert not reaches(dyno, f"http://{address}:5000/")


def test_platform_reaches_dynos_and_the_rest_of_docker_does_not(base_image: str, other_dyno: tuple[str, int]) -> None:
    url = f"http://{GATEWAY}:{other_dyno[1]}/"
    run = ["run", "--detach", "--init", "--label", f"dynoform.stack={STACK}"]
    assert reaches(docker(*run, "--network", PLATFORM, base_image, "sleep", "60"), url)
    assert not reaches(docker(*run, base_image, "sleep", "60"), url)


def test_whoever_connection_pools_run_as_opens_no_connection_from_the_host(made: Outcome) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert opens(NOBODY, port)
        assert not opens(pool.USER, port)


def test_dyno_reaches_no_metadata_address(dyno: str) -> None:
    assert curl(dyno, "http://169.254.169.254/") == NOT_CONNECTED, "it is refused, not left waiting"


def test_drift_is_found_in_check_mode_and_mended(made: Outcome) -> None:
    table = f"dynoform_{STACK}"
    rules = host.check_output(f"nft --handle list chain inet {table} from_dynos")
    handle = re.search(r'"docker0" jump refuse # handle (\d+)', rules)
    assert handle
    host.check_output(f"nft delete rule inet {table} from_dynos handle {handle[1]}")
    assert play("dyno_runtime", check=True).changes == ["dyno_runtime : Start bridges and firewall"]
    assert play("dyno_runtime").changes == ["dyno_runtime : Start bridges and firewall"]
    assert play("dyno_runtime").changes == []


def test_subnet_of_others_is_refused(made: Outcome) -> None:
    with pytest.raises(
        ProviderError, match=r"172\.29\.68\.0/22 overlaps|overlaps Docker's network bridge .* — choose another"
    ):
        play("dyno_runtime", dyno_runtime_dyno_subnet="172.17.0.0/24")


def test_subnet_is_not_changed_under_running_dynos(dyno: str) -> None:
    with pytest.raises(
        ProviderError, match=rf"network {DYNOS}: has the subnet 172\.29\.64\.0/22, but .* — remove the services"
    ):
        play("dyno_runtime", dyno_runtime_dyno_subnet="172.29.80.0/22")  # dynos' tests have .72, beside these
    assert reaches(dyno, "http://localhost/") is False
    assert play("dyno_runtime").changes == []


def test_wrong_name_is_refused(made: Outcome) -> None:
    with pytest.raises(ProviderError, match='dyno_runtime_stack: is "Bad_Name" — use up to 31 lower-case letters'):
        play("dyno_runtime", dyno_runtime_stack="Bad_Name")


def test_engine_that_is_too_old_is_refused(made: Outcome) -> None:
    with pytest.raises(
        ProviderError, match=r"Docker: is [0-9.]+.*, older than 99 — upgrade it, it is not touched here"
    ):
        play("host", docker_engine_minimum_version="99")


def test_engine_with_another_storage_driver_is_refused(made: Outcome) -> None:
    with pytest.raises(
        ProviderError, match=r'Docker: keeps .* with overlay\w*, not with zfs — set "storage-driver" in'
    ):
        play("host", docker_engine_storage_drivers=["zfs"])


def assert_nothing_is_left() -> None:
    assert STACK not in docker("network", "ls") + host.check_output("ip -o link show") + host.check_output(
        "nft list tables"
    )
    assert LABEL not in docker("node", "inspect", "self")
    left = [
        f"/etc/dynoform/{STACK}",
        f"/etc/docker/certs.d/{PLATFORM_GATEWAY}:5000",
        f"/etc/init.d/dynoform-{STACK}-network",
    ]
    assert [path for path in left if os.path.exists(path)] == []


def test_purge_without_state_leaves_nothing_on_the_host(made: Outcome, dyno: str, tmp_path: Path) -> None:
    environ = {**os.environ, "DYNOFORM_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-P", "-m", "dynoform.cli", "down", "--purge", "--yes", "--stack", STACK]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert "✓ bridges and firewall removed" in done.stderr
    assert_nothing_is_left()


def test_nothing_is_left_of_a_stack_that_is_removed(made: Outcome) -> None:
    play("dyno_runtime")
    remove_containers()
    play("dyno_runtime_absent")
    assert_nothing_is_left()
    assert play("dyno_runtime_absent").changes == []


def test_an_engine_that_does_not_start_says_why_in_its_own_words(tmp_path: Path) -> None:
    """In a mount namespace of its own: the host's engine and its log are not touched."""
    (tmp_path / "dockerd").write_text("#!/bin/sh\necho 'unknown storage driver'\nexit 1\n", encoding="utf-8")
    (tmp_path / "dockerd").chmod(0o755)
    (tmp_path / "log").mkdir()
    (tmp_path / "log/docker.log").write_text("words of an earlier engine\n", encoding="utf-8")
    apart = f"mount --bind {tmp_path}/log /var/log && mount -t tmpfs tmpfs /run && mount -t tmpfs tmpfs /etc/dynoform"
    start = f"PATH={tmp_path}:$PATH exec sh {ROOT}/roles/docker_engine/files/start_dockerd.sh false 20"
    words = ["unshare", "--mount", "--propagation", "private", "sh", "-c", f"{apart} && {start}"]
    Path("/etc/dynoform").mkdir(exist_ok=True)
    began = time.monotonic()
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr == "dockerd ended at once: unknown storage driver — see /var/log/docker.log\n"
    assert time.monotonic() - began < 18, "an engine that lives is given 20 s"
