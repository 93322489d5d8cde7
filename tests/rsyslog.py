"""rsyslog for tests: a process of its own, as the log agent is one, or as somebody's receiver of syslog."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from dynoform.cli.places import Places
from dynoform.cli.tools.store import Store

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
    return Store(Places.from_environment().cache / "tools").bring("rsyslog", _unpack)


def _unpack(target: Path) -> None:
    """Debian's packages, unpacked but not installed: installed they would start a logger of their own."""
    download = ["apt-get", "download", *_PACKAGES]
    if subprocess.run(download, cwd=target, capture_output=True, timeout=300).returncode and os.geteuid() == 0:
        subprocess.run(["apt-get", "update"], capture_output=True, check=True, timeout=300)
    if len(list(target.glob("*.deb"))) < len(_PACKAGES):
        subprocess.run(download, cwd=target, check=True, timeout=300)
    for package in target.glob("*.deb"):
        subprocess.run(["dpkg-deb", "--extract", package, target], check=True, timeout=300)
        package.unlink()


def start(folder: Path, configuration: str, **environment: str) -> "subprocess.Popen[bytes]":
    """Run rsyslog with this configuration; its state and its own log are in ``folder``."""
    root = brought()
    assert root is not None
    (modules,) = root.glob(_MODULES)
    (folder / "rsyslog.conf").write_text(configuration)
    variables = {"PATH": os.environ["PATH"], "LD_LIBRARY_PATH": str(modules.parent), **environment}
    pid = folder / "rsyslogd.pid"
    if pid.exists():  # as the entrypoint does
        subprocess.run(["sh", ROOT / "images/log-agent/rewind", folder, "1000"], check=True, timeout=30)
        pid.unlink()
    words: list[str | Path] = [root / "usr/sbin/rsyslogd", "-n", "-i", pid, "-f", folder / "rsyslog.conf"]
    with (folder / "rsyslog.log").open("ab") as log:
        return subprocess.Popen([*words, "-M", modules], env=variables, stdout=log, stderr=log)


@contextmanager
def running(folder: Path, configuration: str, **environment: str) -> Iterator["subprocess.Popen[bytes]"]:
    """The same, for the length of the block."""
    process = start(folder, configuration, **environment)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)


def agent(folder: Path, containers: Path, settings: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """The log agent's own configuration and environment, for files and state in these folders."""
    text = (ROOT / "images/log-agent/rsyslog.conf").read_text()
    text = text.replace("/var/spool/rsyslog", str(folder)).replace("/var/lib/docker/containers", str(containers))
    return text.replace("/dev/stdout", str(folder / "complaints")), dict(settings)
