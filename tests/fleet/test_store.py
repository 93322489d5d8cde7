"""The platform's own PostgreSQL on several hosts, of a stack made from settings alone: one server gets a standby and
keeps what it has, the host with the primary is lost, or the platform's, and the platform goes on elsewhere.

Order matters: each test leaves the fleet as the next one needs it.
"""

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acknowledged import Writer, connect
from tests.e2e.conftest import Run, eventually
from tests.fleet.hosts import Fleet, FleetHost
from tests.fleet.load import Load, requests
from tests.fleet.test_standby import DYNO_GATEWAY, Servers, container, kill_under, let_in, sql
from tests.fleet.test_up import DOMAIN, HTTP, PLATFORM, STACK, Operator, states, status

pytestmark = [pytest.mark.fleet, pytest.mark.engine, pytest.mark.timeout(3600)]
HOSTS = ("host1", "host2", "host3")
STANDBY = "host2,host3"
PORT = PLATFORM + 1
FAILOVER_SECONDS = 30.0
"""For which the store may acknowledge nothing on a busy machine; it is half of that on a quiet one."""
PASSWORD = "/run/secrets/database_password"
ELSEWHERE = """
import sys
from dynoform.configuration import Configuration
from dynoform.store.driver import SmallStore
store = SmallStore(Configuration.from_environment(), "test")
with store.transaction() as connection:
    print(connection.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone())
"""
"""What a process of the platform does to find its store."""


class WithStore(Operator):
    """Three managers and an app; the store has a standby once that is wanted."""

    standby = ""

    def declared(self) -> dict[str, Any]:
        """The stack's settings."""
        settings = super().declared()
        settings["apps"] = {"python": {"source": "examples/apps/python", "formation": {"web": {"quantity": 3}}}}
        return settings | {"storeStandby": self.standby}

    def have_standby(self) -> Run:
        """``up`` with a standby on the second host, and a third vote on the third."""
        self.standby = STANDBY
        self.declare(self.declared())
        return self.up()


@pytest.fixture(scope="module")
def operator(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WithStore]:
    with WithStore(fleet, tmp_path_factory.mktemp("operator")) as made:
        yield made


@pytest.fixture(scope="module")
def first(operator: WithStore) -> Run:
    """The run that made all of it, with one server."""
    return operator.make()


@pytest.fixture(scope="module")
def servers(operator: WithStore, first: Run) -> Servers:
    return Servers(operator.fleet, f"{STACK}_postgres")


def finds_the_store(host: FleetHost, noun: str) -> bool:
    """Whether a process of the platform there does, by TLS."""
    at = container(host, noun)
    user = host.docker("exec", at, "stat", "--format", "%u", PASSWORD, check=False)
    # As the router's processes have it, which begin as root.
    words = ("exec", "--user", user or "0", "--env", "HOME=/root", at, "python3", "-c", ELSEWHERE)
    return host.docker(*words, check=False) == "(True,)"


def doctor(operator: WithStore) -> str:
    """What it finds."""
    return operator.dynoform("doctor").out


def url(operator: WithStore) -> str:
    """Where this machine finds the store, on the platform's host."""
    first = operator.fleet["host1"]
    let_in(first)
    password = first.docker("exec", container(first, "postgres-1"), "cat", PASSWORD)
    return f"postgresql://dynoform:{password}@{first.address}:{PORT}/dynoform"


def test_what_is_said_to_a_store_between_hosts_is_encrypted(operator: WithStore, first: Run) -> None:
    clear = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'dynoform' AND NOT ssl"
    encrypted = clear.replace("NOT ssl", "ssl")
    assert sql(operator.fleet["host1"], "postgres", clear) == "0"
    assert int(sql(operator.fleet["host1"], "postgres", encrypted)) > 5


def test_one_server_gets_a_standby_and_keeps_what_it_has(
    operator: WithStore, first: Run, servers: Servers, capsys: pytest.CaptureFixture[str]
) -> None:
    before = operator.api("GET", "/apps/python").json()
    address = operator.fleet["host2"].address
    with requests(Load(address, HTTP, f"python.{DOMAIN}")) as asked:
        done = operator.have_standby()
    assert done.code == 0, f"{done.out}\n{done.err}"
    eventually(lambda: servers.are(1), 120, "the standby has all that was acknowledged")
    with capsys.disabled():
        print(
            f"\na standby for the store: {done.seconds:.0f} s, {asked.answered} requests, {len(asked.failures)} failed"
        )
    assert asked.failures == [], asked.kinds()
    found = eventually(lambda: operator.api("GET", "/apps/python").json(), 60, "the API answers")
    assert (found["id"], found["created_at"]) == (before["id"], before["created_at"])
    assert {name: servers.host(name).name for name in ("1", "2", "etcd-1", "etcd-2", "etcd-3")} == {
        "1": "host1", "2": "host2", "etcd-1": "host1", "etcd-2": "host2", "etcd-3": "host3",
    }  # fmt: skip
    eventually(lambda: status(operator)["healthy"], 120, "all is well")


