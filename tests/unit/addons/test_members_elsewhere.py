"""The programs by which others are run beside a server on another host, and by which that one reads its repository."""

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from dynoform.cli.places import CHECKOUT
from tests.postgres import free_port

AT = CHECKOUT / "images/postgres-ha/at"
FETCH = CHECKOUT / "images/postgres-ha/fetch"


def test_a_server_on_this_host_is_not_looked_for_elsewhere() -> None:
    environment = {"PATH": os.environ["PATH"], "AT_SERVERS": "2=10.0.0.2:15012"}
    done = subprocess.run([str(AT), "1", "true"], env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (1, "at: server 1 is on this host, and its container does not run\n")


class Repository:
    """One whose segments are got by a script in pgBackRest's place, which notes that it was asked."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.asked = folder, folder / "asked"
        self.port = 0
        (folder / "bin").mkdir()
        self.does("exit 0")

    def does(self, script: str) -> None:
        program = self.folder / "bin/pgbackrest"
        program.write_text(f'#!/bin/sh\necho "$*" >>{self.asked}\n{script}\n')
        program.chmod(0o755)

    def fetch(self, name: str = "000000010000000000000002") -> int:
        """How it ends."""
        environment = {"PATH": f"{self.folder}/bin:{os.environ['PATH']}", "TMPDIR": str(self.folder)}
        if self.port:
            environment |= {
                "PGBACKREST_REPO1_SFTP_HOST": "127.0.0.1",
                "PGBACKREST_REPO1_SFTP_HOST_PORT": str(self.port),
            }
        return subprocess.run([str(FETCH), name, "pg_wal/RECOVERYXLOG"], env=environment, timeout=120).returncode

    @property
    def times(self) -> int:
        """How often it was asked."""
        return len(self.asked.read_text().splitlines()) if self.asked.exists() else 0


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path)


def test_what_a_repository_has_not_ends_no_server(repository: Repository) -> None:
    assert repository.fetch() == 0
    assert repository.asked.read_text() == "--stanza=db archive-get 000000010000000000000002 pg_wal/RECOVERYXLOG\n"
    for code in (1, 103, 255):
        repository.does(f"exit {code}")
        assert repository.fetch() == 1
    assert repository.times == 4, "it is asked each time"


def test_a_repository_whose_host_is_away_is_waited_for_once(repository: Repository) -> None:
    repository.port = free_port()
    patient = repository.folder / "bin/timeout"  # on a machine where a connection may take more than a second
    patient.write_text(f'#!/bin/sh\nshift\nexec {shutil.which("timeout")} 60 "$@"\n')
    patient.chmod(0o755)
    with socket.create_server(("127.0.0.1", repository.port)):
        assert (repository.fetch(), repository.times) == (0, 1)
    assert [repository.fetch(name) for name in ("00000003.history", "000000020000000000000003")] == [1, 1]
    assert repository.times == 1
    with socket.create_server(("127.0.0.1", repository.port)):
        assert repository.fetch() == 1, "not yet asked again"
        os.utime(repository.folder / "repository-away", (0, 0))
        assert repository.fetch() == 0


@pytest.mark.slow
def test_a_repository_that_stands_still_is_waited_for_once(repository: Repository) -> None:
    repository.does("exec sleep 60")
    assert repository.fetch() == 1
    assert repository.fetch() == 1
    assert repository.times == 1
