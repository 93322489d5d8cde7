import time
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from dynoform.domain import cycling
from dynoform.domain.dyno_actions import (
    AddDyno,
    CycleDyno,
    MarkCrashed,
    MarkStarting,
    MarkUp,
    RemoveDyno,
    RemoveService,
    Retire,
    StartDyno,
    urgency,
)
from dynoform.domain.dyno_snapshot import AppState, DynoState, Service, Snapshot, Task, Wanted
from dynoform.domain.reconciliation import decide

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
APP, OLD, NEW = (uuid.UUID(int=n) for n in (1, 2, 3))
NODE = "172.29.0.1"


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def wanted(web: int = 1, worker: int = 0, release: uuid.UUID = NEW, size: str = "Standard-1X") -> AppState:
    types = [("web", number) for number in range(1, web + 1)] + [("worker", number) for number in range(1, worker + 1)]
    return AppState(APP, {key: Wanted(release, size, f"run {key[0]}") for key in types})


def dyno(number: int = 1, state: str = "up", release: uuid.UUID = NEW, **fields: object) -> DynoState:
    kind = str(fields.pop("type", "web"))
    identity = uuid.uuid5(release, f"{kind}.{number}{fields.pop('mark', '')}")
    routed = {"address": NODE, "port": 20000 + number} if state == "up" and kind == "web" else {}
    values = {"since": ago(3600), "size": "Standard-1X"} | routed | fields
    return DynoState(identity, APP, release, kind, number, state=state, **values)  # type: ignore[arg-type]


def service(of: DynoState, *tasks: Task, altered: str = "") -> Service:
    running = (task("running", 3000, port=20000 + of.number if of.type == "web" else None),)
    return Service(f"service-{of.id}", "name", of.id, tasks or running, altered)


def task(state: str, seconds: float = 0, port: int | None = None, error: str = "", name: str = "") -> Task:
    return Task(f"task-{name or state}", state, ago(seconds), NODE if port else None, port, error)


def snapshot(app: AppState, *dynos: DynoState, services: list[Service] | None = None, **fields: object) -> Snapshot:
    found = tuple(service(dyno) for dyno in dynos) if services is None else tuple(services)
    return Snapshot(NOW, (app,), dynos, found, **fields)  # type: ignore[arg-type]


def test_what_is_as_declared_is_left_alone() -> None:
    assert decide(snapshot(wanted(2, 1), dyno(1), dyno(2), dyno(1, type="worker"))) == []


def test_missing_dynos_are_added_with_the_releases_command() -> None:
    (action,) = decide(snapshot(wanted(2), dyno(1)))
    assert action == AddDyno(APP, NEW, "web", 2, "Standard-1X", "run web", "declared and not there")


def test_what_is_known_of_running_dynos_is_done_before_others_are_made() -> None:
    added = AddDyno(APP, NEW, "web", 1, "Eco", "run", "wanted")
    start, up, gone = StartDyno(OLD, "new"), MarkUp(OLD, None, None, "it runs"), Retire(OLD, "replaced")
    assert sorted([added, start, up, gone], key=urgency) == [up, gone, start, added]


def test_an_app_without_a_slug_wants_nothing() -> None:
    assert decide(snapshot(AppState(APP, {}))) == []


@pytest.mark.parametrize(
    ("state", "fields", "reason"),
    [
        ("starting", {}, "new"),
        ("up", {}, "its service is gone"),
        ("crashed", {"start_after": ago(1)}, "cool-off is over"),
        ("crashed", {}, "cool-off is over"),
    ],
)
def test_a_dyno_without_a_service_gets_one(state: str, fields: dict[str, object], reason: str) -> None:
    one = dyno(1, state, **fields)
    assert decide(snapshot(wanted(), one, services=[])) == [StartDyno(one.id, reason)]


def test_a_crashed_dyno_waits_for_its_cool_off() -> None:
    assert decide(snapshot(wanted(), dyno(1, "crashed", start_after=ago(-60)), services=[])) == []


def test_a_changed_service_is_made_anew() -> None:
    one = dyno()
    actions = decide(snapshot(wanted(), one, services=[service(one, altered="0 replicas")]))
    assert actions == [StartDyno(one.id, "its service was changed: 0 replicas")]


def test_services_of_no_dyno_and_second_services_go() -> None:
    one = dyno()
    orphan = Service("orphan", "gone", uuid.uuid4())
    nameless = Service("nameless", "bad label", None)
    second = replace(service(one), id="second")
    actions = decide(snapshot(wanted(), one, services=[service(one), orphan, nameless, second]))
    assert [action.service_id for action in actions if isinstance(action, RemoveService)] == [
        "orphan", "nameless", "second",
    ]  # fmt: skip
    assert len(actions) == 3


