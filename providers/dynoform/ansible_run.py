"""Runs ``ansible-playbook`` and tells what it did: the only file that knows its command line.

Variables, secret or not, reach it through a named pipe in a folder that only the user can read: never by argv,
environment or disk. A lock that the child inherits keeps two runs off one host, also when this process was killed
and its child still works.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .engine import Operation
from .errors import ProviderError

ROOT = Path(__file__).resolve().parents[2]
CALLBACKS = Path(__file__).parent / "callbacks"
RUN_SECONDS = 1800.0
"""How long a playbook may take when the user sets no timeout: a cold package mirror is slow, a hang is not for ever."""
LOCK_SECONDS = 600.0
TERMINATE_SECONDS = 5.0
SSH_SECONDS = 10
SSH_ALIVE_SECONDS = 5
ADVICE = (
    (re.compile(r"no space left on device", re.IGNORECASE), "free disk space on the host, then run 'up' again"),
    (
        re.compile(r"Could not get lock|lock apt for exclusive", re.IGNORECASE),
        "another program installs packages there: wait for it ('fuser -v /var/lib/dpkg/lock*'), then run 'up' again",
    ),
    (
        re.compile(r"sudo password|sudo: a (terminal|password) is required", re.IGNORECASE),
        "let the host's user use sudo without a password, then run 'up' again",
    ),
    (
        re.compile(r"\bapt\b|\bapt-get\b|No package matching|\bdpkg\b", re.IGNORECASE),
        "mend the host's package sources (/etc/apt), see 'apt-get update', then run 'up' again",
    ),
    (
        re.compile(r"REMOTE HOST IDENTIFICATION HAS CHANGED|Host key verification failed"),
        "its SSH host key is not the known one: find out why, then mend the known_hosts file",
    ),
    (re.compile(r"Permission denied \("), "see that user and key of the host are right and may log in by SSH"),
    (re.compile(r"connect to host|timed out during banner"), "see that the host runs and its SSH port can be reached"),
)
"""Sign in a failed task's message → what to do."""
PASSED_ON = ("PATH", "HOME", "LANG", "TMPDIR", "SSH_AUTH_SOCK", "DEBIAN_FRONTEND")
"""What the child gets of the environment, with proxies and CAs; all else, such as passphrases, stays here."""
PASSED_ON_ENDINGS = ("_proxy", "_PROXY", "_CA_BUNDLE", "_CERT", "SSL_CERT_FILE", "SSL_CERT_DIR")


@dataclass(frozen=True)
class Host:
    """The one host of a run.

    Parameters:
        name: its name in messages.
        address: where it is.
        connection: Ansible's connection, ``local`` or ``ssh``.
        user, port: who logs in by SSH, and where.
        key_file: path of the private key; empty for those that SSH finds by itself, or an agent's.
        known_hosts: path of the file with the host's public key; empty for the user's own file, in which a host that is
            met for the first time is remembered. A host with another key than the remembered one is always refused.
        jump: ``user@host:port`` to go through.
    """

    name: str
    address: str
    connection: str
    user: str = "root"
    port: int = 22
    key_file: str = ""
    known_hosts: str = ""
    jump: str = ""


@dataclass
class Outcome:
    """What a run did: names of the tasks that changed something, and the facts of ``set_stats``."""

    changes: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)


def run_playbook(
    operation: Operation,
    playbook: str,
    host: Host,
    variables: Mapping[str, Any],
    *,
    beside: Sequence[Host] = (),
    check: bool = False,
) -> Outcome:
    """Runs ``playbook`` (relative to the project's root) on ``host``; task names become status messages.

    Tasks may be delegated to the hosts in ``beside``: what joins a swarm asks one of its managers.

    Raises ``ProviderError`` naming host, task and message when a task fails, when the time is up or on cancellation.
    """
    deadline = operation.deadline(RUN_SECONDS)
    # A run in check mode changes nothing: any number may go on at once.
    locked = contextlib.nullcontext(-1) if check else _lock(operation, host)
    with locked as lock, _folder() as folder, _variables_pipe(folder, variables) as pipe:
        inventory = _inventory(folder, (host, *beside))
        command = [str(Path(sys.executable).parent / "ansible-playbook"), "--inventory", str(inventory)]
        command += ["--limit", host.name, "--extra-vars", f"@{pipe}", *(["--check"] if check else []), playbook]
        child = subprocess.Popen(  # noqa: S603 - argv is made here, values go through the pipe
            command,
            cwd=ROOT,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            pass_fds=() if check else (lock,),
            start_new_session=True,
        )
        with child:
            return _follow(operation, child, playbook, deadline)


