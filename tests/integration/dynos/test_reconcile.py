"""The reconciler on a real engine and a real store: dynos live, crash, move and leave as on Heroku."""

import shlex
import time
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta

import httpx
import pytest
from docker.models.containers import Container
from sqlalchemy import func, update
from sqlalchemy.exc import NoResultFound

from dynoform.configuration import Configuration
from dynoform.domain import eco
from dynoform.domain.routes import PRESENCE
from dynoform.errors import ConflictError
from dynoform.reconcile.loop import IDLE_SECONDS, SETTLING
from dynoform.store.session import Store
from dynoform.store.tables import App, Dyno, Formation, Lease
from tests.figures import best
from tests.integration.dyno_platform import GATEWAY, SERVER, DynoPlatform, dyno_network, remove_dynos, watched
from tests.integration.engine_parts import EngineParts, parts
from tests.integration.router.platform import routed
from tests.store_fixtures import configuration, migrated

__all__ = ["configuration", "migrated", "parts"]

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]
SLOW_SERVER = f"sleep 4; {SERVER}"
"""One whose predecessor can be looked at while it boots."""


@pytest.fixture(scope="module")
def platform(parts: EngineParts, migrated: Store, configuration: Configuration) -> Iterator[DynoPlatform]:
    image = parts.image("stack-13")
    with dyno_network(parts):
        made = DynoPlatform(parts, migrated, configuration, image)
        remove_dynos(parts)
        made.start()
        made.wait(lambda: made.leadership.held())
        time.sleep(SETTLING.total_seconds())  # from here on, ends of processes are crashes
        with watched(made):
            yield made
        made.stop()
        remove_dynos(parts)


@pytest.fixture
def app(platform: DynoPlatform) -> Iterator[uuid.UUID]:
    app_id = platform.app(f"app-{uuid.uuid4().hex[:8]}")
    platform.logs.begin(app_id)
    yield app_id
    with platform.store.transaction() as session:
        session.execute(update(Dyno).values(crashes=0))
    platform.wait(lambda: gone(platform, app_id) and not platform.services(app_id))


def gone(platform: DynoPlatform, app_id: uuid.UUID) -> bool:
    """Whether the app is destroyed; some tests do so themselves."""
    try:
        platform.delete(app_id)
    except ConflictError:  # the reconciler was writing about it
        return False
    except NoResultFound:
        pass
    return True


def said(platform: DynoPlatform, *lines: str) -> bool:
    """Whether these lines were logged in this order (others may be between them)."""
    rest = iter(platform.logs.lines)
    return all(any(line in found for found in rest) for line in lines)


def start_seconds(container: Container) -> float:
    """What the engine took to start a container that it had made: on a busy machine seconds, which are not ours."""
    made, started = container.attrs["Created"], container.attrs["State"]["StartedAt"]
    return (datetime.fromisoformat(started) - datetime.fromisoformat(made)).total_seconds()


def test_a_release_becomes_a_running_dyno(platform: DynoPlatform, app: uuid.UUID) -> None:
    started = time.monotonic()
    command = f"env > environment; {SERVER}"
    platform.release(app, {"web": command}, GREETING='it\'s "me"\n$HOME', OTHER="")
    platform.wait_up(app, "web.1")
    took = time.monotonic() - started
    (dyno,) = platform.dynos(app)
    assert platform.get(dyno).status_code == 200
    assert dyno.address == GATEWAY
    platform.wait(  # said just after it is so
        lambda: said(
            platform,
            f"heroku[web.1]: Starting process with command `{command}`",
            "heroku[web.1]: State changed from starting to up",
        )
    )
    (container,) = platform.containers(app)
    assert took - start_seconds(container) < 20
    code, output = container.exec_run(["cat", "/app/environment"])
    assert code == 0
    environment = output.decode()
    assert 'GREETING=it\'s "me"\n$HOME' in environment
    assert "DYNO=web.1" in environment
    assert "PORT=5000" in environment
    inspected = container.attrs
    assert "GREETING" not in str(inspected), "config vars must not show in docker inspect"
    assert inspected["HostConfig"]["CapDrop"] == ["ALL"]
    assert inspected["HostConfig"]["Memory"] == 1024 * 1024 * 1024
    assert inspected["HostConfig"]["PidsLimit"] == 256
    assert inspected["Config"]["User"] == "1000:1000"
    assert inspected["HostConfig"]["LogConfig"]["Config"]["labels"] == "dynoform.stack,dynoform.app,dynoform.dyno"


