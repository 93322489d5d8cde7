"""A member of a Redis, and the client of members, by servers that are none; real ones are in the end-to-end tests."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dynoform.addons import redis
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
[ -e "$SERVERS/$port" ] || { echo "Could not connect to Valkey at $port: Connection refused" >&2; exit $(($# > 0)); }
if [ $# = 0 ]; then sed 's/.*/OK/'; else cat "$SERVERS/$port $*" 2>/dev/null || echo OK; fi
"""
"""The server at a port answers what is in the file that is called so, if anything there does.

Given commands on standard input it ends with 0, as ``valkey-cli`` does, also where it cannot connect.
"""


class Servers:
    """Three members; the second one is the primary."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name, text in (("valkey-cli", CLIENT), ("sleep", "#!/bin/sh\n")):
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)
        (folder / "members").write_text("what they know each other by")
        (folder / "program").write_text(MEMBER.read_text().replace("/run/secrets", str(folder)))
        for port in range(15001, 15007):
            (folder / str(port)).touch()
        self.says(15002, "SENTINEL GET-PRIMARY-ADDR-BY-NAME main", "10.0.0.1\n15003\n")
        self.writes(0)

    def refuse(self, *ports: int) -> None:
        """Nothing is there any more."""
        for port in ports:
            (self.folder / str(port)).unlink()

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
        done = self.tell("", *words)
        return done.returncode, done.stderr

    def tell(self, commands: str, *words: str) -> "subprocess.CompletedProcess[str]":
        """The program, with commands on standard input."""
        environment = {
            "PATH": f"{self.folder}:{os.environ['PATH']}",
            "SERVERS": str(self.folder),
            "VALKEY_MEMBERS": " ".join(PLACES),
        }
        argv = ["sh", str(self.folder / "program"), *words]
        return subprocess.run(argv, env=environment, input=commands, capture_output=True, text=True, timeout=30)

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


def test_commands_for_the_primary_are_asked_of_nobody_while_no_sentinel_knows_it(servers: Servers) -> None:
    done = servers.tell("ACL SAVE\nPING\n", "primary")
    assert (done.returncode, done.stdout) == (0, "OK\nOK\n")
    servers.refuse(15002, 15004, 15006)
    done = servers.tell("ACL SAVE\nPING\n", "primary")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "valkey-member: no Sentinel answers\n")
    assert servers.run("ready", "2") == (1, "valkey-member: no Sentinel answers\n")


def test_a_client_without_a_connection_says_so_by_no_answer_alone(servers: Servers) -> None:
    servers.refuse(15003)
    done = servers.tell("ACL SAVE\n", "2")
    assert (done.returncode, done.stdout) == (0, ""), "so the answers are counted"
    assert servers.run("2", "PING")[0] == 1


SAID = """user admin on #11 ~* &* +@all
user default on sanitize-payload #22 #33 ~* &* +@all -@admin
notify-keyspace-events

timeout
120
maxmemory-policy
allkeys-lru
"""
"""A primary's answer to ``ACL LIST`` and ``CONFIG GET``."""
TAKEN = [
    'CONFIG SET maxmemory-policy "allkeys-lru"', 'CONFIG SET timeout "120"', 'CONFIG SET notify-keyspace-events ""',
    "CONFIG REWRITE",
]  # fmt: skip
USERS = ["ACL SETUSER default reset on sanitize-payload #22 #33 ~* &* +@all -@admin", "ACL SAVE"]
ADMIN = """#!/bin/sh
[ ! -e "$HOME/refuses" ] || { echo 'Could not connect to Valkey: Connection refused' >&2; exit $(($# > 0)); }
[ "$#" = 0 ] || { echo "$*" >>"$HOME/admin"; cat "$HOME/$*" 2>/dev/null || true; exit; }
while read -r line; do echo "$line" >>"$HOME/admin"; echo OK; done
"""
ASK = """#!/bin/sh
case $1 in
    primary) cat >/dev/null; exec cat "$HOME/said" ;;
    sentinel) printf '10.0.0.1\\n15001\\n' ;;
esac
"""


