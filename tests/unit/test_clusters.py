"""The tests' own PostgreSQL: what a killed run left behind does not hinder the next."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgres import PREFIX, cluster


@pytest.fixture
def leftover(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a run that is no more: its server did not get to remove its file of the process."""
    ended = subprocess.Popen(["true"])
    ended.wait(timeout=60)
    with tempfile.TemporaryDirectory() as alone:
        # The server's user has to get in: not so into the folders of pytest.
        Path(alone).chmod(0o755)
        monkeypatch.setattr(tempfile, "tempdir", alone)
        folder = Path(alone, f"{PREFIX}killed")
        (folder / "data").mkdir(parents=True)
        (folder / "owner").write_text(str(ended.pid))
        (folder / "data/postmaster.pid").write_text(f"{ended.pid}\n{folder / 'data'}\n")
        yield folder


def test_a_cluster_whose_server_ended_too_is_removed(leftover: Path) -> None:
    with cluster():
        assert not leftover.exists()


def test_a_process_that_got_its_number_since_is_let_alone(leftover: Path) -> None:
    other = subprocess.Popen(["sleep", "60"])
    try:
        (leftover / "data/postmaster.pid").write_text(f"{other.pid}\n{leftover / 'data'}\n")
        with cluster():
            assert not leftover.exists()
            assert other.poll() is None
    finally:
        other.kill()
        other.wait(timeout=60)


def test_a_cluster_of_a_run_that_goes_on_is_let_alone(leftover: Path) -> None:
    (leftover / "owner").write_text(str(os.getpid()))
    with cluster():
        assert leftover.exists()