def test_an_image_of_the_users_own_runs_its_own_command(platform: DynoPlatform, app: uuid.UUID) -> None:
    # Its entrypoint would stop it, were it not for the stack: the image is ours, but is run as one that is not.
    script = f"(env; id -u; cat /proc/1/comm) > /tmp/seen; exec {SERVER} --directory /tmp"
    config = {"GREETING": 'it\'s "me"\n$HOME', "PORT": "1", "DYNO": "x"}
    platform.release(app, {"web": shlex.join(["/bin/sh", "-c", script])}, stack="container", **config)
    platform.wait_up(app, "web.1")
    (dyno,) = platform.dynos(app)
    seen = platform.get(dyno, "/seen").text
    assert 'GREETING=it\'s "me"\n$HOME' in seen
    assert {"PORT=5000", "DYNO=web.1", "1000"} <= set(seen.splitlines())
    (container,) = platform.containers(app)
    assert "GREETING" not in str(container.attrs), "config vars must not show in docker inspect"
    platform.scale(app, web=0)
    platform.wait(lambda: not platform.services(app))
    platform.wait(lambda: said(platform, "heroku[web.1]: Process exited with status 143"))


def test_scaling_up_and_down_and_to_nothing(platform: DynoPlatform, app: uuid.UUID) -> None:
    platform.release(app, {"web": SERVER, "worker": "sleep 1000"})
    platform.scale(app, web=2, worker=1)
    platform.wait_up(app, "web.1", "web.2", "worker.1")
    platform.scale(app, web=1, worker=0)
    platform.wait_up(app, "web.1")
    platform.wait(lambda: len(platform.services(app)) == 1)
    assert said(
        platform, "heroku[web.2]: State changed from up to down", "heroku[web.2]: Stopping all processes with SIGTERM"
    )
    platform.wait(
        lambda: said(platform, "heroku[web.2]: Stopping all processes", "heroku[web.2]: Process exited with status 143")
    )
    platform.scale(app, web=0)
    platform.wait(lambda: platform.states(app) == [] and not platform.services(app))


def test_sigterm_reaches_every_process_and_each_may_finish(platform: DynoPlatform, app: uuid.UUID) -> None:
    """One behind a shell, which ends at once, and one in a session of its own: both take their time."""
    patient = "sh -c 'trap \"sleep {}; exit 0\" TERM; echo set; while :; do sleep 0.1; done'"
    command = f"setsid {patient.format(3)} & {patient.format(1)}; true"
    platform.release(app, {"worker": command})
    platform.scale(app, worker=1)
    platform.wait_up(app, "worker.1")
    (container,) = platform.containers(app)
    platform.wait(lambda: container.logs().count(b"set\n") == 2)
    platform.scale(app, worker=0)
    exited = "heroku[worker.1]: Process exited with status 143"
    platform.wait(lambda: said(platform, exited))
    times = {text: moment for moment, text in platform.logs.times}
    assert 2.5 < times[exited] - times["heroku[worker.1]: Stopping all processes with SIGTERM"] < 25


def test_a_crash_is_restarted_at_once_then_cools_off(platform: DynoPlatform, app: uuid.UUID) -> None:
    platform.release(app, {"web": SERVER})
    platform.wait_up(app, "web.1")
    (before,) = platform.dynos(app)
    (container,) = platform.containers(app)
    container.kill()
    platform.wait(lambda: said(platform, "State changed from up to crashed", "State changed from starting to up"))
    (after,) = platform.dynos(app)
    assert (after.id, after.port, after.crashes) == (before.id, before.port, 1)
    assert platform.get(after).status_code == 200
    # Told by the host's agent, and so before or after what the reconciler says.
    platform.wait(lambda: said(platform, "Process exited with status 137"))
    assert said(
        platform,
        "State changed from up to crashed",
        "State changed from crashed to starting",
        f"Starting process with command `{SERVER}`",
        "State changed from starting to up",
    )
    (container,) = platform.containers(app)
    container.kill()
    platform.wait(lambda: platform.states(app) == ["web.1 crashed"])
    (dyno,) = platform.dynos(app)
    assert dyno.start_after is not None
    assert dyno.crashes == 2
    assert dyno.start_after - dyno.state_changed_at > timedelta(minutes=9)
    with platform.store.transaction() as session:
        session.execute(update(Dyno).where(Dyno.id == dyno.id).values(start_after=func.now()))
    platform.wait_up(app, "web.1")


