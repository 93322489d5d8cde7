"""The jobs that bring a database its data, as far as they need no server: what they run is a script of the test's."""

import os
import subprocess
from pathlib import Path

import pytest

from dynoform.cli.places import CHECKOUT

PROGRAMS = CHECKOUT / "images/postgres"
LEADER = "10.0.0.1\n5432\nuser\npassword\nslot\n.\n"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Where the data are."""
    (made := tmp_path / "home").mkdir()
    return made


def run(name: str, home: Path, told: str, *words: str, **programs: str) -> "subprocess.CompletedProcess[str]":
    """Run one of the image's programs with ``words``; ``programs`` are those of PostgreSQL and pgBackRest in it."""
    folder = home.parent
    places = {"/tmp": folder, "/opt/dynoform": folder, "/var/lib/postgresql": home}  # noqa: S108 - the image's
    for each in ("cluster", "pgbackrest-bulk", "superuser", name):
        text = (PROGRAMS / each).read_text()
        for place, here in places.items():
            text = text.replace(place, str(here))
        (folder / each).write_text(text)
        (folder / each).chmod(0o755)
    for each, text in {"opens": "", **programs}.items():
        (folder / each).write_text(f"#!/bin/bash\n{text}\n")
        (folder / each).chmod(0o755)
    environment = {"PATH": f"{folder}:{os.environ['PATH']}"}
    argv = ["bash", str(folder / name), *words]
    return subprocess.run(argv, input=told, env=environment, capture_output=True, text=True, timeout=30)


@pytest.mark.parametrize("signal", ["INT", "TERM"])
def test_a_copy_whose_leader_is_stopped_with_it_was_killed(home: Path, signal: str) -> None:
    done = run("follow", home, LEADER, pg_basebackup=f"kill -{signal} $PPID; exit 1")
    assert done.returncode == 143 and done.stderr == ""
    done = run("follow", home, LEADER, pg_basebackup="exit 1")
    assert (done.returncode, done.stderr) == (1, "postgres: the leader could not be copied\n")


def test_a_restore_that_goes_on_takes_no_server_for_one_that_runs(home: Path) -> None:
    """pgBackRest refuses to restore where it finds that file, and brings none."""
    (half_made := home / "17.half-made").mkdir()
    (half_made / "postmaster.pid").write_text("1\n")
    done = run("restore", home, "[global]\n.\n", pgbackrest=f"ls {half_made} >{home}/found; exit 1")
    assert (done.returncode, (home / "found").read_text()) == (1, ""), done.stderr


@pytest.mark.parametrize("signal", ["INT", "TERM"])
@pytest.mark.parametrize(("mode", "fails"), [("dump", "pg_dump"), ("fetch", "pg_restore"), ("check-copy", "psql")])
def test_a_transfer_whose_database_is_stopped_with_it_was_killed(
    home: Path, mode: str, fails: str, signal: str
) -> None:
    told, words = "key\n[from]\n.\n", [mode, str(home / "backup")]
    stop = f'kill -{signal} "$(pgrep --oldest --full "${{0%/*}}/transfer")"; exit 1'
    assert run("transfer", home, told, *words, curl="", **{fails: stop}).returncode == 143
    assert run("transfer", home, told, *words, curl="", **{fails: "exit 1"}).returncode == 1