# Booting


def test_a_web_dyno_is_up_when_its_port_answers() -> None:
    one = dyno(1, "starting", since=ago(5))
    running = snapshot(wanted(), one, services=[service(one, task("running", 3, port=20001))])
    assert decide(running) == []
    answering = replace(running, answering=frozenset({one.id}))
    assert decide(answering) == [MarkUp(one.id, NODE, 20001, "its port answers")]


def test_a_worker_is_up_when_it_has_run_for_a_moment() -> None:
    one = dyno(1, "starting", type="worker")
    app = wanted(web=0, worker=1)
    assert decide(snapshot(app, one, services=[service(one, task("running", 0.5))])) == []
    assert decide(snapshot(app, one, services=[service(one, task("running", 1.5))])) == [
        MarkUp(one.id, None, None, "it runs")
    ]


def test_a_web_dyno_has_60_seconds_to_bind_its_port() -> None:
    one = dyno(1, "starting", since=ago(120))
    assert decide(snapshot(wanted(), one, services=[service(one, task("running", 59, port=20001))])) == []
    (action,) = decide(snapshot(wanted(), one, services=[service(one, task("running", 60, port=20001))]))
    assert isinstance(action, MarkCrashed)
    assert (action.boot_timeout, action.crashes, action.start_after) == (True, 1, NOW)


@pytest.mark.parametrize("state", ["new", "pending", "assigned", "accepted", "preparing", "ready", "starting"])
def test_a_dyno_whose_image_still_comes_is_waited_for(state: str) -> None:
    one = dyno(1, "starting", since=ago(300))
    assert decide(snapshot(wanted(), one, services=[service(one, task(state))])) == []


@pytest.mark.parametrize(
    "error", ["no suitable node (host-mode port already in use on 1 node)", "driver failed: port is already allocated"]
)
@pytest.mark.parametrize("state", ["pending", "rejected"])
def test_a_taken_port_is_nobodys_crash(state: str, error: str) -> None:
    one = dyno(1, "starting")
    actions = decide(snapshot(wanted(), one, services=[service(one, task(state, 4, error=error))]))
    assert actions == [StartDyno(one.id, "its port is taken")]


def test_a_port_that_the_predecessor_still_holds_is_waited_for() -> None:
    one = dyno(1, "starting")
    waiting = task("pending", 10, error="no suitable node (host-mode port already in use on 1 node)")
    assert decide(snapshot(wanted(), one, services=[service(one, task("running", 60, port=20001), waiting)])) == []
    # It has only just let go: Swarm has its turn, however long the new task has waited.
    assert decide(snapshot(wanted(), one, services=[service(one, task("shutdown", 1), waiting)])) == []
    refused = task("rejected", 1, error="driver failed: port is already allocated")
    assert decide(snapshot(wanted(), one, services=[service(one, task("shutdown", 10), refused)])) == []
    (action,) = decide(snapshot(wanted(), one, services=[service(one, task("shutdown", 3), waiting)]))
    assert action == StartDyno(one.id, "its port is taken")


# Crashes


@pytest.mark.parametrize("state", ["failed", "complete"])
def test_every_end_of_a_process_is_a_crash(state: str) -> None:
    one = dyno(since=ago(100))
    (action,) = decide(snapshot(wanted(), one, services=[service(one, task(state, 1, error="exit code 3"))]))
    assert action == MarkCrashed(one.id, 1, NOW, "exit code 3", f"task-{state}")


@pytest.mark.parametrize(
    ("crashes", "ran", "counted", "minutes"), [(0, 10, 1, 0), (1, 10, 2, 10), (2, 10, 3, 20), (5, 7200, 1, 0)]
)
def test_the_cool_off_grows_and_a_good_run_resets_it(crashes: int, ran: float, counted: int, minutes: int) -> None:
    one = dyno(since=ago(ran), crashes=crashes)
    (action,) = decide(snapshot(wanted(), one, services=[service(one, task("failed", 0))]))
    assert isinstance(action, MarkCrashed)
    assert (action.crashes, action.start_after - NOW) == (counted, timedelta(minutes=minutes))


def test_a_crash_is_counted_once() -> None:
    one = dyno(1, "crashed", since=ago(1), crashes=1, start_after=ago(1))
    failed = service(one, task("failed", 1))
    assert decide(snapshot(wanted(), one, services=[failed], counted=frozenset({"task-failed"}))) == []


