"""rsyslog for tests: a process of its own, as the log agent is one, or as somebody's receiver of syslog."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from dynoform.cli.places import Places
from dynoform.cli.tools.store import Store
from tests import debian

ROOT = Path(__file__).resolve().parents[1]
_PACKAGES = (
    *("rsyslog", "rsyslog-relp", "rsyslog-openssl"),
    *("libestr0", "libfastjson4", "liblognorm5", "librelp0"),
)
_MODULES = "usr/lib/*/rsyslog"


def brought() -> Path | None:
    """The root of the tests' own rsyslog; None where there is no apt-get to bring it."""
    if not shutil.which("apt-get"):
        return None
    store = Store(Places.from_environment().cache / "tools")
    return store.bring("rsyslog", lambda target: debian.unpack(target, _PACKAGES))


def start(folder: Path, configuration: str) -> "subprocess.Popen[bytes]":
    """Run rsyslog with this configuration; its state and its own log are in ``folder``."""
    (folder / "rsyslog.conf").write_text(configuration)
    return _run(folder, _program(folder), "-n", "-i", folder / "rsyslogd.pid", "-f", folder / "rsyslog.conf")


@contextmanager
def running(folder: Path, configuration: str) -> Iterator["subprocess.Popen[bytes]"]:
    """The same, for the length of the block."""
    process = start(folder, configuration)
    try:
        yield process
    finally:
        end(process)


def end(process: "subprocess.Popen[bytes]") -> None:
    """Have it end; what does not is killed."""
    process.terminate()
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        kill(process)


def kill(process: "subprocess.Popen[bytes]") -> None:
    """Kill it and what it has started, as when a container is killed."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(60)


@contextmanager
def running_agent(folder: Path, containers: Path, settings: Mapping[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    """``start_agent`` for the length of the block."""
    process = start_agent(folder, containers, settings)
    try:
        yield process
    finally:
        end(process)


def start_agent(folder: Path, containers: Path, settings: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    """Run the log agent's own entrypoint and configuration, for files and state in these folders."""
    program = _program(folder)
    places = {
        "/var/spool/rsyslog": folder,
        "/run/log-agent": folder / "run",
        "/var/lib/docker/containers": containers,
        "/etc/rsyslog.conf": folder / "rsyslog.conf",
        "/dev/stdout": folder / "complaints",
    }
    for name in ("entrypoint", "rewind", "rsyslog.conf"):
        text = (ROOT / "images/log-agent" / name).read_text()
        for path, place in places.items():
            text = text.replace(path, str(place))
        (folder / name).write_text(text)
    (program.parent / "rewind").write_text((folder / "rewind").read_text())
    (program.parent / "rewind").chmod(0o755)
    return _run(folder, "sh", folder / "entrypoint", PATH=f"{program.parent}:{os.environ['PATH']}", **settings)


def _program(folder: Path) -> Path:
    root = brought()
    assert root is not None
    (modules,) = root.glob(_MODULES)
    program = folder / "bin" / "rsyslogd"
    program.parent.mkdir(exist_ok=True)
    library = f"LD_LIBRARY_PATH={modules.parent}"
    program.write_text(f'#!/bin/sh\nexec env {library} {root}/usr/sbin/rsyslogd "$@" -M {modules}\n')
    program.chmod(0o755)
    return program


def _run(folder: Path, *words: str | Path, **environment: str) -> "subprocess.Popen[bytes]":
    variables = {"PATH": os.environ["PATH"], **environment}
    with (folder / "rsyslog.log").open("ab") as log:
        return subprocess.Popen(words, env=variables, stdout=log, stderr=log, start_new_session=True)