class Member:
    """The second member of a group, whose server does nothing; the first one is the primary."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for each in ("lib", "run", "bin"):
            (folder / each).mkdir()
        for name in ("members", "look", "ca.crt", "server.crt"):
            (folder / name).write_text("of the tests")
        programs = {"valkey-server": "#!/bin/sh\nexec tail -f /dev/null\n", "valkey-admin": ADMIN, "valkey-member": ASK}
        for name in ("entrypoint", "member"):
            text = (MEMBER.parent / name).read_text().replace("/opt/dynoform", f"{folder}/bin")
            text = text.replace("/run/secrets", str(folder)).replace("/run/valkey", f"{folder}/run")
            programs[name] = text.replace("/etc/dynoform", str(folder)).replace("/var/lib/valkey", f"{folder}/lib")
        for name, text in {**programs, "sleep": "#!/bin/sh\n"}.items():
            (folder / "bin" / name).write_text(text)
            (folder / "bin" / name).chmod(0o755)
        (folder / "valkey.conf").write_text("timeout 300\nreplica-priority 0\n")
        self.says(SAID)

    def says(self, answer: str) -> None:
        """What the primary does."""
        (self.folder / "said").write_text(answer)

    @property
    def conf(self) -> str:
        """What the server begins with."""
        return (self.folder / "lib/valkey.conf").read_text()

    @property
    def told(self) -> list[str]:
        """What the server was told, in turn."""
        found = self.folder / "admin"
        return found.read_text().splitlines() if found.exists() else []

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """From when the server has been started."""
        environment = {
            "PATH": f"{self.folder}/bin:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "VALKEY_NUMBER": "2",
            "VALKEY_MEMBERS": " ".join(PLACES),
        }
        argv = ["sh", str(self.folder / "bin/entrypoint")]
        process = subprocess.Popen(argv, env=environment, start_new_session=True)
        try:
            until(lambda: (self.folder / "lib/sentinel/sentinel.conf").exists())
            yield
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def until(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.02)


@pytest.fixture
def member(tmp_path: Path) -> Member:
    return Member(tmp_path)


def test_a_member_without_its_disk_has_the_primarys_users_and_settings_before_it_may_be_chosen(member: Member) -> None:
    member.says("user default off resetchannels -@all\n")
    with member.running():
        assert "\nreplica-priority 0\n" in member.conf
        time.sleep(0.3)
        assert member.told == [], "the primary lets nobody in itself"
        member.says(SAID)
        until(lambda: "CONFIG SET replica-priority 100" in member.told)
        once = [*TAKEN, "ACL LIST", *USERS]
        assert sorted(member.told) == sorted([*once, *once, "CONFIG SET replica-priority 100"]), (
            "it said the same twice"
        )
        assert member.told[-1] == "CONFIG SET replica-priority 100"


def test_a_member_whose_server_does_not_answer_is_not_chosen_yet(member: Member) -> None:
    (member.folder / "refuses").touch()
    with member.running():
        time.sleep(0.3)
        (member.folder / "refuses").unlink()
        until(lambda: "CONFIG SET replica-priority 100" in member.told)
        assert {*TAKEN, *USERS} <= set(member.told)


def test_whom_the_platform_has_told_a_member_to_let_in_is_newer(member: Member) -> None:
    (member.folder / "ACL LIST").write_text("user default on #44 ~* &* +@all -@admin\n")
    with member.running():
        until(lambda: "CONFIG SET replica-priority 100" in member.told)
        assert not [each for each in member.told if each.startswith("ACL SETUSER")]
        assert set(TAKEN) <= set(member.told)


def test_a_member_with_its_disk_may_be_chosen_at_once(member: Member) -> None:
    (member.folder / "lib/users.acl").write_text("user default on #44 ~* &* +@all -@admin\n")
    with member.running():
        assert "replica-priority" not in member.conf, "also where it was written down"
        time.sleep(0.3)
        assert member.told == []


def test_a_member_takes_the_settings_that_the_platform_tells() -> None:
    names = f" settings='{' '.join(redis._SETTINGS)}' "
    assert names in (MEMBER.parent / "member").read_text()


def test_more_clients_than_the_plan_has_are_turned_away_before_they_get_to_a_member(member: Member) -> None:
    text = (MEMBER.parent / "front").read_text().replace("/run/secrets", str(member.folder))
    program = text.replace("/run/valkey", str(member.folder / "run"))
    (member.folder / "bin/haproxy").write_text("#!/bin/sh\n")
    (member.folder / "bin/haproxy").chmod(0o755)
    environment = {
        "PATH": f"{member.folder}/bin:{os.environ['PATH']}",
        "VALKEY_MEMBERS": " ".join(PLACES),
        "VALKEY_MAXCLIENTS": "40",
    }
    subprocess.run(["sh", "-c", program], env=environment, check=True, timeout=60)
    lines = [each.strip() for each in (member.folder / "run/haproxy.cfg").read_text().splitlines()]
    assert "tcp-request connection reject if { fe_conn gt 40 }" in lines
    assert "maxconn 72" in lines, "those that are turned away have to get in"
    assert lines[-3:] == ["server 1 10.0.0.1:15001", "server 2 10.0.0.1:15003", "server 3 10.0.0.1:15005"]