def _follow(operation: Operation, child: "subprocess.Popen[str]", playbook: str, deadline: float) -> Outcome:
    """Reads the child's events until it ends; ends it when the time is up or the operation is cancelled."""
    complaints: list[str] = []
    readers = [_reader(child.stderr, complaints.append)]
    outcome, failures = Outcome(), list[str]()
    readers.append(_reader(child.stdout, lambda line: _take(operation, line, outcome, failures)))
    stopped = _wait(operation, child, deadline)
    for reader in readers:
        reader.join(TERMINATE_SECONDS)
    if stopped:
        raise ProviderError(playbook, stopped, "run it again to continue where it stopped")
    if child.returncode:
        # A task that failed and was rescued is in ``failures`` too: the last one is what ended the run.
        ended = f"ansible-playbook ended with status {child.returncode}: {_last(complaints)}"
        why = failures[-1].rstrip(": ") if failures else ended
        raise ProviderError(playbook, why, _next_step(why))
    return outcome


def _next_step(why: str) -> str:
    """What to do about a play that failed; nothing where its own message says that."""
    if " — " in why:
        return ""
    return next((advice for sign, advice in ADVICE if sign.search(why)), "mend that on the host, then run 'up' again")


def _take(operation: Operation, line: str, outcome: Outcome, failures: list[str]) -> None:
    try:
        event = json.loads(line)
    except json.JSONDecodeError:
        return
    if event["event"] == "task":
        operation.status(event["task"])
    elif event["event"] == "changed":
        outcome.changes.append(event["task"])
    elif event["event"] == "failed":
        failures.append(f"{event['host']}: {event['task']}: {' '.join(event['message'].split())}")
    elif event["event"] == "end":
        outcome.facts = event["facts"]


def _wait(operation: Operation, child: "subprocess.Popen[str]", deadline: float) -> str:
    """Empty when the child ended by itself, else why it was ended."""
    while child.poll() is None:
        if operation.cancelled.wait(0.05):
            _end(child)
            return "was cancelled"
        if time.monotonic() > deadline:
            _end(child)
            return "took longer than allowed"
    return ""


def _end(child: "subprocess.Popen[str]") -> None:
    """Asks the child's whole session to end, then makes it."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(TERMINATE_SECONDS)
            return


def _reader(stream: Any, take: Callable[[str], None]) -> threading.Thread:
    def read() -> None:
        for line in stream:
            take(line)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread


def _last(complaints: list[str]) -> str:
    lines = [line.strip() for line in complaints if line.strip()]
    errors = [line for line in lines if line.startswith("[ERROR]")]
    return (errors or lines or ["it printed nothing"])[-1 if not errors else 0].removeprefix("[ERROR]: ")


def connection(host: Host) -> dict[str, Any]:
    """How Ansible reaches the host. Debian's own Python: modules such as apt need its bindings."""
    reached: dict[str, Any] = {
        "ansible_connection": host.connection,
        "ansible_host": host.address,
        "ansible_python_interpreter": "/usr/bin/python3",
    }
    if host.connection == "ssh":
        reached |= {"ansible_user": host.user, "ansible_port": int(host.port), "ansible_become": host.user != "root"}
        reached |= {"ansible_ssh_common_args": " ".join(_ssh_options(host))}
        reached |= {"ansible_control_path_dir": f"~/.ansible/cp/{_way(host)}"}
        if host.key_file:
            reached["ansible_ssh_private_key_file"] = host.key_file
    return reached


