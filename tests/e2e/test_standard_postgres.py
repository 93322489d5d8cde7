"""What a standard database has besides, by the real CLI, on the running platform: credentials, a pool, settings …"""

import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.e2e.conftest import STACK, Platform, eventually
from tests.e2e.test_databases import answers, connect, container, left_behind, refusal, resident
from tests.heroku.invocations import covers
from tests.heroku_cli import HerokuCLI
from tests.standby import Servers

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]
APP = "std-test"
DATABASE, OTHER, PREMIUM = "std-test-db", "std-test-other", "std-test-premium"
FROM_A_DYNO = """
import os, psycopg
with psycopg.connect(os.environ['DATABASE_URL'], sslmode='require', connect_timeout=10) as database:
    print('found', database.execute('SELECT 6 * 7').fetchone()[0])
"""


@pytest.fixture(scope="module")
def database(cli: HerokuCLI, platform: Platform) -> Iterator[str]:
    """A standard database of an app without code; its id."""
    cli(f"create {APP}")
    cli(f"addons:create heroku-postgresql:standard-0 -a {APP} --name {DATABASE} --wait")
    found = platform.api.get(f"/apps/{APP}/addons/{DATABASE}").raise_for_status().json()
    yield str(found["id"])
    cli(f"apps:destroy -a {APP} --confirm {APP}")
    eventually(lambda: not left_behind(platform), 120, "nothing of the database is left")


@pytest.fixture
def heroku(cli: HerokuCLI, database: str) -> HerokuCLI:
    cli.ran.clear()
    return cli


def config(platform: Platform) -> dict[str, str]:
    return dict(platform.api.get(f"/apps/{APP}/config-vars").raise_for_status().json())


