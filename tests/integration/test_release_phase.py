"""The release phase on a real engine: a command in a one-off dyno decides what becomes of a release, once."""

import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from docker.models.containers import Container
from sqlalchemy import select, update

from dynoform.build import release_dyno
from dynoform.build.container import Engine
from dynoform.build.registry import Registry
from dynoform.domain import images as image_rules
from dynoform.domain.dyno_sizes import DEFAULT
from dynoform.domain.releases import KEPT_FOR, KEPT_RELEASES
from dynoform.store import retention
from dynoform.store.releases import current_release
from dynoform.store.tables import App, Job, Release, ReleaseOutput, Slug, now
from tests.integration.build_platform import (
    GATEWAY,
    LABEL,
    STACK,
    BuildPlatform,
    deploy,
    images,
    let_go,
    platform,
    tarball,
)
from tests.integration.log_plane import LogPlane, listening

__all__ = ["images", "platform"]
pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def logs(platform: BuildPlatform) -> Iterator[LogPlane]:
    with listening(GATEWAY, platform.configuration.logplex_syslog_port) as plane:
        yield plane


@pytest.fixture
def app(platform: BuildPlatform, logs: LogPlane) -> uuid.UUID:
    """An app that serves something."""
    app_id = platform.create_app({"GREETING": "it's me", "API_KEY": "not-for-a-disk"})
    deploy(platform, app_id, {"web": "true"})
    return app_id


def release(platform: BuildPlatform, release_id: uuid.UUID) -> Release:
    with platform.store.transaction() as session:
        return session.get_one(Release, release_id)


def output(platform: BuildPlatform, release_id: uuid.UUID) -> str:
    query = select(ReleaseOutput.text).where(ReleaseOutput.release_id == release_id).order_by(ReleaseOutput.sequence)
    with platform.store.transaction() as session:
        return "".join(session.scalars(query))


def serving(platform: BuildPlatform, app_id: uuid.UUID) -> int:
    with platform.store.transaction() as session:
        current = current_release(session, app_id)
        assert current
        return current.version


def dynos(platform: BuildPlatform, release_id: uuid.UUID) -> list[Container]:
    """The containers of a release's command."""
    labels = [f"dynoform.stack={STACK}", f"dynoform.release-phase={release_id}"]
    return list(platform.engine.containers.list(all=True, ignore_removed=True, filters={"label": labels}))


def running(platform: BuildPlatform, made: Release) -> bool:
    """Whether the release's command has begun and goes on."""
    return [dyno.status for dyno in dynos(platform, made.id)] == ["running"]


def go(platform: BuildPlatform, made: Release) -> None:
    """Let a command end that waits for the file ``go``."""
    platform.until(lambda: running(platform, made))
    let_go(dynos(platform, made.id)[0])


def ended(platform: BuildPlatform, made: Release, seconds: float = 60) -> Release:
    """The release when its command has ended and nothing of it is left on the engine."""
    platform.until(lambda: release(platform, made.id).status != "pending", seconds)
    platform.until(lambda: dynos(platform, made.id) == [])
    return release(platform, made.id)


def said(logs: LogPlane, app_id: uuid.UUID, *lines: str) -> bool:
    """Whether these lines were logged in this order."""
    rest = iter(logs.lines(app_id))
    return all(any(line == found for found in rest) for line in lines)


def test_a_command_that_succeeds_makes_its_release_current(
    platform: BuildPlatform, app: uuid.UUID, logs: LogPlane
) -> None:
    command = 'echo "migrating, $GREETING"; echo warning >&2; until [ -e go ]; do sleep 0.1; done; echo migrated'
    made = deploy(platform, app, {"web": "true", "release": command})
    assert (made.status, made.current, serving(platform, app)) == ("pending", False, 2)
    begun = ["migrating, it's me", "warning"]  # two streams, in any order
    platform.until(lambda: sorted(output(platform, made.id).splitlines()) == begun)
    (dyno,) = dynos(platform, made.id)
    attributes = dyno.attrs
    assert "it's me" not in str(attributes), "config vars must not show in docker inspect"
    assert platform.on_disk(dyno, "not-for-a-disk") == []
    assert platform.on_disk(dyno, "migrating,")  # where its output is
    assert (attributes["HostConfig"]["Memory"], attributes["HostConfig"]["PidsLimit"]) == (1024**3, 256)
    assert (attributes["HostConfig"]["CapDrop"], attributes["Config"]["User"]) == (["ALL"], "1000:1000")
    assert serving(platform, app) == 2
    go(platform, made)
    done = ended(platform, made)
    assert (done.status, done.current, serving(platform, app)) == ("succeeded", True, 3)
    assert output(platform, made.id).endswith("\nmigrated\n")
    name = next(part for part in attributes["Config"]["Env"] if part.startswith("DYNO="))[5:]
    lines = [
        "app[api]: Running release v3 commands by user operator@example.com",
        f"heroku[{name}]: Starting process with command `{command}`",
        f"heroku[{name}]: State changed from starting to up",
        f"app[{name}]: migrating, it's me",
        f"app[{name}]: migrated",
        f"heroku[{name}]: Process exited with status 0",
        f"heroku[{name}]: State changed from up to complete",
    ]
    platform.until(lambda: said(logs, app, *lines))


