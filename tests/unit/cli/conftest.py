"""Places of their own for tests of the operator's command: nothing of this machine's is read or written."""

import http.server
import io
import os
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dynoform.cli.console import Console
from dynoform.cli.places import CHECKOUT, Places
from dynoform.cli.stack import Stack
from tests.unit.cli.checkout import checkout

__all__ = ["checkout"]


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """Empty data and cache; a checkout with a virtualenv that is only a directory."""
    root = tmp_path / "checkout"
    (root / ".venv" / "bin").mkdir(parents=True)
    (root / ".venv" / "pyvenv.cfg").touch()
    for name in ("tools", "requirements", "Pulumi.yaml"):
        (root / name).symlink_to(CHECKOUT / name)
    found = Places(root, tmp_path / "data", tmp_path / "cache")
    found.make()
    return found


@pytest.fixture
def stack(places: Places) -> Stack:
    """A stack that nobody has made yet."""
    return Stack.of("local", places, {"PATH": os.defpath})


@pytest.fixture
def said() -> io.StringIO:
    """What the console showed as progress."""
    return io.StringIO()


@pytest.fixture
def console(said: io.StringIO) -> Console:
    """A console without a terminal."""
    return Console({}, said, io.StringIO())


@pytest.fixture
def program() -> Callable[[Path, str], Path]:
    """Writes an executable shell script."""

    def write(path: Path, body: str) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    return write


@pytest.fixture
def silent_registry() -> Iterator[str]:
    """Address of a registry that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def release(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A web server with a directory of releases: its address, the directory."""
    directory = tmp_path / "releases"
    directory.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(directory))  # type: ignore[arg-type]

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", directory
        server.shutdown()
        thread.join()