def test_what_the_platform_cannot_launch_is_tried_again_soon_and_is_no_crash_of_the_app() -> None:
    one = dyno(1, "starting", since=ago(5), crashes=3)
    (action,) = decide(snapshot(wanted(), one, services=[service(one, task("rejected", error="No such image: x"))]))
    later = NOW + timedelta(seconds=30)
    assert action == MarkCrashed(one.id, 3, later, "No such image: x", "task-rejected", launch_failed=True)


def test_swarms_own_restart_is_noticed() -> None:
    one = dyno(1, "crashed", since=ago(1), crashes=1)
    again = service(one, task("failed", 1), task("starting"))
    actions = decide(snapshot(wanted(), one, services=[again], counted=frozenset({"task-failed"})))
    assert actions == [MarkStarting(one.id, "Swarm starts it again")]


def test_where_swarm_does_not_restart_we_do() -> None:
    one = dyno(1, "crashed", since=ago(4), crashes=1, start_after=ago(4))
    failed = service(one, task("failed", 4))
    actions = decide(snapshot(wanted(), one, services=[failed], counted=frozenset({"task-failed"})))
    assert actions == [StartDyno(one.id, "cool-off is over")]


def test_ends_that_nobody_watched_are_no_crashes() -> None:
    one = dyno(1, "up")
    seen = snapshot(wanted(), one, services=[service(one, task("failed", 2))], watched_since=ago(0))
    assert decide(seen) == []
    later = snapshot(wanted(), one, services=[service(one, task("failed", 10))], watched_since=ago(0))
    assert decide(later) == [StartDyno(one.id, "it was stopped with its engine")]


def test_a_task_that_moved_is_not_routed_until_it_answers() -> None:
    one = dyno()
    moved = service(one, task("shutdown", 5, name="a"), task("running", 1, port=29999))
    assert decide(snapshot(wanted(), one, services=[moved])) == [
        MarkStarting(one.id, "Swarm has moved or restarted it")
    ]


def test_a_service_without_a_task_is_made_anew_after_a_while() -> None:
    young, old = (dyno(1, "starting", since=ago(seconds)) for seconds in (5, 20))
    empty = Service("s", "name", young.id)
    assert decide(snapshot(wanted(), young, services=[empty])) == []
    assert decide(snapshot(wanted(), old, services=[empty])) == [StartDyno(old.id, "Swarm has no task for it")]


# New releases, restarts, scaling


def test_a_new_release_adds_its_dynos_and_removes_none() -> None:
    actions = decide(snapshot(wanted(3), dyno(1, release=OLD), dyno(2, "crashed", release=OLD)))
    added = [action for action in actions if isinstance(action, AddDyno)]
    assert [(action.number, action.restart) for action in added] == [(1, True), (2, False), (3, False)]
    assert [type(action) for action in actions[3:]] == [Retire], "what does not run leaves at once"


def test_old_dynos_leave_when_all_new_ones_are_up() -> None:
    old = [dyno(1, release=OLD), dyno(2, release=OLD)]
    half = decide(snapshot(wanted(2), *old, dyno(1), dyno(2, "starting", since=ago(1))))
    assert half == []
    done = decide(snapshot(wanted(2), *old, dyno(1), dyno(2)))
    assert done == [Retire(one.id, "replaced by the new release") for one in old]


def test_a_release_that_does_not_boot_takes_nothing_down() -> None:
    crashed = dyno(1, "crashed", since=ago(60), crashes=2, start_after=ago(-600))
    assert decide(snapshot(wanted(), dyno(1, release=OLD), crashed)) == [
        MarkStarting(crashed.id, "Swarm starts it again")
    ]
    ended = service(crashed, task("failed", 60))
    running = service(dyno(1, release=OLD))
    left = snapshot(
        wanted(), dyno(1, release=OLD), crashed, services=[running, ended], counted=frozenset({"task-failed"})
    )
    assert decide(left) == []


@pytest.mark.parametrize(("seconds", "leaves"), [(119, False), (120, True)])
def test_with_preboot_old_web_dynos_stay_until_the_new_ones_have_proved_themselves(
    seconds: float, leaves: bool
) -> None:
    app = replace(wanted(2), preboot=True)
    old = [dyno(1, release=OLD), dyno(2, release=OLD)]
    actions = decide(snapshot(app, *old, dyno(1, since=ago(500)), dyno(2, since=ago(seconds))))
    assert [type(action) for action in actions] == ([Retire, Retire] if leaves else [])