def test_a_new_release_takes_over_before_the_old_leaves(platform: DynoPlatform, app: uuid.UUID) -> None:
    platform.release(app, {"web": SERVER})
    platform.scale(app, web=2)
    platform.wait_up(app, "web.1", "web.2")
    old = {dyno.id for dyno in platform.dynos(app)}
    platform.release(app, {"web": f"sleep 1; {SERVER}"})
    least = 2
    deadline = time.monotonic() + 20
    while {dyno.id for dyno in platform.dynos(app)} & old and time.monotonic() < deadline:
        before = [dyno for dyno in platform.dynos(app) if dyno.address]
        serving = sum(1 for dyno in before if alive(platform, dyno))
        # One that has left the routes meanwhile may have left altogether.
        if {dyno.id for dyno in before} <= {dyno.id for dyno in platform.dynos(app) if dyno.address}:
            least = min(least, serving)
        time.sleep(0.02)
    platform.wait_up(app, "web.1", "web.2")
    assert least == 2, "at some moment fewer than two dynos could serve"


def alive(platform: DynoPlatform, dyno: Dyno) -> bool:
    try:
        return platform.get(dyno).status_code == 200
    except httpx.HTTPError:
        return False


def test_a_release_that_does_not_boot_takes_nothing_down(platform: DynoPlatform, app: uuid.UUID) -> None:
    platform.release(app, {"web": SERVER})
    platform.wait_up(app, "web.1")
    (good,) = platform.dynos(app)
    platform.release(app, {"web": "false"})
    platform.wait(lambda: "web.1 crashed" in platform.states(app))
    platform.wait(lambda: any(dyno.crashes == 2 for dyno in platform.dynos(app)))
    assert platform.get(good).status_code == 200
    platform.release(app, {"web": SERVER})
    platform.wait_up(app, "web.1")
    platform.wait(lambda: len(platform.services(app)) == 1)


def test_nothing_leaves_before_the_routers_know_of_its_successor(platform: DynoPlatform, app: uuid.UUID) -> None:
    platform.release(app, {"web": SERVER})
    platform.wait_up(app, "web.1")
    (old,) = platform.dynos(app)
    with platform.store.transaction() as session:
        moment = session.scalar(func.now().select())
        lease = Lease(name=f"{PRESENCE}here", holder=moment.isoformat(), expires_at=moment + timedelta(hours=1))
        session.add(lease)
    try:
        platform.release(app, {"web": SERVER})
        platform.wait(lambda: platform.states(app) == ["web.1 up", "web.1 up"])
        time.sleep(3)
        assert platform.states(app) == ["web.1 up", "web.1 up"]
        assert platform.get(old).status_code == 200
    finally:
        with platform.store.transaction() as session:
            session.delete(session.get_one(Lease, f"{PRESENCE}here"))
    platform.wait_up(app, "web.1")


def test_a_restart_starts_the_new_dyno_first(platform: DynoPlatform, app: uuid.UUID) -> None:
    platform.release(app, {"web": SLOW_SERVER})
    platform.wait_up(app, "web.1")
    (old,) = platform.dynos(app)
    with platform.store.transaction() as session:
        session.execute(update(Dyno).where(Dyno.id == old.id).values(state="down", state_changed_at=func.now()))
    platform.wake.ring()
    platform.wait(lambda: len(platform.dynos(app)) == 2)
    assert alive(platform, old)
    platform.wait_up(app, "web.1")
    (new,) = platform.dynos(app)
    assert new.id != old.id
    assert said(
        platform, "heroku[web.1]: Restarting", "State changed from up to starting", "State changed from starting to up"
    )


def test_a_dyno_that_has_had_its_day_is_cycled_while_it_serves(platform: DynoPlatform, app: uuid.UUID) -> None:
    platform.release(app, {"web": SLOW_SERVER})
    platform.wait_up(app, "web.1")
    (old,) = platform.dynos(app)
    with platform.store.transaction() as session:
        made = func.now() - timedelta(hours=28)
        session.execute(update(Dyno).where(Dyno.id == old.id).values(created_at=made))
    platform.wake.ring()
    platform.wait(lambda: len(platform.dynos(app)) == 2)
    assert alive(platform, old)
    platform.wait_up(app, "web.1")
    assert platform.dynos(app)[0].id != old.id
    assert said(
        platform, "heroku[web.1]: Cycling", "State changed from up to starting", "State changed from starting to up"
    )