def test_a_command_that_fails_leaves_what_serves_and_blocks_nothing(
    platform: BuildPlatform, app: uuid.UUID, logs: LogPlane
) -> None:
    made = deploy(platform, app, {"web": "true", "release": "echo no such table; exit 3"})
    done = ended(platform, made)
    assert (done.status, done.current, serving(platform, app)) == ("failed", False, 2)
    assert output(platform, made.id) == "no such table\n"
    line = "app[api]: Release v3 failed: the release command exited with status 3"
    platform.until(lambda: said(logs, app, line))
    assert ended(platform, deploy(platform, app, {"web": "true", "release": "true"})).current
    assert serving(platform, app) == 4


def test_releases_of_an_app_are_made_one_after_the_other(platform: BuildPlatform, app: uuid.UUID) -> None:
    first = deploy(platform, app, {"web": "true", "release": "until [ -e go ]; do sleep 0.1; done; date +%s%N"})
    second = deploy(platform, app, {"web": "true", "release": "date +%s%N"})
    platform.until(lambda: running(platform, first))
    other = platform.create_app()
    assert ended(platform, deploy(platform, other, {"release": "true"})).current  # another app's does not wait
    assert dynos(platform, second.id) == []
    go(platform, first)
    ended(platform, second)
    assert int(output(platform, first.id)) < int(output(platform, second.id))
    assert serving(platform, app) == second.version


@pytest.mark.parametrize("signal", ["SIGKILL", "SIGTERM"])
def test_a_command_outlives_its_worker_and_runs_once(platform: BuildPlatform, app: uuid.UUID, signal: str) -> None:
    command = "for number in 1 2 3; do echo line $number; done; until [ -e go ]; do sleep 0.1; done; echo end"
    made = deploy(platform, app, {"web": "true", "release": command})
    platform.until(lambda: output(platform, made.id).endswith("line 3\n"))
    (before,) = dynos(platform, made.id)
    platform.stop_builder(signal)
    platform.start_builder()
    platform.until(lambda: bool((job := platform.job(made.id)) and job.attempts == (2 if signal == "SIGKILL" else 1)))
    (after,) = dynos(platform, made.id)
    assert after.id == before.id
    go(platform, made)
    assert ended(platform, made).current
    assert output(platform, made.id) == "line 1\nline 2\nline 3\nend\n"


def test_a_command_whose_worker_died_on_the_way_to_it_runs(platform: BuildPlatform, app: uuid.UUID) -> None:
    platform.stop_builder()
    made = deploy(platform, app, {"web": "true", "release": 'echo "$GREETING"'})
    engine = Engine(replace(platform.configuration, dyno_network=STACK))
    image = platform.configuration.run_image
    words = ("app", made.version, "release.1", "ann@example.com", 'echo "$GREETING"', image, False, DEFAULT)
    release_dyno.create(engine, release_dyno.Phase(made.id, app, *words, config={})).start()
    with platform.store.transaction() as session:
        session.execute(update(Job).where(Job.id == made.id).values(started_at=now()))
    assert running(platform, made)  # and waits for its config vars
    platform.start_builder()
    assert ended(platform, made).current
    assert output(platform, made.id) == "it's me\n"


def test_a_command_that_was_lost_with_its_host_is_not_run_again(
    platform: BuildPlatform, app: uuid.UUID, logs: LogPlane
) -> None:
    made = deploy(platform, app, {"web": "true", "release": "echo begun; sleep 300"})
    platform.until(lambda: output(platform, made.id) == "begun\n")
    platform.stop_builder("SIGKILL")
    dynos(platform, made.id)[0].remove(force=True)
    platform.start_builder()
    assert ended(platform, made).status == "failed"
    reason = "the dyno of the release command was lost with its host"
    assert output(platform, made.id) == f"begun\n !     T{reason[1:]}.\n"
    platform.until(lambda: said(logs, app, f"app[api]: Release v3 failed: {reason}"))
    assert serving(platform, app) == 2