def _way(host: Host) -> str:
    """A mark of what leads to a host besides its address: Ansible keeps connections by address, port and user alone.

    Without it a run for the host 10.0.0.1 behind one jump host would go on through a connection to another 10.0.0.1.
    """
    return hashlib.sha256(f"{host.jump} {host.known_hosts} {host.key_file}".encode()).hexdigest()[:8]


def _ssh_options(host: Host) -> list[str]:
    """Never a question, and never a host whose key is not the one that was seen before."""
    checking = "yes" if host.known_hosts else "accept-new"
    options = ["BatchMode=yes", f"ConnectTimeout={SSH_SECONDS}", f"StrictHostKeyChecking={checking}"]
    # Connections are kept for the next task: one to a host that died has to end.
    options += [f"ServerAliveInterval={SSH_ALIVE_SECONDS}"]
    options += [f"UserKnownHostsFile={host.known_hosts}"] if host.known_hosts else []
    options += [f"ProxyCommand={_through(host, options)}"] if host.jump else []
    return [word for option in options for word in ("-o", shlex.quote(option))]


def _through(host: Host, options: Sequence[str]) -> str:
    """The command that goes through the jump host with the host's own key and known keys: ProxyJump takes neither."""
    *others, door = host.jump.split(",")
    own = [*options, *([f"IdentityFile={host.key_file}"] if host.key_file else [])]
    before = ["-J", ",".join(others)] if others else []
    words = [word for option in own for word in ("-o", option)]
    return shlex.join(["ssh", *words, *before, "-W", "[%h]:%p", f"ssh://{door}"])


def _environment() -> dict[str, str]:
    passed = {
        name: value for name, value in os.environ.items() if name in PASSED_ON or name.endswith(PASSED_ON_ENDINGS)
    }
    return {
        **passed,
        "LC_ALL": "C.UTF-8",
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_CALLBACK_PLUGINS": str(CALLBACKS),
        "ANSIBLE_STDOUT_CALLBACK": "dynoform_events",
        "ANSIBLE_NOCOLOR": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """A folder for one run, which only the user can read."""
    with tempfile.TemporaryDirectory(prefix="dynoform-") as folder:
        yield Path(folder)


def _inventory(folder: Path, hosts: Sequence[Host]) -> Path:
    """An inventory of these hosts: how each is reached, and nothing secret."""
    file = folder / "hosts.json"
    file.write_text(json.dumps({"all": {"hosts": {host.name: connection(host) for host in hosts}}}))
    return file


@contextlib.contextmanager
def _variables_pipe(folder: Path, variables: Mapping[str, Any]) -> Iterator[Path]:
    """A named pipe that gives the variables as JSON to the one who opens it."""
    pipe = folder / "variables.json"
    os.mkfifo(pipe, 0o600)
    text = json.dumps(variables)

    def write() -> None:
        with contextlib.suppress(OSError), pipe.open("w") as stream:
            stream.write(text)

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    try:
        yield pipe
    finally:
        _release(pipe, writer)


def _release(pipe: Path, writer: threading.Thread) -> None:
    """Lets a writer go that nobody read from, by opening and closing the other end."""
    while writer.is_alive():
        with contextlib.suppress(OSError):
            os.close(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK))
        writer.join(0.05)


@contextlib.contextmanager
def _lock(operation: Operation, host: Host) -> Iterator[int]:
    """One run per host at a time. The descriptor is inherited: the lock is free when the last holder is gone."""
    folder = Path(tempfile.gettempdir()) / f"dynoform-locks-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    name = hashlib.sha256(f"{host.connection} {host.address}".encode()).hexdigest()[:16]
    descriptor = os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        until = time.monotonic() + LOCK_SECONDS
        if not _locked(descriptor):
            operation.status(f"waits for another run on {host.name}")
        while not _locked(descriptor):
            if time.monotonic() > until:
                raise ProviderError(
                    host.name, "another playbook has been running on it for too long", "end it, then try again"
                )
            operation.pause(0.3)
        yield descriptor
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