def test_a_dyno_whose_image_is_gone_says_so_and_is_tried_again(platform: DynoPlatform, app: uuid.UUID) -> None:
    platform.release(app, {"web": SERVER}, image="dynoform/gone:never")
    gone = "heroku[web.1]: Error R99 (Platform error) -> Failed to launch the dyno: its image cannot be had"
    platform.wait(lambda: said(platform, gone, "heroku[web.1]: State changed from starting to crashed"))
    platform.wait(lambda: platform.states(app) == ["web.1 crashed"])
    (dyno,) = platform.dynos(app)
    assert dyno.crashes == 0
    assert dyno.start_after is not None
    assert dyno.start_after - dyno.state_changed_at < timedelta(seconds=31)
    platform.release(app, {"web": SERVER})
    platform.wait_up(app, "web.1")


@pytest.mark.parametrize("what", ["removed", "scaled", "unlabelled"])
def test_a_service_that_was_changed_by_hand_is_mended(platform: DynoPlatform, app: uuid.UUID, what: str) -> None:
    platform.release(app, {"web": SERVER})
    platform.wait_up(app, "web.1")
    (service,) = platform.services(app)
    if what == "removed":
        service.remove()
    elif what == "scaled":
        service.scale(0)
    else:
        api = platform.parts.engine.api
        api.update_service(service.id, service.version, name=service.name, labels={"a": "b"}, fetch_current_spec=True)
    platform.wait(lambda: platform.dynos(app)[0].service_id != service.id)
    platform.wait_up(app, "web.1")
    assert [found.id for found in platform.services(app)] == [platform.dynos(app)[0].service_id]
    assert platform.get(platform.dynos(app)[0]).status_code == 200


def test_a_dyno_that_swarm_restarts_by_itself_is_routed_again_on_its_port(
    platform: DynoPlatform, app: uuid.UUID
) -> None:
    # It takes its time to leave: for as long, a look finds that nothing runs.
    platform.release(app, {"web": f"trap 'sleep 4; exit 0' TERM; {SERVER} & wait"})
    platform.wait_up(app, "web.1")
    (before,) = platform.dynos(app)
    (service,) = platform.services(app)
    platform.logs.clear()
    service.force_update()
    platform.wait(lambda: said(platform, "State changed from up to starting", "State changed from starting to up"))
    (after,) = platform.dynos(app)
    assert (after.service_id, after.port, after.crashes) == (before.service_id, before.port, 0)
    assert platform.get(after).status_code == 200


def test_a_destroyed_apps_services_and_secrets_go(platform: DynoPlatform, app: uuid.UUID) -> None:
    platform.release(app, {"web": SERVER}, SECRET="x")
    platform.wait_up(app, "web.1")
    label = {"label": f"dynoform.app={app}"}
    assert len(platform.parts.engine.secrets.list(filters=label)) == 1
    platform.delete(app)
    platform.wait(lambda: not platform.services(app))
    platform.reconciler._tidied = 0
    platform.wait(lambda: not platform.containers(app))
    platform.reconciler._tidied = 0
    platform.wait(lambda: not platform.parts.engine.secrets.list(filters=label))


def test_what_does_not_bind_its_port_and_what_does_not_stop_is_killed(platform: DynoPlatform, app: uuid.UUID) -> None:
    platform.release(app, {"web": "sleep 1000", "worker": "trap '' TERM; echo deaf; while :; do sleep 1; done"})
    platform.wait(lambda: bool(platform.containers(app)))
    started = time.monotonic()
    platform.scale(app, worker=1)
    platform.wait(lambda: "worker.1 up" in platform.states(app))
    platform.wait(lambda: any(found.logs() == b"deaf\n" for found in platform.containers(app)))
    platform.scale(app, worker=0)
    expected = (
        "heroku[web.1]: Error R10 (Boot timeout) -> Web process failed to bind to $PORT within 60 seconds of launch",
        "heroku[web.1]: Stopping process with SIGKILL",
        "heroku[web.1]: State changed from starting to crashed",
    )
    platform.wait(lambda: said(platform, *expected), 90)
    assert 55 < time.monotonic() - started < 85
    killed = (
        "heroku[worker.1]: Stopping all processes with SIGTERM",
        "heroku[worker.1]: Error R12 (Exit timeout) -> At least one process failed to exit within 30 seconds",
        "heroku[worker.1]: Stopping process with SIGKILL",
        "heroku[worker.1]: Process exited with status 137",
    )
    platform.wait(lambda: said(platform, *killed))


