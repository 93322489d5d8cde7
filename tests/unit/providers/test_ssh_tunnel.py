"""The tunnel to a host's engine, by the real SSH client, through a server on loopback."""

import asyncio
import queue
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
from asyncio.subprocess import PIPE
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from dynoform.cli import machines
from providers import ssh_tunnel
from providers.ssh_tunnel import Tunnel, TunnelError


class Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.sendall(b"engine: " + self.request.recv(100))


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 64


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ssh")


@pytest.fixture(scope="module")
def engine(folder: Path) -> Iterator[str]:
    """What listens where an engine would."""
    path = folder / "docker.sock"
    with Server(str(path), Echo) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield str(path)
        server.shutdown()


class Door(asyncssh.SSHServer):
    """Lets connections be passed on to sockets of the host, as OpenSSH does unless told not to."""

    def unix_connection_requested(self, dest_path: str) -> bool:
        return True

    def connection_requested(self, dest_host: str, dest_port: int, orig_host: str, orig_port: int) -> bool:
        return True


async def run_command(process: "asyncssh.SSHServerProcess[bytes]") -> None:
    """What SSH was told to run, run."""
    child = await asyncio.create_subprocess_shell(str(process.command), stdin=PIPE, stdout=PIPE, stderr=PIPE)
    assert child.stdin and child.stdout and child.stderr
    feeding = asyncio.create_task(pass_on(process.stdin, child.stdin, close=True))
    await asyncio.gather(pass_on(child.stdout, process.stdout), pass_on(child.stderr, process.stderr))
    process.exit(await child.wait())
    feeding.cancel()


async def pass_on(source: Any, target: Any, *, close: bool = False) -> None:
    try:
        while data := await source.read(4096):
            target.write(data)
    except (asyncssh.Error, OSError):
        pass  # the client has gone
    if close:
        target.close()


async def serve(folder: Path, started: "queue.Queue[int]", ended: threading.Event) -> None:
    server = await asyncssh.listen(
        "127.0.0.1",
        0,
        server_factory=Door,
        server_host_keys=[str(folder / "host")],
        authorized_client_keys=str(folder / "key.pub"),
        process_factory=run_command,
        encoding=None,
    )
    started.put(server.get_port())
    await asyncio.to_thread(ended.wait)
    server.close()
    await server.wait_closed()


@pytest.fixture(scope="module")
def port(folder: Path) -> Iterator[int]:
    """A host's SSH, that lets one key in."""
    for name in ("host", "key", "other"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True, timeout=30)
    started: queue.Queue[int] = queue.Queue()
    ended = threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(serve(folder, started, ended)), daemon=True)
    thread.start()
    number = started.get(timeout=30)
    (folder / "known").write_text(f"[127.0.0.1]:{number} {(folder / 'host.pub').read_text()}")
    yield number
    ended.set()
    thread.join(30)


@pytest.fixture
def host(folder: Path, port: int) -> dict[str, object]:
    return {"address": "127.0.0.1", "port": port, "keyFile": str(folder / "key"), "knownHosts": str(folder / "known")}


@pytest.fixture
def tunnel(folder: Path, port: int, engine: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tunnel]:
    monkeypatch.setattr(ssh_tunnel, "ENGINE", engine)
    made = Tunnel(f"ssh://root@127.0.0.1:{port}", options(folder, "key"))
    yield made
    made.close()


def options(folder: Path, key: str) -> list[str]:
    words = ["BatchMode=yes", f"IdentityFile={folder / key}", "IdentitiesOnly=yes"]
    words += [f"UserKnownHostsFile={folder / 'known'}"]
    return ["-F", "/dev/null", *(word for option in words for word in ("-o", option))]


def ask(address: str, question: str) -> str:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(address.removeprefix("unix://"))
        client.sendall(question.encode())
        return client.recv(100).decode()