@pytest.mark.chaos
@covers(
    "pg:credentials DATABASE -a myapp",
    "pg:credentials:url DATABASE -n ro -a myapp",
    "pg:credentials:create DATABASE -n ro2 -a myapp",
    "pg:credentials:rotate DATABASE -n ro -a myapp --confirm myapp",
    "pg:credentials:rotate DATABASE --all -a myapp --confirm myapp",
    "pg:credentials:repair-default DATABASE -a myapp --confirm myapp",
    "pg:credentials:destroy DATABASE -n ro -a myapp --confirm myapp",
    "addons:attach postgresql-round-11111 --credential ro -a myapp --as READS",
)
def test_a_named_credential_from_nothing_to_nothing(heroku: HerokuCLI, platform: Platform) -> None:
    made = heroku(f"pg:credentials:create DATABASE -n reads -a {APP}").text
    assert "Creating credential reads... done" in made
    assert f"heroku addons:attach {DATABASE} --credential reads -a {APP}" in made
    with connect(config(platform)["DATABASE_URL"]) as mine:
        mine.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    heroku(f'pg:psql -a {APP} -c "grant select on kept to reads"')
    assert (
        "Could not find credential nobody"
        in heroku(f"addons:attach {DATABASE} --credential nobody -a {APP} --as NOBODY", code=1).text
    )
    heroku(f"addons:attach {DATABASE} --credential reads -a {APP} --as READS")
    url = config(platform)["READS_URL"]
    assert url in heroku(f"pg:credentials:url DATABASE -n reads -a {APP}").text
    shown = heroku(f"pg:credentials DATABASE -a {APP}")
    assert "reads active └ as READS" in shown.text

    # It does what it was granted, and only its members log in: neither its role nor the owner does.
    with connect(url) as theirs:
        assert theirs.execute("SELECT answer FROM kept").fetchone() == (42,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            theirs.execute("INSERT INTO kept VALUES (43)")
        theirs.execute("ALTER ROLE reads PASSWORD 'my-own'")
        for user in ("reads", "dynoform_pool"):
            assert "pg_hba.conf rejects connection" in refusal(url, user=user, password="my-own")

        # Another password, while both work; then that one alone.
        heroku(f"pg:credentials:rotate DATABASE -n reads -a {APP} --confirm {APP}")
        rotated = config(platform)["READS_URL"]
        assert rotated != url
        assert theirs.execute("SELECT answer FROM kept").fetchone() == (42,)
        assert answers(url) and answers(rotated)
        assert ["reads", "rotating"] in heroku(f"pg:credentials DATABASE -a {APP}").table
    default = config(platform)["DATABASE_URL"]
    heroku(f"pg:credentials:rotate DATABASE --all -a {APP} --confirm {APP}")
    newest = config(platform)
    assert newest["READS_URL"] != rotated and newest["DATABASE_URL"] != default
    assert answers(newest["READS_URL"]) and answers(newest["DATABASE_URL"])

    repaired = heroku(f"pg:credentials:repair-default DATABASE -a {APP} --confirm {APP}").text
    assert "Resetting permissions and object ownership for default role to factory settings... done" in repaired
    attached = heroku(f"pg:credentials:destroy DATABASE -n reads -a {APP} --confirm {APP}", code=1).text
    assert "Credential reads must be detached from the app std-test before destroying." in attached
    heroku(f"addons:detach READS -a {APP}")
    gone = heroku(f"pg:credentials:destroy DATABASE -n reads -a {APP} --confirm {APP}").text
    assert f"The credential has been destroyed within {DATABASE}." in gone
    assert not answers(newest["READS_URL"])
    refused = heroku(f"pg:credentials:create DATABASE -n pg_mine -a {APP}", code=2).text
    assert "Name pg_mine is reserved" in refused


@covers("pg:connection-pooling:attach DATABASE -a myapp")
def test_a_pool_lets_many_clients_in_on_few_connections(
    heroku: HerokuCLI, platform: Platform, database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    attached = heroku(f"pg:connection-pooling:attach DATABASE -a {APP}").text
    assert f"Enabling Connection Pooling on {DATABASE} to {APP}... done" in attached
    assert f"Setting DATABASE_CONNECTION_POOL config vars and restarting {APP}... done, v" in attached
    server, pool = addresses(platform)
    assert urlsplit(pool).port != urlsplit(server).port and urlsplit(pool).username == urlsplit(server).username
    trust = {"sslmode": "verify-full", "sslrootcert": platform.environment["DYNOFORM_CA"]}

    def ask(number: int) -> tuple[Any, ...] | None:
        with psycopg.connect(pool, autocommit=True, connect_timeout=30, **trust) as client:
            return client.execute("SELECT %s::int, current_user = session_user", [number]).fetchone()

    with ThreadPoolExecutor(40) as many:
        assert list(many.map(ask, range(200))) == [(number, False) for number in range(200)]
    with connect(server) as sees:
        query = "SELECT client_addr FROM pg_stat_activity WHERE usename = session_user AND pid <> pg_backend_pid()"
        found = sees.execute(query).fetchall()
    count = len(found)
    assert 0 < count <= 90
    assert set(found) == {(None,)}, "they are by the server's socket"
    done = container(platform, f"{database}-pool").exec_run(["psql", "--username=postgres", "--command=SELECT 1"])
    assert done.exit_code and b'Peer authentication failed for user "postgres"' in done.output
    size = resident(container(platform, f"{database}-pool"))
    with capsys.disabled():
        print(f"\npool: {size:.1f} MiB after 200 clients, on {count} connections")
    assert "SASL authentication failed" in refusal(pool.replace(str(urlsplit(pool).password), "p" + "0" * 64))
    for user, why in {"postgres": "no such user", "dynoform_pool": "SASL authentication failed"}.items():
        assert why in refusal(pool, user=user)


def addresses(platform: Platform) -> tuple[str, str]:
    """Where the server is, and its pool."""
    found = eventually(lambda: "DATABASE_CONNECTION_POOL_URL" in (now := config(platform)) and now, 60, "the pool")
    return found["DATABASE_URL"], found["DATABASE_CONNECTION_POOL_URL"]


@pytest.mark.chaos
def test_a_pool_knows_of_rotations_outlives_its_server_and_goes_with_its_last_attachment(
    heroku: HerokuCLI, platform: Platform, database: str
) -> None:
    if "DATABASE_CONNECTION_POOL_URL" not in config(platform):
        heroku(f"pg:connection-pooling:attach DATABASE -a {APP}")
    _, pool = addresses(platform)
    dyno = ["run", "-a", "python", "--no-tty", "--exit-code", "-e", f"DATABASE_URL={pool}", "--", "python3", "-c"]
    assert "found 42" in heroku(" ".join([*dyno, f'"{FROM_A_DYNO}"'])).text

    # A rotation is known at once, and who is in stays in; so does whoever waits for a server that starts anew.
    with connect(pool, prepare_threshold=None) as client:
        heroku(f"pg:credentials:rotate DATABASE -a {APP} --confirm {APP}")
        rotated = config(platform)["DATABASE_CONNECTION_POOL_URL"]
        assert rotated != pool
        assert answers(rotated) and answers(pool)
        assert client.execute("SELECT 1").fetchone() == (1,)
    container(platform, database).kill()
    eventually(lambda: answers(rotated), 60, "the pool has its server again")

    # It is gone with its last attachment.
    heroku(f"addons:detach DATABASE_CONNECTION_POOL -a {APP}")
    eventually(lambda: container(platform, f"{database}-pool") is None, 90, "the pool is gone")
    assert not answers(rotated)
    assert "DATABASE_CONNECTION_POOL_URL" not in config(platform)
    names = [each.name for each in platform.engine.services.list(filters={"label": f"dynoform.addon={database}"})]
    assert names == [f"{STACK}_addon-{database}"]


@pytest.mark.chaos
def test_a_pool_before_a_standby_leads_to_whichever_is_primary(
    heroku: HerokuCLI, platform: Platform, capsys: pytest.CaptureFixture[str]
) -> None:
    heroku(f"addons:create heroku-postgresql:premium-0 -a {APP} --name {PREMIUM} --as PREMIUM --wait", seconds=180)
    made = platform.api.get(f"/apps/{APP}/addons/{PREMIUM}").raise_for_status().json()
    servers = Servers(platform.engine, f"{STACK}_addon-{made['id']}")
    servers.wait_ready()
    heroku(f"pg:credentials:create PREMIUM -n reads -a {APP}")
    heroku(f"pg:connection-pooling:attach PREMIUM -a {APP} --as PREMIUM_POOL", seconds=180)
    pool = eventually(lambda: config(platform).get("PREMIUM_POOL_URL"), 120, "the pool")
    heroku(f"pg:settings:log-statement PREMIUM all -a {APP}")

    def found() -> Any:
        try:
            with connect(pool) as client:
                return client.execute("SELECT answer FROM kept").fetchone()
        except psycopg.Error:
            return None

    with connect(pool) as client:
        client.execute("CREATE EXTENSION pg_stat_statements")
        client.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    with connect(config(platform)["PREMIUM_URL"]) as mine:
        mine.execute("SELECT 4712")

    def lines() -> str:
        return heroku(f"logs -p postgres -n 1500 -a {APP}").out

    eventually(lambda: "SELECT 4712" in lines(), 60, "what the primary says is in the app's log")
    servers.wait_ready()
    with servers.killed(servers.primary()):
        began = time.monotonic()
        eventually(lambda: found() == (42,), 60, "the other server answers by the pool")
        with capsys.disabled():
            print(f"\nfailover by a pool: {time.monotonic() - began:.1f} s")
    heroku(f"addons:destroy {PREMIUM} -a {APP} --confirm {APP}", seconds=180)


SETTINGS = {
    "log-statement": ("mod", "All statements contained in ddl as well as data-modifying statements"),
    "log-min-duration-statement": ("0", "The duration of each completed statement will be logged."),
    "log-min-error-statement": ("log", "All SQL statements that cause an error of severity log, fatal or panic"),
    "log-lock-waits": ("off", "When a deadlock is detected, no log message will be emitted"),
    "log-connections": ("off", "When login attempts are made, no log message will be emitted"),
    "track-functions": ("pl", "Only procedural language functions will be tracked."),
    "auto-explain": ("on", "Execution plans of queries will be logged for future connections."),
    "auto-explain:log-analyze": ("on", "EXPLAIN ANALYZE execution plans will be logged."),
    "auto-explain:log-buffers": ("on", "Buffer statistics have been enabled for auto_explain."),
    "auto-explain:log-format": ("json", "Auto explain log output will log in json format."),
    "auto-explain:log-min-duration": ("0", "All queries will have their execution plans logged."),
    "auto-explain:log-nested-statements": ("on", "Nested statements will be included in execution plan logs."),
    "auto-explain:log-triggers": ("on", "Trigger execution statistics have been enabled for auto-explain."),
    "auto-explain:log-verbose": ("on", "Verbose execution plan logging has been enabled for auto_explain."),
    "data-connector-details-logs": ("off", "Data replication slot details will no longer be logged."),
}


@pytest.mark.chaos
@covers(
    "pg:settings -a myapp",
    "pg:settings:log-lock-waits -a myapp",
    *(f"pg:settings:{name} DATABASE {value} -a myapp" for name, (value, _) in SETTINGS.items()),
)
def test_settings_are_set_and_what_they_log_is_in_the_apps_log(heroku: HerokuCLI, platform: Platform) -> None:
    usual = heroku(f"pg:settings -a {APP}").text
    assert f"{DATABASE} auto-explain: false" in usual and "log-statement: ddl track-functions: none" in usual
    waits = heroku(f"pg:settings:log-lock-waits -a {APP}").text
    assert f"log-lock-waits is set to true for {DATABASE}." in waits
    done = heroku.each(*(f"pg:settings:{name} DATABASE {value} -a {APP}" for name, (value, _) in SETTINGS.items()))
    for (name, (value, explained)), ran in zip(SETTINGS.items(), done, strict=True):
        shown = {"on": "true", "off": "false"}.get(value, value)
        assert f"{name.replace(':', '.')} has been set to {shown} for {DATABASE}." in ran.text
        assert explained in ran.text
    refused = heroku(f"pg:settings:data-connector-details-logs DATABASE on -a {APP}", code=2).text
    assert "there are no data connectors here" in refused

    with connect(config(platform)["DATABASE_URL"]) as mine:
        mine.execute("CREATE TABLE logged (a int)")
        mine.execute("INSERT INTO logged VALUES (4711)")
    heroku(f"pg:credentials:rotate DATABASE -a {APP} --confirm {APP}")

    def lines() -> str:
        return heroku(f"logs -p postgres -n 1500 -a {APP}").out

    found = eventually(lambda: "INSERT INTO logged" in (said := lines()) and said, 60, "the statement is in the log")
    assert "app[postgres.1]: " in found and '"Query Text": "INSERT INTO logged' in found
    assert "SCRAM-SHA-256" not in found, "what the server keeps of passwords is in no log"
    with connect(config(platform)["DATABASE_URL"]) as mine:
        assert mine.execute("SHOW log_min_duration_statement").fetchone() == ("0",)


@pytest.mark.chaos
@covers(
    "pg:outliers -a myapp",
    "pg:outliers --reset -a myapp",
    "pg:calls -a myapp",
    "pg:bloat -a myapp",
    "pg:vacuum-stats -a myapp",
    "pg:blocking -a myapp",
    "pg:ps -a myapp",
    "pg:locks -a myapp",
    "pg:kill 1 --force -a myapp",
    "pg:stats-reset -a myapp",
    "pg:diagnose -a myapp",
    "pg:diagnose DATABASE --json -a myapp",
    "pg:extensions -a myapp",
)
def test_reports_show_what_a_database_is_at(heroku: HerokuCLI, platform: Platform) -> None:
    missing = heroku(f"pg:outliers -a {APP}", code=1).text
    assert "CREATE EXTENSION pg_stat_statements;" in missing
    listed = heroku(f"pg:extensions -a {APP}").text
    url = config(platform)["DATABASE_URL"]
    with connect(url) as mine:
        (names,) = mine.execute("SHOW extwlist.extensions").fetchone() or ("",)
        for name in names.split(","):
            assert name in listed
            mine.execute(f'CREATE EXTENSION IF NOT EXISTS "{name}" CASCADE')
        mine.execute("CREATE TABLE held AS SELECT generate_series(1, 1000) AS a")
        for _ in range(25):
            mine.execute("SELECT count(*) FROM held WHERE a > 500")
    outliers, calls, bloat, vacuum = heroku.each(
        f"pg:outliers -n 100 -a {APP}", f"pg:calls -a {APP}", f"pg:bloat -a {APP}", f"pg:vacuum-stats -a {APP}"
    )
    assert "SELECT count(*) FROM held WHERE a >" in outliers.text and "prop_exec_time" in outliers.text
    assert any("25" in row for row in calls.table)
    assert "waste" in bloat.text and any("held" in row for row in vacuum.table)
    heroku(f"pg:outliers --reset -a {APP}")
    assert "WHERE a >" not in heroku(f"pg:outliers -a {APP}").text

    with psycopg.connect(url) as holds, connect(url) as waits, ThreadPoolExecutor(1) as pool:
        holds.execute("UPDATE held SET a = 0 WHERE a = 1")
        asleep = pool.submit(waits.execute, "UPDATE held SET a = 2 WHERE a = 1")
        waiting, holding = str(waits.info.backend_pid), str(holds.info.backend_pid)
        with connect(url) as sees:
            blocked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            eventually(lambda: sees.execute(blocked).fetchone() == (1,), 20, "one waits for the other")
        blocking, running, locks = heroku.each(f"pg:blocking -a {APP}", f"pg:ps -a {APP}", f"pg:locks -a {APP}")
        assert any(waiting in row and holding in row for row in blocking.table)
        assert any(waiting in row for row in running.table) and any(holding in row for row in locks.table)
        heroku(f"pg:kill {waiting} --force -a {APP}")
        with pytest.raises(psycopg.errors.AdminShutdown):
            asleep.result(10)
    assert "Stats reset successful." in heroku(f"pg:stats-reset -a {APP}").text

    with connect(url) as mine:
        mine.execute("CREATE UNLOGGED TABLE fast (a int)")
    report = heroku(f"pg:diagnose -a {APP}").text
    assert f"for {APP}::DATABASE_URL available for one month after creation on 20" in report
    assert "YELLOW: Unlogged Tables Table public.fast" in report and "GREEN: Connection Count" in report
    assert '"name": "Unlogged Tables"' in heroku(f"pg:diagnose DATABASE --json -a {APP}").text
    (word, *_) = [each for each in report.split() if each.count("-") == 4]
    assert f"Report {word} for {APP}::DATABASE_URL" in heroku(f"pg:diagnose {word} -a {APP}").text


@pytest.mark.chaos
@covers(
    "pg:links -a myapp",
    "pg:links:create HEROKU_POSTGRESQL_PINK DATABASE -a myapp",
    "pg:links:destroy DATABASE pink -a myapp --confirm myapp",
)
def test_a_data_link_has_the_tables_of_another_database(heroku: HerokuCLI, platform: Platform) -> None:
    heroku(f"addons:create heroku-postgresql:standard-0 -a {APP} --name {OTHER} --as OTHER --wait")
    with connect(config(platform)["OTHER_URL"]) as theirs:
        theirs.execute("CREATE TABLE orders AS SELECT 42 AS number")
    made = heroku(f"pg:links:create OTHER DATABASE -a {APP}").text
    assert f"Adding link from {OTHER} to {DATABASE}... done, std_test_other" in made
    with connect(config(platform)["DATABASE_URL"]) as mine:
        assert mine.execute("SELECT number FROM std_test_other.orders").fetchone() == (42,)
    shown = heroku(f"pg:links -a {APP}").text
    assert "* std_test_other created_at: 20" in shown and f"remote: OTHER ({OTHER})" in shown
    assert f"{OTHER} No data sources are linked into this database" in shown
    heroku(f"pg:links:destroy DATABASE std_test_other -a {APP} --confirm {APP}")
    assert "std_test_other" not in heroku(f"pg:links -a {APP}").text

    # Another database's password is of no use here, nor is it by the address of a pool that leads here.
    theirs_url = urlsplit(config(platform)["OTHER_URL"])
    mine_url = config(platform)["DATABASE_URL"]
    assert "password authentication failed" in refusal(mine_url, user=theirs_url.username, password=theirs_url.password)
    heroku(f"addons:destroy {OTHER} -a {APP} --confirm {APP}")


@pytest.mark.chaos
@covers(
    "data:maintenances -a myapp",
    "data:maintenances:info DATABASE -a myapp",
    "data:maintenances:run DATABASE --wait --confirm myapp -a myapp",
    "data:maintenances:history DATABASE -a myapp",
    "data:maintenances:schedule DATABASE --weeks 2 -a myapp",
    "data:maintenances:window DATABASE -a myapp",
    "data:maintenances:window:update DATABASE sunday 13:30 -a myapp",
    "pg:upgrade:wait DATABASE -a myapp",
)
def test_maintenance_and_upgrades_say_how_things_are(heroku: HerokuCLI, platform: Platform) -> None:
    info = heroku(f"data:maintenances:info DATABASE -a {APP}").text
    assert "status: none" in info and f"addon_name: {DATABASE}" in info and "window: any time" in info
    updated = heroku(f"data:maintenances:window:update DATABASE sunday 13:30 -a {APP}").text
    assert "window: Sundays 13:30 to 17:30 UTC" in updated
    assert "Sundays 13:30 to 17:30 UTC" in heroku(f"data:maintenances:window DATABASE -a {APP}").text
    moved = heroku(f"data:maintenances:schedule DATABASE --weeks 2 -a {APP}").text
    assert f"Scheduled maintenance for {DATABASE} changed from 20" in moved
    first = heroku(f"data:maintenances:run DATABASE -a {APP}", code=2).text
    assert f"re-run the command with --confirm {APP}" in first
    heroku(f"data:maintenances:run DATABASE --wait --confirm {APP} -a {APP}")
    history = heroku(f"data:maintenances:history DATABASE -a {APP}").text
    assert "Updates of the server and its certificate completed" in history
    listed = heroku(f"data:maintenances -a {APP}").text
    assert f"{DATABASE} DATABASE" in listed and "Sundays 13:30 to 17:30 UTC completed" in listed

    assert "no upgrade in progress" in heroku(f"pg:upgrade:wait DATABASE -a {APP}").text
    newest = f"{DATABASE} has PostgreSQL 17 already, there is no newer version. Minor updates come by maintenance:"
    for what in ("prepare", "dryrun", "run"):
        assert newest in heroku(f"pg:upgrade:{what} DATABASE -a {APP} --confirm {APP}", code=2).text
    older = heroku(f"pg:upgrade:run DATABASE --version 16 -a {APP} --confirm {APP}", code=2).text
    assert "PostgreSQL 16 is not there: version 17 is the only one" in older
    cancelled = heroku(f"pg:upgrade:cancel DATABASE -a {APP} --confirm {APP}", code=2).text
    assert f"{DATABASE} has no upgrade scheduled: there is nothing to cancel" in cancelled


@pytest.mark.chaos
def test_a_minor_patch_is_a_short_outage(
    heroku: HerokuCLI, platform: Platform, database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The platform's image is another one: maintenance replaces the server, which shuts down and starts."""
    before = container(platform, database)
    image = before.image.tags[0]
    patched = f"{image.rpartition(':')[0]}:patched"
    platform.engine.images.get(image).tag(patched)
    _told_to_use(patched)
    try:
        with ThreadPoolExecutor(1) as pool:
            ran = pool.submit(heroku, f"data:maintenances:run DATABASE --wait --confirm {APP} -a {APP}")
            outage = longest_pause(config(platform)["DATABASE_URL"], ran.done)
            ran.result()
        assert container(platform, database).attrs["Config"]["Image"] == patched
    finally:
        _told_to_use(image)
    with capsys.disabled():
        print(f"\nminor patch: no write for {outage:.1f} s")
    assert outage < 5


def _told_to_use(image: str) -> None:
    words = ["docker", "service", "update", "--quiet", "--env-add", f"DYNOFORM_POSTGRES_IMAGE={image}"]
    subprocess.run([*words, f"{STACK}_databases"], check=True, capture_output=True, timeout=120)


def longest_pause(url: str, is_over: Callable[[], bool]) -> float:
    """Seconds between two acknowledged writes, of a client that connects again each time; at most."""
    with connect(url) as first:
        first.execute("CREATE TABLE IF NOT EXISTS writes (at timestamptz)")
    last, longest = time.monotonic(), 0.0
    while not is_over():
        try:
            with psycopg.connect(url, autocommit=True, connect_timeout=1) as client:
                while not is_over():
                    client.execute("INSERT INTO writes VALUES (now())")
                    longest, last = max(longest, time.monotonic() - last), time.monotonic()
                    time.sleep(0.01)
        except psycopg.OperationalError:
            time.sleep(0.05)
    return longest
