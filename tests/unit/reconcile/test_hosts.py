"""The dyno manager's decisions when there are several hosts, and when one of them is not there."""

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from dynoform.domain.dyno_actions import Action, AddDyno, MarkCrashed, MarkStarting, Move, Retire, StartDyno
from dynoform.domain.dyno_hosting import MOVES
from dynoform.domain.dyno_snapshot import AppState, DynoState, Service, Snapshot, Task, Wanted
from dynoform.domain.placement import Host
from dynoform.domain.reconciliation import decide

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
APP, RELEASE = (uuid.UUID(int=n) for n in (1, 2))
GIB = 1024**3


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def host(name: str, **fields: object) -> Host:
    return Host(name, name, 8 * GIB, **fields)  # type: ignore[arg-type]


def web(number: int, state: str = "up", **fields: object) -> DynoState:
    identity = uuid.uuid5(RELEASE, f"web.{number}{fields.pop('mark', '')}")
    values = {"since": ago(3600), "address": "10.0.0.1", "port": 20000 + number} | fields
    return DynoState(identity, APP, RELEASE, "web", number, "Standard-1X", state, **values)  # type: ignore[arg-type]


def on(name: str, dyno: DynoState, state: str = "running", pinned: bool = True) -> Service:
    task = Task(f"task-{dyno.id}", state, ago(3000), dyno.address, dyno.port, host=name)
    return Service(f"service-{dyno.id}", "name", dyno.id, (task,), host=name if pinned else "")


def decided(hosts: list[Host], *dynos: tuple[str, DynoState], count: int = 0, **fields: object) -> list[Action]:
    """Decisions for one app whose dynos are on these hosts."""
    run = Wanted(RELEASE, "Standard-1X", "run web")
    app = AppState(APP, {("web", number): run for number in range(1, (count or len(dynos)) + 1)})
    app = replace(app, **{key: fields.pop(key) for key in ("runtime",) if key in fields})  # type: ignore[arg-type]
    services = tuple(on(name, dyno) for name, dyno in dynos if name)
    return decide(Snapshot(NOW, (app,), tuple(dyno for _, dyno in dynos), services, hosts=tuple(hosts), **fields))  # type: ignore[arg-type]


def test_new_dynos_of_an_app_are_started_on_different_hosts() -> None:
    new = [web(number, "starting", address=None, port=None, since=ago(0)) for number in (1, 2, 3)]
    actions = decided([host("a"), host("b"), host("c")], *(("", dyno) for dyno in new))
    assert actions == [StartDyno(dyno.id, "new", name) for dyno, name in zip(new, "abc", strict=True)]


def test_dynos_of_a_lost_host_start_elsewhere_at_once() -> None:
    lost, well = web(1), web(2)
    assert decided([host("a", ready=False), host("b"), host("c")], ("a", lost), ("b", well)) == [
        StartDyno(lost.id, "its host is lost", "c")
    ]
    assert decided([host("b")], ("a", lost)) == [StartDyno(lost.id, "its host is lost", "b")], "it left the swarm"


def test_a_dyno_of_a_lost_host_stays_when_there_is_no_other() -> None:
    assert decided([host("a", ready=False)], ("a", web(1))) == []


def test_a_dyno_that_swarm_has_already_moved_from_a_lost_host_is_only_not_routed() -> None:
    dyno = web(1)
    before = Task("before", "running", ago(3000), dyno.address, dyno.port, host="a")
    after = Task("after", "starting", ago(0), None, None, host="b")
    service = Service("service", "name", dyno.id, (before, after))
    app = AppState(APP, {("web", 1): Wanted(RELEASE, "Standard-1X", "run web")})
    hosts = (host("a", ready=False), host("b"))
    assert decide(Snapshot(NOW, (app,), (dyno,), (service,), hosts=hosts)) == [
        MarkStarting(dyno.id, "Swarm has moved or restarted it")
    ]