def test_a_command_has_an_hour(platform: BuildPlatform, app: uuid.UUID) -> None:
    made = deploy(platform, app, {"web": "true", "release": "echo begun; sleep 300"})
    platform.until(lambda: output(platform, made.id) == "begun\n")
    platform.stop_builder()
    with platform.store.transaction() as session:
        session.execute(
            update(Job).where(Job.id == made.id).values(started_at=now() - timedelta(minutes=59, seconds=55))
        )
    platform.start_builder()
    assert ended(platform, made).status == "failed"
    assert output(platform, made.id) == "begun\n !     The release command took longer than 60 minutes.\n"


def test_a_command_ends_with_its_app(platform: BuildPlatform, app: uuid.UUID) -> None:
    made = deploy(platform, app, {"web": "true", "release": "sleep 300"})
    platform.until(lambda: running(platform, made))
    with platform.store.transaction() as session:
        session.delete(session.get_one(App, app))
    platform.until(lambda: dynos(platform, made.id) == [])


def test_a_pushed_release_command_runs_before_the_next_build(platform: BuildPlatform, app: uuid.UUID) -> None:
    procfile = "web: true\nrelease: until [ -e go ]; do sleep 0.1; done\n"
    build_id = platform.push(app, tarball({"requirements.txt": "", "Procfile": procfile}))
    next_id = platform.push(app, tarball({"requirements.txt": "", "Procfile": "web: true\n"}))
    build = platform.wait(build_id)
    assert build.status == "succeeded" and build.release_id, platform.explain(build_id)
    waits = " !     Release command declared: this new release will not be available until the command succeeds.\n"
    assert f"{waits}       Released v3\n" in platform.output(build_id)
    made = release(platform, build.release_id)
    platform.until(lambda: running(platform, made))
    assert (made.status, serving(platform, app), platform.output(next_id)) == ("pending", 2, "")
    go(platform, made)
    assert ended(platform, made).status == "succeeded"
    assert platform.wait(next_id).status == "succeeded"
    assert serving(platform, app) == 4


def test_an_old_slug_leaves_the_registry(platform: BuildPlatform, app: uuid.UUID) -> None:
    build = platform.wait(platform.push(app, tarball({"requirements.txt": "", "Procfile": "web: echo old\n"})))
    with platform.store.transaction() as session:
        old = session.get_one(Release, build.release_id)
        slug = session.get_one(Slug, build.slug_id)
    for _ in range(KEPT_RELEASES):
        deploy(platform, app, {"web": "true"})
    registry = Registry(platform.configuration)
    assert registry.manifest(*image_rules.parts(slug.image)) is not None
    age(platform, Slug, slug.id)
    retention.queue(platform.store)
    assert not waiting(platform, app)  # its release is young
    age(platform, Release, old.id)
    retention.queue(platform.store)
    platform.until(lambda: not waiting(platform, app))
    assert registry.manifest(*image_rules.parts(slug.image)) is None
    registry.close()
    expired = release(platform, old.id)
    assert (expired.status, expired.slug_id) == ("expired", None)
    retention.queue(platform.store)
    assert not waiting(platform, app)


def test_what_nobody_goes_on_with_is_swept(platform: BuildPlatform) -> None:
    platform.stop_builder()
    left = platform.engine.containers.create(
        platform.configuration.run_image,
        labels={LABEL: "", "dynoform.stack": STACK, "dynoform.release-phase": str(uuid.uuid4())},
    )
    platform.start_builder()
    platform.until(lambda: left.id not in {each["Id"] for each in platform.engine.api.containers(all=True)})


def age(platform: BuildPlatform, table: type[Slug] | type[Release], identifier: uuid.UUID) -> None:
    """Make it older than what is kept."""
    with platform.store.transaction() as session:
        session.execute(update(table).where(table.id == identifier).values(created_at=now() - KEPT_FOR - timedelta(1)))


def waiting(platform: BuildPlatform, app_id: uuid.UUID) -> bool:
    """Whether the app has a job."""
    with platform.store.transaction() as session:
        return session.scalars(select(Job).where(Job.app_id == app_id)).first() is not None
