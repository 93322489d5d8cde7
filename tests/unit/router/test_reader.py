"""Which apps a router agent reads again, over a real PostgreSQL."""

import uuid
from datetime import timedelta

import pytest
from sqlalchemy import delete, func, select, update

from dynoform.domain.features import AFFINITY
from dynoform.router import reader as module
from dynoform.router import rows
from dynoform.router.reader import PARTS, News, Reader
from dynoform.store import features
from dynoform.store.driver import SmallStore
from dynoform.store.releases import add_config
from dynoform.store.secrets import Vault
from dynoform.store.session import Store
from dynoform.store.tables import Account, App, AppFeature, Domain, Dyno, Formation, RouteChange
from tests.unit.router.test_agent import KEY, app_with_dyno


@pytest.fixture
def shop(store: Store) -> uuid.UUID:
    return app_with_dyno(store, 20001)


@pytest.fixture
def blog(store: Store, shop: uuid.UUID) -> uuid.UUID:
    with store.transaction() as session:
        app = App(name="blog", owner_id=session.scalars(select(Account.id)).one(), stack="dynoform-13")
        session.add(app)
        session.flush()
        return app.id


@pytest.fixture
def reader(small_store: SmallStore, shop: uuid.UUID, blog: uuid.UUID) -> Reader:
    made = Reader(small_store, "localhost")
    first = made.read((), spot_check=False)
    assert (first.everything, set(first.apps)) == (True, {shop, blog})
    made.done(first)
    return made


def read(reader: Reader, *known: uuid.UUID) -> News:
    """One reading; all of it is in force afterwards."""
    found = reader.read(known, spot_check=False)
    reader.done(found)
    return found


def move(store: Store, app: uuid.UUID, port: int) -> None:
    with store.transaction() as session:
        session.execute(update(Dyno).where(Dyno.app_id == app).values(port=port))


def test_what_did_not_change_is_not_read(reader: Reader, shop: uuid.UUID, blog: uuid.UUID) -> None:
    again = read(reader, shop, blog)
    assert (again.apps, again.everything) == ({}, False)


def test_every_change_is_read_and_only_of_its_app(
    reader: Reader, store: Store, shop: uuid.UUID, blog: uuid.UUID
) -> None:
    move(store, shop, 20002)
    (route,) = [one for one in read(reader, shop, blog).apps.values() if one]
    assert [(one.port, route.app_id) for one in route.servers] == [(20002, shop)]
    with store.transaction() as session:
        session.add(Domain(app_id=blog, hostname="www.example.com", cname="x"))
        session.execute(update(App).where(App.id == shop).values(maintenance=True))
    found = read(reader, shop, blog).apps
    assert {app: route.hosts for app, route in found.items() if route} == {
        shop: ("shop.localhost",),
        blog: ("blog.localhost", "www.example.com"),
    }
    with store.transaction() as session:
        session.execute(delete(Domain))
    assert set(read(reader, shop, blog).apps) == {blog}
    with store.transaction() as session:
        session.delete(session.get_one(App, blog))
    assert read(reader, shop, blog).apps == {blog: None}


def test_a_page_of_the_apps_own_is_known_when_its_config_var_is(
    reader: Reader, store: Store, shop: uuid.UUID, blog: uuid.UUID
) -> None:
    for config, pages in (
        ({"ERROR_PAGE_URL": "https://x.example/e", "OTHER": "x"}, ((f"/error/{shop}", "https://x.example/e"),)),
        ({"ERROR_PAGE_URL": "https://x.example/e", "OTHER": "y"}, None),
        ({"ERROR_PAGE_URL": "no URL"}, ()),
    ):
        with store.transaction() as session:
            add_config(session, Vault(KEY), shop, config)
        found = read(reader, shop, blog).apps
        assert {app: route.pages for app, route in found.items() if route} == ({} if pages is None else {shop: pages})


