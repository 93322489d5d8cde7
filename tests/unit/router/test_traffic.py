"""What the agent makes of HAProxy's counters, which a socket answers here as HAProxy 3.0 does."""

import socket
import threading
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from dynoform.domain import eco
from dynoform.domain.routes import sticky
from dynoform.reconcile import declared
from dynoform.router import rows
from dynoform.router.haproxy import Master
from dynoform.router.haproxy import Traffic as Counted
from dynoform.router.traffic import Traffic
from dynoform.store.driver import SmallStore
from dynoform.store.session import Store
from dynoform.store.tables import AppActivity, Dyno, Lease
from tests.unit.router.test_agent import app_with_dyno

PROCESSES = """\
#<PID>          <type>          <reloads>       <uptime>        <version>
23560           master          1 [failed: 0]   0d00h02m52s     3.0.11-1+deb13u5
# workers
1544            worker          0               0d00h00m00s     3.0.11-1+deb13u5
{old}# programs

"""
OLD = "# old workers\n23572           worker          1               0d00h02m52s     3.0.11-1+deb13u5\n"
EVERY = timedelta(seconds=30)


class FakeMaster:
    """A master CLI with one or two workers, each with (requests in progress, seconds since the last) of backends."""

    def __init__(self, path: Path) -> None:
        self.workers: dict[str, dict[str, tuple[int, int]]] = {"1544": {}}
        self.lone: dict[str, dict[str, tuple[int, int]]] = {}
        """The same of apps that have no backend of their own."""
        self.asked: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        self._socket.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                command = connection.recv(1000).decode().strip()
                self.asked.append(command)
                connection.sendall(self._answer(command).encode())

    def _answer(self, command: str) -> str:
        if command == "show proc":
            return PROCESSES.format(old=OLD if "23572" in self.workers else "")
        worker, _, rest = command.removeprefix("@!").partition(" ")
        if rest == "show table lone":
            return "# table: lone, type: string, size:1048576, used:1\n" + "".join(
                f"0x7fbe124338c8: key={app} use=0 exp={(3600 - quiet) * 1000} shard=0 conn_cur={busy}\n"
                for app, (busy, quiet) in self.lone.get(worker, {}).items()
            )
        assert rest == "show stat -1 2 -1"
        counts = self.workers[worker].items()
        rows = "".join(f"{name},BACKEND,{busy},1,{quiet},\n" for name, (busy, quiet) in counts)
        return f"# pxname,svname,scur,stot,lastsess,\nweb,FRONTEND,1,1,,\n{rows}\n"


@pytest.fixture
def haproxy(tmp_path: Path) -> Iterator[FakeMaster]:
    made = FakeMaster(tmp_path / "master.sock")
    yield made
    made.close()


@pytest.fixture
def traffic(small_store: SmallStore, haproxy: FakeMaster, tmp_path: Path) -> Traffic:
    return Traffic(small_store, Master(tmp_path / "master.sock"), "here", EVERY)


@pytest.fixture
def app_id(store: Store) -> uuid.UUID:
    made = app_with_dyno(store, 20001)
    with store.transaction() as session:
        session.execute(update(Dyno).values(size=eco.ECO))
    return made


def moment(store: Store) -> datetime:
    with store.transaction() as session:
        return session.execute(select(func.clock_timestamp())).scalar_one()


def last_request(store: Store) -> datetime | None:
    with store.transaction() as session:
        return session.scalars(select(AppActivity.requested_at)).one_or_none()


def test_counters_are_read(haproxy: FakeMaster, tmp_path: Path) -> None:
    haproxy.workers = {"1544": {"a": (2, 5), "b": (0, -1)}, "23572": {"a": (1, 70)}}
    master = Master(tmp_path / "master.sock")
    assert master.workers() == ["1544", "23572"]
    assert master.traffic("1544") == [Counted("a", 2, 5), Counted("b", 0, None)]
    assert master.traffic("23572") == [Counted("a", 1, 70)]


@pytest.mark.parametrize(
    ("workers", "quiet"),
    [
        ([(0, 7)], 7),
        ([(1, 3000)], 0),
        ([(0, -1), (0, 40)], 40),
        ([(0, 9), (1, 3000)], 0),
        ([(0, -1)], None),
        ([], None),
    ],
)
def test_the_last_request_of_all_workers_is_told(
    traffic: Traffic,
    haproxy: FakeMaster,
    store: Store,
    small_store: SmallStore,
    app_id: uuid.UUID,
    workers: list[tuple[int, int]],
    quiet: int | None,
) -> None:
    names = ["1544", "23572"][: len(workers) or 1]
    counts = dict(zip(names, workers, strict=False))
    haproxy.workers = {name: {sticky(app_id): counts[name]} if name in counts else {} for name in names}
    now = moment(store)
    traffic.look(now)
    assert last_request(store) == (None if quiet is None else now - timedelta(seconds=quiet))
    with small_store.transaction() as connection:
        rows.announce(connection, "here", now)
    assert declared.read(store).traffic_until == now


@pytest.mark.parametrize(("lone", "own", "quiet"), [((0, 7), None, 7), ((1, 50), None, 0), ((0, 70), (0, 30), 30)])
def test_apps_without_a_backend_of_their_own_are_told_of_too(
    traffic: Traffic,
    haproxy: FakeMaster,
    store: Store,
    app_id: uuid.UUID,
    lone: tuple[int, int],
    own: tuple[int, int] | None,
    quiet: int,
) -> None:
    haproxy.lone = {"1544": {str(app_id): lone, str(uuid.uuid4()): (5, 1)}}
    haproxy.workers = {"1544": {sticky(app_id): own} if own else {}}
    now = moment(store)
    traffic.look(now)
    assert last_request(store) == now - timedelta(seconds=quiet)


def test_what_is_known_is_not_told_again(
    traffic: Traffic, haproxy: FakeMaster, store: Store, app_id: uuid.UUID
) -> None:
    now = moment(store)
    haproxy.workers = {"1544": {sticky(app_id): (0, 10)}}
    traffic.look(now)
    haproxy.workers = {"1544": {sticky(app_id): (0, 11)}}
    traffic.look(now + timedelta(seconds=1.9), now=True)
    assert last_request(store) == now - timedelta(seconds=10)
    traffic.look(now + timedelta(seconds=2.1), now=True)
    assert last_request(store) == now - timedelta(seconds=8.9)


def test_it_looks_now_and_then_and_when_a_reload_is_about_to_come(
    traffic: Traffic, haproxy: FakeMaster, store: Store, app_id: uuid.UUID
) -> None:
    now = moment(store)
    traffic.look(now)
    traffic.look(now)
    assert len(haproxy.asked) == 3
    traffic.look(now, now=True)
    assert len(haproxy.asked) == 6


def test_of_apps_that_never_sleep_nothing_is_asked(traffic: Traffic, haproxy: FakeMaster, store: Store) -> None:
    app_with_dyno(store, 20001)
    traffic.look(moment(store))
    assert haproxy.asked == []
    with store.transaction() as session:
        assert session.get(Lease, "traffic/here") is not None


def test_a_haproxy_that_does_not_run_has_no_requests(
    store: Store, small_store: SmallStore, tmp_path: Path, app_id: uuid.UUID
) -> None:
    Traffic(small_store, Master(tmp_path / "none.sock"), "here", EVERY).look(moment(store))
    assert last_request(store) is None