def test_a_crashed_dyno_of_a_lost_host_keeps_its_cool_off() -> None:
    crashed = web(1, "crashed", address=None, port=None, start_after=ago(-60))
    app = AppState(APP, {("web", 1): Wanted(RELEASE, "Standard-1X", "run web")})
    service = on("a", crashed, "failed")
    snapshot = Snapshot(NOW, (app,), (crashed,), (service,), hosts=(host("a", ready=False), host("b")))
    assert [type(action) for action in decide(snapshot)] in ([], [MarkCrashed])


def test_what_is_replaced_on_a_lost_host_does_not_wait_for_its_successor() -> None:
    old = replace(web(1), release_id=uuid.UUID(int=9))
    actions = decided([host("a", ready=False), host("b")], ("a", old))
    assert [type(action) for action in actions] == [AddDyno, Retire]


def test_dynos_leave_a_drained_host_new_ones_first() -> None:
    hosts = [host("a", draining=True, open=False), host("b")]
    leaves, stays = web(1), web(2)
    assert decided(hosts, ("a", leaves), ("b", stays)) == [Move(leaves.id, "its host is drained")]
    leaving = replace(leaves, moving=True)
    (added,) = decided(hosts, ("a", leaving), ("b", stays))
    assert isinstance(added, AddDyno)
    assert (added.number, added.reason, added.restart) == (1, "moves", True)
    new = web(1, "starting", mark="new", address=None, port=None, since=ago(0))
    assert decided(hosts, ("a", leaving), ("b", stays), ("", new), count=2) == [StartDyno(new.id, "new", "b")]
    up = web(1, mark="new", since=ago(5))
    actions = decided(hosts, ("a", leaving), ("b", stays), ("b", up), count=2)
    assert actions == [Retire(leaving.id, "replaced by a new dyno")]


def test_a_drained_host_is_left_by_some_dynos_at_a_time() -> None:
    hosts = [host("a", draining=True), host("b")]
    dynos = [("a", web(number)) for number in range(1, MOVES + 4)]
    assert len(decided(hosts, *dynos)) == MOVES
    some = [(at, replace(dyno, moving=dyno.number < 4)) for at, dyno in dynos]
    assert sum(isinstance(action, Move) for action in decided(hosts, *some)) == MOVES - 3


def test_the_last_host_is_not_left() -> None:
    assert decided([host("a", draining=True)], ("a", web(1))) == []


def test_a_closed_host_keeps_its_dynos_and_gets_no_more() -> None:
    new = web(2, "starting", address=None, port=None, since=ago(0))
    hosts = [host("a", open=False), host("b")]
    assert decided(hosts, ("a", web(1)), ("", new)) == [StartDyno(new.id, "new", "b")]


def test_one_dyno_at_a_time_moves_to_a_host_that_has_joined() -> None:
    dynos = [("a", web(number)) for number in range(1, 5)]
    hosts = [host("a"), host("b")]
    (move,) = decided(hosts, *dynos)
    assert move == Move(dynos[-1][1].id, "evened out, towards b")
    moving = [(at, replace(dyno, moving=dyno.number == 4)) for at, dyno in dynos]
    assert [type(action) for action in decided(hosts, *moving)] == [AddDyno]


@pytest.mark.parametrize("unrest", [{"state": "starting", "since": ago(1)}, {"since": ago(5)}])
def test_an_app_that_is_not_at_rest_is_not_evened_out(unrest: dict[str, object]) -> None:
    dynos = [("a", web(number)) for number in range(1, 5)]
    dynos[0] = ("a", replace(dynos[0][1], **unrest))  # type: ignore[arg-type]
    assert not any(isinstance(action, Move) for action in decided([host("a"), host("b")], *dynos))


def test_apps_of_a_private_runtime_run_on_its_hosts_only() -> None:
    new = web(1, "starting", address=None, port=None, since=ago(0))
    hosts = [host("a"), host("own", runtime="acme")]
    assert decided(hosts, ("", new), runtime="acme") == [StartDyno(new.id, "new", "own")]
    assert decided([host("a")], ("", new), runtime="acme") == []