def test_preboot_is_for_releases_and_for_web_dynos() -> None:
    app = replace(wanted(1, 1), preboot=True)
    restarted = dyno(1, "down", address=NODE, port=20001, mark="old")
    worker = dyno(1, type="worker", release=OLD)
    new = [dyno(1, since=ago(1)), dyno(1, type="worker", since=ago(1))]
    assert decide(snapshot(app, restarted, worker, *new)) == [
        Retire(worker.id, "replaced by the new release"),
        Retire(restarted.id, "replaced by a new dyno"),
    ]


@pytest.mark.parametrize("state", ["starting", "crashed"])
def test_what_was_never_up_does_not_hold_a_newer_release_up(state: str) -> None:
    stale = dyno(1, state, release=OLD)
    actions = decide(snapshot(wanted(), stale, dyno(1, "starting", since=ago(1))))
    assert [type(action) for action in actions] == [Retire]


@pytest.mark.parametrize(
    ("fields", "leaves"),
    [
        ({"routed_until": ago(0)}, True),
        ({"routed_until": ago(11)}, False),
        ({"routed_until": None}, True),
        ({"routers_away": True}, False),
        ({"routed_until": ago(0), "routers_away": True}, False),
    ],
)
def test_nothing_leaves_before_the_routers_know_of_its_successor(fields: dict[str, object], leaves: bool) -> None:
    actions = decide(snapshot(wanted(), dyno(1, release=OLD), dyno(1, since=ago(10)), **fields))
    assert [type(action) for action in actions] == ([Retire] if leaves else [])


def test_a_dyno_out_of_the_routes_is_stopped_when_the_routers_know() -> None:
    gone = dyno(1, "down", release=OLD, since=ago(3))
    assert decide(snapshot(wanted(), gone, dyno(1), routed_until=ago(4))) == []
    assert decide(snapshot(wanted(), gone, dyno(1), routed_until=ago(1))) == [RemoveDyno(gone.id, "out of the routes")]
    just_now = replace(gone, since=ago(0.5))
    assert decide(snapshot(wanted(), just_now, dyno(1))) == []


def test_a_restart_adds_the_new_dyno_and_keeps_the_old_until_it_is_up() -> None:
    old = dyno(1, "down", address=NODE, port=20001, mark="old")
    (added,) = decide(snapshot(wanted(), old))
    assert isinstance(added, AddDyno)
    assert added.restart
    assert decide(snapshot(wanted(), old, dyno(1, "starting", since=ago(1)))) == []
    assert decide(snapshot(wanted(), old, dyno(1))) == [Retire(old.id, "replaced by a new dyno")]


def test_a_restarted_worker_stops_at_once() -> None:
    old = dyno(1, "down", type="worker", mark="old", since=ago(2))
    actions = decide(snapshot(wanted(0, 1), old))
    assert [type(action) for action in actions] == [AddDyno, RemoveDyno]


def test_scaling_down_retires_the_highest_numbers() -> None:
    three = dyno(3)
    assert decide(snapshot(wanted(2), dyno(1), dyno(2), three)) == [Retire(three.id, "scaled down", scaled_down=True)]


def test_a_new_size_replaces_dynos_one_by_one_as_a_release_does() -> None:
    old = dyno(1)
    app = wanted(size="Standard-2X")
    assert [type(action) for action in decide(snapshot(app, old))] == [AddDyno]
    new = dyno(1, size="Standard-2X", mark="new")
    assert [type(action) for action in decide(snapshot(app, old, new))] == [Retire]


def test_of_two_equal_dynos_the_one_that_is_up_stays() -> None:
    up, double = dyno(1, mark="a"), dyno(1, "starting", mark="b")
    actions = decide(snapshot(wanted(), double, up))
    assert actions == [Retire(double.id, "replaced before it was up")]


def test_a_dead_old_dyno_is_not_kept_in_the_routes() -> None:
    old = dyno(1, release=OLD)
    starting = dyno(1, "starting", since=ago(1))
    brief = [service(old, task("failed", 1)), service(starting)]
    assert decide(snapshot(wanted(), old, starting, services=brief)) == []
    long = [service(old, task("failed", 10)), service(starting)]
    assert decide(snapshot(wanted(), old, starting, services=long)) == [Retire(old.id, "replaced, not running")]


