"""Jobs: taken with a lease, an app's in order, finished once; and the slugs that they let expire."""

import threading
import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from sqlalchemy import select, update

from dynoform.domain import jobs as jobs_rules
from dynoform.domain import uploads
from dynoform.domain.jobs import Kind
from dynoform.domain.releases import KEPT_FOR, KEPT_RELEASES
from dynoform.store import builds, job_queue, jobs, output, retention
from dynoform.store.accounts import ensure_operator
from dynoform.store.apps import create_app
from dynoform.store.releases import create_release, current_release, fail, lock_app, newest_release, succeed
from dynoform.store.secrets import Vault
from dynoform.store.session import Store
from dynoform.store.tables import App, AppSetup, Build, Dyno, Formation, Job, Release, ReleaseOutput, Slug, Source, now

ALL = frozenset(Kind)
VAULT = Vault("A" * 42 + "s=")


@pytest.fixture
def app(store: Store) -> App:
    return make_app(store, "myapp")


def make_app(store: Store, name: str) -> App:
    with store.transaction() as session:
        return create_app(session, VAULT, ensure_operator(session, "ann@example.com", "token"), name, "dynoform-13")[0]


def queue_build(store: Store, app: App, buildpacks: tuple[str, ...] = ()) -> Build:
    with store.transaction() as session:
        found = lock_app(session, app.id)
        assert found
        source = Source(id=uuid.uuid4(), account_id=app.owner_id)
        session.add(source)
        session.flush()
        return builds.add_build(session, found, source, account_id=app.owner_id, buildpacks=buildpacks)


def deploy(store: Store, app: App, *types: str, image: str = "r/a@sha256:0", number: int | None = None) -> Release:
    with store.transaction() as session:
        slug = Slug(id=uuid.uuid4(), app_id=app.id, image=image, size=1, checksum="SHA256:0", stack="dynoform-13")
        slug.process_types = dict.fromkeys(types, "run")
        session.add(slug)
        return create_release(session, app, description="Deploy", account_id=app.owner_id, slug=slug, number=number)


def take(store: Store, holder: str = "me") -> jobs.Claim | None:
    return jobs.take(store, holder, ALL)


def finish(store: Store, claim: jobs.Claim) -> None:
    with store.transaction() as session:
        jobs.finish(session, claim)


def end_leases(store: Store, seconds: float = 1) -> None:
    with store.transaction() as session:
        session.execute(update(Job).values(lease_expires_at=now() - timedelta(seconds=seconds)))


def test_an_apps_jobs_are_taken_one_by_one_in_order(store: Store, app: App) -> None:
    first, second = queue_build(store, app), queue_build(store, app)
    other = queue_build(store, make_app(store, "other"))
    claims = [take(store), take(store), take(store)]
    assert [claim and claim.id for claim in claims] == [first.id, other.id, None]
    assert claims[0]
    finish(store, claims[0])
    following = take(store)
    assert following and following.id == second.id


def test_an_app_with_many_builds_has_its_next_one_after_those_that_waited_meanwhile(store: Store, app: App) -> None:
    first, second, third = (queue_build(store, app).id for _ in range(3))
    other, another = (queue_build(store, make_app(store, name)).id for name in ("other", "another"))
    taken: list[uuid.UUID] = []
    while claim := take(store):
        taken.append(claim.id)
        with store.transaction() as session:
            jobs.finish(session, claim)
            builds.fail(session, session.get_one(Build, claim.id), "as an example")
    assert taken == [first, other, another, second, third]


def test_a_kind_that_is_not_wanted_waits_and_holds_its_place(store: Store, app: App) -> None:
    queue_build(store, app)
    deploy(store, app, "web", "release")
    assert jobs.take(store, "me", {Kind.RELEASE}) is None
    assert jobs.take(store, "me", {Kind.BUILD}) is not None