def test_up_again_changes_nothing(operator: WithStore, servers: Servers) -> None:
    again = operator.up()
    assert again.code == 0, again.err
    assert "no changes" in again.err, again.err


def test_there_is_no_way_back_to_one_server_by_a_setting(operator: WithStore, servers: Servers) -> None:
    operator.standby = ""
    operator.declare(operator.declared())
    done = operator.up()
    operator.standby = STANDBY
    operator.declare(operator.declared())
    assert done.code == 1
    assert "storeStandby: is left out, and one server of the two may not have all that the other one has" in done.err
    assert servers.are(1)


def test_processes_of_each_host_find_the_store_at_their_own(operator: WithStore, servers: Servers) -> None:
    for host in operator.fleet.hosts.values():
        for noun in ("reconcile", "runtime-agent", "router-agent"):
            assert finds_the_store(host, noun), f"{noun} of {host.name}"
    assert finds_the_store(operator.fleet["host1"], "api")


def test_databases_are_made_by_what_is_kept_in_it(operator: WithStore, servers: Servers) -> None:
    made = operator.api("POST", "/apps/python/addons", json={"plan": "heroku-postgresql:essential-0"}).json()
    path = f"/apps/python/addons/{made['id']}"
    eventually(lambda: operator.api("GET", path).json()["state"] == "provisioned", 180, "there is a database")
    operator.api("DELETE", path)


def test_dynos_do_not_find_the_store(operator: WithStore, servers: Servers) -> None:
    host = operator.fleet["host2"]
    dyno = host.docker("ps", "--quiet", "--filter", "label=dynoform.dyno-id").split()[0]
    script = "import socket, sys; socket.create_connection(sys.argv[1:3], 3)"
    for address, port in ((DYNO_GATEWAY, PORT), (host.address, PORT), (host.address, PLATFORM + 7)):
        words = ("exec", dyno, "sh", "-c", f"python3 -c '{script}' {address} {port} 2>/dev/null || echo refused")
        assert host.docker(*words) == "refused", f"{address}:{port}"


@pytest.mark.chaos
def test_the_host_with_the_primary_is_lost_and_nothing_that_was_acknowledged(
    operator: WithStore, servers: Servers, capsys: pytest.CaptureFixture[str]
) -> None:
    servers.have_primary_elsewhere()
    host = servers.host(2)
    servers.have_etcd_led_elsewhere(host)
    with Writer(url(operator)) as writer:
        outage = kill_under(writer, host)
        assert "✗ standby: the platform's store: its standby does not run — see whether the hosts" in doctor(operator)
        host.boot()
        eventually(lambda: servers.are(1), 240, "the host is back, and what was primary there is the standby")
    found = writer.compare()
    with capsys.disabled():
        print(f"\n{host.name} lost: {outage:.1f} s without an answer, {found.acknowledged} acknowledged, {found}")
    assert (found.lost, found.stale) == ([], [])
    assert outage < FAILOVER_SECONDS
    assert "✓ standby\n" in doctor(operator)