def test_a_thousand_dynos_are_decided_in_no_time_and_without_a_change_without_an_action() -> None:
    apps = []
    dynos = []
    for number in range(100):
        app_id = uuid.UUID(int=1000 + number)
        apps.append(AppState(app_id, wanted(10).wanted))
        dynos += [replace(dyno(n), app_id=app_id, id=uuid.uuid5(app_id, str(n))) for n in range(1, 11)]
    started = time.thread_time()
    assert decide(Snapshot(NOW, tuple(apps), tuple(dynos), tuple(service(one) for one in dynos))) == []
    assert time.thread_time() - started < 1


def test_a_clock_that_goes_ahead_by_an_hour_takes_nothing_out_of_the_routes() -> None:
    """What runs stays; who had just begun to boot, and seems to have taken an hour, gets another try."""
    later = NOW + timedelta(hours=1)
    running = snapshot(wanted(2, 1), dyno(1), dyno(2), dyno(1, type="worker"), routed_until=NOW)
    assert decide(replace(running, now=later)) == []
    old, new = dyno(1, release=OLD), dyno(1, "starting", since=ago(1))
    release = snapshot(wanted(), old, new, services=[service(old), service(new, task("running", 1, port=20001))])
    (crash,) = decide(replace(release, now=later))
    assert isinstance(crash, MarkCrashed)
    assert (crash.dyno_id, crash.boot_timeout, crash.crashes) == (new.id, True, 1), "the old release serves on"
    assert crash.start_after == later, "at once"


# Cycling

DAY_AND_SPREAD = (24 * 60 + 216) * 60


def test_a_dyno_is_due_after_a_day_and_up_to_216_minutes_of_its_own() -> None:
    moments = [cycling.due(uuid.uuid4(), NOW) - NOW - timedelta(hours=24) for _ in range(1000)]
    assert timedelta(0) <= min(moments) < timedelta(minutes=10)
    assert timedelta(minutes=206) < max(moments) <= timedelta(minutes=216)
    assert cycling.due(uuid.UUID(int=7), NOW) == cycling.due(uuid.UUID(int=7), NOW), "a successor decides the same"


def test_a_dyno_that_has_had_its_day_is_replaced() -> None:
    young, old = (dyno(created=ago(seconds)) for seconds in (24 * 3600 - 1, DAY_AND_SPREAD))
    assert decide(snapshot(wanted(), young)) == []
    assert decide(snapshot(wanted(), old)) == [CycleDyno(old.id, "has had its day")]


@pytest.mark.parametrize("state", ["starting", "crashed"])
def test_what_is_not_up_is_not_cycled(state: str) -> None:
    one = dyno(1, state, since=ago(1), created=ago(DAY_AND_SPREAD), start_after=ago(-60), crashes=1)
    services = [] if state == "crashed" else [service(one, task("preparing", 1))]
    assert decide(snapshot(wanted(), one, services=services)) == []


def test_of_a_type_one_dyno_is_cycled_at_a_time() -> None:
    first, second = dyno(1, created=ago(2 * DAY_AND_SPREAD)), dyno(2, created=ago(DAY_AND_SPREAD))
    assert decide(snapshot(wanted(2), first, second)) == [CycleDyno(first.id, "has had its day")]
    leaving = replace(first, state="down")
    starting = dyno(1, "starting", since=ago(1), mark="new")
    assert decide(snapshot(wanted(2), leaving, second, starting)) == []
    crashed = dyno(1, "crashed", since=ago(4000), mark="new", crashes=2, start_after=ago(-60))
    services = [service(one) for one in (leaving, second)]
    assert decide(snapshot(wanted(2), replace(leaving, since=ago(4000)), second, crashed, services=services)) == []


def on(app: AppState, image: str) -> AppState:
    """The app with its slug on another stack image."""
    return replace(app, wanted={key: replace(run, image=image) for key, run in app.wanted.items()})


def test_a_dyno_on_an_older_stack_image_is_replaced_and_leaves_when_its_successor_serves() -> None:
    old = dyno(image="app@sha256:1")
    assert decide(snapshot(on(wanted(), "app@sha256:1"), old)) == []
    app = on(wanted(), "app@sha256:2")
    assert decide(snapshot(app, old)) == [CycleDyno(old.id, "its stack image has a successor")]
    leaving, new = replace(old, state="down", since=ago(60)), dyno(mark="new", image="app@sha256:2")
    starting = replace(new, state="starting", since=ago(1), address=None, port=None)
    services = [service(leaving), service(starting, task("preparing"))]
    assert decide(snapshot(app, leaving, starting, services=services)) == []
    assert decide(snapshot(app, leaving, replace(new, since=ago(4)))) == [], "its workers may still be loading the app"
    assert decide(snapshot(app, leaving, replace(new, since=ago(5)))) == [Retire(old.id, "replaced by a new dyno")]