def test_many_takers_never_take_the_same(store: Store) -> None:
    wanted = {queue_build(store, make_app(store, f"app-{number}")).id for number in range(8)}
    taken: list[uuid.UUID] = []

    def work(name: str) -> None:
        while claim := take(store, name):
            taken.append(claim.id)

    threads = [threading.Thread(target=work, args=(f"worker {number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == sorted(wanted)


def test_a_lease_that_ran_out_is_taken_over_and_the_first_can_write_nothing_more(store: Store, app: App) -> None:
    build = queue_build(store, app)
    lost = take(store)
    assert lost and take(store, "other") is None
    jobs.begin(store, lost)
    end_leases(store)
    claim = take(store, "other")
    assert claim and (claim.id, claim.attempt) == (build.id, 2)
    assert claim.started_at is not None
    assert not jobs.renew(store, lost)
    assert jobs.renew(store, claim)
    for write in (lambda: finish(store, lost), lambda: jobs.begin(store, lost)):
        with pytest.raises(jobs.LeaseLostError, match=f"build {build.id}: is no longer this worker's"):
            write()
    finish(store, claim)
    assert not jobs.waits(store, build.id)
    with pytest.raises(jobs.LeaseLostError):
        finish(store, claim)


def test_a_job_that_is_given_back_is_there_at_once(store: Store, app: App) -> None:
    queue_build(store, app)
    for counted, attempt in ((False, 1), (True, 1), (True, 2)):
        claim = take(store)
        assert claim and claim.attempt == attempt
        jobs.give_back(store, claim, counted=counted)
    with store.transaction() as session:
        assert session.scalars(select(Job.attempts)).one() == 2


def on(store: Store, host: str) -> Store:
    """The same store for a builder on a host."""
    return Store(replace(store.configuration, host=host), "test", pool=1)


def may_take(store: Store) -> bool:
    """What a builder that waits for work on the store's host finds."""
    asked = {"host": store.configuration.host}
    with store.transaction() as session:
        return bool(session.connection().exec_driver_sql(job_queue.WAITS, asked).scalar_one())


def test_what_has_begun_on_a_host_goes_on_there_while_builders_there_can_be_expected(store: Store, app: App) -> None:
    one, two = on(store, "one"), on(store, "two")
    deploy(store, app, "web", "release")
    claim = take(one)
    assert claim
    jobs.give_back(one, claim, counted=True)
    claim = take(two)
    assert claim, "nothing has begun yet"
    jobs.begin(two, claim)
    for leaves in (True, False):
        if leaves:
            jobs.give_back(two, claim, counted=True)
        else:
            end_leases(store)
        assert not may_take(one) and take(one) is None
        assert may_take(two)
        claim = take(two)
        assert claim and claim.started_at
    end_leases(store, jobs_rules.LOST_SECONDS + 1)
    assert may_take(one)
    assert take(one), "the host is lost"
    one.close()
    two.close()


def test_a_build_waits_a_moment_for_the_host_that_has_the_apps_cache(store: Store, app: App) -> None:
    one, two = on(store, "one"), on(store, "two")
    first = queue_build(store, app)
    claim = take(two)
    assert claim
    with store.transaction() as session:
        jobs.finish(session, claim)
        builds.fail(session, session.get_one(Build, first.id), "as an example")
        assert session.get_one(Build, first.id).host == "two"
    second = queue_build(store, app)
    with store.transaction() as session:  # it is still that moment, however long the test takes
        session.execute(update(Job).values(created_at=now() + timedelta(hours=1)))
    assert not may_take(one) and take(one) is None
    assert may_take(two)
    with store.transaction() as session:
        moment = now() - timedelta(seconds=jobs_rules.NEAR_SECONDS + 1)
        session.execute(update(Job).values(created_at=moment))
        session.execute(update(Build).values(updated_at=moment))
    assert may_take(one)
    claim = take(one)
    assert claim and claim.id == second.id
    end_leases(store)
    assert take(two), "its builder died: whoever is there"
    one.close()
    two.close()


def test_what_an_app_asks_for_twice_is_one_job(store: Store, app: App) -> None:
    subject = uuid.uuid5(app.id, Kind.PURGE_CACHE)
    for _ in range(2):
        with store.transaction() as session:
            jobs.add(session, app.id, Kind.PURGE_CACHE, subject)
    with store.transaction() as session:
        assert len(session.scalars(select(Job)).all()) == 1


def test_a_release_of_a_build_comes_before_the_next_build(store: Store, app: App) -> None:
    queue_build(store, app)
    queue_build(store, app)
    claim = take(store)
    assert claim
    finish(store, claim)
    made = deploy(store, app, "release", number=claim.number)
    following = take(store)
    assert following and (following.kind, following.id) == (Kind.RELEASE, made.id)


def test_a_cancelled_build_is_nobodys(store: Store, app: App) -> None:
    build = queue_build(store, app)
    claim = take(store)
    assert claim
    for cancelled in (True, False):
        with store.transaction() as session:
            assert builds.cancel(session, session.get_one(Build, build.id)) is cancelled
    assert not jobs.renew(store, claim)
    with store.transaction() as session:
        found = session.get_one(Build, build.id)
        assert (found.status, found.failure) == ("failed", "the build was cancelled")


def test_a_release_with_a_command_waits_and_then_serves(store: Store, app: App) -> None:
    served = deploy(store, app, "web")
    pending = deploy(store, app, "web", "release", "clock")
    assert (pending.status, pending.current) == ("pending", False)
    assert types(store, app) == {"web", "release"}
    with store.transaction() as session:
        assert current_release(session, app.id).version == served.version  # type: ignore[union-attr]
        succeed(session, session.get_one(App, app.id), session.get_one(Release, pending.id))
    with store.transaction() as session:
        assert current_release(session, app.id).version == pending.version  # type: ignore[union-attr]
        assert not session.get_one(Release, served.id).current
    assert types(store, app) == {"web", "release", "clock"}


def test_a_release_that_was_overtaken_succeeds_and_does_not_serve(store: Store, app: App) -> None:
    pending, later = deploy(store, app, "web", "release"), deploy(store, app, "web")
    with store.transaction() as session:
        succeed(session, session.get_one(App, app.id), session.get_one(Release, pending.id))
        assert session.get_one(Release, pending.id).status == "succeeded"
        assert current_release(session, app.id).version == later.version  # type: ignore[union-attr]
    assert types(store, app) == {"web"}


def test_a_change_keeps_the_slug_that_is_about_to_serve(store: Store, app: App) -> None:
    served = deploy(store, app, "web")
    pending = deploy(store, app, "web", "release")
    assert change(store, app).slug_id == pending.slug_id
    with store.transaction() as session:
        for release in session.scalars(select(Release).where(Release.status == "pending")):
            fail(session, release)
    made = change(store, app)
    assert (made.slug_id, made.status, made.current) == (served.slug_id, "succeeded", True)
    with store.transaction() as session:
        newest = newest_release(session, app.id)
    assert newest and newest.id == made.id


def test_a_release_by_an_addon_runs_no_command(store: Store, app: App) -> None:
    deploy(store, app, "web")
    with store.transaction() as session:
        slug = session.scalars(select(Slug)).one()
        slug.process_types = {"web": "run", "release": "migrate"}
        made = create_release(session, app, description="Attach DATABASE", account_id=app.owner_id, phase=False)
        assert (made.status, made.current) == ("succeeded", True)


def test_output_is_counted_in_characters(store: Store, app: App) -> None:
    made = deploy(store, app, "release")
    with store.transaction() as session:
        assert output.length(session, ReleaseOutput, made.id) == 0
        output.append(session, ReleaseOutput, made.id, "brûlée\n")
        output.append(session, ReleaseOutput, made.id, "✓\n")
        assert output.length(session, ReleaseOutput, made.id) == 9


def test_a_slug_expires_when_it_is_old_and_far_behind(store: Store, app: App) -> None:
    old = deploy(store, app, "web", image="r/apps/1@sha256:1")
    shared = deploy(store, app, "web", image="r/apps/1@sha256:2")
    deploy(store, make_app(store, "promoted"), "web", image="r/apps/1@sha256:2")
    for _ in range(KEPT_RELEASES - 1):
        deploy(store, app, "web")
    age(store, old, shared)
    assert expire(store, app) == ([old.slug_id], ["r/apps/1@sha256:1"])  # the other is among the last 20
    deploy(store, app, "web")
    assert expire(store, app) == ([old.slug_id, shared.slug_id], ["r/apps/1@sha256:1"])  # not the image of two
    with store.transaction() as session:
        assert session.get_one(Release, old.id).status == "expired"
        retention.forget(session, [old.slug_id, shared.slug_id])  # type: ignore[list-item]
    with store.transaction() as session:
        assert session.get_one(Release, old.id).slug_id is None


def test_an_image_that_a_dyno_still_runs_outlives_its_slug(store: Store, app: App) -> None:
    old = deploy(store, app, "web", image="r/apps/1@sha256:1")
    for _ in range(KEPT_RELEASES):
        newest = deploy(store, app, "web")
    age(store, old)
    with store.transaction() as session:
        runs = {"app_id": app.id, "release_id": newest.id, "size": "Basic", "command": "x"}
        session.add(Dyno(**runs, type="web", number=1, image="r/apps/1@sha256:1"))
    assert expire(store, app) == ([old.slug_id], [])


def test_a_slug_that_runs_or_is_young_stays(store: Store, app: App) -> None:
    old = deploy(store, app, "web")
    for _ in range(KEPT_RELEASES + 2):
        deploy(store, app, "web")
    assert expire(store, app) == ([], [])
    age(store, old)
    with store.transaction() as session:
        session.execute(update(Release).where(Release.app_id == app.id).values(current=False))
        session.execute(update(Release).where(Release.id == old.id).values(current=True))
    assert expire(store, app) == ([], [])


def test_every_image_of_a_container_app_is_looked_at(store: Store, app: App) -> None:
    web, worker, kept = (f"r/containers/1/{name}" for name in ("web@sha256:1", "worker@sha256:2", "web@sha256:3"))
    old = deploy(store, app, "web", "worker", image=web)
    for number in range(KEPT_RELEASES):
        deploy(store, app, "web", "worker", image=f"r/containers/1/web@sha256:4{number}")
    with store.transaction() as session:
        newest = session.scalars(select(Slug).order_by(Slug.created_at.desc()).limit(1)).one()
        newest.images = {"web": newest.image, "clock": web}
        session.get_one(Slug, old.slug_id).images = {"web": web, "worker": worker, "other": kept}
    deploy(store, make_app(store, "promoted"), "web", image=kept)
    age(store, old)
    assert expire(store, app) == ([old.slug_id], [worker])  # the others are what another type, or another app, runs


def test_apps_with_slugs_to_expire_get_one_job(store: Store, app: App) -> None:
    old = deploy(store, app, "web")
    for _ in range(KEPT_RELEASES):
        deploy(store, app, "web")
    age(store, old)
    for _ in range(2):
        retention.queue(store)
    claim = take(store)
    assert claim and claim.kind == Kind.EXPIRE_SLUGS
    assert take(store) is None


def test_sources_are_forgotten_unless_something_was_built_from_them(store: Store, app: App) -> None:
    build = queue_build(store, app)
    with store.transaction() as session:
        moment = now() - timedelta(days=3)
        session.add(Source(id=uuid.uuid4(), account_id=app.owner_id, updated_at=moment))
        young = Source(id=uuid.uuid4(), account_id=app.owner_id)
        session.add(young)
        session.execute(update(Source).where(Source.id == build.source_id).values(updated_at=moment))
    assert builds.sweep_sources(store) == 1
    with store.transaction() as session:
        assert set(session.scalars(select(Source.id))) == {build.source_id, young.id}
        session.delete(session.get_one(App, app.id))
    assert builds.sweep_sources(store) == 1


def test_an_upload_is_kept_as_long_as_a_build_may_want_it(store: Store, app: App) -> None:
    long_ago, lately = now() - uploads.KEPT_BUILT * 1.1, now() - uploads.KEPT_BUILT * 0.9
    spent = source(store, app, long_ago, [("succeeded", long_ago), ("failed", long_ago)])
    unbuilt = source(store, app, long_ago, [])
    kept = [
        unbuilt,
        source(store, app, lately, [("failed", long_ago)]),  # uploaded again meanwhile
        source(store, app, long_ago, [("succeeded", lately)]),
        source(store, app, long_ago, [("succeeded", long_ago), ("pending", long_ago)]),
        source(store, app, long_ago, [("succeeded", long_ago)], setup="pending"),
    ]
    ready = source(store, app, long_ago, [("succeeded", long_ago)], setup="succeeded")
    forgotten = source(store, app, now() - uploads.KEPT * 1.1, [])
    made = deploy(store, app, "web").slug_id
    assert made
    with store.transaction() as session:
        assert set(builds.spent_uploads(session, [spent, ready, made, *kept])) == {spent, ready, made}
        other = session.get_one(Source, unbuilt)
        assert builds.kept_bytes(session, other, lock=True) == 1000 * (len(kept) - 1)
        assert builds.kept_bytes(session, session.get_one(Source, forgotten)) == 1000 * len(kept)


def source(
    store: Store, app: App, uploaded: datetime, built: Sequence[tuple[str, datetime]], setup: str | None = None
) -> uuid.UUID:
    """A source of 1000 bytes with builds in these states since these moments, and maybe an app's setup."""
    with store.transaction() as session:
        made = Source(id=uuid.uuid4(), account_id=app.owner_id, size=1000, updated_at=uploaded)
        session.add(made)
        session.flush()
        for status, moment in built:
            values = {"status": status, "updated_at": moment, "source_id": made.id, "account_id": app.owner_id}
            session.add(Build(id=uuid.uuid4(), app_id=app.id, **values))
        if setup:
            about = {"app_id": app.id, "app_name": app.name, "overrides": b"", "status": setup}
            session.add(AppSetup(id=uuid.uuid4(), account_id=app.owner_id, source_id=made.id, **about))
        return made.id


def types(store: Store, app: App) -> set[str]:
    """The process types of the formation."""
    with store.transaction() as session:
        return set(session.scalars(select(Formation.type).where(Formation.app_id == app.id)))


def change(store: Store, app: App) -> Release:
    """A release that changes neither slug nor config vars."""
    with store.transaction() as session:
        return create_release(session, app, description="Change", account_id=app.owner_id)


def age(store: Store, *made: Release) -> None:
    """Make releases and their slugs older than what is kept."""
    moment = now() - KEPT_FOR - timedelta(days=1)
    with store.transaction() as session:
        for release in made:
            session.execute(update(Release).where(Release.id == release.id).values(created_at=moment))
            session.execute(update(Slug).where(Slug.id == release.slug_id).values(created_at=moment))


def expire(store: Store, app: App) -> tuple[list[uuid.UUID], list[str]]:
    """The slugs that expire, oldest first, and the images that nobody else uses."""
    with store.transaction() as session:
        slugs = sorted(retention.expire(session, app.id), key=lambda slug: slug.image)
        return [slug.id for slug in slugs], retention.unused_images(session, slugs)