def test_an_app_is_blank_until_it_has_code(reader: Reader, store: Store, shop: uuid.UUID, blog: uuid.UUID) -> None:
    with store.transaction() as session:
        session.execute(update(App).where(App.id == blog).values(name="news"))
    assert [route.backend for route in read(reader, shop, blog).apps.values() if route] == ["blank"]
    with store.transaction() as session:
        session.add(Formation(app_id=blog, type="worker", quantity=0))
    assert [route.backend for route in read(reader, shop, blog).apps.values() if route] == ["no_dynos"]


def test_clients_stay_with_a_dyno_from_when_the_feature_is_turned_on(
    reader: Reader, store: Store, shop: uuid.UUID, blog: uuid.UUID
) -> None:
    with store.transaction() as session:
        first = session.scalars(select(Dyno)).one()
        values = {name: getattr(first, name) for name in ("app_id", "release_id", "type", "size", "command", "address")}
        session.add(Dyno(**values, number=2, port=20002))
    read(reader, shop, blog)
    for on, backend in ((True, f"sticky_{shop}"), (False, "several")):
        with store.transaction() as session:
            features.turn(session, AppFeature, shop, AFFINITY, on)
        found = read(reader, shop, blog).apps
        assert {app: route.backend for app, route in found.items() if route} == {shop: backend}


@pytest.mark.parametrize("values", [{"crashes": 1}, {"command": "other"}])
def test_what_routes_are_not_made_of_is_no_change(
    reader: Reader, store: Store, shop: uuid.UUID, blog: uuid.UUID, values: dict[str, object]
) -> None:
    with store.transaction() as session:
        session.execute(update(Dyno).values(**values))
    assert read(reader, shop, blog).apps == {}


def test_a_transaction_that_ends_after_later_ones_were_read_is_read(
    reader: Reader, store: Store, shop: uuid.UUID, blog: uuid.UUID
) -> None:
    with store.transaction() as slow:
        slow.execute(update(Dyno).where(Dyno.app_id == shop).values(port=20003))
        with store.transaction() as session:
            session.add(Domain(app_id=blog, hostname="www.example.com", cname="x"))
        assert set(read(reader, shop, blog).apps) == {blog}
    found = read(reader, shop, blog).apps[shop]
    assert found is not None
    assert found.servers[0].port == 20003


def test_what_is_not_in_force_yet_is_read_again(reader: Reader, store: Store, shop: uuid.UUID, blog: uuid.UUID) -> None:
    move(store, shop, 20002)
    assert set(reader.read((shop, blog), spot_check=False).apps) == {shop}
    assert set(reader.read((shop, blog), spot_check=False).apps) == {shop}


def test_a_change_that_nobody_noted_is_found_all_the_same(
    reader: Reader, store: Store, shop: uuid.UUID, blog: uuid.UUID
) -> None:
    gone = uuid.uuid4()
    move(store, shop, 20002)
    with store.transaction() as session:
        session.execute(delete(RouteChange))
    seen: list[uuid.UUID] = []
    for _ in range(PARTS):
        found = reader.read((shop, blog, gone), spot_check=True)
        reader.done(found)
        seen += found.apps
        assert found.apps.get(gone) is None
    assert sorted(seen) == sorted([shop, blog, gone]), "each app once"


def test_changes_are_forgotten_and_whoever_was_away_for_long_reads_everything(
    reader: Reader, store: Store, shop: uuid.UUID, blog: uuid.UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    move(store, shop, 20002)
    with store.transaction() as session:
        session.execute(update(RouteChange).values(noted_at=func.now() - rows.KEPT - timedelta(seconds=1)))
    for _ in range(PARTS):
        reader.read((shop, blog), spot_check=True)
    with store.transaction() as session:
        assert session.scalars(select(RouteChange)).all() == []
    late = module.time.monotonic() + rows.KEPT.total_seconds()
    monkeypatch.setattr(module.time, "monotonic", lambda: late)
    assert reader.read((shop, blog), spot_check=False).everything is True