def test_the_hosts_engine_answers_many_at_a_time_on_one_connection(tunnel: Tunnel) -> None:
    with ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(lambda number: ask(tunnel.socket(), str(number)), range(40)))
    assert answers == [f"engine: {number}" for number in range(40)]


def test_a_tunnel_that_broke_is_made_anew_and_a_closed_one_leaves_nothing(tunnel: Tunnel) -> None:
    first = tunnel.socket()
    assert tunnel.socket() == first
    assert tunnel._ssh is not None
    tunnel._ssh.kill()
    tunnel._ssh.wait()
    second = tunnel.socket()
    assert second != first
    assert ask(second, "again") == "engine: again"
    tunnel.close()
    for address in (first, second):
        assert not Path(address.removeprefix("unix://")).parent.exists()


def test_ssh_ends_with_the_process_that_made_the_tunnel(folder: Path, port: int, engine: str) -> None:
    program = f"""import time
from providers import ssh_tunnel
ssh_tunnel.ENGINE = {engine!r}
tunnel = ssh_tunnel.Tunnel('ssh://root@127.0.0.1:{port}', {options(folder, "key")!r})
tunnel.socket()
print(tunnel._ssh.pid, flush=True)
time.sleep(60)"""
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        ssh = int(child.stdout.readline())
        child.send_signal(signal.SIGKILL)
    for _ in range(1200):
        try:
            state = Path(f"/proc/{ssh}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            break
        if state == "Z":
            break
        time.sleep(0.05)
    else:
        raise AssertionError(f"ssh {ssh} goes on")


def test_a_host_that_does_not_let_in_says_so(folder: Path, port: int) -> None:
    with pytest.raises(TunnelError, match=r"^ssh 127\.0\.0\.1: .*Permission denied \(publickey"):
        Tunnel(f"ssh://root@127.0.0.1:{port}", options(folder, "other")).socket()


def test_hosts_are_checked_before_anything_is_changed(host: dict[str, object], folder: Path) -> None:
    hosts = {"one": host, "two": host | {"keyFile": str(folder / "other")}, "three": host | {"port": 1}}
    found = dict(machines.problems(hosts))
    assert found["one"] is None
    assert str(found["two"]).startswith(f"host two (root@127.0.0.1:{host['port']}): SSH does not get in: ")
    assert str(found["two"]).endswith("— see its address, user, port and keyFile")
    assert "Connection refused" in str(found["three"])


def test_what_databases_have_on_other_hosts_is_removed_there(
    host: dict[str, object], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = "label=dynoform.stack=mine"
    docker = f'docker() {{ case "$*" in *"{asked}") echo one two ;; "volume rm "*) echo "$3" ;; esac; }}\n'
    monkeypatch.setattr(machines, "_DATA", docker + machines._DATA)
    assert list(machines.remove_data({"a": host}, "mine")) == [
        "✓ volume one on a removed", "✓ volume two on a removed",
    ]  # fmt: skip
    (said,) = machines.remove_data({"a": host | {"port": 1}}, "mine")
    assert said.startswith("! host a: what databases have there could not be removed: ") and "refused" in said


def test_a_host_behind_another_is_reached_with_its_own_key_and_known_keys(host: dict[str, object]) -> None:
    """What the user's own settings know of the host in between has no part in it."""
    hosts = {name: host | {"jump": f"root@{name}:{host['port']}"} for name in ("127.0.0.1", "localhost")}
    found = dict(machines.problems(hosts))
    assert found["127.0.0.1"] is None
    # The same server, by a name under which no key is known.
    assert "SSH does not get in: " in str(found["localhost"])


def test_a_user_without_roots_rights_is_named(host: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machines, "RIGHTS", "echo no sudo >&2; false")
    ((_, problem),) = machines.problems({"one": host})
    why = "has no root's rights there: no sudo — let it use sudo without a password"
    assert str(problem) == f"host one (root@127.0.0.1:{host['port']}): {why}"