def test_a_reconciler_that_was_killed_half_way_leaves_nothing_behind(platform: DynoPlatform, app: uuid.UUID) -> None:
    platform.stop()
    platform.release(app, {"web": SERVER})
    for _ in range(3):  # pass by pass, with a new process's memory each time
        platform.reconciler.step()
        platform.executor.counted.clear()
        platform.reconciler._watched_since = None
    platform.start()
    platform.wait_up(app, "web.1")
    assert len(platform.services(app)) == 1
    time.sleep(6)  # the leader's watch begins anew


def test_a_config_var_is_on_every_dyno_in_the_boot_time_and_three_seconds(
    platform: DynoPlatform, app: uuid.UUID
) -> None:
    boot = 1.0
    commands = {"web": f"sleep {boot}; {SERVER}", "worker": "sleep 1000"}
    platform.release(app, commands, FOO="1")
    platform.scale(app, web=2, worker=1)
    platform.wait_up(app, "web.1", "web.2", "worker.1")

    def change() -> float:
        """How long it takes, but for what the engine takes to start containers."""
        old = {dyno.release_id for dyno in platform.dynos(app)}
        before = {container.id for container in platform.containers(app)}
        started = time.monotonic()
        platform.release(app, commands, FOO="2")
        platform.wait(
            lambda: sum(dyno.state == "up" and dyno.release_id not in old for dyno in platform.dynos(app)) == 3
        )
        took = time.monotonic() - started
        new = [container for container in platform.containers(app) if container.id not in before]
        return took - max(start_seconds(container) for container in new)

    assert best(boot + 3, change) < boot + 3


def test_an_eco_app_sleeps_and_a_request_that_is_held_wakes_it(
    platform: DynoPlatform, app: uuid.UUID, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    after = timedelta(seconds=5)
    with platform.store.transaction() as session:
        name = session.get_one(App, app).name
        session.add_all(Formation(app_id=app, type=kind, quantity=1, size=eco.ECO) for kind in ("web", "worker"))
    platform.release(app, {"web": SERVER, "worker": "sleep 1000"})
    with routed(platform, tmp_path_factory.mktemp("router"), after) as router:
        platform.wait_up(app, "web.1", "worker.1")
        platform.wait(lambda: router.get(name).status_code == 200)
        awake_until = time.monotonic() + 2 * after.total_seconds()
        while time.monotonic() < awake_until:  # traffic keeps it awake
            last = time.monotonic()
            assert router.get(name).status_code == 200
            time.sleep(0.5)
        platform.wait(lambda: platform.states(app) == ["web.1 idle", "worker.1 idle"])
        assert time.monotonic() - last > after.total_seconds() - 1
        platform.wait(lambda: not platform.services(app))
        for dyno in ("web.1", "worker.1"):
            assert said(platform, f"heroku[{dyno}]: Idling", f"heroku[{dyno}]: State changed from up to down")
        platform.wait(lambda: said(platform, "heroku[web.1]: Process exited with status"))
        platform.logs.clear()
        # It is the request that wakes it, and no look that would have come anyway: the next one is a minute off.
        monkeypatch.setattr("dynoform.reconcile.loop.IDLE_SECONDS", 60.0)
        time.sleep(2 * IDLE_SECONDS)
        started = time.monotonic()
        assert router.get(name).status_code == 200
        took = time.monotonic() - started
        (unidling,) = [line for line in platform.logs.times if line[1] == "heroku[web.1]: Unidling"]
        assert unidling[0] - started < 5 * IDLE_SECONDS, "the request wakes its app at once"
        assert took < 30
        platform.wait_up(app, "web.1", "worker.1")
        woken = (
            "heroku[web.1]: Unidling",
            "heroku[web.1]: State changed from down to starting",
            f"heroku[web.1]: Starting process with command `{SERVER}`",
            "heroku[web.1]: State changed from starting to up",
        )
        platform.wait(lambda: said(platform, *woken))