@pytest.mark.chaos
def test_the_platforms_host_is_lost_and_what_an_app_is_to_have_is_seen_to_elsewhere(
    operator: WithStore, servers: Servers, capsys: pytest.CaptureFixture[str]
) -> None:
    servers.have_primary(1)
    first, second = operator.fleet["host1"], operator.fleet["host2"]
    servers.have_etcd_led_elsewhere(first)
    others = [operator.fleet[name] for name in HOSTS[1:]]
    with Writer(url(operator)) as writer:
        eventually(lambda: len(writer.acknowledged) > 100, 60, "rows are acknowledged")
        killed = time.monotonic()
        first.kill()
    eventually(lambda: finds_the_store(second, "router-agent"), 60, "the store answers elsewhere")
    answered = time.monotonic() - killed
    sql(second, "postgres-2", "UPDATE formations SET quantity = 6 WHERE type = 'web'")

    def routed() -> bool:
        there = [host.docker("ps", "--quiet", "--filter", "label=dynoform.dyno-id").split() for host in others]
        return sum(len(each) for each in there) == 6 and operator.asks("host2").is_success

    eventually(routed, 180, "six dynos are on two hosts")
    seen = time.monotonic() - killed
    first.boot()
    eventually(lambda: servers.are(2), 240, "the platform's host is back, with the standby")
    let_in(first)
    found = eventually(writer.compare, 60, "the store is found there, too")
    with capsys.disabled():
        print(f"\nthe platform's host lost: the store {answered:.1f} s, six dynos {seen:.1f} s after; {found}")
    assert (found.lost, found.stale) == ([], [])
    assert answered < FAILOVER_SECONDS
    eventually(lambda: states(operator, "python")["up"] == 6, 120, "the API knows of them")


def test_a_standby_that_was_away_for_too_long_is_made_anew(operator: WithStore, servers: Servers) -> None:
    servers.have_primary(1)
    primary, noun = operator.fleet["host1"], "postgres-1"
    service, second = f"{STACK}_postgres-2", operator.fleet["host2"]
    primary.docker("service", "scale", "--detach", f"{service}=0")
    eventually(lambda: sql(primary, noun, "SELECT count(*) FROM pg_stat_replication") == "0", 60, "it is away")
    # As after half an hour, and half a gigabyte: nothing is kept for it any more.
    needed = sql(primary, noun, "SELECT pg_walfile_name(restart_lsn) FROM pg_replication_slots")
    for _ in range(40):
        sql(primary, noun, "SELECT pg_logical_emit_message(true, '', 'x'); SELECT pg_switch_wal()")
    sql(primary, noun, "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")
    sql(primary, noun, "CHECKPOINT")
    assert needed not in sql(primary, noun, "SELECT name FROM pg_ls_waldir()").split()
    primary.docker("service", "scale", "--detach", f"{service}=1")
    eventually(lambda: servers.are(1), 240, "the standby has all that was acknowledged")
    assert "the data of this standby are made anew" in second.docker("logs", container(second, "postgres-2"))
    eventually(lambda: status(operator)["healthy"], 120, "all is well")


def test_all_stops_and_comes_back_with_what_it_had(operator: WithStore, servers: Servers) -> None:
    with connect(url(operator)) as store:
        store.execute("DROP TABLE IF EXISTS appended, register")
    before = operator.api("GET", "/apps/python").json()["id"]
    down = operator.dynoform("down", "--yes")
    assert down.code == 0, down.err
    up = operator.up()
    assert up.code == 0, up.err
    operator.environment.clear()
    eventually(lambda: servers.are(1) or servers.are(2), 120, "one of both has all that was acknowledged")
    assert operator.api("GET", "/apps/python").json()["id"] == before


def test_a_backup_is_made_beside_the_standby_and_all_comes_back_from_it(
    operator: WithStore, servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    servers.have_primary_elsewhere()
    file, home = tmp_path / "platform.backup", tmp_path / "home"
    before = operator.api("GET", "/apps/python").json()["id"]
    made = operator.dynoform("backup", "--to", str(file))
    assert made.code == 0, made.err
    assert servers.are(2)
    home.mkdir(mode=0o700)
    shutil.copy(Path(os.environ.get("DYNOFORM_HOME", Path.home() / ".local/share/dynoform")) / "passphrase", home)
    down = operator.dynoform("down", "--purge", "--yes")
    assert down.code == 0, down.err
    filters = ("--quiet", "--filter", f"label=dynoform.stack={STACK}")
    left = {name: host.docker("volume", "ls", *filters) for name, host in operator.fleet.hosts.items()}
    assert left == dict.fromkeys(HOSTS, "")
    monkeypatch.setenv("DYNOFORM_HOME", str(home))
    restored = operator.dynoform("restore", str(file))
    try:
        assert restored.code == 0, restored.err
        eventually(lambda: servers.are(1), 120, "the standby has all of it")
        operator.environment.clear()
        found = eventually(lambda: operator.api("GET", "/apps/python").json(), 60, "the API answers")
        assert found["id"] == before
        eventually(lambda: operator.asks("host3").is_success, 120, "the app serves")
    finally:
        operator.dynoform("down", "--purge", "--yes")
