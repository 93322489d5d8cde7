"""A premium database whose servers are killed, paused and cut off, and whose etcd has no quorum, under a writer.

In no case is a row lost that was acknowledged, or a read older than an answer: a history of both workloads says so.
"""

import asyncio
import io
import json
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.acknowledged import Found, Writer, patient
from tests.e2e.conftest import STACK, Platform, eventually
from tests.e2e.test_database_protection import look
from tests.standby import SERVICE, Servers

pytestmark = [pytest.mark.engine, pytest.mark.chaos, pytest.mark.timeout(1800)]
APP = "standby-chaos"
BEHIND_MIB, ALONE_SECONDS = 256, 30
STORM = 400
_REFUSALS = {
    "too many connections for": "above the plan's",
    "remaining connection slots are reserved": "above the server's",
    "sorry, too many clients already": "above the server's",
    "timeout expired": "not in time",
}
"""What who is refused is told → why."""
_CURL = "cd /run/secrets && curl --silent --cacert members.crt --cert member.crt --key member.key"
SKEW = {"LD_PRELOAD": "/usr/lib/libfaketime.so.1", "FAKETIME": "+1h", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
AHEAD = r"""FROM {image}
USER root
RUN apt-get update -qq && cd /tmp && apt-get download -qq libfaketime && dpkg-deb -x libfaketime_*.deb / \
 && ln -s /usr/lib/*/faketime/libfaketime.so.1 /usr/lib/
USER postgres
"""
"""Not installed: apt would have the packages back that the image does without."""


@pytest.fixture(scope="module")
def servers(platform: Platform) -> Iterator[Servers]:
    """Of a premium database."""
    api = platform.api
    api.post("/apps", json={"name": APP}).raise_for_status()
    made = api.post(f"/apps/{APP}/addons", json={"plan": "heroku-postgresql:premium-0"}).raise_for_status().json()

    def state() -> str:
        return str(api.get(f"/addons/{made['id']}").raise_for_status().json()["state"])

    eventually(lambda: state() == "provisioned", 300, "the database is there")
    yield Servers(platform.engine, f"{STACK}_addon-{made['id']}")
    api.delete(f"/apps/{APP}").raise_for_status()


@pytest.fixture
def writer(platform: Platform, servers: Servers, capsys: pytest.CaptureFixture[str]) -> Iterator[Writer]:
    """One that is at work, on a database that is whole; afterwards the database is whole again, and has all."""
    servers.wait_ready(240)
    url = platform.api.get(f"/apps/{APP}/config-vars").raise_for_status().json()["DATABASE_URL"]
    with Writer(url) as made:
        eventually(lambda: len(made.acknowledged) > 50, 30, "rows are acknowledged")
        yield made
        again = time.monotonic()
        eventually(lambda: made.goes_on(again), 60, "rows are acknowledged in the end")
        servers.wait_ready(240)
    found = made.compare()
    with capsys.disabled():
        print(f"{found.acknowledged} acknowledged, {made.uncertain} without an answer, {whole(found)}")
    assert (found.lost, found.stale) == ([], [])


def whole(found: Found) -> str:
    return f"lost {len(found.lost)}, stale {found.stale}"


def taken_over(writer: Writer, servers: Servers, old: int, began: float) -> float:
    """How long nothing was acknowledged, once another one has taken over."""
    servers.wait(lambda: servers.ask(3 - old, "primary") is not None, 60, "the other one is primary")
    eventually(lambda: writer.goes_on(time.monotonic() - 0.3), 60, "rows are acknowledged again")
    time.sleep(1)
    return writer.outage(began)


def test_a_primary_that_is_killed_and_comes_back_at_once(
    writer: Writer, servers: Servers, capsys: pytest.CaptureFixture[str]
) -> None:
    old, began = servers.primary(), time.monotonic()
    servers.container(old).kill()
    eventually(lambda: writer.goes_on(began + 1.5), 60, "rows are acknowledged again")
    time.sleep(3)
    with capsys.disabled():
        print(f"\nkilled, and started again by Swarm: {writer.outage(began):.1f} s; ", end="")


def test_a_primary_that_is_killed_and_stays_away(
    writer: Writer, servers: Servers, capsys: pytest.CaptureFixture[str]
) -> None:
    old, began = servers.primary(), time.monotonic()
    with servers.killed(old):
        outage = taken_over(writer, servers, old, began)
    with capsys.disabled():
        print(f"\nkilled: {outage:.1f} s; ", end="")


@pytest.mark.parametrize(
    "misfortune", [Servers.cut_off, Servers.cut_off_from_the_others, Servers.dazed, Servers.paused]
)
def test_a_primary_that_lives_on_unheard_acknowledges_nothing_beside_the_new_one(
    platform: Platform,
    writer: Writer,
    servers: Servers,
    misfortune: Callable[[Servers, int], AbstractContextManager[None]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    old, database = servers.primary(), urlsplit(writer.url).path[1:]
    with servers.inside(old, database) as inside:
        eventually(lambda: len(inside.acknowledged()) > 50, 30, "rows are acknowledged beside the primary")
        with misfortune(servers, old):
            began = time.monotonic()
            servers.wait(lambda: servers.ask(3 - old, "primary") is not None, 60, "the other one is primary")
            taken = time.time()
            outage = taken_over(writer, servers, old, began)
            time.sleep(3)
        servers.wait(lambda: any(each["role"] == "sync_standby" for each in servers.members()), 120, "it is a standby")
        assert servers.primary() == 3 - old
    acknowledged = inside.acknowledged()
    late = [number for number, at in acknowledged if at > taken]
    with patient(writer.url) as found:
        there = {number for (number,) in found.execute("SELECT number FROM inside").fetchall()}
    lost = [number for number, _ in acknowledged if number not in there]
    with capsys.disabled():
        print(f"\n{misfortune.__name__}: {outage:.1f} s, {len(acknowledged)} acknowledged beside it; ", end="")
    assert (late, lost) == ([], [])


def test_etcd_without_a_quorum_stops_nobody_who_hears_the_other(
    writer: Writer, servers: Servers, capsys: pytest.CaptureFixture[str]
) -> None:
    old, began = servers.primary(), time.monotonic()
    with servers.killed("etcd-1", "etcd-2"):
        time.sleep(30)
        assert servers.primary() == old
        without = writer.outage(began)
    eventually(lambda: writer.goes_on(time.monotonic() - 0.3), 60, "rows are acknowledged")
    assert without < 5
    with capsys.disabled():
        print(f"\netcd without a quorum for 30 s: {without:.1f} s; ", end="")


def test_a_member_of_etcd_that_lost_its_data_is_let_in_again_and_counts(
    writer: Writer, servers: Servers, capsys: pytest.CaptureFixture[str]
) -> None:
    before, lost = voters(servers), f"{servers.service}-etcd-3"
    with servers.killed("etcd-3"):
        for each in servers.engine.containers.list(all=True, filters={"label": f"{SERVICE}={lost}"}):
            each.remove(force=True)
        servers.engine.volumes.get(lost).remove()
    eventually(lambda: voters(servers).keys() - before.keys() and all(voters(servers).values()), 60, "it is let in")
    assert len(voters(servers)) == 3
    old, began = servers.primary(), time.monotonic()
    with servers.killed(old, "etcd-1"):
        outage = taken_over(writer, servers, old, began)
    with capsys.disabled():
        print(
            f"\nprimary killed, and with it a member of etcd, of which another one had lost all: {outage:.1f} s; ",
            end="",
        )


def voters(servers: Servers) -> dict[str, bool]:
    """Id of each member of etcd, as one of them knows it → whether it has begun."""
    words = f'{_CURL} --data "{{}}" "$ETCD_ADVERTISE_CLIENT_URLS/v3/cluster/member/list"'
    _, said = servers.container("etcd-2").exec_run(["bash", "-c", words])
    return {each["ID"]: bool(each.get("clientURLs")) for each in json.loads(said)["members"]}


def test_parts_that_somebody_removed_come_back_with_their_data(
    platform: Platform, writer: Writer, servers: Servers
) -> None:
    old = servers.primary()
    for noun in (3 - old, "etcd-3"):
        servers.engine.services.get(f"{servers.service}-{noun}").remove()
    look(platform)  # a shift begins by looking for what is lost
    wanted = {f"{servers.service}-{noun}" for noun in (3 - old, "etcd-3")}
    eventually(lambda: wanted <= {each.name for each in servers.engine.services.list()}, 240, "they are there again")


def test_a_standby_that_goes_holds_up_the_primary_for_no_longer_than_it_takes_to_see_it(
    writer: Writer, servers: Servers, capsys: pytest.CaptureFixture[str]
) -> None:
    old, began = servers.primary(), time.monotonic()
    with servers.killed(3 - old):
        eventually(lambda: writer.goes_on(began + 15), 60, "rows are acknowledged without it")
        outage = writer.outage(began)
        assert servers.primary() == old
    with capsys.disabled():
        print(f"\nstandby killed: {outage:.1f} s; ", end="")


def test_a_standby_that_is_far_behind_does_not_take_over(
    writer: Writer, servers: Servers, capsys: pytest.CaptureFixture[str]
) -> None:
    old, began = servers.primary(), time.monotonic()
    with ExitStack() as away:
        with servers.cut_off(3 - old):
            eventually(lambda: writer.goes_on(began + 15), 60, "rows are acknowledged without it")
            with patient(writer.url) as database:
                database.execute("CREATE TABLE far (text text)")
                database.execute(
                    "INSERT INTO far SELECT repeat(md5(number::text), 32) FROM generate_series(1, %s) AS number",
                    [BEHIND_MIB * 1024],
                )
            away.enter_context(servers.killed(old))
        gone = time.monotonic()
        while time.monotonic() - gone < ALONE_SECONDS:
            assert servers.ask(3 - old, "primary") is None, "it does not have all that was acknowledged"
            time.sleep(0.5)
        assert not writer.goes_on(gone)
    back = time.monotonic()
    eventually(lambda: writer.goes_on(back), 120, "rows are acknowledged, as the primary is back")
    again = time.monotonic() - back
    servers.wait_ready(240)
    with patient(writer.url) as database:
        assert database.execute("SELECT count(*) FROM far").fetchone() == (BEHIND_MIB * 1024,)
        database.execute("DROP TABLE far")
    with capsys.disabled():
        print(
            f"\nprimary killed while its standby was {BEHIND_MIB} MiB behind: nobody took over; {again:.1f} s after "
            f"the primary was back, {time.monotonic() - back:.1f} s until the standby had all; ",
            end="",
        )


def test_a_storm_of_connections_is_refused_and_passes(
    writer: Writer, servers: Servers, capsys: pytest.CaptureFixture[str]
) -> None:
    old, began = servers.primary(), time.monotonic()
    answers = Counter(asyncio.run(storm(writer.url)))
    ended = time.monotonic()
    with patient(writer.url) as database:
        database.execute("SELECT 1")
    again = time.monotonic() - ended
    with capsys.disabled():
        print(f"\n{STORM} connections at once: {dict(answers)}, {writer.outage(began):.1f} s; ", end="")
    assert set(answers) <= {"connected", *_REFUSALS.values()} and answers["connected"] > 50
    assert servers.primary() == old and writer.outage(began) < 5 and again < 5


async def storm(url: str) -> list[str]:
    """How each of many clients fared that connect at the same moment, and stay until all have an answer."""
    known = asyncio.Barrier(STORM)

    async def one() -> str:
        try:
            found = await psycopg.AsyncConnection.connect(url, connect_timeout=15, sslmode="require")
        except psycopg.OperationalError as error:
            await known.wait()
            # Who is refused before there is a connection has the server's words alone.
            text = str(error)
            return next((name for words, name in _REFUSALS.items() if words in text), text)
        await known.wait()
        await found.close()
        return "connected"

    return await asyncio.gather(*(one() for _ in range(STORM)))


@pytest.mark.parametrize("planned", [False, True], ids=["killed", "handed-over"])
def test_a_transaction_that_is_under_way_ends_with_its_primary_and_leaves_nothing(
    writer: Writer, servers: Servers, planned: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    old = servers.primary()
    with patient(writer.url) as database:
        database.execute("CREATE TABLE IF NOT EXISTS unfinished (number int)")
    with ThreadPoolExecutor(1) as pool, patient(writer.url) as waiting, patient(writer.url) as asking:
        waiting.execute("INSERT INTO unfinished SELECT generate_series(1, 100000)")
        asked = pool.submit(asking.execute, "SELECT pg_sleep(300)")
        time.sleep(1)
        began = time.monotonic()
        if planned:
            assert servers.ask(old, "switchover") is not None
            outage = taken_over(writer, servers, old, began)
        else:
            with servers.killed(old):
                outage = taken_over(writer, servers, old, began)
        with pytest.raises(psycopg.OperationalError):
            asked.result(30)
        with pytest.raises(psycopg.OperationalError):
            waiting.commit()
    with patient(writer.url) as database:
        assert database.execute("SELECT count(*) FROM unfinished").fetchone() == (0,)
    with capsys.disabled():
        print(f"\n{'handed over' if planned else 'killed'} during long transactions: {outage:.1f} s; ", end="")
    assert outage < (5 if planned else 15)


def test_a_standby_whose_clock_is_an_hour_ahead_takes_over_and_gives_back(
    writer: Writer, servers: Servers, capsys: pytest.CaptureFixture[str]
) -> None:
    old = servers.primary()
    with ahead(servers, 3 - old):
        servers.wait_ready(120)
        began = time.monotonic()
        with servers.killed(old):
            outage = taken_over(writer, servers, old, began)
            with patient(writer.url) as database:
                (clock,) = database.execute("SELECT extract(epoch FROM clock_timestamp())").fetchone() or (0,)
        assert 3500 < float(clock) - time.time() < 3700
        servers.wait_ready(120)
        again = time.monotonic()
        assert servers.ask(3 - old, "switchover") is not None
        back = taken_over(writer, servers, 3 - old, again)
    with capsys.disabled():
        print(f"\nthe clock of the standby an hour ahead: {outage:.1f} s, handed back within {back:.1f} s; ", end="")
    assert outage < 15 and back < 5


@contextmanager
def ahead(servers: Servers, number: int) -> Iterator[None]:
    """A server whose processes take it to be an hour later, for the length of the block."""
    service = servers.engine.services.get(f"{servers.service}-{number}")
    image = service.attrs["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"]
    recipe, tag = io.BytesIO(AHEAD.format(image=image).encode()), "dynoform/postgres-ha:ahead"
    servers.engine.images.build(fileobj=recipe, tag=tag, rm=True)
    update = ["docker", "service", "update", "--quiet", "--no-resolve-image"]
    adds = [word for name, value in SKEW.items() for word in ("--env-add", f"{name}={value}")]
    subprocess.run([*update, "--image", tag, *adds, service.name], check=True, timeout=180)
    try:
        yield
    finally:
        removes = [word for name in SKEW for word in ("--env-rm", name)]
        subprocess.run([*update, "--image", image, *removes, service.name], check=True, timeout=180)
