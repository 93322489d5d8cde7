"""A throw-away PostgreSQL for tests: a cluster in a temporary folder, on a free loopback port, not run by root."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX = "dynoform-test-postgres-"
USERS = ("postgres", "nobody")
"""Who runs it when the tests run as root, which PostgreSQL refuses; the first that is there."""


def binaries() -> Path | None:
    """The folder with ``initdb`` and ``pg_ctl`` of the newest version installed, or None."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None


@contextmanager
def cluster() -> Iterator[str]:
    """Run a cluster for the length of the block; yields the SQLAlchemy URL of its (empty) database ``dynoform``."""
    user = _unprivileged()
    _remove_leftovers(user)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    (folder / "owner").write_text(str(os.getpid()))
    if user:
        os.chown(folder, user.pw_uid, user.pw_gid)
    port = free_port()
    try:
        _run(
            user,
            "initdb",
            "-D",
            folder / "data",
            "-U",
            "dynoform",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
            "--no-sync",
        )
        options = f"-p {port} -k {folder} -h 127.0.0.1 -c fsync=off -c full_page_writes=off -c max_connections=40"
        _run(user, "pg_ctl", "-D", folder / "data", "-w", "-t", "30", "-l", folder / "log", "-o", options, "start")
        try:
            _run(user, "createdb", "-h", folder, "-p", port, "-U", "dynoform", "dynoform")
            yield f"postgresql+psycopg://dynoform@127.0.0.1:{port}/dynoform"
        finally:
            _run(user, "pg_ctl", "-D", folder / "data", "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_leftovers(user: pwd.struct_passwd | None) -> None:
    """Stop and remove the clusters of test runs that were killed: those whose process is no more."""
    for owner in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/owner"):
        if not Path("/proc", owner.read_text()).exists():
            if (owner.parent / "data" / "postmaster.pid").exists():
                _run(user, "pg_ctl", "-D", owner.parent / "data", "-w", "-m", "immediate", "stop")
            shutil.rmtree(owner.parent, ignore_errors=True)


def free_port() -> int:
    """A TCP port on the loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _unprivileged() -> pwd.struct_passwd | None:
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    return next(known[name] for name in USERS if name in known)


def _run(user: pwd.struct_passwd | None, program: str, *arguments: object) -> None:
    folder = binaries()
    assert folder is not None
    # pg_ctl leaves the server behind with its own output: a pipe would be held open by it for ever.
    with tempfile.TemporaryFile() as output:
        done = subprocess.run(
            [folder / program, *map(str, arguments)],
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            cwd="/",
            timeout=60,
            **({"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}),
        )
        output.seek(0)
        assert done.returncode == 0, f"{program}: {output.read().decode(errors='replace')}"