def test_a_worker_on_a_newer_stack_image_does_not_wait_for_requests() -> None:
    app = on(wanted(0, 1), "app@sha256:2")
    leaving = dyno(1, "down", type="worker", mark="old", image="app@sha256:1", since=ago(60))
    new = dyno(1, type="worker", image="app@sha256:2", since=ago(1))
    assert [type(action) for action in decide(snapshot(app, leaving, new))] == [RemoveDyno]


def test_a_dyno_that_does_not_boot_on_the_new_stack_image_takes_nothing_down() -> None:
    app = on(wanted(2), "app@sha256:2")
    leaving = replace(dyno(1, image="app@sha256:1"), state="down", since=ago(60))
    crashed = dyno(1, "crashed", mark="new", image="app@sha256:2", since=ago(5), crashes=2, start_after=ago(-60))
    other = dyno(2, image="app@sha256:1")
    assert decide(snapshot(app, leaving, crashed, other, services=[service(leaving), service(other)])) == []


def test_a_dyno_without_a_service_gets_the_newest_stack_image_when_it_starts() -> None:
    app = on(wanted(), "app@sha256:2")
    one = dyno(1, "starting", since=ago(1))
    assert decide(snapshot(app, one, services=[])) == [StartDyno(one.id, "new")]
    assert decide(snapshot(app, dyno())) == [], "one whose image nobody wrote down is left alone"


def test_stack_images_change_under_several_apps_at_a_time_and_one_dyno_of_a_type() -> None:
    assert cycling.update_room(3, 0) == 3
    assert cycling.update_room(160, 3) == 7
    assert cycling.update_room(10, 20) == 0
    app = on(wanted(3, 1), "app@sha256:2")
    dynos = [
        *(dyno(number, image="app@sha256:1") for number in (1, 2, 3)),
        dyno(1, type="worker", image="app@sha256:1"),
    ]
    begun = decide(snapshot(app, *dynos))
    assert {action.dyno_id for action in begun if isinstance(action, CycleDyno)} == {dynos[0].id, dynos[3].id}


def test_what_serves_beside_its_successor_keeps_no_other_dyno_from_changing_its_stack_image() -> None:
    dynos, apps = [], []
    for number in range(8):
        app_id = uuid.UUID(int=1000 + number)
        apps.append(replace(on(wanted(), "app@sha256:2"), id=app_id))
        before = dyno(1, image="app@sha256:1", mark=f"old {number}")
        new = dyno(1, "starting", image="app@sha256:2", mark=f"new {number}", since=ago(1), address=None, port=None)
        here = [before]
        if number < 2:
            here = [replace(before, state="down", since=ago(60)), replace(new, state="up", address=NODE, port=20001)]
        elif number == 2:
            here = [replace(before, state="down", since=ago(60)), new]
        dynos += [replace(one, app_id=app_id) for one in here]
    services = tuple(service(one) for one in dynos)
    begun = decide(Snapshot(NOW, tuple(apps), tuple(dynos), services))
    assert len([action for action in begun if isinstance(action, CycleDyno)]) == 2, "one of three boots"
    fallen = [
        replace(one, state="crashed", crashes=2, start_after=ago(-60)) if one.state == "starting" else one
        for one in dynos
    ]
    begun = decide(Snapshot(NOW, tuple(apps), tuple(fallen), services))
    assert len([action for action in begun if isinstance(action, CycleDyno)]) == 2, "what does not boot counts too"


def test_of_many_overdue_dynos_a_few_are_cycled_at_a_time() -> None:
    dynos, apps = [], []
    for number in range(100):
        app_id = uuid.UUID(int=1000 + number)
        apps.append(AppState(app_id, wanted(1).wanted))
        dynos.append(replace(dyno(1, created=ago(DAY_AND_SPREAD)), app_id=app_id, id=uuid.uuid5(app_id, "1")))
    services = tuple(service(one) for one in dynos)
    assert len(decide(Snapshot(NOW, tuple(apps), tuple(dynos), services))) == 5
    moving = [*dynos[:97], *(replace(one, state="down", since=ago(60)) for one in dynos[97:])]
    begun = [
        action
        for action in decide(Snapshot(NOW, tuple(apps), tuple(moving), services))
        if isinstance(action, CycleDyno)
    ]
    assert len(begun) == 2
