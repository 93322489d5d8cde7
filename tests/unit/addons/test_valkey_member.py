"""The client of a Redis' members, against servers that are none; real ones are in the end-to-end tests."""

import os
import subprocess
from pathlib import Path

import pytest

from dynoform.cli.places import CHECKOUT

MEMBER = CHECKOUT / "images/valkey/valkey-member"
PLACES = [f"10.0.0.1:{port}:{port + 1}" for port in (15001, 15003, 15005)]
CLIENT = """#!/bin/sh
while [ "$1" != -p ]; do shift; done
port=$2
while [ "$1" != --no-auth-warning ]; do shift; done
shift
[ "${1:-}" != --user ] || shift 2
echo "$port $*" >>"$SERVERS/asked"
[ ! -e "$SERVERS/$port $*" ] || cat "$SERVERS/$port $*"
"""
"""The server at a port answers what is in the file that is called so."""


class Servers:
    """Three members; the second one is the primary."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name, text in (("valkey-cli", CLIENT), ("sleep", "#!/bin/sh\n")):
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)
        (folder / "members").write_text("what they know each other by")
        (folder / "program").write_text(MEMBER.read_text().replace("/run/secrets", str(folder)))
        self.says(15002, "SENTINEL GET-PRIMARY-ADDR-BY-NAME main", "10.0.0.1\n15003\n")
        self.writes(0)

    def says(self, port: int, asked: str, answer: str) -> None:
        (self.folder / f"{port} {asked}").write_text(answer)

    def writes(self, files: int) -> None:
        """The first member has so much to write down yet."""
        told = f"loading:0\r\naof_rewrite_in_progress:{files}\r\naof_rewrite_scheduled:0\r\n"
        self.says(15001, "INFO persistence", told)

    def replicates(self, *offsets: int, good: int = 2) -> None:
        """What replicas that are connected have; the primary is at 900."""
        lines = [
            f"slave{number}:ip=10.0.0.1,port={port},state=online,offset={offset},lag=0,type=replica"
            for number, (port, offset) in enumerate(zip((15001, 15005), offsets, strict=False))
        ]
        head = ["role:master", f"connected_slaves:{len(lines)}", f"min_slaves_good_slaves:{good}"]
        self.says(15003, "INFO replication", "\r\n".join([*head, *lines, "master_repl_offset:900", ""]))

    def run(self, *words: str) -> tuple[int, str]:
        """How the program ends, and what it complains about."""
        environment = {
            "PATH": f"{self.folder}:{os.environ['PATH']}",
            "SERVERS": str(self.folder),
            "VALKEY_MEMBERS": " ".join(PLACES),
        }
        argv = ["sh", str(self.folder / "program"), *words]
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=30)
        return done.returncode, done.stderr

    @property
    def paused(self) -> list[str]:
        """What writers were told, in turn."""
        asked = (self.folder / "asked").read_text().splitlines()
        return [each.split()[2] for each in asked if each.startswith("15003 CLIENT")]


@pytest.fixture
def servers(tmp_path: Path) -> Servers:
    return Servers(tmp_path)


def test_writes_stop_once_all_replicas_have_what_the_primary_has(servers: Servers) -> None:
    servers.replicates(900, 900)
    assert servers.run("settle", "2") == (0, "")
    assert servers.paused == ["PAUSE"]


def test_a_replica_that_is_away_is_missed_and_writes_go_on(servers: Servers) -> None:
    servers.replicates(900, good=1)
    assert servers.run("settle", "2") == (1, "valkey-member: 1 of 2 replicas keep up\n")
    assert servers.paused == []
    servers.replicates(900)  # it went just now
    complaint = (
        "valkey-member: 1 of 2 replicas have what the primary has, or the first member is still writing it down\n"
    )
    assert servers.run("settle", "2") == (1, complaint)
    assert servers.paused == ["PAUSE", "UNPAUSE"]
    assert servers.run("settle", "1") == (0, ""), "where two are left"


def test_a_replica_that_is_behind_or_has_not_written_it_down_is_waited_for(servers: Servers) -> None:
    servers.replicates(900, 90)
    code, complaint = servers.run("settle", "2")
    assert code == 1 and "1 of 2 replicas have what the primary has" in complaint
    servers.replicates(900, 900)
    servers.writes(1)
    code, complaint = servers.run("settle", "2")
    assert code == 1 and "the first member is still writing it down" in complaint
    servers.replicates(0, 0)
    servers.says(15003, "INFO replication", "")
    assert servers.run("settle", "2") == (1, "valkey-member: 0 of 2 replicas keep up\n")
